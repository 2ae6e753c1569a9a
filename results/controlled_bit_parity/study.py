"""The nine models of the quickstart on controlled bit parity, three learning rates and three seeds.

    python launch.py --config=results/controlled_bit_parity/study.py --workdir=runs/controlled

Cost: 44 minutes on one CPU core.
"""

from configs import controlled_bit_parity
from configs.quickstart import MODELS
from rnnbench.config.build import tabled


def get_config():
    return tabled(__file__, [controlled_bit_parity.get_config(f"{name},small") for name in MODELS])
