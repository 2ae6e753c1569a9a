"""One layer with and without the short convolution: does recall need it, does it harm parity's extrapolation?

    python launch.py --config=results/conv_ablation/study.py --workdir=runs/conv_ablation

On MQAR: DeltaNet, the Linear Transformer and attention, whose preset has no convolution. Mamba is left out,
since it stays on the plateau in so few steps. On parity: both presets with negative eigenvalues. A pair is
two tokens, and one layer can look at the token before only by the convolution. For parity the convolution is
a window in which to count.

Expected: 0.10 or less of 16 pairs without a convolution; with it DeltaNet and attention recall all, the
Linear Transformer 0.97. At 320 tokens of parity eight of nine members of `mamba_neg` hold without it and two
with it; three of `deltanet_neg` are exact without it and none with it. Cost: an hour and a quarter on one CPU
core.
"""

from configs import bit_parity, mqar
from rnnbench.config.build import changed, experiment, tabled

# The mixer of the preset `gpt`, which fixes that there is no convolution.
ATTENTION = (
    mqar.PROTOCOLS["small"]
    | mqar.LINEAR
    | {
        "model.name": "attention",
        "model.positions": "rope",
        "model.conv_size": 0,
    }
)


def get_config():
    recall = [mqar.get_config(f"{name},small") for name in ("deltanet", "linear_transformer")]
    configs = [changed(config, mqar.LINEAR) for config in recall]
    configs += [bit_parity.get_config(f"{name},small") for name in ("deltanet_neg", "mamba_neg")]
    configs += [experiment("mqar", "rnnbench.mixers.attention:Attention,own", {"own": ATTENTION})]
    one_layer = [changed(config, {"model.layers": 1}) for config in configs]
    return tabled(
        __file__, [changed(config, {"model.conv_size": size}) for config in one_layer for size in (0, 4)]
    )
