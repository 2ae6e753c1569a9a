"""Selective copy: the symbols among filler, in their order.

    python launch.py --config=configs/selective_copy.py:mamba,small --workdir=runs/selective_copy

Theory: with a fixed number of symbols the task is star free, so a selective decay in [0, 1] suffices. Not
measured yet.
"""

from configs.bit_parity import MAP, RECALL, SMALL
from rnnbench.config.build import experiment

PROTOCOLS = {
    "small": SMALL
    | {
        **RECALL,
        "task.num_symbols": 14,
        "task.num_marked": 8,
        "task.train_lengths": (40, 40),
        "eval.lengths": (80, 160, 320),
    },
    "map": MAP
    | RECALL
    | {
        "task.num_symbols": 14,
        "task.num_marked": 8,
        "task.train_lengths": (40, 40),
        "eval.lengths": (80, 160, 320),
    },
}


def get_config(argument="deltanet,small"):
    return experiment("selective_copy", argument, PROTOCOLS)
