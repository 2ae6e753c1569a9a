"""The command line: a config file and flags in, a run or a study in a workdir out.

A command that cannot work ends before anything is compiled or written, with exit code 2 and one line that
names the flag to change.
"""

import os
import re
import sys
from pathlib import Path

from ml_collections import ConfigDict

from rnnbench import terminal
from rnnbench.cli import flags, show
from rnnbench.cli.flags import CommandLine, UsageError
from rnnbench.config import ConfigError, InputError, first_line, load
from rnnbench.config import build as configs


def main(argv: list[str]) -> int:
    """Runs the command line; returns the exit code."""
    # Hides the compiler's log messages.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    # my_file:Name is looked up in the working directory, not beside launch.py.
    if not {"", str(Path.cwd())} & set(sys.path):
        sys.path.insert(0, str(Path.cwd()))
    return terminal.run(command, argv)


def command(argv: list[str]) -> int:
    line = flags.parse(argv)
    given = line.flags
    if given.help:
        return show.show_help(given)
    if given.list:
        return show.show_list()
    if line.config is None:
        raise UsageError(
            "--config: is missing; name a config file such as configs/quickstart.py, or try --list"
        )
    several = is_study(line)
    if not several:
        line.config = configs.label(configs.changed(line.configs[0], line.changed))
    if given.show_config:
        return show.show_config(line.config)
    if not ((given.workdir or "").strip() or given.show_batch):
        raise UsageError("--workdir: is missing; name a folder for the results, such as runs/first")
    if (given.workdir or "").startswith("-"):
        raise UsageError(f"--workdir: its value is missing; it would be {given.workdir}")
    # Imported only now, because JAX takes seconds to load.
    from rnnbench.study import cells as grid

    cells = {}
    if several:
        cells = grid.cells(line.configs, line.changed, line.sweep, lambda task: load.beside(line.file, task))
    return start(line, cells)


def is_study(line: CommandLine) -> bool:
    """Whether the config is a study; refuses flags that do not apply."""
    study = line.config.study
    several = bool(line.study or study.models or study.tasks or line.sweep)
    if several and line.flags.profile_steps is not None:
        raise UsageError("--profile_steps: is for a plain run; this config is a study")
    part(line.flags.shard)
    if not several:
        for flag in ("shard", "dry_run"):
            if line.flags[flag].value:
                raise UsageError(f"--{flag}: is for studies; this config is a plain run")
        if study.table:
            raise ConfigError("study.table", "is for studies; a plain run keeps its rows in its workdir")
    return several


def start(line: CommandLine, cells: dict[str, ConfigDict]) -> int:
    """Joins the other processes, if any, and runs the cells, or the config without cells."""
    import jax

    from rnnbench.parallel import cores, hosts, signals
    from rnnbench.parallel import mesh as meshes
    from rnnbench.store import workdir
    from rnnbench.train import profile as profiling
    from rnnbench.train import run as train

    given, config, profile = line.flags, line.config, None
    if given.profile_steps is not None:
        profile = profiling.steps(given.profile_steps, config.train.steps)
    if given.compilation_cache not in (None, "off"):
        workdir.writable(given.compilation_cache, "--compilation_cache")
    try:  # before anything touches a device
        hosts.initialize(given.distributed, given.coordinator, given.num_processes, given.process_id)
    except InputError:
        raise
    except (ValueError, RuntimeError) as error:
        raise UsageError(f"--distributed: {first_line(error)}") from None
    cores.use(given.cpu_devices, cells.values() or [config])
    meshes.keep_compiled(given.compilation_cache)
    if not jax.distributed.is_initialized():
        try:
            jax.devices()
        except RuntimeError as error:
            raise UsageError(f"JAX_PLATFORMS or JAX_NUM_CPU_DEVICES: {first_line(error)}") from None
    if given.show_batch:
        return show.show_batch(next(iter(cells.values()), config))
    try:
        with hosts.ending_together():
            hosts.introduce()
            if cells:
                return run_study(cells, line)
            train.run_alone(config, given.workdir, profile)
    except hosts.Preempted as stop:
        if hosts.is_main():
            print(f"rnnbench: {signals.how()}: {stop}; the same command resumes", file=sys.stderr)
        return signals.exit_code()
    except InputError as error:
        return terminal.refuse(error) if hosts.is_main() else 2
    return 0


def run_study(cells: dict[str, ConfigDict], line: CommandLine) -> int:
    """Runs or lists the cells; the exit code is 1 if one of them failed."""
    from rnnbench.parallel import hosts
    from rnnbench.study import run as study

    workdir, shard, how = line.flags.workdir, part(line.flags.shard), line.config.study
    if line.flags.dry_run:
        study.plan(cells, workdir, how.table, shard)
        return 0
    _, failed = study.run(cells, workdir, how.table, shard, how.positions)
    for name in failed if hosts.is_main() else []:
        print(f"rnnbench: failed: {workdir}/cells/{name}/error.json", file=sys.stderr)
    return 1 if failed else 0


def part(text: str | None) -> tuple[int, int]:
    """--shard=3/8 as (3, 8); (1, 1) if it is not given."""
    if text is None:
        return 1, 1
    match = re.fullmatch(r"(\d+)/(\d+)", text)
    if not match or not 1 <= int(match[1]) <= int(match[2]):
        raise UsageError(f"--shard: must read I/N with I from 1 to N, such as 3/8; it is {text!r}")
    return int(match[1]), int(match[2])
