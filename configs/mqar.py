"""MQAR: recall the value last bound to each queried key.

    python launch.py --config=configs/mqar.py:deltanet,small --workdir=runs/mqar

Expected: `deltanet` at learning rate 0.003, seed 0 recalls every one of 4 and 8 pairs, 0.9997 of 16 pairs,
and 0.987 of 32 pairs at length 128, which it never saw. The loss stays at chance for some 200 steps and then
falls at once. The mixture of few and many pairs matters: a model trained on many pairs alone stays on the
plateau far longer. Cost: the nine members of `deltanet` take 15 minutes on one CPU core.
"""

from configs.bit_parity import MAP, ORIGINAL, RECALL
from rnnbench.config.build import experiment

# What the published settings share; docs/literature.md compares them with Zoology's public code.
LITERATURE = {
    "model.dim": 64,
    "model.layers": 2,
    "model.heads": 1,
    "model.mlp_dim": 0,
    "model.conv_size": 4,
    "model.head": "tied",
    "model.embedding_std": 0.02,
    "model.norm": "layer",
    "model.init": "normal",
    "model.conv_init": "torch",
    "model.init_residual": 2,
    "model.dropout": 0.1,
    "model.dropout_at": "embedding",
    "task.num_keys": 4095,
    "task.num_values": 4096,
    "eval.every": 1000,
    "optim.weight_decay": 0.1,
    "optim.decay": "all",
    "optim.warmup": 0.0,
    "optim.b2": 0.999,
    "optim.clip": 0.0,
    "population.learning_rates": (1e-4, 4.64e-4, 2.15e-3, 1e-2),
    "population.seeds": (0, 1, 2),
}
# Its Mamba blocks have a start, a norm and no dropout of their own.
MAMBA = {"model.init": "torch", "model.init_residual": 1, "model.norm": "rms", "model.dropout": 0.0}


def only(**gpt):
    """What single presets have otherwise; `gpt`: settings of the model for attention."""
    attention = {f"model.{name}": value for name, value in gpt.items()}
    return {"only": {"gpt": attention} | dict.fromkeys(("mamba", "mamba_neg", "mamba2"), MAMBA)}


def zoology(length, pairs, batch):
    """100,000 examples, seen 64 times; 3,072 test sequences."""
    settings = {
        "task.train_lengths": (length, length),
        "task.train_pairs": (pairs, pairs),
        "task.examples": 100_000,
        "eval.lengths": (length,),
        "eval.pairs": (pairs,),
        "eval.batches": 3072 // batch,
        "train.batch_size": batch,
        "train.steps": 64 * 100_000 // batch,
    }
    return LITERATURE | settings | only(positions="learned")


# The other head: a projection of its own, not the embeddings of the values.
LINEAR = {"model.head": "linear", "model.embedding_std": 0.0}

PROTOCOLS = {
    # Three keys and six values, re-used, records with a separator, one query.
    "original": ORIGINAL
    | {
        "task.num_keys": 3,
        "task.num_values": 6,
        "task.unique_keys": False,
        "task.queries": "one",
        "task.separator": True,
        "task.train_pairs": (2, 4),
        "task.train_lengths": (13, 13),
        "eval.lengths": (16, 19),
        "eval.pairs": (5, 6),
    },
    # Sized for two CPU cores.
    "small": {
        "model.dim": 64,
        "model.layers": 2,
        "model.heads": 1,
        "model.mlp_dim": 0,
        "model.conv_size": 4,
        "model.head": "tied",
        "model.embedding_std": 0.02,
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
    # Without an MLP, as in the published settings: with one, attention recalled 0.34 of four pairs.
    "map": MAP
    | RECALL
    | {
        "model.mlp_dim": 0,
        "model.head": "tied",
        "model.embedding_std": 0.02,
        "task.num_keys": 64,
        "task.num_values": 64,
        "task.train_mix": ((16, 2), (16, 4)),
        "eval.lengths": (32, 64, 128),
        "eval.pairs": (8, 16, 32),
    },
    # Zoology (Arora et al. 2024), figure 2. Its widths: model.dim = 64, 128, 256, 512.
    "literature": zoology(length=256, pairs=16, batch=256),
    "literature_64": zoology(length=64, pairs=4, batch=512),
    "literature_128": zoology(length=128, pairs=8, batch=512),
    "literature_512": zoology(length=512, pairs=64, batch=128),
    # Length generalisation as in Based (Arora et al. 2024, arXiv 2402.18668), figure 2, from its public code:
    # 180,000 examples, 32 epochs.
    "literature_mix": LITERATURE
    | {
        "task.train_mix": ((64, 4, 5), (128, 8, 1), (256, 16, 1), (256, 32, 1), (256, 64, 1)),
        "task.filler": "random",
        "task.examples": 180_000,
        "eval.lengths": (64, 64, 64, 128, 128, 256, 256, 256, 512, 1024),
        "eval.pairs": (4, 8, 16, 8, 32, 16, 32, 64, 128, 256),
        "eval.batches": 4,
        "train.batch_size": 256,
        "train.steps": 22_500,
        "population.learning_rates": (1e-3, 3.16e-3, 1e-2, 3.16e-2),
    }
    | only(positions="none", conv_size=4),
}


def get_config(argument="deltanet"):
    return experiment("mqar", argument, PROTOCOLS)
