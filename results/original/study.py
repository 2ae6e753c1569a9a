"""The nine models of the quickstart on the tasks as the PyTorch original set them, with a tenth of its steps.

    python launch.py --config=results/original/study.py --workdir=runs/original

Training lasts 4,000 steps in place of the original's 40,000, as every row says, with three seeds. Cost: two
and three quarter hours on one CPU core.
"""

from configs import bit_parity, controlled_bit_parity, dyck, mqar
from configs.quickstart import MODELS
from rnnbench.config.build import changed, tabled

TASKS = (bit_parity, controlled_bit_parity, dyck, mqar)
SHORTER = {"train.steps": 4000, "population.seeds": (0, 1, 2)}


def get_config():
    found = [task.get_config(f"{name},original") for task in TASKS for name in MODELS]
    return tabled(__file__, [changed(config, SHORTER) for config in found])
