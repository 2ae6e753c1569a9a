"""Automaton: the state of a random finite automaton.

    python launch.py --config=configs/automaton.py:lstm,small --workdir=runs/automaton

Theory: the letters permute five states and generate S5, so transitions must be nonlinear, dense, or of rank 1
down to -1. Measured is `map` alone (results/map), with as many steps as S3 has. With
`--config.task.letters=mixed` half the letters reset the state: a model that remembers some eight letters is
then nearly always right, at every length.
"""

from configs.bit_parity import MAP, SMALL
from rnnbench.config.build import experiment

PROTOCOLS = {
    "small": SMALL
    | {
        "task.train_lengths": (3, 40),
        "eval.lengths": (80, 160, 320),
    },
    "map": MAP | {"train.steps": 4000},
}


def get_config(argument="deltanet,small"):
    return experiment("automaton", argument, PROTOCOLS)
