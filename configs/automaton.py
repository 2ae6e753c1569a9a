"""Automaton: the state of a random finite automaton.

    python launch.py --config=configs/automaton.py:lstm,small --workdir=runs/automaton

Theory: what a model needs depends on the permutations among the letters; a decay in [0, 1] can do resets
alone. Measured is `map` alone (results/map).
"""

from configs.bit_parity import MAP, SMALL
from rnnbench.config.build import experiment

PROTOCOLS = {
    "small": SMALL
    | {
        "task.letters": "mixed",
        "task.train_lengths": (3, 40),
        "eval.lengths": (80, 160, 320),
    },
    "map": MAP | {"task.letters": "mixed"},
}


def get_config(argument="deltanet,small"):
    return experiment("automaton", argument, PROTOCOLS)
