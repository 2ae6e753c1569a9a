"""Flip-flop: the bit that was written last, among bits to ignore.

    python launch.py --config=configs/flip_flop.py:lstm,small --workdir=runs/flip_flop

Theory: a decay that is 0 at a write and 1 elsewhere solves it at every length. Each length is evaluated
with three shares of ignored instructions: that of training, a sparse one (0.98) and a dense one (0.1). Not
measured yet.
"""

from configs.bit_parity import MAP, SMALL
from rnnbench.config.build import experiment

PROTOCOLS = {
    "small": SMALL
    | {
        "task.ignore": 0.8,
        "task.train_lengths": (4, 40),
        "eval.lengths": (80, 160, 320),
    },
    "map": MAP
    | {
        "task.ignore": 0.8,
        "task.train_lengths": (4, 40),
        "eval.lengths": (80, 160, 320),
    },
}


def get_config(argument="deltanet,small"):
    return experiment("flip_flop", argument, PROTOCOLS)
