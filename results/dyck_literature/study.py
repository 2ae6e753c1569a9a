"""The nine models of the quickstart on bounded Dyck as in Sarrof et al. 2024.

    python launch.py --config=results/dyck_literature/study.py --workdir=runs/dyck_literature

Not run yet: it needs an accelerator.
"""

from configs import dyck
from configs.quickstart import MODELS
from rnnbench.config.build import tabled


def get_config():
    return tabled(__file__, [dyck.get_config(f"{name},literature") for name in MODELS])
