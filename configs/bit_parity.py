"""Bit parity: is the number of ones so far odd?

    python launch.py --config=configs/bit_parity.py:deltanet_neg,small --workdir=runs/parity

Expected: `lstm` and `mamba_neg` (negative eigenvalues) solve it and extrapolate. `deltanet_neg` solves it and
extrapolates with some seeds and learning rates: in `small`, at eight times the training length, four of its
nine members hold, and eight of nine of either of the others. A linear recurrence with eigenvalues in [0, 1],
a time-invariant one (`lru`) and attention do not extrapolate (Grazzi et al. 2024, Sarrof et al. 2024). All
protocols but `literature` (conv_size 4, for Mamba 0) have no short convolution: it gives a mixer a window in
which to count and spoils the exact solutions (results/conv_ablation). Cost: the nine members of a preset in
`small` take 2 to 7 minutes on one CPU core.
"""

from rnnbench.config.build import experiment

# What the PyTorch original shares between its tasks: batch, optimiser, steps and lengths; one width for all
# presets.
ORIGINAL = {
    "model.dim": 64,
    "model.layers": 2,
    "model.heads": 4,
    "task.train_lengths": (32, 32),
    "eval.lengths": (64, 128, 256),
    "train.batch_size": 32,
    "train.steps": 40_000,
    "optim.name": "adam",
    "optim.schedule": "constant",
    "optim.warmup": 0.0,
    "optim.weight_decay": 0.0,
    "population.learning_rates": (1e-3,),
}

# What the newer tasks share in `small`: the sizes below, but two layers.
SMALL = {
    "model.dim": 32,
    "model.layers": 2,
    "model.heads": 4,
    "eval.every": 500,
    "train.batch_size": 64,
    "train.steps": 2000,
    "population.learning_rates": (1e-3, 3e-3, 1e-2),
    "population.seeds": (0, 1, 2),
}

# One setting for all tasks and presets, for all pairs of them on CPUs: evaluated at 1, 2, 4 and 8 times the
# training length. With sequences of up to 40 tokens, one layer and 1000 steps, the median LSTM stayed at 0.33
# on S3 and the median attention at 0.21 on copying. RECALL is for tasks of recall and copying: one head and a
# short convolution, without which a linear recurrence does not pair neighbouring tokens.
MAP = {
    "model.dim": 32,
    "model.layers": 2,
    "model.heads": 4,
    "task.train_lengths": (3, 16),
    "eval.lengths": (32, 64, 128),
    "eval.batches": 8,
    "eval.every": 0,
    "train.batch_size": 32,
    "train.steps": 2000,
    "population.learning_rates": (3e-3, 1e-2),
    "population.seeds": (0, 1, 2),
}
RECALL = {"model.heads": 1, "model.conv_size": 4}

# What single presets of `literature` have otherwise, by that code: its Mamba has neither convolution nor MLP,
# its sLSTM no convolution; the LSTM and the quasi-LSTM, which it lacks, have the settings of xLSTM.
MAMBA = {"model.conv_size": 0, "model.mlp_dim": 0, "model.embedding_std": 1.0, "model.init": "torch"}
DELTANET = {"model.embedding_std": 0.02, "model.init": "normal", "model.conv_init": "torch"}
XLSTM = {"model.embedding_std": 0.056, "optim.weight_decay": 0.1}

PROTOCOLS = {
    "original": ORIGINAL | {"task.supervision": "every"},
    # Sized for two CPU cores.
    "small": {
        "model.dim": 32,
        "model.layers": 1,
        "model.heads": 4,
        "task.supervision": "every",
        "task.train_lengths": (3, 40),
        "eval.lengths": (80, 160, 320),
        "train.batch_size": 64,
        "train.steps": 2000,
        "population.learning_rates": (1e-3, 3e-3, 1e-2),
        "population.seeds": (0, 1, 2),
    },
    "map": MAP,
    # Grazzi et al. 2024 (arXiv 2411.12537), the 20,000-step setting of their public code, compared with it in
    # docs/literature.md. The paper's own: train.batch_size = 1024, train.steps = 100_000, eval.batches = 8.
    "literature": {
        "model.dim": 128,
        "model.layers": 2,
        "model.heads": 4,
        "model.conv_size": 4,
        "task.supervision": "last",
        "task.train_lengths": (3, 40),
        "eval.lengths": ((40, 256), 64, 128, 256),
        "eval.batches": 32,
        "eval.every": 2000,
        "train.batch_size": 256,
        "train.steps": 20_000,
        "optim.weight_decay": 0.0,
        "optim.b2": 0.999,
        "optim.clip": 0.0,
        "population.learning_rates": (1e-2, 1e-3, 5e-4, 1e-4),
        "population.seeds": (0, 1, 2),
        "only": {
            "mamba": MAMBA,
            "mamba_neg": MAMBA,
            "deltanet": DELTANET,
            "deltanet_neg": DELTANET,
            "mlstm": XLSTM,
            "slstm": XLSTM | {"model.conv_size": 0},
            "lstm": XLSTM,
            "qlstm": XLSTM,
        },
    },
    # Nine models within minutes on two CPU cores; see configs/quickstart.py.
    "quickstart": {
        "model.dim": 32,
        "model.layers": 1,
        "model.heads": 4,
        "task.supervision": "every",
        "task.train_lengths": (3, 32),
        "eval.lengths": (64, 128, 256),
        "eval.every": 0,
        "train.batch_size": 64,
        "train.steps": 1500,
        "population.learning_rates": (3e-3,),
    },
}


def get_config(argument="deltanet"):
    return experiment("bit_parity", argument, PROTOCOLS)
