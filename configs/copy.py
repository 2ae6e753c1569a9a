"""Copy: repeat a string after a delimiter.

    python launch.py --config=configs/copy.py:gpt,small --workdir=runs/copy

Theory: attention can copy strings of any length; a state of fixed size cannot (Jelassi et al. 2024).
Not measured yet.
"""

from configs.bit_parity import MAP, RECALL, SMALL
from rnnbench.config.build import experiment

PROTOCOLS = {
    "small": SMALL
    | {
        **RECALL,
        "task.num_symbols": 26,
        "task.train_lengths": (4, 40),
        "eval.lengths": (80, 160, 320),
    },
    "map": MAP
    | RECALL
    | {
        "task.num_symbols": 26,
        "task.train_lengths": (4, 40),
        "eval.lengths": (80, 160, 320),
    },
}


def get_config(argument="deltanet,small"):
    return experiment("copy", argument, PROTOCOLS)
