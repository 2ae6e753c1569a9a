"""The output head on MQAR: a projection of its own, or the embeddings of the value tokens?

    python launch.py --config=results/mqar_head/study.py --workdir=runs/mqar_head

Zoology (Arora et al. 2023, arXiv 2312.04927) ties the head to the embedding, with a standard deviation of
0.02 at the start; our `small` protocol has a linear head. Every preset with the tied head, five learning
rates, Mamba so far at three; the linear head is results/mqar. Expected: what README.md beside this file says.
Cost: on one H200 with several cells side by side some three minutes a cell, on one CPU core up to an hour.
"""

from configs import mqar
from configs.quickstart import MODELS
from rnnbench.config.build import changed, tabled

TIED = {
    "model.head": "tied",
    "model.embedding_std": 0.02,
    "population.learning_rates": (3e-4, 1e-3, 3e-3, 1e-2, 3e-2),
}
# Trained on CPU, for want of time at three rates; --config.population.learning_rates adds to them.
RATES = {"mamba": {"population.learning_rates": (1e-3, 3e-3, 1e-2)}}


def get_config():
    of = lambda name: changed(mqar.get_config(f"{name},small"), TIED | RATES.get(name, {}))
    return tabled(__file__, [of(name) for name in MODELS])
