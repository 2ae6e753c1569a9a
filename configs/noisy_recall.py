"""Noisy recall: the value of an earlier key, with noise between the pairs.

    python launch.py --config=configs/noisy_recall.py:deltanet,small --workdir=runs/noisy_recall

Theory: as for induction, attention solves it, and so does a selective state with an entry per key. Not
measured yet.
"""

from configs.bit_parity import MAP, RECALL, SMALL
from rnnbench.config.build import experiment

PROTOCOLS = {
    "small": SMALL
    | RECALL
    | {
        "task.noise": 0.2,
        "task.train_lengths": (3, 40),
        "eval.lengths": (80, 160, 320),
    },
    "map": MAP
    | RECALL
    | {
        "task.noise": 0.2,
        "task.train_lengths": (3, 40),
        "eval.lengths": (80, 160, 320),
    },
}


def get_config(argument="deltanet,small"):
    return experiment("noisy_recall", argument, PROTOCOLS)
