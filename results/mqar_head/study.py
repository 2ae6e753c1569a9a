"""The output head on MQAR: a projection of its own, or the embeddings of the value tokens?

    python launch.py --config=results/mqar_head/study.py --workdir=runs/mqar_head

Zoology (Arora et al. 2023, arXiv 2312.04927) ties the head to the embeddings, with a standard deviation of
0.02 at the start, and so does the `small` protocol, whose table is results/mqar. Here is every preset with a
linear head, at three learning rates. Expected: what README.md beside this file says. Cost: two and a half
hours on one CPU core.
"""

from configs import mqar
from configs.quickstart import MODELS
from rnnbench.config.build import changed, tabled


def get_config():
    return tabled(__file__, [changed(mqar.get_config(f"{name},small"), mqar.LINEAR) for name in MODELS])
