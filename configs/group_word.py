"""Group words: the running product of group elements.

    python launch.py --config=configs/group_word.py:deltanet_neg,small --workdir=runs/group_word

Theory: complex diagonal transitions track the solvable groups (S3, A4, S4), with a layer for each step of
their series, but not A5 and S5. Transitions of rank 1 with eigenvalues down to -1 track all of them.
Protocols: `small` and `map` are S3, `small_a5` and `map_a5` are A5. --sweep.model.layers=1,2,3,4 shows how
many layers are needed. Not measured yet.
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
# A5 as in Merrill et al. 2024 (arXiv 2404.08819) and SLiCE (arXiv 2505.17761): all elements, a target at
# every step, one length at a time, and a validation accuracy of 0.9 counts as solved. There training data
# are finite; steps, batch and learning rates are ours.
PROTOCOLS |= {f"{name}_a5": PROTOCOLS[name] | {"task.group": "A5"} for name in ("small", "map")}


def get_config(argument="deltanet,small"):
    return experiment("group_word", argument, PROTOCOLS)
