"""Addition: the digits of a sum.

    python launch.py --config=configs/addition.py:lstm,small --workdir=runs/addition

Theory: as for copying, a state of fixed size holds only numbers of bounded length. Measured is `map` alone
(results/map).
"""

from configs.bit_parity import MAP, RECALL, SMALL
from rnnbench.config.build import experiment

PROTOCOLS = {
    "small": SMALL
    | {
        **RECALL,
        "task.base": 2,
        "task.train_lengths": (5, 41),
        "eval.lengths": (83, 164, 329),
    },
    "map": MAP | RECALL | {"task.base": 2, "task.train_lengths": (5, 17), "eval.lengths": (35, 68, 137)},
}


def get_config(argument="deltanet,small"):
    return experiment("addition", argument, PROTOCOLS)
