"""Modular arithmetic: the value of an expression modulo m.

    python launch.py --config=configs/modular_arithmetic.py:lstm,small --workdir=runs/modular_arithmetic

Theory: without brackets a finite automaton that counts modulo m; diagonal real transitions do not suffice
for m = 5. Protocols: `small` and `map` without brackets, `small_brackets` with. Not measured yet.
"""

from configs.bit_parity import MAP, SMALL
from rnnbench.config.build import experiment

PROTOCOLS = {
    "small": SMALL
    | {
        "task.modulus": 5,
        "task.train_lengths": (3, 40),
        "eval.lengths": (80, 160, 320),
    },
    "map": MAP
    | {
        "task.modulus": 5,
        "task.train_lengths": (3, 40),
        "eval.lengths": (80, 160, 320),
    },
    "small_brackets": SMALL
    | {
        "task.modulus": 5,
        "task.brackets": True,
        "task.depth": 2,
        "task.train_lengths": (3, 40),
        "eval.lengths": (80, 160, 320),
    },
}


def get_config(argument="deltanet,small"):
    return experiment("modular_arithmetic", argument, PROTOCOLS)
