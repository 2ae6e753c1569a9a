"""Makes the pages of this folder from leak.jsonl: `python results/remake.py results/parity_leak`."""

import statistics
from pathlib import Path

from rnnbench.report.panels import Line, Panel, Plot, log_ticks
from rnnbench.report.style import Style
from rnnbench.store.rows import read_jsonl

LEAK = Path(__file__).with_name("leak.jsonl")
NAMES = {
    ("train.steps", 4000): "4,000 steps",
    ("model.options.beta_bias", 3.0): "β starts near 2 (bias 3)",
    ("optim.weight_decay", 0.0): "no weight decay",
    ("task.supervision", "last"): "asked at the last position only",
    ("task.train_lengths", (40, 40)): "length 40 only",
}
SMALL = "DeltaNet as in the small table"
MAMBA = "Mamba as in the small table"
COLOURS = ("#000000", "#009E73", "#D55E00", "#56B4E9", "#E69F00", "#CC79A7", "#0072B2")
MARKERS = ("circle", "triangle-up", "square", "triangle-down", "diamond", "x", "cross")


def pages(_):
    found = groups(read_jsonl(LEAK))
    return {"leak.png": figure(found), "table.md": table(found)}


def groups(rows):
    """{name of a change: its members, as rows of leak.jsonl}."""
    found = {}
    for row in rows:
        found.setdefault(MAMBA if row["model"] == "mamba_neg" else change(row["overrides"]), []).append(row)
    order = [SMALL, *NAMES.values(), MAMBA]
    return {name: found[name] for name in order if name in found}


def change(overrides):
    """The name of a cell, by what it changes."""
    frozen = {key: tuple(value) if isinstance(value, list) else value for key, value in overrides.items()}
    return next((name for (key, value), name in NAMES.items() if frozen.get(key) == value), SMALL)


def figure(found):
    everyone = [member for group in found.values() for member in group]
    lines = []
    for (name, group), colour, marker in zip(found.items(), COLOURS, MARKERS, strict=False):
        x, y = ([member[key] for member in group] for key in ("lasts", "reach"))
        lines.append(Line(name, Style(colour, (), marker), x, y, joined=False))
    ends = [f(member["lasts"] for member in everyone) for f in (min, max)]
    share = ratio(everyone)
    lines.append(Line(f"{share:.2f} τ", Style("#8A8A8A", (1, 2), ""), ends, [share * end for end in ends]))
    panel = Panel(
        f"Eigenvalues in [−1, 1] on parity: {len(everyone)} members",
        "a point per member",
        "τ, tokens a bit lasts by the weights",
        "tokens until fewer than 0.95 are right",
        lines,
        x_log=10,
        x_ticks=log_ticks(ends),
        y_log=True,
    )
    return Plot("leak", panel.title, "", [panel])


def ratio(group):
    """Median of reach / τ over those that learned the training lengths."""
    return statistics.median(member["reach"] / member["lasts"] for member in group if member["reach"] > 40)


def table(found):
    """change × learning rate: a number per seed."""
    rates = sorted({member["learning_rate"] for group in found.values() for member in group})
    heads = ["change", "rate", "accuracy at 320", "τ", "reach"]
    lines = [heads, ["---", "---:", "---", "---", "---"]]
    for name, group in found.items():
        for rate in rates:
            mine = sorted((m for m in group if m["learning_rate"] == rate), key=lambda member: member["seed"])
            show = lambda key, form, mine=mine: ", ".join(format(member[key], form) for member in mine)
            lines.append(
                [name, f"{rate:g}", show("accuracy", ".2f"), show("lasts", ",.0f"), show("reach", ",")]
            )
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"
