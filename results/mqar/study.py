"""The nine models of the quickstart on MQAR, five learning rates and three seeds.

    python launch.py --config=results/mqar/study.py --workdir=runs/mqar

Four of the rates for the last three, `mamba_neg` with 0.1 among them. Expected: what README.md beside this
file says. Cost: eight hours on one CPU core.
"""

from configs import mqar
from configs.quickstart import MODELS
from rnnbench.config.build import changed, tabled

RATES = (3e-4, 1e-3, 3e-3, 1e-2, 3e-2)
FEWER = {"mamba": RATES[1:], "deltanet_neg": RATES[1:], "mamba_neg": (*RATES[2:], 0.1)}


def get_config():
    of = lambda name: changed(
        mqar.get_config(f"{name},small"), {"population.learning_rates": FEWER.get(name, RATES)}
    )
    return tabled(__file__, [of(name) for name in MODELS])
