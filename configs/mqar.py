"""MQAR: recall the value last bound to each queried key.

    python launch.py --config=configs/mqar.py:deltanet,small --workdir=runs/mqar

Expected: `deltanet` at learning rate 0.003, seed 0 recalls every pair at the training settings and 0.99 of
32 pairs at length 128, which it never saw; the loss sits at chance for some 200 steps and then falls at
once. Cost: a member takes about two minutes on two CPU cores. The mixture of few and many pairs matters:
trained on many pairs alone, a model stays on the plateau far longer.
"""

from rnnbench.config import experiment

PROTOCOLS = {
    # The PyTorch original's setting: three keys and six values, re-used, records with a separator, one query.
    "original": {
        "model.dim": 64,
        "model.layers": 2,
        "model.heads": 4,
        "task.num_keys": 3,
        "task.num_values": 6,
        "task.unique_keys": False,
        "task.queries": "one",
        "task.separator": True,
        "task.train_pairs": (2, 4),
        "task.train_lengths": (13, 13),
        "eval.lengths": (16, 19),
        "eval.pairs": (5, 6),
        "train.batch_size": 32,
        "train.steps": 40_000,
        "optim.name": "adam",
        "optim.schedule": "constant",
        "optim.warmup": 0.0,
        "optim.weight_decay": 0.0,
        "population.learning_rates": (1e-3,),
    },
    # Sized for two CPU cores.
    "small": {
        "model.dim": 64,
        "model.layers": 2,
        "model.heads": 1,
        "model.mlp_dim": 0,
        "model.conv_size": 4,
        "task.num_keys": 256,
        "task.num_values": 255,
        "task.train_mix": ((64, 4), (64, 8), (64, 16)),
        "eval.lengths": (64, 64, 128, 128),
        "eval.pairs": (4, 8, 16, 32),
        "eval.every": 500,
        "train.batch_size": 64,
        "train.steps": 1500,
        "optim.weight_decay": 0.1,
        "population.learning_rates": (1e-3, 3e-3, 1e-2),
        "population.seeds": (0, 1, 2),
    },
    # Zoology (Arora et al. 2024), figure 2, its setting of length 256 with 16 pairs at width 64. The others:
    # task.train_lengths, task.train_pairs, train.batch_size = 64, 4, 512 | 128, 8, 512 | 512, 64, 128.
    "literature": {
        "model.dim": 64,
        "model.layers": 2,
        "model.heads": 1,
        "model.mlp_dim": 0,
        "model.conv_size": 4,
        "model.dropout": 0.1,
        "task.num_keys": 4095,
        "task.num_values": 4096,
        "task.train_lengths": (256, 256),
        "task.train_pairs": (16, 16),
        "task.examples": 100_000,
        "eval.lengths": (256,),
        "eval.pairs": (16,),
        "eval.batches": 12,
        "eval.every": 1000,
        "train.batch_size": 256,
        "train.steps": 25_000,
        "optim.weight_decay": 0.1,
        "optim.warmup": 0.0,
        "optim.b2": 0.999,
        "population.learning_rates": (1e-4, 4.64e-4, 2.15e-3, 1e-2),
        "population.seeds": (0, 1, 2),
        "only": {"gpt": {"model.positions": "learned"}},
    },
}


def get_config(argument="deltanet"):
    return experiment("mqar", argument, PROTOCOLS)
