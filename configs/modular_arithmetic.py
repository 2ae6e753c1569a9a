"""Modular arithmetic: the value of an expression modulo m.

    python launch.py --config=configs/modular_arithmetic.py:lstm,small --workdir=runs/modular_arithmetic

Theory: without brackets a finite automaton that counts modulo m solves it; diagonal real transitions do not
suffice for m = 5. Protocols: `small`, `map` (+ and − alone), `literature` (Grazzi et al.) and
`literature_slice` (SLiCE) have no brackets; `small_brackets` and `literature_brackets` have them. Measured is
`map` alone (results/map).
"""

from configs import bit_parity
from configs.bit_parity import MAP, SMALL
from rnnbench.config.build import experiment

PROTOCOLS = {
    "small": SMALL
    | {
        "task.modulus": 5,
        "task.train_lengths": (3, 40),
        "eval.lengths": (80, 160, 320),
    },
    # With products too, 4000 steps took attention to 0.25, DeltaNet [-1, 1] to 0.30 and the LSTM to 0.82.
    "map": MAP | {"task.modulus": 5, "task.operators": "+-", "train.steps": 4000},
    # Every operand is asked, and six of ten are within a bracket, where expressions are short.
    "small_brackets": SMALL
    | {
        "task.modulus": 5,
        "task.brackets": True,
        "task.depth": 2,
        "task.train_lengths": (3, 40),
        "eval.lengths": (80, 160, 320),
    },
}
# Grazzi et al. 2024 (arXiv 2411.12537), from their public code: as its parity but for 100,000 steps and
# weight decay. There an expression ends in = and the value stands where the targets are read; with brackets
# it has one around every operation.
PROTOCOLS["literature"] = bit_parity.PROTOCOLS["literature"] | {
    "task.modulus": 5,
    "train.steps": 100_000,
    "optim.weight_decay": 0.1,
}
ONLY = PROTOCOLS["literature"]["only"]
ALL = {"optim.decay": "all"}
PROTOCOLS["literature"]["only"] = ONLY | {name: ONLY[name] | ALL for name in ("deltanet", "deltanet_neg")}
PROTOCOLS["literature_brackets"] = PROTOCOLS["literature"] | {
    "task.brackets": True,
    "task.depth": 8,
    "task.operators": "+-",
}
# SLiCE (Walker et al. 2025, arXiv 2505.17761), its public code and appendix D.2; model.dim = 512 is the other
# width.
PROTOCOLS["literature_slice"] = {
    "model.dim": 128,
    "model.layers": 2,
    "model.heads": 4,
    "model.norm": "layer",
    "model.dropout": 0.01,
    "task.modulus": 5,
    "task.supervision": "last",
    "task.train_lengths": (3, 39),
    "eval.lengths": ((39, 255),),
    "eval.batches": 32,
    "eval.every": 5000,
    "train.batch_size": 256,
    "train.steps": 100_000,
    "optim.b2": 0.999,
    "optim.clip": 0.0,
    "population.learning_rates": (2e-3,),
    "population.seeds": (0, 1, 2, 3, 4),
    "only": {"lstm": {"model.mlp_dim": 0}},
}


def get_config(argument="deltanet,small"):
    return experiment("modular_arithmetic", argument, PROTOCOLS)
