"""How many pairs a memory of d_k × d_k holds: accuracy against pairs / d_k for d_k of 16, 32 and 64.

    python launch.py --config=results/mqar_capacity/study.py --workdir=runs/mqar_capacity

DeltaNet of width 64 has four, two or one heads, so that only the memory differs. A head stores at most d_k
keys that it tells apart exactly, but taking the likeliest value goes further. Training has up to 64 pairs.
Expected: exact up to one pair per key dimension, 0.94 to 0.98 at two, 0.76 to 0.80 at four, 0.42 at eight
(d_k = 16). Cost: about an hour and a half on one CPU core.
"""

from rnnbench.config.build import changed, experiment, tabled

PAIRS = (4, 8, 12, 16, 24, 32, 48, 64, 96, 128)

PROTOCOLS = {
    "capacity": {
        "model.dim": 64,
        "model.layers": 2,
        "model.heads": 1,
        "model.mlp_dim": 0,
        "model.conv_size": 4,
        "task.num_keys": 256,
        "task.num_values": 256,
        "task.train_mix": ((64, 8), (64, 16), (128, 32), (256, 64)),
        "eval.lengths": tuple(max(64, 4 * pairs) for pairs in PAIRS),
        "eval.pairs": PAIRS,
        "eval.batches": 8,
        "eval.every": 0,
        "train.batch_size": 64,
        "train.steps": 3000,
        "optim.weight_decay": 0.1,
        "population.learning_rates": (3e-3,),
        "population.seeds": (0, 1, 2),
    },
}


def get_config():
    config = experiment("mqar", "deltanet,capacity", PROTOCOLS)
    return tabled(__file__, [changed(config, {"model.heads": heads}) for heads in (4, 2, 1)])
