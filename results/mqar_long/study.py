"""Recall at lengths and numbers of pairs beyond training: DeltaNet with one head of 64.

    python launch.py --config=results/mqar_long/study.py --workdir=runs/mqar_long

The model is trained on a mix of 4 pairs in 64 tokens up to 64 pairs in 256, and evaluated at twice and four
times that. It matters that few pairs are mixed with many: on 64 pairs alone the loss stays at chance for
thousands of steps. Expected: at least 0.99 of 64 pairs at length 256. Cost: an hour and a quarter on one CPU
core.
"""

from rnnbench.config.build import experiment, tabled

PROTOCOLS = {
    "long": {
        "model.dim": 64,
        "model.layers": 2,
        "model.heads": 1,
        "model.mlp_dim": 0,
        "model.conv_size": 4,
        "task.num_keys": 512,
        "task.num_values": 512,
        "task.train_mix": ((64, 4), (64, 8), (64, 16), (128, 32), (256, 64)),
        "eval.lengths": (64, 128, 256, 512, 1024),
        "eval.pairs": (16, 32, 64, 128, 256),
        "eval.every": 1000,
        "train.batch_size": 64,
        "train.steps": 6000,
        "optim.weight_decay": 0.1,
        "population.learning_rates": (3e-3,),
        "population.seeds": (0, 1, 2),
    },
}


def get_config():
    return tabled(__file__, [experiment("mqar", "deltanet,long", PROTOCOLS)])
