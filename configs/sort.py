"""Sort: the symbols of a string in sorted order.

    python launch.py --config=configs/sort.py:lstm,small --workdir=runs/sort

Theory: open; a counter for each symbol suffices. Measured is `map` alone (results/map).
"""

from configs.bit_parity import MAP, RECALL, SMALL
from rnnbench.config.build import experiment

PROTOCOLS = {
    "small": SMALL
    | {
        **RECALL,
        "task.num_symbols": 5,
        "task.train_lengths": (4, 40),
        "eval.lengths": (80, 160, 320),
    },
    "map": MAP | RECALL | {"task.num_symbols": 5, "task.train_lengths": (4, 16)},
}


def get_config(argument="deltanet,small"):
    return experiment("sort", argument, PROTOCOLS)
