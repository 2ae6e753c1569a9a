"""How Mamba gets off MQAR's plateau: the head, more steps at a lower rate; fewer keys, fewer values.

    python launch.py --config=results/mqar_mamba/study.py --workdir=runs/mqar_mamba

`tied` is the `small` protocol with four times its steps; `steps` the same with a linear head. `ids` has
shorter sequences with few and with many different keys and values, and a linear head. Cost on one CPU core:
100 minutes for `tied` on a busy machine, 50 for `steps`, 30 for `ids`.
"""

from configs import mqar
from rnnbench.config.build import changed, experiment, tabled

LONG = {"eval.every": 1500, "train.steps": 6000}
CHANGES = {
    "tied": LONG | {"population.learning_rates": (3e-3,)},
    "steps": LONG | mqar.LINEAR | {"population.learning_rates": (2e-3,)},
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
    tied, steps, ids = (experiment("mqar", f"mamba,{name}", PROTOCOLS) for name in PROTOCOLS)
    sizes = [(keys, values) for keys in (32, 256) for values in (31, 255)]
    fewer = [changed(ids, {"task.num_keys": keys, "task.num_values": values}) for keys, values in sizes]
    return tabled(__file__, [*fewer, steps, tied])
