"""Quickstart: all presets on short bit parity, the field's story in a few minutes.

    python launch.py --config=configs/quickstart.py --workdir=runs/quickstart

Expected: `lstm`, `deltanet_neg` and `mamba_neg` answer every bit right at eight times the longest training
length; `lru` learns the training lengths and no more; the rest stays at chance, 0.5. Cost: see
results/quickstart/README.md.
"""

from configs import bit_parity
from rnnbench.mixers import PRESETS


def get_config():
    return [bit_parity.get_config(f"{name},quickstart") for name in PRESETS]
