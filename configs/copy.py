"""Copy: repeat a string after a delimiter.

    python launch.py --config=configs/copy.py:gpt,small --workdir=runs/copy

Theory: two layers of attention copy strings whose length is exponential in their size. A state of fixed size
copies only the strings that it can hold (Jelassi et al. 2024). Protocol `literature` is that of their public
code. Measured is `map` alone (results/map).
"""

from configs.bit_parity import MAP, RECALL, SMALL
from rnnbench.config.build import experiment

PROTOCOLS = {
    "small": SMALL
    | {
        **RECALL,
        "task.num_symbols": 26,
        "task.train_lengths": (4, 40),
        "eval.lengths": (80, 160, 320),
    },
    "map": MAP | RECALL | {"task.num_symbols": 26, "task.train_lengths": (4, 16)},
    # Jelassi et al. 2024 (arXiv 2402.01032), the defaults of its public code: strings of 5 to 20 letters. Its
    # Mamba has no MLP.
    "literature": {
        "model.dim": 1024,
        "model.layers": 12,
        "model.heads": 16,
        "model.conv_size": 0,
        "task.num_symbols": 26,
        "task.train_lengths": (10, 40),
        "eval.lengths": (60, 100, 200),
        "eval.batches": 64,
        "eval.every": 500,
        "train.batch_size": 8,
        "train.steps": 2000,
        "optim.warmup": 0.05,
        "optim.weight_decay": 0.1,
        "optim.decay": "all",
        "optim.b2": 0.999,
        "population.learning_rates": (1e-5,),
        "population.seeds": (0, 1, 2),
        "only": {
            "mamba": {"model.conv_size": 4, "model.mlp_dim": 0, "model.options.state_dim": 32},
            "lstm": {"model.mlp_dim": 0, "model.dropout": 0.65},
        },
    },
}


def get_config(argument="deltanet,small"):
    return experiment("copy", argument, PROTOCOLS)
