"""The map: every preset on every task, two learning rates and three seeds, 1 to 8 times the training length.

    python launch.py --config=results/map/study.py --workdir=runs/map

One cell, trained again in a folder of its own and left out of the table:

    python launch.py --config=configs/dyck.py:lstm,map --workdir=runs/dyck-lstm

Some cells: `--config.study.models=lstm,gru --config.study.tasks=dyck,mqar`. Cells that the table has are not
run again, so that several machines fill it in turn; `--shard=1/8` takes an eighth. `--dry_run` lists what is
left. Cost: 42 seconds per cell in the median, and up to twelve minutes, on one CPU core beside another; some
five hours on two cores for all.
"""

from configs import study
from rnnbench.config.build import changed, tabled


def get_config():
    configs = [changed(config, {"study.positions": False}) for config in study.get_config("map")]
    return tabled(__file__, configs)
