"""Selective copy: the symbols among filler, in their order.

    python launch.py --config=configs/selective_copy.py:mamba,small --workdir=runs/selective_copy

Theory: with a fixed number of symbols the task is star free, so a selective decay in [0, 1] suffices.
Protocols: `literature` is the setting of Mamba, `literature_mad` that of MAD. Measured is `map` alone
(results/map).
"""

from configs.bit_parity import MAP, RECALL, SMALL
from configs.noisy_recall import MAD
from rnnbench.config.build import experiment

PROTOCOLS = {
    "small": SMALL
    | {
        **RECALL,
        "task.num_symbols": 14,
        "task.num_marked": 8,
        "task.train_lengths": (40, 40),
        "eval.lengths": (80, 160, 320),
    },
    "map": MAP | RECALL | {"task.num_symbols": 14, "task.num_marked": 4, "task.train_lengths": (16, 16)},
    # Gu & Dao 2023 (arXiv 2312.00752), appendix E.1: 16 symbols among 4,096 tokens.
    "literature": {
        "model.dim": 64,
        "model.layers": 2,
        "model.conv_size": 4,
        "task.num_symbols": 15,
        "task.num_marked": 16,
        "task.train_lengths": (4112, 4112),
        "eval.lengths": (4112,),
        "eval.every": 20_000,
        "train.batch_size": 64,
        "train.steps": 400_000,
        "optim.name": "adam",
        "optim.schedule": "constant",
        "optim.warmup": 0.0,
        "optim.weight_decay": 0.0,
        "optim.b2": 0.999,
        "optim.clip": 0.0,
        "population.learning_rates": (1e-4,),
        "population.seeds": (0, 1, 2),
        "only": {"mamba": {"model.mlp_dim": 0}},
    },
    # MAD: 16 symbols, and 223 of filler before | where the answers begin.
    "literature_mad": MAD
    | {
        "task.num_symbols": 14,
        "task.num_marked": 16,
        "task.train_lengths": (255, 255),
        "eval.lengths": (255,),
    },
}


def get_config(argument="deltanet,small"):
    return experiment("selective_copy", argument, PROTOCOLS)
