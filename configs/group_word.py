"""Group words: the running product of group elements.

    python launch.py --config=configs/group_word.py:deltanet_neg,small --workdir=runs/group_word

Theory: complex diagonal transitions track the solvable groups (S3, A4, S4), with a layer for each step of
their series, but not A5 and S5. Transitions of rank 1 with eigenvalues down to -1 track all of them.
Protocols: `small` and `map` are S3, `small_a5` and `map_a5` are A5. `literature` (S3), `literature_s4`,
`literature_a5` and `literature_s5` are those of DeltaProduct, `literature_swaps` and `literature_threes` are
those of Grazzi et al., and `literature_slice` is that of SLiCE. --sweep.model.layers=1,2,3,4 shows how many
layers are needed. Measured are `map` (results/map) and words of generators (results/state_tracking).
"""

from configs.bit_parity import MAP, SMALL
from rnnbench.config.build import experiment

PROTOCOLS = {
    "small": SMALL
    | {
        "task.group": "S3",
        "task.train_lengths": (3, 40),
        "eval.lengths": (80, 160, 320),
    },
    # In 2000 steps one of six LSTMs tracked S3.
    "map": MAP | {"task.group": "S3", "train.steps": 4000},
}
PROTOCOLS |= {f"{name}_a5": PROTOCOLS[name] | {"task.group": "A5"} for name in ("small", "map")}
# DeltaProduct (Siems et al. 2025, arXiv 2502.10297), from its public code; docs/literature.md compares these.
PROTOCOLS["literature"] = {
    "model.dim": 128,
    "model.layers": 1,
    "model.heads": 8,
    "model.conv_size": 0,
    "model.embedding_std": 0.02,
    "model.init": "normal",
    "task.group": "S3",
    "task.train_lengths": (128, 128),
    "task.examples": 99_000,
    "eval.lengths": (256, 512),
    "eval.batches": 1,
    "eval.every": 490,
    "train.batch_size": 2048,
    "train.steps": 4900,
    "optim.weight_decay": 1e-6,
    "optim.decay": "all",
    "optim.warmup": 0.0,
    "optim.b2": 0.999,
    "optim.clip": 0.0,
    "population.learning_rates": (1e-3,),
    "population.seeds": (0, 1, 2),
}
for group in ("S4", "A5", "S5"):
    PROTOCOLS[f"literature_{group.lower()}"] = PROTOCOLS["literature"] | {"task.group": group}
# Words in S5 of swaps or of permutations of up to three points: Grazzi et al. 2024 (arXiv 2411.12537),
# section 5.2 and appendix E.2. --config.model.layers=5 is its other depth for swaps.
PROTOCOLS["literature_swaps"] = PROTOCOLS["literature"] | {
    "model.heads": 4,
    "task.group": "S5",
    "task.tokens": "swaps",
    "task.train_lengths": (32, 32),
    "task.examples": 1_600_000,
    "eval.lengths": (64, 128, 256, 500),
    "eval.batches": 8,
    "eval.every": 31_250,
    "train.batch_size": 512,
    "train.steps": 312_500,
    "optim.schedule": "constant",
    "optim.weight_decay": 0.01,
    "optim.clip": 1.0,
    "population.learning_rates": (1e-4,),
}
PROTOCOLS["literature_threes"] = PROTOCOLS["literature_swaps"] | {"model.layers": 5, "task.tokens": "threes"}
# Length generalisation on A5: SLiCE (Walker et al. 2025, arXiv 2505.17761), section 5.1 and appendix D.1.
PROTOCOLS["literature_slice"] = {
    "model.dim": 1024,
    "model.layers": 1,
    "model.heads": 4,
    "model.conv_size": 0,
    "model.norm": "layer",
    "model.dropout": 0.1,
    "task.group": "A5",
    "task.train_lengths": (3, 40),
    "eval.lengths": ((40, 128), 256, 512, 1024),
    "eval.every": 5000,
    "train.batch_size": 256,
    "train.steps": 100_000,
    "optim.b2": 0.999,
    "optim.clip": 0.0,
    "population.learning_rates": (1e-3,),
    "population.seeds": (0, 1, 2),
    "only": {"slice": {"model.dim": 256}, "lstm": {"model.mlp_dim": 0}},
}


def get_config(argument="deltanet,small"):
    return experiment("group_word", argument, PROTOCOLS)
