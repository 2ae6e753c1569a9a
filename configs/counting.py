"""Counting: which symbols may come next in a word of a counter language?

    python launch.py --config=configs/counting.py:lstm,small --workdir=runs/counting

Theory: a state counts if it can keep its value and add to it, as those of `lstm` and `mamba` can. A bounded
state, such as that of `gru`, does not. Protocols: `small` and `map` are Shuffle-Dyck, `small_anbn` and
`map_anbn` are aⁿbⁿ, of which there are eight words of up to 16 letters: few enough to learn by heart.
Measured is `map` alone (results/map).
"""

from configs.bit_parity import MAP, SMALL
from rnnbench.config.build import experiment

PROTOCOLS = {
    "small": SMALL
    | {
        "task.words": "shuffle",
        "task.train_lengths": (3, 40),
        "eval.lengths": (80, 160, 320),
    },
    "map": MAP | {"task.words": "shuffle"},
    "small_anbn": SMALL
    | {
        "task.words": "anbn",
        "task.train_lengths": (2, 40),
        "eval.lengths": ((41, 80), (81, 160), (161, 320)),
    },
    "map_anbn": MAP
    | {
        "task.words": "anbn",
        "task.train_lengths": (2, 16),
        "eval.lengths": ((17, 32), (33, 64), (65, 128)),
    },
}


def get_config(argument="deltanet,small"):
    return experiment("counting", argument, PROTOCOLS)
