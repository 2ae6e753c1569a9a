"""Quickstart: all nine presets on short bit parity, the field's story in a few minutes.

    python launch.py --config=configs/quickstart.py --workdir=runs/quickstart

Expected: `lstm`, `deltanet_neg` and `mamba_neg` answer every bit right at eight times the longest training
length; `lru` learns the training lengths and no more; the rest stays at chance, 0.5. Cost: see
results/quickstart/README.md.
"""

from pathlib import Path

from rnnbench.config.load import make
from rnnbench.config.schema import PRESETS


def get_config():
    config = make(f"{Path(__file__).with_name('bit_parity.py')}:deltanet,quickstart")
    config.study.models = tuple(PRESETS)
    config.study.tasks = ("bit_parity",)
    return config
