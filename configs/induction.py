"""Induction: what followed the last occurrence of the current token?

    python launch.py --config=configs/induction.py:gpt,small --workdir=runs/induction

Theory: over a fixed alphabet a selective state that holds an entry per token solves it at every length. Two
layers of attention solve it as far as their positions reach. Protocol `literature` is the setting of Mamba.
Measured is `map` alone (results/map).
"""

from configs.bit_parity import MAP, RECALL, SMALL
from rnnbench.config.build import experiment

PROTOCOLS = {
    "small": SMALL
    | {
        **RECALL,
        "task.num_symbols": 16,
        "task.train_lengths": (17, 40),
        "eval.lengths": (80, 160, 320),
    },
    # Marked, since of eight letters without a marker most stood within the last 15 tokens, at any length.
    "map": MAP
    | RECALL
    | {"task.num_symbols": 8, "task.supervision": "marked", "task.train_lengths": (9, 16)},
    # Gu & Dao 2023 (arXiv 2312.00752), section 4.1.2 and appendix E.1; compared in docs/literature.md.
    "literature": {
        "model.dim": 128,
        "model.layers": 2,
        "model.heads": 8,
        "model.mlp_dim": 0,
        "model.conv_size": 4,
        "task.num_symbols": 15,
        "task.supervision": "marked",
        "task.train_lengths": (256, 256),
        "eval.lengths": (64, 128, 512, 1024, 2048, 4096, 16_384),
        "eval.batches": 64,
        "eval.every": 8192,
        "train.batch_size": 8,
        "train.steps": 204_800,
        "optim.name": "adam",
        "optim.schedule": "constant",
        "optim.warmup": 0.0,
        "optim.weight_decay": 0.0,
        "optim.b2": 0.999,
        "optim.clip": 0.0,
        "population.learning_rates": (2e-4, 1e-3),
        "population.seeds": (0, 1, 2),
        "only": {"mamba": {"model.dim": 64}},
    },
}


def get_config(argument="deltanet,small"):
    return experiment("induction", argument, PROTOCOLS)
