"""The output head on MQAR: a projection of its own, or the embeddings of the value tokens?

    python launch.py --config=results/mqar_head/study.py --workdir=runs/mqar_head

Zoology (Arora et al. 2023, arXiv 2312.04927) ties the head to the embedding, with a standard deviation of
0.02 at the start; our `small` protocol has a linear head. Every preset with the tied head, five learning
rates; the linear head is results/mqar. Expected: what README.md beside this file says. Cost: on one H200
with several cells side by side some three minutes a cell, on one CPU core up to an hour for Mamba.
"""

from configs import mqar
from configs.quickstart import MODELS
from rnnbench.config.build import changed, tabled

TIED = {
    "model.head": "tied",
    "model.embedding_std": 0.02,
    "population.learning_rates": (3e-4, 1e-3, 3e-3, 1e-2, 3e-2),
}


def get_config():
    return tabled(__file__, [changed(mqar.get_config(f"{name},small"), TIED) for name in MODELS])
