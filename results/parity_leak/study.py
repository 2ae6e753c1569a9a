"""Why some seeds of `deltanet_neg` lose the count: the `small` protocol with one thing changed.

    python launch.py --config=results/parity_leak/study.py --workdir=runs/parity_leak

Finished cells are added to the rows beside this file. Then `leak.py` reads the trained weights. Cost: 49
minutes on one CPU core.
"""

from configs import bit_parity
from rnnbench.config.build import changed, tabled

CHANGES = (
    {},
    {"train.steps": 4000},
    {"model.options.beta_bias": 3.0},
    {"optim.weight_decay": 0.0},
    {"task.supervision": "last"},
    {"task.train_lengths": (40, 40)},
)


def get_config():
    config = bit_parity.get_config("deltanet_neg,small")
    return tabled(__file__, [changed(config, change) for change in CHANGES])
