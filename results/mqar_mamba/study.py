"""How Mamba gets off MQAR's plateau: more steps at a lower rate; fewer keys, fewer values.

    python launch.py --config=results/mqar_mamba/study.py:PART --workdir=runs/mqar_mamba_PART

PART is `steps`, the `small` protocol with four times its steps, or `ids`, shorter sequences with few and many
different keys and values. Cost on one CPU core: 50 and 30 minutes.
"""

from pathlib import Path

from configs import mqar
from rnnbench.config.build import experiment

PROTOCOLS = {
    "steps": {
        "eval.every": 1500,
        "train.steps": 6000,
        "population.learning_rates": (2e-3,),
    },
    "ids": {
        "task.train_mix": ((32, 2), (32, 4), (32, 8)),
        "eval.lengths": (32, 32),
        "eval.pairs": (4, 8),
        "eval.every": 1000,
        "train.batch_size": 32,
        "train.steps": 3000,
        "population.learning_rates": (2e-3, 1e-2),
        "population.seeds": (0, 1),
    },
}
GRIDS = {
    "steps": (("train.steps", (6000,)),),
    "ids": (("task.num_keys", (32, 256)), ("task.num_values", (31, 255))),
}


def get_config(argument="steps"):
    protocols = {name: mqar.PROTOCOLS["small"] | changes for name, changes in PROTOCOLS.items()}
    config = experiment("mqar", f"mamba,{argument}", protocols)
    config.study.grid = GRIDS[argument]
    config.study.table = str(Path(__file__).parent)
    return config
