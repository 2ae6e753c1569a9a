"""The nine models of the quickstart on MQAR, three learning rates and three seeds.

    python launch.py --config=results/mqar/study.py --workdir=runs/mqar

Cost: two and a half hours on one CPU core.
"""

from configs import mqar
from configs.quickstart import MODELS
from rnnbench.config.build import tabled


def get_config():
    return tabled(__file__, [mqar.get_config(f"{name},small") for name in MODELS])
