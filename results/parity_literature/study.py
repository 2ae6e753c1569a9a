"""The models of the quickstart and the two parts of xLSTM on bit parity as in Grazzi et al. 2024.

    python launch.py --config=results/parity_literature/study.py --workdir=runs/parity_literature

Not run yet: it needs an accelerator.
"""

from configs import bit_parity
from configs.quickstart import MODELS
from rnnbench.config.build import tabled


def get_config():
    return tabled(
        __file__, [bit_parity.get_config(f"{name},literature") for name in (*MODELS, "mlstm", "slstm")]
    )
