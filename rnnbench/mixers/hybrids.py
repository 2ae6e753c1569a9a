"""Hybrids, whose layers are those of other presets (presets `hybrid_deltanet` and `griffin`).

`hybrid_deltanet`: DeltaNet, and sliding-window attention in every other layer, as in the first of the two
hybrids of Yang et al. 2024, arXiv 2406.06484. The second has full attention in two layers, the second and
the one after the middle; of two layers that is ("deltanet", "gpt").
`griffin`: two recurrent blocks, then one of local attention, as in De et al. 2024, arXiv 2402.19427. There
the heads share keys and values, and the window is 1,024 tokens.
"""

from rnnbench.mixers.deltanet import DeltaNet
from rnnbench.mixers.preset import Preset
from rnnbench.mixers.rglru import RGLRU

PRESETS = {
    "hybrid_deltanet": Preset(DeltaNet, order=50, structure="hybrid", pattern=("deltanet", "window")),
    "griffin": Preset(RGLRU, order=51, structure="hybrid", pattern=("rglru", "rglru", "window")),
}
