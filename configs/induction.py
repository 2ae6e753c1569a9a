"""Induction: what followed the last occurrence of the current token?

    python launch.py --config=configs/induction.py:gpt,small --workdir=runs/induction

Theory: over a fixed alphabet a selective state that holds an entry per token solves it at every length. Two
layers of attention solve it as far as their positions reach. Not measured yet.
"""

from configs.bit_parity import MAP, RECALL, SMALL
from rnnbench.config.build import experiment

PROTOCOLS = {
    "small": SMALL
    | {
        **RECALL,
        "task.num_symbols": 16,
        "task.train_lengths": (17, 40),
        "eval.lengths": (80, 160, 320),
    },
    "map": MAP
    | RECALL
    | {
        "task.num_symbols": 16,
        "task.train_lengths": (17, 40),
        "eval.lengths": (80, 160, 320),
    },
}


def get_config(argument="deltanet,small"):
    return experiment("induction", argument, PROTOCOLS)
