"""Quickstart: all nine presets on short bit parity, the field's story in a few minutes.

    python launch.py --config=configs/quickstart.py --workdir=runs/quickstart

PLACEHOLDER
"""

from configs import bit_parity
from rnnbench.config import PRESETS


def get_config():
    config = bit_parity.get_config("deltanet,quickstart")
    config.study.models = tuple(PRESETS)
    config.study.tasks = ("bit_parity",)
    return config
