"""The short convolution both ways, with one layer: does recall need it, does parity's extrapolation suffer?

    python launch.py --config=configs/conv_ablation.py:PART --workdir=runs/conv_PART

PART: `mqar` (DeltaNet and the Linear Transformer with and without a convolution; not Mamba, which stays on
the plateau in so few steps), `attention` (the same for attention, whose preset has none) or `parity` (both
presets with negative eigenvalues). One layer cannot look at the token before but by the convolution, and a
pair is two tokens. For parity it is a window in which to count.

Expected: 0.10 or less of 16 pairs without a convolution; with it DeltaNet and attention recall all, the
Linear Transformer 0.97. At 320 tokens of parity `mamba_neg` holds with eight members of nine without it and
with two with it, `deltanet_neg` is exact with three and with none. Cost: 33, 11 and 32 minutes on one CPU
core.
"""

from pathlib import Path

from rnnbench.config import ConfigError
from rnnbench.config.load import module

# part -> task, models
STUDIES = {
    "mqar": ("mqar", ("deltanet", "linear_transformer")),
    "attention": ("mqar", ()),
    "parity": ("bit_parity", ("deltanet_neg", "mamba_neg")),
}


def get_config(argument="mqar"):
    if argument not in STUDIES:
        raise ConfigError("", f"conv_ablation has no part {argument!r}; choose one of: {' '.join(STUDIES)}")
    task, models = STUDIES[argument]
    config = module(Path(__file__).with_name(f"{task}.py")).get_config(
        f"{models[0] if models else 'gpt'},small"
    )
    if models:
        config.study.models, config.study.tasks = models, (task,)
    else:
        config.model.name, config.model.mixer = "attention", "rnnbench.mixers.attention:Attention"
    config.study.grid = (("model.layers", (1,)), ("model.conv_size", (0, 4)))
    config.study.table = str(Path(__file__).parents[1] / "results" / "conv_ablation")
    return config
