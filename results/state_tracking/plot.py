"""Groups against depth: `python results/remake.py results/state_tracking`."""

from pathlib import Path

from study import DEPTHS, GROUPS, MODELS

from rnnbench.report import map as maps
from rnnbench.report.panels import Plot
from rnnbench.report.read import read
from rnnbench.report.summary import summarise

KINDS = {"abelian": ("Z2", "Z5"), "solvable": ("S3", "A4", "S4"), "not solvable": ("A5", "S5")}


def pages(rows):
    cells = reaches()
    drawn = Plot("depth", "Groups against depth", "", [panel(cells)])
    return {"depth.png": drawn, "depth.svg": drawn, "depth.md": table(cells)}


def reaches():
    """(model, depth, group) -> how far it holds."""
    found, cells = read([Path(__file__).parent]), {}
    for entry in summarise(found.rows):
        task = maps.task_of(entry, found)
        depth = entry["overrides"].get("model.layers", 2)  # what the protocol has is not overridden
        cells[entry["model"], depth, task.group] = maps.reach(entry, maps.verdict_of(entry, task))
    return cells


def panel(cells):
    """A family per preset, a row per depth; the columns are the groups."""
    run = {model for model, *_ in cells}
    name = lambda depth: f"{depth} layer{'s' * (depth > 1)}"
    row = lambda model, depth: f"{model}, {name(depth)}"
    return maps.Map(
        "How far beyond its training length does it track a group?",
        "map",
        f"running products of 3 to 16 generators in training · {len(cells)} of "
        f"{len(MODELS) * len(DEPTHS) * len(GROUPS)} cells · 3 seeds",
        [(model, [row(model, depth) for depth in DEPTHS]) for model in MODELS if model in run],
        [(kind, list(groups)) for kind, groups in KINDS.items()],
        {(row(model, depth), group): cell for (model, depth, group), cell in cells.items()},
        {row(model, depth): name(depth) for model in MODELS for depth in DEPTHS},
    )


def table(cells):
    """model × group: the fewest layers with which the median seed learns 16 elements, and holds 128."""
    lines = [["preset", *GROUPS], ["---"] * (1 + len(GROUPS))]
    for model in dict.fromkeys(model for model, *_ in cells):
        line = []
        for group in GROUPS:
            at = {depth: cells[model, depth, group] for depth in DEPTHS if (model, depth, group) in cells}
            learns = next((str(depth) for depth, cell in at.items() if cell.median >= 1), "none")
            holds = next((str(depth) for depth, cell in at.items() if cell.median == cell.longest), "none")
            line.append(f"{learns} / {holds}" if at else "")
        lines.append([f"`{model}`", *line])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"
