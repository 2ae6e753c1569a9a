"""How many pairs the state of each matrix-state preset holds: accuracy against pairs, per size of the state.

    python launch.py --config=results/capacity/study.py --workdir=runs/capacity

The setting of results/mqar_capacity with fewer keys, pairs and steps and one seed: width 64 and four, two or
one heads, so that only the memory differs. Trained on up to 32 pairs, evaluated on up to 64. Presets
that have no short convolution (retnet, gla, hgrn2, rwkv7) are without one. `--dry_run` predicts the time.
"""

from rnnbench.config.build import changed, experiment, tabled

PAIRS = (4, 8, 16, 24, 32, 48, 64)
HEADS = (4, 2, 1)
MODELS = (
    "linear_transformer", "retnet", "gla", "hgrn2", "mamba2", "mlstm", "deltanet", "deltanet_neg",
    "gated_deltanet", "gated_deltanet_neg", "kda", "kda_neg", "gdn2", "deltaproduct2", "rwkv7",
)  # fmt: skip

PROTOCOLS = {
    "capacity": {
        "model.dim": 64,
        "model.layers": 2,
        "model.heads": 1,
        "model.mlp_dim": 0,
        "model.conv_size": 4,
        "task.num_keys": 128,
        "task.num_values": 128,
        "task.train_mix": ((64, 8), (64, 16), (128, 32)),
        "eval.lengths": tuple(max(64, 4 * pairs) for pairs in PAIRS),
        "eval.pairs": PAIRS,
        "eval.batches": 8,
        "eval.every": 0,
        "train.batch_size": 32,
        "train.steps": 2000,
        "optim.weight_decay": 0.1,
        "population.learning_rates": (3e-3,),
        "population.seeds": (0,),
    },
}


def get_config():
    return tabled(
        __file__,
        [
            changed(
                experiment("mqar", f"{model},capacity", PROTOCOLS),
                {"model.heads": heads, "study.positions": False},
            )
            for model in MODELS
            for heads in HEADS
        ],
    )
