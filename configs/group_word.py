"""Group words: the running product of group elements.

    python launch.py --config=configs/group_word.py:deltanet_neg,small --workdir=runs/group_word

Theory: complex diagonal transitions track the solvable groups (S3, A4, S4), a layer for each step of their
series, and not A5 and S5; transitions of rank 1 with eigenvalues down to -1 track all of them.
Protocols: `small` and `map` are S3, `small_a5` and `map_a5` are A5. Not measured yet.
"""

from configs.bit_parity import MAP, SMALL
from rnnbench.config.build import experiment

PROTOCOLS = {
    "small": SMALL
    | {
        "task.group": "S3",
        "task.train_lengths": (3, 40),
        "eval.lengths": (80, 160, 320),
    },
    "map": MAP
    | {
        "task.group": "S3",
        "task.train_lengths": (3, 40),
        "eval.lengths": (80, 160, 320),
    },
}
PROTOCOLS |= {f"{name}_a5": PROTOCOLS[name] | {"task.group": "A5"} for name in ("small", "map")}


def get_config(argument="deltanet,small"):
    return experiment("group_word", argument, PROTOCOLS)
