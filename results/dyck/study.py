"""The nine models of the quickstart on Dyck, three learning rates and three seeds.

    python launch.py --config=results/dyck/study.py --workdir=runs/dyck

Cost: an hour and a half on one CPU core.
"""

from configs import dyck
from configs.quickstart import MODELS
from rnnbench.config.build import tabled


def get_config():
    return tabled(__file__, [dyck.get_config(f"{name},small") for name in MODELS])
