"""The command line: a config file and flags in, a run or a study in a workdir out.

    python launch.py --config=configs/bit_parity.py:lstm,small --workdir=runs/x [--config.train.steps=500 ...]
    python launch.py --help | --list | --config=... --show_config | --config=... --show_batch
    python launch.py --config=configs/study.py --workdir=runs/study [--shard=3/8] [--dry_run]

Whatever cannot work ends in one line that names the flag to change and exit code 2, before anything is
compiled or written.
"""

import difflib
import os
import re
import sys

from absl import flags
from ml_collections import ConfigDict, config_flags

from rnnbench.config import ConfigError, InputError, first_line, load, schema
from rnnbench.config import build as configs

FLAGS = flags.FLAGS
config_flags.DEFINE_config_file(
    "config",
    None,
    "config file, configs/TASK.py:MODEL,PROTOCOL",
    lock_config=False,
    accept_new_attributes=True,  # options of external mixers and tasks; check_keys refuses all others
)
flags.DEFINE_string("workdir", None, "folder of the run or study; the same command there resumes")
flags.DEFINE_string("shard", None, "I/N, such as 3/8: of a study only the I-th of N disjoint parts")
flags.DEFINE_bool("dry_run", False, "list the cells with sizes and predicted times; run nothing")
flags.DEFINE_string(
    "profile_steps", None, "FIRST:LAST: a trace of these steps, in whole chunks, into WORKDIR/profile"
)
flags.DEFINE_bool("list", False, "list tasks, models and protocols")
flags.DEFINE_bool("show_config", False, "print every key with its value and comment")
flags.DEFINE_bool("show_batch", False, "print three training samples with their targets")
flags.DEFINE_string(
    "compilation_cache", None, "folder of compiled programs, kept between starts; 'off' = none"
)
flags.DEFINE_enum(
    "distributed", "auto", ["auto", "on", "off"], "join the processes of a cluster (see the README)"
)
flags.DEFINE_string(
    "coordinator", None, "HOST:PORT of process 0; else JAX_COORDINATOR_ADDRESS, or what the cluster tells"
)
flags.DEFINE_integer("num_processes", None, "how many processes; else JAX_NUM_PROCESSES")
flags.DEFINE_integer("process_id", None, "which one this is, from 0; else JAX_PROCESS_ID")


class UsageError(InputError):
    """A command line that cannot work; its text is one line."""


def main(argv: list[str]) -> int:
    """Runs the command line; returns the exit code."""
    try:
        return command(argv)
    except InputError as error:
        return refuse(error)
    except KeyboardInterrupt:
        print("\nlaunch.py: interrupted; the same command resumes at the newest checkpoint", file=sys.stderr)
        return 130


def refuse(error: InputError) -> int:
    print(f"launch.py: {error}", file=sys.stderr)
    return 2


def command(argv: list[str]) -> int:
    if {"--help", "-h"} & set(argv):
        return show_help()
    pristine, file = None, config_argument(argv)
    if file:
        pristine = load.make(file)
        check_keys(argv, pristine)
    parse(argv, pristine)
    if FLAGS.list:
        return show_list()
    if pristine is None:
        raise UsageError(
            "--config: is missing; name a config file such as configs/quickstart.py, or try --list"
        )
    config, cells = FLAGS.config, {}
    several = bool(config.study.models or config.study.tasks or config.study.grid)
    shard = part(FLAGS.shard)
    if several and FLAGS.profile_steps:
        raise UsageError("--profile_steps: is for a plain run; this config is a study")
    if not several:
        for flag in ("shard", "dry_run"):
            if FLAGS[flag].value:
                raise UsageError(f"--{flag}: is for studies; this config is a plain run")
        if config.study.table:
            raise ConfigError("study.table", "is for studies; a plain run keeps its rows in its workdir")
        config = configs.label(config, pristine)
    if FLAGS.show_config:
        return show_config(config)
    if not (FLAGS.workdir or FLAGS.show_batch):
        raise UsageError("--workdir: is missing; name a folder for the results, such as runs/first")
    if (FLAGS.workdir or "").startswith("-"):
        raise UsageError(f"--workdir: its value is missing; {FLAGS.workdir} is taken for it")
    # Only now: JAX takes seconds to load, and its processes join before anything touches a device.
    from rnnbench.parallel import hosts
    from rnnbench.parallel import mesh as meshes
    from rnnbench.study import cells as grid
    from rnnbench.train import population
    from rnnbench.train import profile as profiling
    from rnnbench.train import run as train

    profile = profiling.steps(FLAGS.profile_steps, config.train.steps) if FLAGS.profile_steps else None
    if several:
        values = configs.flat(config)
        changed = {key: values[key] for key in config_flags.get_override_values(FLAGS["config"])}
        cells = grid.cells(pristine, changed, lambda task: load.beside(file, task))
    try:
        hosts.initialize(FLAGS.distributed, FLAGS.coordinator, FLAGS.num_processes, FLAGS.process_id)
    except InputError:
        raise
    except (ValueError, RuntimeError) as error:
        raise UsageError(f"--distributed: {first_line(error)}") from None
    meshes.keep_compiled(FLAGS.compilation_cache)
    if FLAGS.show_batch:
        return show_batch(population.prepare(next(iter(cells.values()), config)))
    try:
        with hosts.ending_together():
            hosts.introduce()
            if cells:
                return run_study(cells, config.study.table, shard)
            train.run_alone(config, FLAGS.workdir, profile)
    except hosts.Preempted as stop:
        if hosts.is_main():
            print(f"launch.py: preempted: {stop}; the same command resumes", file=sys.stderr)
        return hosts.PREEMPTED
    except InputError as error:
        return refuse(error) if hosts.is_main() else 2
    return 0


