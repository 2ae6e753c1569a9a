"""Flip-flop: the bit that was last written, among ignored ones.

    python launch.py --config=configs/flip_flop.py:lstm,small --workdir=runs/flip_flop

Theory: a decay that is 0 at a write and 1 elsewhere solves it at every length. Each length is evaluated
with the share of ignored instructions in training, a sparse one (0.98) and a dense one (0.1). Not measured
yet.
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
    "map": MAP
    | {
        "task.ignore": 0.8,
        "task.train_lengths": (4, 40),
        "eval.lengths": (80, 160, 320),
    },
    # Liu et al. 2023 (arXiv 2306.00946), as the paper describes it: length 512, 10,000 steps with batches
    # of 16. There the Transformers have six layers of width 512, the LSTM one of width 128; the schedule is
    # linear.
    "literature": {
        "model.dim": 128,
        "model.layers": 2,
        "model.heads": 4,
        "task.train_lengths": (512, 512),
        "task.ignore": 0.8,
        "eval.lengths": (512,),
        "eval.ignore": (0.8, 0.98, 0.1),
        "eval.batches": 64,
        "eval.every": 2000,
        "train.batch_size": 16,
        "train.steps": 10_000,
        "optim.weight_decay": 0.1,
        "optim.b2": 0.999,
        "population.learning_rates": (3e-4, 1e-3),
        "population.seeds": (0, 1, 2),
    },
}


def get_config(argument="deltanet,small"):
    return experiment("flip_flop", argument, PROTOCOLS)
