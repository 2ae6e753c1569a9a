"""Noisy recall: the value of an earlier key, with noise between the pairs.

    python launch.py --config=configs/noisy_recall.py:deltanet,small --workdir=runs/noisy_recall

Theory: as for induction, attention solves it, and so does a selective state with an entry per key. Protocols:
`literature` is the noisy in-context recall of MAD, and `literature_plain` is the same without noise. Measured
is `map` alone (results/map).
"""

from configs.bit_parity import MAP, RECALL, SMALL
from rnnbench.config.build import experiment

# MAD (Poli et al. 2024, arXiv 2403.17844), its public code at the easiest size: 12,800 examples, 200 epochs.
# --sweep.optim.weight_decay=0,0.1 is the rest of its grid.
MAD = {
    "model.dim": 128,
    "model.layers": 2,
    "model.heads": 16,
    "model.conv_size": 4,
    "model.embedding_std": 0.02,
    "model.init": "torch",
    "model.conv_init": "torch",
    "task.examples": 12_800,
    "eval.batches": 10,
    "eval.every": 2000,
    "train.batch_size": 128,
    "train.steps": 20_000,
    "optim.weight_decay": 0.0,
    "optim.warmup": 0.0,
    "optim.b2": 0.999,
    "optim.clip": 0.0,
    "population.learning_rates": (1e-4, 5e-4, 1e-3),
    "population.seeds": (0, 1, 2),
    "only": {"mamba": {"model.options.state_dim": 4}, "gla": {"model.heads": 1}},
}

PROTOCOLS = {
    "small": SMALL
    | RECALL
    | {
        "task.noise": 0.2,
        "task.train_lengths": (3, 40),
        "eval.lengths": (80, 160, 320),
    },
    "map": MAP | RECALL | {"task.noise": 0.2},
    # A third of the items is a fifth of the tokens, as there.
    "literature": MAD | {"task.noise": 1 / 3, "task.train_lengths": (127, 127), "eval.lengths": (127,)},
    "literature_plain": MAD | {"task.noise": 0.0, "task.train_lengths": (127, 127), "eval.lengths": (127,)},
}


def get_config(argument="deltanet,small"):
    return experiment("noisy_recall", argument, PROTOCOLS)
