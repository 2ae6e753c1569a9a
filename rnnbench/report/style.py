"""The colour, dashes and marker of a model, the same in every figure.

The palette is Okabe and Ito's, whose colours are distinct in every kind of colour vision. Presets of the same
hue differ in both dashes and marker. A variant with negative eigenvalues has the hue of its preset, dashes
and a diamond.
"""

from collections.abc import Sequence
from typing import NamedTuple


class Style(NamedTuple):
    """`dash`: dashes and gaps in line widths; none is solid. `marker`: a plotly name, or none."""

    color: str
    dash: tuple[float, ...] = ()
    marker: str = "x"


BLACK, ORANGE, GREEN, SKY = "#000000", "#E69F00", "#009E73", "#56B4E9"
PURPLE, BLUE, VERMILLION = "#CC79A7", "#0072B2", "#D55E00"
DASHES = DASHED, DOTTED, LONG, MIXED, SPARSE = (
    (4, 1.6), (1, 1.2), (8, 2), (3, 1.2, 1, 1.2), (1.5, 4),
)  # fmt: skip
STYLES = {
    "gpt": Style(BLACK, (), "circle"),
    "linear_transformer": Style(ORANGE, (), "square"),
    "lstm": Style(GREEN, (), "triangle-up"),
    "qlstm": Style(SKY, (), "triangle-down"),
    "lru": Style(PURPLE, (), "cross"),
    "deltanet": Style(BLUE, (), "circle"),
    "mamba": Style(VERMILLION, (), "square"),
    "deltanet_neg": Style(BLUE, DASHED, "diamond"),
    "mamba_neg": Style(VERMILLION, DASHED, "diamond"),
    "retnet": Style(BLUE, DOTTED, "triangle-up"),
    "gla": Style(GREEN, DOTTED, "circle"),
    "hgrn2": Style(SKY, DASHED, "square"),
    "mamba2": Style(VERMILLION, DOTTED, "triangle-down"),
    "mamba3": Style(ORANGE, DOTTED, "triangle-down"),
    "mamba3_real": Style(ORANGE, LONG, "x"),
    "mlstm": Style(PURPLE, DOTTED, "circle"),
    "gated_deltanet": Style(GREEN, LONG, "square"),
    "gated_deltanet_neg": Style(GREEN, DASHED, "diamond"),
    "kda": Style(PURPLE, LONG, "triangle-down"),
    "kda_neg": Style(PURPLE, DASHED, "diamond"),
    "gdn2": Style(ORANGE, DASHED, "triangle-up"),
    "deltaproduct2": Style(VERMILLION, LONG, "cross"),
    "deltaproduct3": Style(SKY, LONG, "x"),
    "rwkv7": Style(BLACK, DASHED, "square"),
    "slice": Style(BLACK, SPARSE, "cross"),
    "s5": Style(BLACK, DOTTED, "triangle-up"),
    "mingru": Style(BLUE, LONG, "x"),
    "minlstm": Style(BLACK, LONG, "x"),
    "rglru": Style(PURPLE, SPARSE, "square"),
    "gru": Style(SKY, DOTTED, "circle"),
    "elman": Style(PURPLE, MIXED, "triangle-up"),
    "slstm": Style(VERMILLION, MIXED, "circle"),
    "fox": Style(ORANGE, MIXED, "circle"),
    "window": Style(GREEN, MIXED, "x"),
    "hybrid_deltanet": Style(BLUE, MIXED, "square"),
    "griffin": Style(SKY, MIXED, "diamond"),
}
OTHERS = ("#7A5195", "#8C6D31", "#6B6B6B", "#A0522D")
# plotly's name -> matplotlib's, and the outline in a square from -5 to 5
MARKERS = {
    "circle": ("o", "M-4,0a4,4 0 1,0 8,0a4,4 0 1,0 -8,0z"),
    "square": ("s", "M-3.5,-3.5h7v7h-7z"),
    "triangle-up": ("^", "M0,-4.5L4.5,3.5h-9z"),
    "triangle-down": ("v", "M0,4.5L4.5,-3.5h-9z"),
    "cross": ("P", "M-1.5,-4.5h3v3h3v3h-3v3h-3v-3h-3v-3h3z"),
    "diamond": ("D", "M0,-4.8L4.8,0L0,4.8L-4.8,0z"),
    "x": ("X", "M-4,-2L-2,-4L0,-2L2,-4L4,-2L2,0L4,2L2,4L0,2L-2,4L-4,2L-2,0z"),
}


def style(entry: dict, entries: Sequence[dict]) -> Style:
    """The style of an entry among all `entries` of a report.

    A model without a preset has the next of OTHERS. Further lines of the same model, with other settings,
    keep its hue but not its dashes and marker.
    """
    markers = list(MARKERS)
    if entry["model"] in STYLES:
        found = STYLES[entry["model"]]
    else:
        nth = sorted({other["model"] for other in entries} - STYLES.keys()).index(entry["model"])
        marker = markers[nth % len(markers) - 1]
        found = Style(OTHERS[nth % len(OTHERS)], ((), *DASHES)[nth % (1 + len(DASHES))], marker)
    labels = dict.fromkeys(other["label"] for other in entries if other["model"] == entry["model"])
    nth = sorted(labels, key=lambda label: label != entry["model"]).index(entry["label"])
    marker = markers[(markers.index(found.marker) + nth) % len(markers)]
    return Style(found.color, (1 + 5 / nth, 4 - 2 / nth), marker) if nth else found


def heat(share: float) -> tuple[tuple[int, int, int], str]:
    """(red, green, blue) and the ink on it, from dark blue (chance) through green to yellow (1).

    The lightness rises, so that the order is visible with colour blindness and in black and white.
    """
    stops = [(59, 58, 110), (49, 104, 142), (33, 145, 140), (94, 201, 98), (250, 220, 60)]
    place = min(max(share, 0.0), 1.0) * (len(stops) - 1)
    i = min(int(place), len(stops) - 2)
    colour = tuple(round(a + (place - i) * (b - a)) for a, b in zip(stops[i], stops[i + 1]))
    return colour, "black" if share > 0.6 else "white"
