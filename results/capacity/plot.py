"""Recall against pairs, and pairs against state size: `python results/remake.py results/capacity`."""

from pathlib import Path

from study import HEADS, MODELS, PAIRS

from rnnbench.report.panels import Line, Panel, Plot
from rnnbench.report.read import read
from rnnbench.report.spread import skill
from rnnbench.report.style import style
from rnnbench.report.summary import summarise
from rnnbench.report.text import HOLDS

SEEDS = "median of the seeds, worst to best"
DIM = 64  # the model's width, which the heads share
# The presets that add to the memory; the others replace what they find there.
ADDING = ("linear_transformer", "retnet", "gla", "hgrn2", "mamba2", "mlstm")


def pages(rows):
    found = read([Path(__file__).parent])
    entries = {(each["model"], heads_of(each)): each for each in summarise(found.rows)}
    models = [model for model in MODELS if any(model == name for name, _ in entries)]
    groups = {
        "added to": [model for model in models if model in ADDING],
        "whose values are replaced": [model for model in models if model not in ADDING],
    }
    labelled = [{"model": model, "label": model} for model in MODELS]
    looks = {each["model"]: style(each, labelled) for each in labelled}
    of_heads = [(heads, group) for heads in HEADS for group in groups.items()]
    recalls = [recall(*each, entries, looks) for each in of_heads]
    return {
        "recall.png": Plot("recall", "Recall", "", [each for each in recalls if each.lines]),
        "capacity.png": Plot(
            "capacity", "Capacity", "", [held_by(*each, entries, looks) for each in groups.items()]
        ),
        "table.md": table(models, entries),
    }


def heads_of(entry):
    return entry["overrides"].get("model.heads", 1)  # what the protocol has is not overridden


def held(entry, of="median"):
    """The most pairs, of those tested, up to which recall is at least 0.9 of the way from chance to 1."""
    pairs = sorted((spread["case"]["pairs"], skill(spread, of) or 0.0) for spread in entry["cases"].values())
    lost = [number for number, share in pairs if share < HOLDS]
    return max((number for number, _ in pairs if not lost or number < lost[0]), default=0)


def recall(heads, group, entries, looks):
    """Recall against pairs, a line per preset of a group."""
    name, models = group
    lines, chance = [], {}
    for model in models:
        if (model, heads) not in entries:
            continue
        cases = sorted(entries[model, heads]["cases"].values(), key=lambda spread: spread["case"]["pairs"])
        of = lambda what, cases=cases: [spread[what] for spread in cases]
        pairs = [spread["case"]["pairs"] for spread in cases]
        chance |= zip(pairs, of("chance"))
        lines.append(Line(model, looks[model], pairs, of("median"), of("min"), of("best")))
    return Panel(
        f"Memories {name}, {counted(heads)}",
        f"trained on 4 to 32 pairs; {SEEDS}",
        "pairs",
        "recall",
        lines,
        x_log=2,
        x_ticks=[(pairs, str(pairs)) for pairs in PAIRS],
        chance=sorted(chance.items()),
    )


def held_by(name, models, entries, looks):
    """The pairs held against the size of the state, a line per preset of a group."""
    lines = []
    for model in models:
        mine = [entries[model, heads] for heads in HEADS if (model, heads) in entries]
        mine.sort(key=lambda entry: entry["state_size"])
        sizes = [each["state_size"] for each in mine]
        of = lambda what, mine=mine: [held(each, what) for each in mine]
        lines.append(Line(model, looks[model], sizes, of("median"), of("min"), of("best")))
    return Panel(
        f"Memories {name}",
        f"most pairs with a recall of 0.9; {SEEDS}",
        "state: float32 values per sequence",
        "pairs",
        lines,
        x_log=2,
        x_ticks=[(size, f"{size:,}") for size in (1024, 2048, 4096, 8192, 16384)],
        share=False,
    )


def counted(heads):
    return f"{heads} head{'s' * (heads > 1)}"


def table(models, entries):
    """A row per preset; per number of heads: pairs held, recall of 32 and 64, size of the state."""
    name = lambda heads: f"{counted(heads)}, d_k = {DIM // heads}"
    lines = [["preset", *map(name, HEADS)], ["---"] * (1 + len(HEADS))]
    for model in models:
        mine = (entries.get((model, heads)) for heads in HEADS)
        lines.append([f"`{model}`", *(told(entry) if entry else "" for entry in mine)])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def told(entry):
    recalls = {spread["case"]["pairs"]: spread for spread in entry["cases"].values()}
    of = lambda pairs: "–".join(
        dict.fromkeys(f"{recalls[pairs][what] or 0.0:.2f}" for what in ("min", "best"))
    )
    return f"{held(entry)} ({of(32)}, {of(64)}; {entry['state_size']:,})"
