"""Fuzzy recall: recall of values by keys, where both have several tokens.

    python launch.py --config=configs/fuzzy_recall.py:deltanet,small --workdir=runs/fuzzy_recall

Theory: as for induction, but the model must first put the tokens of a key together. Measured is `map` alone
(results/map).
"""

from configs.bit_parity import MAP, RECALL, SMALL
from rnnbench.config.build import experiment

PROTOCOLS = {
    "small": SMALL
    | RECALL
    | {
        "task.num_pairs": 4,
        "task.train_lengths": (4, 40),
        "eval.lengths": (80, 160, 320),
    },
    "map": MAP | RECALL | {"task.num_pairs": 4, "task.train_lengths": (4, 16)},
}


def get_config(argument="deltanet,small"):
    return experiment("fuzzy_recall", argument, PROTOCOLS)
