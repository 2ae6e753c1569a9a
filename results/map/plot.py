"""The map from its rows: `python results/remake.py results/map`."""

import math
from pathlib import Path

from rnnbench.report import agreement
from rnnbench.report import map as maps
from rnnbench.report.read import read
from rnnbench.report.summary import summarise

HEAD = """# Every cell of the map

Scaled accuracy, 0 for chance and 1 for all, at 1, 2, 4 and 8 times the longest training length: median
(worst–best) of three seeds, at each learning rate. Beyond 1× it is that of the hardest case of the length.
**Bold**: the rate that counts, whose median is best at 1×; ties go to the smaller loss there. Theory: whether
some depth and width can do the task at every length ([theorems](../../docs/tasks.md),
[spectra and structures](../../docs/models.md)). −∞: the outputs are not finite.
"""


def pages(rows):
    found = read([Path(__file__).parent])
    drawn = maps.plot(summarise(found.rows), found, whole=True)
    (panel,) = drawn.panels
    return {"map.png": drawn, "map.svg": drawn, "cells.md": numbers(panel), **agreement.files(panel)}


def numbers(panel):
    """A table per task, two lines per preset: the learning rate that counts, and the other."""
    parts = [HEAD.strip()]
    for _, names in panel.classes:
        for task in names:
            lines = ["| preset | theory | rate | 1× | 2× | 4× | 8× |", "|---|---|---|---|---|---|---|"]
            for _, models in panel.families:
                for model in models:
                    if cell := panel.cells.get((model, task)):
                        lines += of_cell(model, cell)
            parts += [f"## {task}", "\n".join(lines)]
    return "\n\n".join(parts) + "\n"


def of_cell(model, cell):
    entry, theory = cell.entry, agreement.VERDICTS[cell.theory]
    line = lambda *start, at: f"| {' | '.join([*start, *map(told, at.values())])} |"
    yield line(f"`{model}`", theory, f"**{entry['learning_rate']:g}**", at=maps.shares(entry))
    for rate in entry["other_rates"]:
        yield line("", "", f"{rate:g}", at=maps.shares(entry, rate))


def told(share):
    number = lambda value: "−∞" if math.isinf(value) else f"{value:.2f}".replace("-", "−")
    median, worst, best = (number(share[which]) for which in maps.SPREAD)
    return median if worst == best else f"{median} ({worst}–{best})"
