"""The quickstart's nine models on MQAR as published: Zoology, figure 2, at width 64, and the mix of Based.

    python launch.py --config=results/mqar_literature/study.py:PROTOCOL --workdir=runs/PROTOCOL

PROTOCOL is one of configs/mqar.py: `literature`, `literature_64`, `literature_128`, `literature_512` or
`literature_mix`. Not run yet: it needs an accelerator.
"""

from configs import mqar
from configs.quickstart import MODELS
from rnnbench.config.build import tabled


def get_config(protocol="literature"):
    return tabled(__file__, [mqar.get_config(f"{name},{protocol}") for name in MODELS])
