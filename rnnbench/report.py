"""Rows → tables and plots: `python -m rnnbench.report WORKDIR...`"""

import argparse
import io
import json
import math
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure
from rich.console import Console

from rnnbench.config import InputError
from rnnbench.metrics import case_name, read_jsonl, write_bytes, write_text
from rnnbench.plot import draw
from rnnbench.tables import markdown, table

PLOT = "accuracy_vs_length.png"
WORST = -math.inf  # where a diverged member stands among the others


def read_rows(workdir) -> list[dict]:
    """The result rows of a run, or of all cells of a study in the study's order."""
    workdir = Path(workdir)
    study = workdir / "study.json"
    order = list(json.loads(study.read_text())["cells"]) if study.exists() else []
    place = lambda cell: order.index(cell.name) if cell.name in order else len(order)
    cells = sorted(sorted(workdir.glob("cells/*")), key=place)
    files = [workdir / "results.jsonl", *(cell / "results.jsonl" for cell in cells)]
    return [row for file in files for row in read_jsonl(file)]


def summarise(rows: Sequence[dict]) -> list[dict]:
    """One entry per (task, protocol, model, overrides), in the order of the rows.

    A member's last evaluation counts. The learning rate is the one with the best median headline over seeds
    at the selection case, never at a case of extrapolation; ties are broken by the median loss there. A
    diverged member counts as worse than any other; a median, best or min that falls on one is None.
    """
    groups = {}
    for row in rows:
        identity = (row["task"], row["protocol"], row["model"], json.dumps(row["overrides"], sort_keys=True))
        groups.setdefault(identity, []).append(row)
    entries = [_entry(_last_rows(group)) for group in groups.values()]
    for entry in entries:
        namesakes = [e for e in entries if all(e[key] == entry[key] for key in ("task", "protocol", "model"))]
        changes = " ".join(f"{key}={value}" for key, value in entry["overrides"].items())
        entry["label"] = f"{entry['model']} {changes}" if len(namesakes) > 1 and changes else entry["model"]
    return entries


def _last_rows(rows: list[dict]) -> list[dict]:
    last_step = {}
    for row in rows:
        last_step[_member(row)] = max(row["step"], last_step.get(_member(row), 0))
    newest = {
        (_member(row), case_name(row["case"])): row for row in rows if row["step"] == last_step[_member(row)]
    }
    return list(newest.values())


def _member(row: dict) -> tuple:
    return row["learning_rate"], row["seed"]


def _entry(rows: list[dict]) -> dict:
    selection = [row for row in rows if row["selection"]]
    rates = {}
    for rate in sorted({row["learning_rate"] for row in rows}):
        at_rate = [row for row in selection if row["learning_rate"] == rate]
        loss = statistics.median(math.inf if row["loss"] is None else row["loss"] for row in at_rate)
        rates[rate] = (statistics.median(map(_score, at_rate)), -loss)
    chosen = max(rates, key=rates.get)
    kept = [row for row in rows if row["learning_rate"] == chosen]
    by_case = {}
    for row in kept:
        by_case.setdefault(case_name(row["case"]), []).append(row)
    at_selection = next(row for row in kept if row["selection"])
    copied = ("task", "protocol", "model", "overrides", "headline", "params", "state_size")
    diverged = {_member(row) for row in rows if row["diverged"]}
    return {
        **{name: at_selection[name] for name in copied},
        "learning_rate": chosen,
        "learning_rates": {rate: _shown(score) for rate, (score, _) in rates.items()},
        "seeds": sorted({row["seed"] for row in kept}),
        "train_seconds": max(row["train_seconds"] for row in kept),
        "final": all(row["final"] for row in kept),
        "step": max(row["step"] for row in kept),
        "train_case": at_selection["case"],
        "cases": {name: _spread(of_case) for name, of_case in by_case.items()},
        "diverged": [{"learning_rate": rate, "seed": seed} for rate, seed in sorted(diverged)],
    }


def _spread(rows: list[dict]) -> dict:
    scores = [_score(row) for row in rows]
    return {
        "case": rows[0]["case"],
        "chance": rows[0]["chance"],
        "median": _shown(statistics.median(scores)),
        "best": _shown(max(scores)),
        "min": _shown(min(scores)),
        "seeds": len(rows),
    }


def _score(row: dict) -> float:
    value = row[row["headline"]]
    return WORST if row["diverged"] or value is None else value


def _shown(score: float) -> float | None:
    return score if math.isfinite(score) else None


def accuracy_vs_length(rows: Sequence[dict]) -> Figure:
    """The matplotlib Figure of the rows: a panel per task, a line per model."""
    return draw(summarise(rows))


def png(figure: Figure) -> bytes:
    """For a file or for TensorBoard."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=160)
    return buffer.getvalue()


def write(workdir) -> list[dict]:
    """Writes report.md and the plot into the workdir; returns the summary."""
    rows = read_rows(workdir)
    if not rows:
        raise InputError(f"{workdir}: no results here (no results.jsonl, no cells/*/results.jsonl with rows)")
    summary = summarise(rows)
    write_bytes(Path(workdir) / PLOT, png(draw(summary)))
    write_text(Path(workdir) / "report.md", markdown(summary, PLOT))
    return summary


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m rnnbench.report", description="Writes report.md and its plot into each workdir."
    )
    parser.add_argument("workdirs", metavar="WORKDIR", nargs="+", help="the workdir of a run or of a study")
    for workdir in parser.parse_args(arguments).workdirs:
        try:
            summary = write(workdir)
        except (InputError, OSError) as error:
            print(error, file=sys.stderr)
            return 2
        console = Console()
        console.print(table(summary))
        console.print(f"written: {Path(workdir) / 'report.md'}, {Path(workdir) / PLOT}", soft_wrap=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
