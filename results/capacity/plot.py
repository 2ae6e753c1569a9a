"""Pairs held against the size of the state: `python results/remake.py results/capacity`."""

from pathlib import Path

from study import HEADS, MODELS

from rnnbench.report.panels import Line, Panel, Plot
from rnnbench.report.read import read
from rnnbench.report.spread import skill
from rnnbench.report.style import style
from rnnbench.report.summary import summarise
from rnnbench.report.text import HOLDS

DIM = 64  # the model's width, which the heads share
# The presets that add to the memory; the others replace what they find there.
ADDING = ("linear_transformer", "retnet", "gla", "hgrn2", "mamba2", "mlstm")


def pages(rows):
    found = read([Path(__file__).parent])
    entries = {(each["model"], heads_of(each)): each for each in summarise(found.rows)}
    models = [model for model in MODELS if any(model == name for name, _ in entries)]
    added = [model for model in models if model in ADDING]
    replaced = [model for model in models if model not in ADDING]
    panels = [
        panel("Memories that are added to", added, entries),
        panel("Memories whose values are replaced", replaced, entries),
    ]
    return {
        "capacity.png": Plot("capacity", "Capacity", "", [each for each in panels if each.lines]),
        "table.md": table(models, entries),
    }


def heads_of(entry):
    return entry["overrides"].get("model.heads", 1)  # what the protocol has is not overridden


def held(entry):
    """The most pairs, of those tested, up to which recall is at least 0.9 of the way from chance to 1."""
    pairs = sorted((spread["case"]["pairs"], skill(spread) or 0.0) for spread in entry["cases"].values())
    lost = [number for number, share in pairs if share < HOLDS]
    return max((number for number, _ in pairs if not lost or number < lost[0]), default=0)


def panel(title, models, entries):
    lines = []
    for model in models:
        mine = sorted(
            (entries[model, n] for n in HEADS if (model, n) in entries), key=lambda e: e["state_size"]
        )
        look = style(mine[0] | {"label": model}, [{"model": each, "label": each} for each in models])
        sizes = [each["state_size"] for each in mine]
        lines.append(Line(model, look, sizes, [held(each) for each in mine]))
    return Panel(
        title,
        "one seed; the most pairs, of those tested, with a recall of 0.9",
        "state: float32 values per sequence",
        "pairs",
        lines,
        x_log=2,
        share=False,
    )


def table(models, entries):
    """A row per preset; per number of heads: pairs held, recall of 32 and 64, size of the state."""
    name = lambda heads: f"{heads} head{'s' * (heads > 1)}, d_k = {DIM // heads}"
    lines = [["preset", *map(name, HEADS)], ["---"] * (1 + len(HEADS))]
    for model in models:
        mine = (entries.get((model, heads)) for heads in HEADS)
        lines.append([f"`{model}`", *(told(entry) if entry else "" for entry in mine)])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def told(entry):
    recall = {spread["case"]["pairs"]: spread["median"] or 0.0 for spread in entry["cases"].values()}
    return f"{held(entry)} ({recall[32]:.2f}, {recall[64]:.2f}; {entry['state_size']:,})"
