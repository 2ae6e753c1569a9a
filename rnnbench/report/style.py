"""The colour, dashes and marker of a model, the same in every figure.

The palette is Okabe and Ito's, whose colours are distinct in every kind of colour vision. A variant with
negative eigenvalues has the hue of its preset, dashes and a diamond.
"""

from collections.abc import Sequence
from typing import NamedTuple


class Style(NamedTuple):
    """`dash`: dash and gap in line widths; none is solid. `marker`: a plotly name, or none."""

    color: str
    dash: tuple[float, ...] = ()
    marker: str = "x"


STYLES = {
    "gpt": Style("#000000", (), "circle"),
    "linear_transformer": Style("#E69F00", (), "square"),
    "lstm": Style("#009E73", (), "triangle-up"),
    "qlstm": Style("#56B4E9", (), "triangle-down"),
    "lru": Style("#CC79A7", (), "cross"),
    "deltanet": Style("#0072B2", (), "circle"),
    "mamba": Style("#D55E00", (), "square"),
    "deltanet_neg": Style("#0072B2", (4, 1.6), "diamond"),
    "mamba_neg": Style("#D55E00", (4, 1.6), "diamond"),
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
    """Further lines of the same model, with other settings, keep its hue but not its dashes and marker."""
    strangers = sorted({other["model"] for other in entries} - STYLES.keys())
    namesakes = [other["label"] for other in entries if other["model"] == entry["model"]]
    if entry["model"] in STYLES:
        found = STYLES[entry["model"]]
    else:
        found = Style(OTHERS[strangers.index(entry["model"]) % len(OTHERS)])
    nth = namesakes.index(entry["label"])
    markers = list(MARKERS)
    marker = markers[(markers.index(found.marker) + nth) % len(markers)]
    return Style(found.color, (1 + 5 / nth, 1 + nth), marker) if nth else found


def heat(share: float) -> tuple[tuple[int, int, int], str]:
    """(red, green, blue) and the ink on it, from dark blue (chance) through green to yellow (1).

    The lightness rises, so that the order is visible with colour blindness and in black and white.
    """
    stops = [(59, 58, 110), (49, 104, 142), (33, 145, 140), (94, 201, 98), (250, 220, 60)]
    place = min(max(share, 0.0), 1.0) * (len(stops) - 1)
    i = min(int(place), len(stops) - 2)
    colour = tuple(round(a + (place - i) * (b - a)) for a, b in zip(stops[i], stops[i + 1]))
    return colour, "black" if share > 0.6 else "white"
