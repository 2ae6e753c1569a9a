"""The study: all presets on all tasks of a protocol, and a report.

    python launch.py --config=configs/study.py:small --workdir=runs/study

Expected: a table and a figure per task, as the config files of the tasks describe them; docs/tasks.md has
what theory says. Cost: a cell per preset and task, each of nine members (three learning rates, three seeds).
`--dry_run` predicts the time of every cell, more exactly once some are finished. After a kill, rerun the same
command to resume. `--shard=1/8` … `--shard=8/8` share the cells between jobs or machines with one workdir,
`--config.study.models=lstm,lru` runs these models only, `--sweep.model.dim=32,64` runs each cell with two
widths, and `--config.study.table=results/FOLDER` keeps the final rows of finished cells across workdirs.
"""

import importlib
from pathlib import Path

from rnnbench.config import ConfigError
from rnnbench.mixers import PRESETS
from rnnbench.tasks import TASKS

# The config files of the tasks: configs/TASK.py.
HERE = {path.stem for path in Path(__file__).parent.glob("*.py")}
FILES = [importlib.import_module(f"configs.{task}") for task in TASKS if task in HERE]


def get_config(protocol="small"):
    files = [file for file in FILES if protocol in file.PROTOCOLS]
    if not files:
        known = dict.fromkeys(name for file in FILES for name in file.PROTOCOLS)
        raise ConfigError("", f"no task has a protocol {protocol!r}; choose one of: {' '.join(known)}")
    return [file.get_config(f"{model},{protocol}") for file in files for model in PRESETS]
