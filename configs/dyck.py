"""Dyck: which prefixes of a bracket word are balanced, or which bracket closes next?

    python launch.py --config=configs/dyck.py:lstm,small --workdir=runs/dyck

Cases: longer words of the training depth, and in `small` and `literature` also deeper words.

Expected (`small`): every preset is at 1.00 at the training lengths. `qlstm` holds longer words best (balanced
accuracy 0.99 at length 320), then `mamba_neg` and `lstm` (0.97). `gpt` holds deeper words best (0.96 at depth
8, length 160). Cost: the nine members of a preset take 5 to 17 minutes on one CPU core.
"""

from configs.bit_parity import MAP, ORIGINAL
from rnnbench.config.build import experiment

# Of `literature`, which measures Mamba: the model of its public code, without an MLP.
MAMBA = {
    "model.conv_size": 4,
    "model.mlp_dim": 0,
    "model.embedding_std": 0.02,
    "model.norm": "layer",
    "model.init": "torch",
    "model.conv_init": "torch",
    "model.init_residual": 1,
}

PROTOCOLS = {
    "original": ORIGINAL | {"task.num_types": 3, "task.depth": 3},
    # Sized for two CPU cores.
    "small": {
        "model.dim": 32,
        "model.layers": 2,
        "model.heads": 4,
        "task.num_types": 2,
        "task.depth": 4,
        "task.train_lengths": (4, 40),
        "eval.lengths": (80, 160, 320),
        "eval.cases": ({"length": 40, "depth": 8}, {"length": 160, "depth": 8}),
        "eval.every": 500,
        "train.batch_size": 64,
        "train.steps": 2000,
        "population.learning_rates": (1e-3, 3e-3, 1e-2),
        "population.seeds": (0, 1, 2),
    },
    "map": MAP | {"task.num_types": 2, "task.depth": 4, "task.train_lengths": (4, 16)},
    # Bounded Dyck as in Sarrof et al. 2024 (arXiv 2405.17394): valid words, the type of the next closing one;
    # compared with their public code in docs/literature.md. 49,000 words are its
    # two million tokens, seen 15 times.
    "literature": {
        "model.dim": 80,
        "model.layers": 2,
        "model.heads": 4,
        "task.mode": "close",
        "task.num_types": 8,
        "task.depth": 10,
        "task.train_lengths": (2, 700),
        "task.examples": 49_000,
        "eval.lengths": ((702, 1400),),
        "eval.cases": ({"length": [702, 1400], "depth": 15},),
        "eval.batches": 135,
        "eval.every": 4900,
        "train.batch_size": 10,
        "train.steps": 73_500,
        "optim.name": "adam",
        "optim.weight_decay": 0.0,
        "optim.warmup": 0.0,
        "optim.b2": 0.999,
        "optim.clip": 0.0,
        "population.learning_rates": (1e-2, 1e-3, 1e-4),
        "population.seeds": (0, 1, 2),
        "only": {"mamba": MAMBA, "mamba_neg": MAMBA},
    },
}


def get_config(argument="deltanet"):
    return experiment("dyck", argument, PROTOCOLS)
