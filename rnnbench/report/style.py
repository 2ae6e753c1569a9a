"""How a model looks in every figure.

Okabe and Ito's palette, told apart by every kind of colour vision; each preset keeps its colour and marker
in every figure. A variant with negative eigenvalues has the hue of its preset, dashes and a diamond.
"""

from collections.abc import Sequence

# model -> (colour, dash and gap in line widths, marker)
STYLES = {
    "gpt": ("#000000", (), "circle"),
    "linear_transformer": ("#E69F00", (), "square"),
    "lstm": ("#009E73", (), "triangle-up"),
    "qlstm": ("#56B4E9", (), "triangle-down"),
    "lru": ("#CC79A7", (), "cross"),
    "deltanet": ("#0072B2", (), "circle"),
    "mamba": ("#D55E00", (), "square"),
    "deltanet_neg": ("#0072B2", (4, 1.6), "diamond"),
    "mamba_neg": ("#D55E00", (4, 1.6), "diamond"),
}
OTHERS = ("#7A5195", "#8C6D31", "#6B6B6B", "#A0522D")


def style(entry: dict, entries: Sequence[dict]) -> dict:
    """Further lines of the same model, with other settings, keep its hue and differ in their dashes."""
    strangers = sorted({other["model"] for other in entries} - STYLES.keys())
    namesakes = [other["label"] for other in entries if other["model"] == entry["model"]]
    if entry["model"] in STYLES:
        color, dash, marker = STYLES[entry["model"]]
    else:
        color, dash, marker = OTHERS[strangers.index(entry["model"]) % len(OTHERS)], (), "x"
    nth = namesakes.index(entry["label"])
    return {"color": color, "dash": (1 + 5 / nth, 1 + nth) if nth else dash, "marker": marker}
