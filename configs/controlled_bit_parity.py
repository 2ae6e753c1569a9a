"""Controlled bit parity: parity where every training sequence has the same number of ones.

    python launch.py --config=configs/controlled_bit_parity.py:lstm,small --workdir=runs/controlled

Expected (`small`): with the same number of ones most presets do well at length 40. At 320 three of nine have
0.96 or more and four have 0.62 or less. With any number of ones a model that merely counts to twelve falls
back towards chance. Cost: the nine members of a preset take 2 to 8 minutes on one CPU core.
"""

from configs.bit_parity import MAP, ORIGINAL
from rnnbench.config.build import experiment

PROTOCOLS = {
    "original": ORIGINAL | {"task.num_ones": 12},
    # Sized for two CPU cores.
    "small": {
        "model.dim": 32,
        "model.layers": 1,
        "model.heads": 4,
        "task.num_ones": 12,
        "task.train_lengths": (16, 40),
        "eval.lengths": (40, 80, 160, 320),
        "eval.every": 500,
        "train.batch_size": 64,
        "train.steps": 2000,
        "population.learning_rates": (1e-3, 3e-3, 1e-2),
        "population.seeds": (0, 1, 2),
    },
    "map": MAP | {"task.num_ones": 6, "task.train_lengths": (8, 16)},
}


def get_config(argument="deltanet"):
    return experiment("controlled_bit_parity", argument, PROTOCOLS)
