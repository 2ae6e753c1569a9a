"""The nine models of the quickstart on bit parity, three learning rates and three seeds.

    python launch.py --config=results/parity/study.py --workdir=runs/parity

Cost: 38 minutes on one CPU core.
"""

from configs import bit_parity
from configs.quickstart import MODELS
from rnnbench.config.build import tabled


def get_config():
    return tabled(__file__, [bit_parity.get_config(f"{name},small") for name in MODELS])
