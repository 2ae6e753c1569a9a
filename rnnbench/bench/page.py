"""A page of results in Markdown, from what --json wrote: `python -m rnnbench.bench --from_json=FILE,FILE`."""

import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from rnnbench.bench import table, targets
from rnnbench.bench.rows import PAIR, SINGLE
from rnnbench.config import InputError

GPU = "python -m rnnbench.bench --targets=gpu --json=results/bench/gpu.json"
ABOUT = """\
The PyTorch original's milliseconds are those measured once on two idle CPU cores of this class (batch 32,
width 64, 4 heads, 2 layers, MLP 128; LRU without), not in this run. All other ratios are of samples taken in
turn; a time is a median. The limits above are the best of all calls; a share in % is of those that the row's
own call measured."""


def load(files: Sequence[Path]) -> list[dict[str, Any]]:
    """The results of these calls; InputError for a file that is none."""
    calls = []
    for file in files:
        try:
            calls.append(json.loads(file.read_text()))
        except (OSError, ValueError) as error:
            raise InputError(f"--from_json: {file} cannot be read: {error}") from None
        if not isinstance(calls[-1], dict) or "ceilings" not in calls[-1]:
            raise InputError(f"--from_json: {file} is not a file that --json wrote")
    return calls


def markdown(calls: Sequence[dict[str, Any]]) -> str:
    """The targets and what was measured for them, then every row."""
    rows = {what: _merged(what, calls) for what in table.TITLES}
    steps = _merged("steps", [call for call in calls if call["machine"]["platform"] == "cpu"])
    found = targets.verdicts(rows | {"steps": steps})
    met = sum(verdict["met"] for verdict in found)
    lines = ["# Speed", "", f"{met} of {len(found)} targets are met in these calls:", ""]
    lines += ["```bash", *dict.fromkeys(call["command"] for call in calls), "```", ""]
    lines += [f"- {machine}" for machine in _machines(calls)]
    lines += [f"- {note}" for note in dict.fromkeys(call.get("note", "") for call in calls) if note]
    lines += ["", ABOUT, ""]
    if not any(call["machine"]["platform"] == "gpu" for call in calls):
        lines += [f"The targets on a GPU are unmeasured; `{GPU}` measures them all in one call.", ""]
    lines += ["This page is `python -m rnnbench.bench --from_json=…` of the JSON files beside it.", ""]
    lines += ["## Targets", "", render(_verdicts(found))]
    if ratios := targets.speedups([row for row in steps if not row["note"]]):
        lines += ["## Times faster than the PyTorch original", "", render(_speedups(ratios))]
    for what, title in table.TITLES.items():
        if rows[what]:
            draw = table.measured if what in ("ops", "mixers", "steps") else table.pairs
            lines += [f"## {title}", "", render(draw(what, rows[what]))]
    return "\n".join(lines).rstrip() + "\n"


def _merged(what: str, calls: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows of all calls, by subject and length; of what was measured more than once the first."""
    found: dict[str, dict[int, dict[str, Any]]] = {}
    for call in calls:
        for row in call.get(what, []):
            subject = {name: row[name] for name in row if name not in {*SINGLE, *PAIR, "length"}}
            by_length = found.setdefault(json.dumps([call["machine"], subject]), {})
            if row["length"] not in by_length or by_length[row["length"]]["note"]:
                by_length[row["length"]] = row
    return [by_length[length] for by_length in found.values() for length in sorted(by_length)]


def _machines(calls: Sequence[dict[str, Any]]) -> list[str]:
    """A line for each kind of machine, with the best it did in any of its calls."""
    limits: dict[str, dict[str, float]] = {}
    for call in calls:
        of = limits.setdefault(json.dumps([call["machine"], call["versions"]]), {})
        of |= {name: max(value, of.get(name, 0.0)) for name, value in call["ceilings"].items()}
    return [table.machine(*json.loads(kind), best).strip() for kind, best in limits.items()]


def render(drawn: Table) -> str:
    """A table as Markdown."""
    drawn.title, drawn.box = None, box.MARKDOWN
    console = Console(file=io.StringIO(), width=400, highlight=False, color_system=None)
    console.print(drawn)
    return "".join(line.strip() + "\n" for line in console.file.getvalue().splitlines() if line.strip())


def _verdicts(found: Sequence[targets.Verdict]) -> Table:
    drawn = Table("target", "wanted", "measured", "")
    for verdict in found:
        met = "met" if verdict["met"] else "missed"
        drawn.add_row(verdict["target"], verdict["wanted"], verdict["measured"], met)
    return drawn


def _speedups(ratios: dict[int, dict[str, float]]) -> Table:
    presets = list(targets.PYTORCH[256])
    drawn = Table("T", *presets)
    for length, of in sorted(ratios.items()):
        theirs = targets.PYTORCH[length]
        cells = [f"{of[name]:.1f}× of {theirs[name]} ms" if name in of else "–" for name in presets]
        drawn.add_row(str(length), *cells)
    return drawn
