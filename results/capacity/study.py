"""How many pairs the state of each matrix-state preset holds: accuracy against pairs, per size of the state.

    python launch.py --config=results/capacity/study.py --workdir=runs/capacity

Width 64 and four, two or one heads, so that only the memory differs; one learning rate. The head is tied and
the mix has 4 pairs: with a linear head and 8 pairs or more some presets do not begin to recall. Evaluated on
up to 64 pairs, twice as many as in training. Presets that have no short convolution (retnet, gla, hgrn2,
rwkv7) are without one. `--dry_run` predicts the time.
"""

from rnnbench.config.build import changed, experiment, tabled

PAIRS = (4, 8, 16, 24, 32, 48, 64)
HEADS = (4, 2, 1)
MODELS = (
    "linear_transformer", "retnet", "gla", "hgrn2", "mamba2", "mlstm", "deltanet", "deltanet_neg",
    "gated_deltanet", "gated_deltanet_neg", "kda", "kda_neg", "gdn2", "deltaproduct2", "rwkv7",
)  # fmt: skip
# With three seeds; the others have one.
THREE = (
    "linear_transformer", "mamba2", "mlstm", "deltanet", "gated_deltanet", "kda", "gdn2", "deltaproduct2",
)  # fmt: skip

PROTOCOLS = {
    "capacity": {
        "model.dim": 64,
        "model.layers": 2,
        "model.heads": 1,
        "model.mlp_dim": 0,
        "model.conv_size": 4,
        "model.head": "tied",
        "model.embedding_std": 0.02,
        "task.num_keys": 128,
        "task.num_values": 128,
        "task.train_mix": ((64, 4), (64, 8), (64, 16), (128, 32)),
        "eval.lengths": tuple(max(64, 4 * pairs) for pairs in PAIRS),
        "eval.pairs": PAIRS,
        "eval.batches": 8,
        "eval.every": 0,
        "train.batch_size": 32,
        "train.steps": 2000,
        "optim.weight_decay": 0.1,
        "population.learning_rates": (1e-2,),
    },
}


def seeds(model):
    return (0, 1, 2) if model in THREE else (0,)


def get_config():
    return tabled(
        __file__,
        [
            changed(
                experiment("mqar", f"{model},capacity", PROTOCOLS),
                {"model.heads": heads, "population.seeds": seeds(model), "study.positions": False},
            )
            for model in MODELS
            for heads in HEADS
        ],
    )
