"""Flip-flop: the bit that was written last, among bits to ignore.

    python launch.py --config=configs/flip_flop.py:lstm,small --workdir=runs/flip_flop

Theory: a decay that is 0 at a write and 1 elsewhere solves it at every length. Each length is evaluated with
three shares of ignored instructions: that of training, a sparse one (0.98) and a dense one (0.1). Protocol
`literature` is that of Liu et al. 2023. Measured is `map` alone (results/map).
"""

from configs.bit_parity import MAP, SMALL
from rnnbench.config.build import experiment

PROTOCOLS = {
    "small": SMALL
    | {
        "task.ignore": 0.8,
        "task.train_lengths": (4, 40),
        "eval.lengths": (80, 160, 320),
    },
    "map": MAP | {"task.ignore": 0.8, "task.train_lengths": (4, 16)},
    # Liu et al. 2023 (arXiv 2306.00946), section 4 and appendix B.2: the transformer, and an LSTM of 128
    # units on a twentieth of the samples; compared in docs/literature.md.
    "literature": {
        "model.dim": 512,
        "model.layers": 6,
        "model.heads": 8,
        "task.ignore": 0.8,
        "task.train_lengths": (512, 512),
        "eval.lengths": (512,),
        "eval.ignore": (0.8, 0.98, 0.1),
        "eval.batches": 625,
        "eval.every": 1000,
        "train.batch_size": 16,
        "train.steps": 10_000,
        "optim.warmup": 0.005,
        "optim.weight_decay": 0.1,
        "optim.b2": 0.999,
        "population.learning_rates": (3e-4,),
        "population.seeds": (0, 1, 2),
        "only": {
            "lstm": {
                "model.dim": 128,
                "model.layers": 1,
                "model.mlp_dim": 0,
                "train.steps": 500,
                "eval.every": 100,
            }
        },
    },
}


def get_config(argument="deltanet,small"):
    return experiment("flip_flop", argument, PROTOCOLS)
