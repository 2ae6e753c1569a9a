"""How Mamba gets off MQAR's plateau: head, steps, states, convolution; fewer keys, fewer values.

    python launch.py --config=results/mqar_mamba/study.py --workdir=runs/mqar_mamba

`tied` is the `small` protocol with four times its steps; `steps` the same with a linear head. `states` has
twice Mamba's states in `small` and `no_conv` no convolution. `ids` has shorter sequences with few and
with many different keys and values, and a linear head.
"""

from configs import mqar
from rnnbench.config.build import changed, experiment, tabled

LONG = {"eval.every": 1500, "train.steps": 6000}
CHANGES = {
    "tied": LONG | {"population.learning_rates": (3e-3, 1e-2)},
    "steps": LONG | mqar.LINEAR | {"population.learning_rates": (2e-3,)},
    "states": {"model.options.state_dim": 32, "population.learning_rates": (1e-2,)},
    "no_conv": {"model.conv_size": 0, "population.learning_rates": (1e-2,)},
    "ids": mqar.LINEAR
    | {
        "task.train_mix": ((32, 2), (32, 4), (32, 8)),
        "eval.lengths": (32, 32),
        "eval.pairs": (4, 8),
        "eval.every": 1000,
        "train.batch_size": 32,
        "train.steps": 3000,
        "population.learning_rates": (2e-3, 1e-2),
        "population.seeds": (0, 1),
    },
}
PROTOCOLS = {name: mqar.PROTOCOLS["small"] | changes for name, changes in CHANGES.items()}


def get_config():
    configs = {name: experiment("mqar", f"mamba,{name}", PROTOCOLS) for name in PROTOCOLS}
    ids, sizes = configs.pop("ids"), [(keys, values) for keys in (32, 256) for values in (31, 255)]
    fewer = [changed(ids, {"task.num_keys": keys, "task.num_values": values}) for keys, values in sizes]
    return tabled(__file__, [*fewer, *configs.values()])
