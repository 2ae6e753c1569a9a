"""Reverse: a string from its end to its start.

    python launch.py --config=configs/reverse.py:lstm,small --workdir=runs/reverse

Theory: as for copying, a state of fixed size holds only a bounded string. Measured is `map` alone
(results/map).
"""

from configs.bit_parity import MAP, RECALL, SMALL
from rnnbench.config.build import experiment

PROTOCOLS = {
    "small": SMALL
    | {
        **RECALL,
        "task.num_symbols": 2,
        "task.train_lengths": (4, 40),
        "eval.lengths": (80, 160, 320),
    },
    "map": MAP | RECALL | {"task.num_symbols": 2, "task.train_lengths": (4, 16)},
}


def get_config(argument="deltanet,small"):
    return experiment("reverse", argument, PROTOCOLS)
