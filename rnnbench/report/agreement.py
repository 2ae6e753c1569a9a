"""Map → how often theory and measurement agree, per property of a recurrence: counts, and the exceptions."""

import csv
import io
from collections import Counter
from collections.abc import Iterator

from rnnbench.mixers import PRESETS
from rnnbench.report.map import Map, Reach

PROPERTIES = {
    "spectrum": lambda preset: preset.spectrum,
    "structure": lambda preset: preset.structure,
    "selective": lambda preset: {None: "", True: "yes", False: "no"}[preset.selective],
}
VERDICTS = {"yes": "can", "no": "cannot", "open": "open"}
HEAD = ("property", "value", "theory", "holds", "in part", "does not hold")
NOTE = (
    "A cell holds if its median seed holds the longest multiple of the training length that was tested, in "
    "part if only its best seed does. The counts are of the cells that have rows, one per preset and task."
)


def counts(panel: Map) -> Iterator[tuple[str, str, str, int, int, int]]:
    """(property, its value, verdict, cells that hold, that hold in part, that do not)."""
    for name, value_of in PROPERTIES.items():
        found: Counter = Counter()
        for cell in panel.cells.values():
            if preset := PRESETS.get(cell.entry["model"]):
                found[value_of(preset) or "none", VERDICTS[cell.theory], outcome(cell)] += 1
        for value, theory in sorted({key[:2] for key in found}):
            yield name, value, theory, *(found[value, theory, each] for each in HEAD[3:])


def outcome(cell: Reach) -> str:
    if cell.median == cell.longest:
        return "holds"
    return "in part" if cell.best == cell.longest else "does not hold"


def exceptions(panel: Map) -> list[str]:
    """The cells where theory and measurement differ: those with a mark in the map."""
    told = {"ring": "it can in theory, and no seed holds", "cross": "it cannot in theory, and a seed holds"}
    return [
        f"{model} on {task}: {told[cell.mark]} {cell.longest}× (median {cell.text}, worst to best "
        f"{cell.min}–{cell.best})"
        for (model, task), cell in panel.cells.items()
        if cell.mark
    ]


def files(panel: Map) -> dict[str, str]:
    """agreement.md and agreement.csv."""
    lines = [HEAD, *(tuple(map(str, line)) for line in counts(panel))]
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(lines)
    table = [lines[0], ("---",) * 3 + ("---:",) * 3, *lines[1:]]
    parts = ["# Theory and measurement", NOTE, "\n".join(f"| {' | '.join(line)} |" for line in table)]
    if found := exceptions(panel):
        parts += ["## Exceptions", "\n".join(f"- {line}" for line in found)]
    return {"agreement.md": "\n\n".join(parts) + "\n", "agreement.csv": text.getvalue()}
