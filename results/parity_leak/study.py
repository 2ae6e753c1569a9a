"""Why seeds of DeltaNet with negative eigenvalues lose the count: the `small` protocol, one thing changed.

    python launch.py --config=results/parity_leak/study.py --workdir=runs/parity_leak

Finished cells are added to the rows beside this file; `leak.py` then reads the trained weights. Cost: 49
minutes on one CPU core.
"""

from pathlib import Path

from configs import bit_parity

KEYS = (
    "train.steps",
    "model.options.beta_bias",
    "optim.weight_decay",
    "task.supervision",
    "task.train_lengths",
)
SMALL = (2000, 0.0, 0.01, "every", (3, 40))
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
    values = tuple(tuple((dict(zip(KEYS, SMALL, strict=True)) | change).values()) for change in CHANGES)
    config.study.grid = ((KEYS, values),)
    config.study.table = str(Path(__file__).parent)
    return config
