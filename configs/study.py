"""The study: all nine presets on all tasks of a protocol, and a report.

    python launch.py --config=configs/study.py:small --workdir=runs/study

Expected: a table and a figure per task, as the config files of the tasks say; what the presets' theory says
is in results/. Cost: 36 cells of nine members (three learning rates, three seeds); `--dry_run` says how long
they take, and says it better once some are finished. Interrupted or killed, the same command goes on where it
was. `--shard=1/8` … `--shard=8/8` share it between jobs or machines with one workdir,
`--config.study.models=lstm,lru` takes some of it, `--config.study.grid="(('model.dim', (32, 64)),)"` makes it
larger, and `--config.study.table=results/FOLDER` keeps the final rows of finished cells over days.
"""

from pathlib import Path

from rnnbench.config.load import module
from rnnbench.config.schema import PRESETS

TASKS = {
    name: module(Path(__file__).with_name(f"{name}.py"))
    for name in ("bit_parity", "controlled_bit_parity", "dyck", "mqar")
}


def get_config(protocol="small"):
    config = TASKS["bit_parity"].get_config(f"deltanet,{protocol}")
    config.study.models = tuple(PRESETS)
    config.study.tasks = tuple(task for task, file in TASKS.items() if protocol in file.PROTOCOLS)
    return config
