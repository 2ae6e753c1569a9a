"""Map → how often theory and measurement agree, by property of a recurrence and class of task."""

import csv
import io
from collections import Counter
from collections.abc import Iterator

from rnnbench.mixers import PRESETS
from rnnbench.report.map import Map, Reach

PROPERTIES = {
    "spectrum": lambda preset, _: preset.spectrum,
    "structure": lambda preset, _: preset.structure,
    "selective": lambda preset, _: {None: "", True: "yes", False: "no"}[preset.selective],
    "class of task": lambda _, kind: kind,
}
VERDICTS = {"yes": "can", "no": "cannot", "open": "open"}
TOLD = {
    "ring": "Possible in theory, and no seed of any learning rate holds the longest",
    "cross": "Impossible in theory at every length, and a seed holds the longest here",
}
HEAD = ("property", "value", "theory", "holds", "in part", "does not hold")
NOTE = (
    "A cell holds if its median seed holds the longest multiple of the training length that was tested, in "
    "part if only another seed does, be it of another learning rate. The counts are of the cells that have "
    "rows, one per preset and task. The lists name the exceptions; in brackets is how far the median seed "
    "holds, and the worst and the best if they differ."
)


def counts(panel: Map) -> Iterator[tuple[str, str, str, int, int, int]]:
    """(property, its value, verdict, cells that hold, that hold in part, that do not)."""
    kinds = {task: kind for kind, names in panel.classes for task in names}
    for name, value_of in PROPERTIES.items():
        found: Counter = Counter()
        for (_, task), cell in panel.cells.items():
            if preset := PRESETS.get(cell.entry["model"]):
                value = value_of(preset, kinds[task]) or "none"
                found[value, VERDICTS[cell.theory], outcome(cell)] += 1
        for value, theory in sorted({key[:2] for key in found}):
            yield name, value, theory, *(found[value, theory, each] for each in HEAD[3:])


def outcome(cell: Reach) -> str:
    if cell.median == cell.longest:
        return "holds"
    return "in part" if cell.any == cell.longest else "does not hold"


def exceptions(panel: Map) -> dict[tuple[str, str], list[str]]:
    """{(mark, task): [model (the median seed, worst to best), …]}: where theory and measurement differ."""
    found: dict[tuple[str, str], list[str]] = {}
    for mark in TOLD:
        for (model, task), cell in panel.cells.items():
            if cell.mark == mark:
                spread = f", {cell.between}" if cell.between else ""
                found.setdefault((mark, task), []).append(f"`{model}` ({cell.text}{spread})")
    return found


def files(panel: Map) -> dict[str, str]:
    """agreement.md and agreement.csv."""
    lines = [HEAD, *(tuple(map(str, line)) for line in counts(panel))]
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(lines)
    table = [lines[0], ("---",) * 3 + ("---:",) * 3, *lines[1:]]
    parts = ["# Theory and measurement", NOTE, "\n".join(f"| {' | '.join(line)} |" for line in table)]
    found = exceptions(panel)
    for mark, told in TOLD.items():
        if lists := {task: models for (sort, task), models in found.items() if sort == mark}:
            parts += [f"## {told}", "\n".join(f"- {task}: {', '.join(lists[task])}" for task in lists)]
    return {"agreement.md": "\n\n".join(parts) + "\n", "agreement.csv": text.getvalue()}
