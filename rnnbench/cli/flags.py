"""Flags: those of the command line, and `--config.KEY=VALUE` for every key of the config."""

import difflib
import re
from dataclasses import dataclass, field
from typing import Any

from absl import flags
from ml_collections import ConfigDict, config_flags

from rnnbench.config import ConfigError, InputError, first_line, load
from rnnbench.config import build as configs
from rnnbench.config.keys import check_key, flat, keys, task_keys
from rnnbench.config.schema import KEYS


class UsageError(InputError):
    """Raised for a command line that cannot work; the text is one line."""


@dataclass
class CommandLine:
    """A parsed command line; without --config it has no configs, and `config` is None."""

    flags: flags.FlagValues
    file: str = ""  # FILE:ARGUMENT, with the path of the file
    configs: list[ConfigDict] = field(default_factory=list)  # what the file returns
    study: bool = False  # whether it returns a list
    config: ConfigDict | None = None  # the keys of all configs, with the values of the flags
    changed: dict[str, Any] = field(default_factory=dict)  # {key: value} of the flags
    sweep: dict[str, str] = field(default_factory=dict)  # key -> "1,2"


def define() -> flags.FlagValues:
    """The flags other than --config.KEY."""
    values = flags.FlagValues()
    values.set_gnu_getopt()
    text = lambda name, help: flags.DEFINE_string(name, None, help, values)
    number = lambda name, help, least=None, most=2**31 - 1: flags.DEFINE_integer(
        name, None, help, lower_bound=least, upper_bound=most, flag_values=values
    )
    switch = lambda name, help, **more: flags.DEFINE_bool(name, False, help, values, **more)
    flags.DEFINE_multi_string("config", [], "config file: configs/TASK.py:MODEL,PROTOCOL or your own", values)
    text("workdir", "folder of the run or study; rerun the same command to resume")
    text("shard", "I/N, such as 3/8: run only the I-th of N disjoint parts of a study")
    switch("dry_run", "list the cells with sizes and predicted times; run nothing")
    text("profile_steps", "FIRST:LAST: write a trace of these steps, in whole chunks, to WORKDIR/profile")
    switch("list", "list tasks, models and protocols")
    switch("show_config", "print every key with its value and comment")
    switch("show_batch", "print three training samples with their targets")
    text("compilation_cache", "folder that keeps compiled programs between starts; 'off' disables it")
    number(
        "cpu_devices",
        "devices of the CPU; by default one per core, as far as members share them",
        least=1,
        most=4096,  # JAX starts threads for each of them
    )
    flags.DEFINE_enum(
        "distributed",
        "auto",
        ["auto", "on", "off"],
        "join the processes of a cluster",
        values,
    )
    text("coordinator", "HOST:PORT of process 0; by default JAX_COORDINATOR_ADDRESS or the cluster's own")
    number("num_processes", "number of processes; by default JAX_NUM_PROCESSES")
    number("process_id", "index of this process, from 0; by default JAX_PROCESS_ID")
    switch("help", "show this text", short_name="h")
    return values


def parse(argv: list[str]) -> CommandLine:
    """Parses the command line and its flag files; raises ConfigError or UsageError."""
    values = define()
    try:
        rest, sweep = take_sweep(values(argv, known_only=True))
    except (flags.CantOpenFlagFileError, UnicodeDecodeError) as error:
        raise UsageError(f"--flagfile: {first_line(error).removeprefix('ERROR:: ')}") from None
    except (flags.Error, ValueError) as error:
        raise UsageError(first_line(error)) from None
    if len(values.config) > 1:
        raise UsageError(f"--config: is given {len(values.config)} times; give one file")
    if values.help:
        return CommandLine(values)
    of_config = [flag for flag in rest if re.match(r"--?(no)?config\.", flag)]
    if not any(values.config):
        if not of_config:
            check_rest(rest[1:], values)
        return CommandLine(values)
    file = load.found(values.config[0])
    made = load.make(file)
    several = made if isinstance(made, list) else [made]
    check_keys(of_config, load.together(several))
    config = load.together(several)
    try:
        overrides = flags.FlagValues()
        config_flags.DEFINE_config_dict(
            "config",
            config,
            flag_values=overrides,
            sys_argv=rest,
            lock_config=False,
            accept_new_attributes=True,  # of a mixer or task that a flag names; check_keys refuses all others
        )
        rest = overrides(rest, known_only=True)
    except (flags.Error, KeyError, TypeError, ValueError) as error:
        raise _refused(error, load.together(several)) from None
    check_rest(rest[1:], values)
    values_of = flat(config)
    changed = {key: values_of[key] for key in config_flags.get_override_values(overrides["config"])}
    return CommandLine(values, file, several, isinstance(made, list), config, changed, sweep)


def take_sweep(argv: list[str]) -> tuple[list[str], dict[str, str]]:
    """Splits off --sweep.KEY=VALUES and --sweep.KEY VALUES: (the other arguments, {key: values})."""
    rest, sweep, left = [], {}, iter(argv)
    for flag in left:
        if not (match := re.fullmatch(r"--?sweep\.([^=]+)(?:=(.*))?", flag, re.DOTALL)):
            rest.append(flag)
            continue
        key, text = match[1], next(left, "") if match[2] is None else match[2]
        if key in sweep:
            raise UsageError(f"--sweep.{key}: is given twice; give all values at once, such as 1,2")
        sweep[key] = text
    return rest, sweep


def check_keys(given: list[str], pristine: ConfigDict) -> None:
    """Refuses flags of keys that do not exist, with the nearest one that does, and tuples given twice.

    A key of another task or mixer may be for other cells of a study; a plain run refuses it later.
    """
    names = [re.sub(r"^--?(no)?config\.|=.*", "", flag, flags=re.DOTALL) for flag in given]
    configs.check_labels(names)
    named = {name: flag.partition("=")[2] for name, flag in zip(names, given)}
    config = configs.with_plug_ins(pristine, named)
    known = keys(config) | flat(pristine)
    for key in names:
        elsewhere = key.startswith("model.options.") and "study.models" in names
        if not elsewhere and key not in task_keys():
            check_key(key, known, config)
        if isinstance(flat(config).get(key), tuple) and names.count(key) > 1:
            raise ConfigError(key, f"is given {names.count(key)} times; give one tuple")


def check_rest(rest: list[str], values: flags.FlagValues) -> None:
    """Refuses arguments that are not flags."""
    for argument in rest:
        if not argument.startswith("-"):
            raise UsageError(f"unexpected argument {argument!r}; flags look like --workdir=runs/first")
        name = argument.lstrip("-").partition("=")[0]
        near = difflib.get_close_matches(name, [*values, *(f"config.{key}" for key in KEYS)], 1)
        hint = f"; did you mean --{near[0]}?" if near else "; --help lists them all"
        raise UsageError(f"--{name}: there is no such flag{hint}")


def _refused(error: Exception, pristine: ConfigDict) -> InputError:
    """Turns a parser's error about `--config.KEY=VALUE` into one line."""
    if match := re.match(r"flag --config\.([\w.]+)=(.*?): ", str(error), re.DOTALL):
        now = flat(pristine).get(match[1])
        kind = type(now).__name__
        return ConfigError(match[1], f"{match[2]!r} is not of type {kind}; a value of that type is {now!r}")
    return UsageError(first_line(error))