def run_study(cells: dict[str, ConfigDict], table: str, shard: tuple[int, int]) -> int:
    """Runs the cells, or lists them; the exit code is 1 if one of them failed."""
    from rnnbench.parallel import hosts
    from rnnbench.study import run as study

    if FLAGS.dry_run:
        study.plan(cells, FLAGS.workdir, table, shard)
        return 0
    _, failed = study.run(cells, FLAGS.workdir, table, shard)
    for name in failed if hosts.is_main() else []:
        print(f"launch.py: failed: {FLAGS.workdir}/cells/{name}/error.json", file=sys.stderr)
    return 1 if failed else 0


def part(text: str | None) -> tuple[int, int]:
    """--shard=3/8 as (3, 8); the whole if it is not given."""
    if text is None:
        return 1, 1
    match = re.fullmatch(r"(\d+)/(\d+)", text)
    if not match or not 1 <= int(match[1]) <= int(match[2]):
        raise UsageError(f"--shard: must read I/N with I from 1 to N, such as 3/8; it is {text!r}")
    return int(match[1]), int(match[2])


def config_argument(argv: list[str]) -> str | None:
    """The value of --config, before the flags are parsed: its file decides which other flags there are."""
    found = []
    for flag, following in zip(argv, [*argv[1:], None]):
        if match := re.fullmatch(r"--?config(?:=(.*))?", flag):
            found.append(following if match[1] is None else match[1])
    if len(found) > 1:
        raise UsageError(f"--config: is given {len(found)} times; give one file")
    return found[0] if found else None


def check_keys(argv: list[str], pristine: ConfigDict) -> None:
    """Refuses overrides of keys that do not exist, with the nearest one that does.

    The options of a mixer or task that a flag names are not known yet: it says itself which ones it has.
    """
    known = list(configs.flat(pristine))
    given = [match[1] for flag in argv if (match := re.match(r"--?(?:no)?config\.([^=]+)", flag))]
    free = configs.undeclared(dict.fromkeys(given, True))
    for key in given:
        if key not in known and not key.startswith(free):
            near = difflib.get_close_matches(key, known, 1)
            hint = f"; did you mean --config.{near[0]}?" if near else "; --show_config lists them all"
            raise ConfigError(key, f"there is no such key{hint}")


def parse(argv: list[str], pristine: ConfigDict | None) -> None:
    """Parses the flags; every error becomes one line."""
    try:
        rest = FLAGS(argv)[1:]
    except (flags.Error, KeyError, TypeError, ValueError, OSError) as error:
        text = str(error)
        if match := re.match(r"flag --config\.([\w.]+)=(.*?): ", text, re.DOTALL):
            now = configs.flat(pristine).get(match[1])
            kind = type(now).__name__
            raise ConfigError(
                match[1], f"{match[2]!r} is not of type {kind}; a value of that type is {now!r}"
            ) from None
        if match := re.match(r"Unknown command line flag '(.*?)'\.?(?: Did you mean: (\S+) \?)?", text):
            hint = f"; did you mean --{match[2]}?" if match[2] else "; --help lists them all"
            raise UsageError(f"--{match[1]}: there is no such flag{hint}") from None
        raise UsageError(first_line(error)) from None
    if rest:
        raise UsageError(f"unexpected argument {rest[0]!r}; flags look like --workdir=runs/first")


def show_help() -> int:
    """The top of this file, and the flags."""
    print(__doc__)
    for flag in FLAGS.get_key_flags_for_module(sys.argv[0]):
        print(f"  --{flag.name:18} {flag.help}")
    return 0


def show_list() -> int:
    """Tasks with their protocols, and the presets."""
    print("models (--config=configs/TASK.py:MODEL,PROTOCOL)")
    for name, preset in schema.PRESETS.items():
        options = " ".join(f"{key}={value}" for key, value in preset["options"].items())
        print(f"  {name:20} mixer {preset['mixer']}  {options}".rstrip())
    print("tasks and their protocols")
    for path in sorted(load.CONFIGS.glob("*.py")):
        there = load.load(path).__globals__
        arguments = " ".join(there.get("PROTOCOLS", ()))
        studies = " ".join(("a study, needs no MODEL:", *there.get("STUDIES", ()))).rstrip(":")
        print(f"  configs/{path.name:26} {arguments or studies}")
    return 0


def show_config(config: ConfigDict) -> int:
    """Every key, value and comment."""
    for key, value in configs.ordered(config).items():
        print(f"{key + ' = ' + repr(value):64} # {configs.comment(key, config)}")
    return 0


def show_batch(setup) -> int:
    """Three samples of the first training case: tokens, and targets where they are supervised."""
    import jax

    case = setup.task.train_cases()[0][0]
    sizes = f"{setup.task.vocab_size} tokens, {setup.task.num_classes} classes"
    print(f"{setup.config.task.name}, training case {case}, {sizes}")
    for i in range(3):
        batch = setup.task.sample(jax.random.fold_in(jax.random.key(0), i), case)
        targets = [str(t) if asked else "." for t, asked in zip(batch.targets.tolist(), batch.mask.tolist())]
        tokens = [str(token) for token in batch.inputs.tolist()]
        width = max(map(len, tokens + targets))
        print("tokens  " + " ".join(token.rjust(width) for token in tokens))
        print("targets " + " ".join(target.rjust(width) for target in targets))
    return 0


if __name__ == "__main__":
    # The notebooks' and the compiler's chatter is of no use to the person at the terminal.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    sys.exit(main(sys.argv))
