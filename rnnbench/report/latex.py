"""Entries → tables for a paper: LaTeX with booktabs, and the same numbers as CSV."""

import csv
import io
import re
import statistics
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from rnnbench.report.read import Results
from rnnbench.report.spread import number
from rnnbench.report.summary import Group, groups, last_rows, words
from rnnbench.report.tables import case_heading
from rnnbench.store.rows import case_name

SPREADS = {
    "range": "median (worst--best seed)",
    "quartiles": "median (quartiles over seeds)",
    "error": "mean $\\pm$ standard error over seeds",
}
BOLD = "Bold: the highest in its column, and all that print the same digits."
HEAD = (
    "task", "setting", "protocol", "model", "case", "value", "low", "high", "seeds", "learning rate", "bold",
)  # fmt: skip
ESCAPES = {
    **{each: f"\\{each}" for each in "&%$#_{}"},
    "\\": "\\textbackslash{}", "~": "\\textasciitilde{}", "^": "\\textasciicircum{}",
    "×": "$\\times$", "−": "$-$", "–": "--", "·": "$\\cdot$",
}  # fmt: skip


class Value(NamedTuple):
    """The middle of some seeds and its spread; None where it falls on a diverged one."""

    middle: float | None
    low: float | None
    high: float | None


def escape(text: str) -> str:
    """Text as LaTeX prints it."""
    return re.sub("|".join(map(re.escape, ESCAPES)), lambda match: ESCAPES[match[0]], text)


def files(entries: Sequence[dict], found: Results, spread: str) -> dict[str, str]:
    """tables.tex, a table per group, and tables.csv. `spread` is one of SPREADS."""
    tex, lines = [], [HEAD]
    for group in groups(entries):
        values = [_values(entry, found.rows, spread) for entry in group.entries]
        best = {case: _best(values, case) for case in group.cases}
        tex.append(_table(group, values, best, spread))
        for entry, of in zip(group.entries, values):
            for case, value in of.items():
                bold = int(number(value.middle) == best[case])
                told = (len(entry["seeds"]), entry["learning_rate"], bold)
                lines.append((group.task, group.title, group.protocol, entry["label"], case, *value, *told))
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(lines)
    return {
        "tables.tex": "% needs \\usepackage{booktabs}\n\n" + "\n".join(tex),
        "tables.csv": text.getvalue(),
    }


def _values(entry: dict, rows: Sequence[dict], spread: str) -> dict[str, Value]:
    """{case: value} over the seeds of an entry at its learning rate."""
    mine = [row for row in rows if (row.get("workdir"), row["cell"]) in entry["runs"]]
    found: dict[str, list[float]] = {}
    for row in last_rows([row for row in mine if row["learning_rate"] == entry["learning_rate"]]):
        value = None if row["diverged"] else row[row["headline"]]
        found.setdefault(case_name(row["case"]), []).append(-np.inf if value is None else value)
    finite = lambda value: float(value) if np.isfinite(value) else None
    return {case: Value(*map(finite, middle(values, spread))) for case, values in found.items()}


def middle(values: list[float], spread: str) -> tuple[float, float, float]:
    """(the middle, the lower end, the upper end) of a spread; not finite if that is a diverged seed's."""
    if spread == "error":
        mean = statistics.fmean(values)
        lone = len(values) < 2 or not np.isfinite(mean)
        error = np.nan if lone else statistics.stdev(values) / len(values) ** 0.5
        return mean, mean - error, mean + error
    ends = (min(values), max(values))
    if spread == "quartiles":
        with np.errstate(invalid="ignore"):  # between a diverged seed and another it is not a number
            ends = tuple(np.quantile(values, (0.25, 0.75)))
    return statistics.median(values), *ends


def _best(values: list[dict[str, Value]], case: str) -> str:
    known = [of[case].middle for of in values if case in of and of[case].middle is not None]
    return number(max(known)) if known else ""


def _table(group: Group, values: list[dict[str, Value]], best: dict[str, str], spread: str) -> str:
    """`values` per entry of the group; `best` per case, as it is printed."""
    headings = [escape(case_heading(each, group, " ")) for each in group.cases.values()]
    lines = [" & ".join(["model", *headings]) + r" \\", r"\midrule"]
    for entry, of in zip(group.entries, values):
        shown = [_shown(of.get(case), best[case], spread) for case in group.cases]
        lines.append(" & ".join([escape(entry["label"]), *shown]) + r" \\")
    chance = " & ".join(["chance", *(number(each["chance"]) for each in group.cases.values())])
    lines += [r"\midrule", rf"{chance} \\"]
    counts = sorted({len(entry["seeds"]) for entry in group.entries})
    seeds = f"{'--'.join(map(str, dict.fromkeys((counts[0], counts[-1]))))} seed{'s' * (counts[-1] > 1)}"
    caption = (
        f"{escape(group.name)}: {escape(group.headline)}, {SPREADS[spread]}, {seeds}, at the learning rate "
        f"with the best median at {escape(words(group.train_case))}. {BOLD}"
    )
    return "\n".join([
        r"\begin{table}", r"\centering", rf"\caption{{{caption}}}",
        rf"\begin{{tabular}}{{l{'r' * len(headings)}}}", r"\toprule", *lines, r"\bottomrule",
        r"\end{tabular}", r"\end{table}", "",
    ])  # fmt: skip


def _shown(value: Value | None, best: str, spread: str) -> str:
    if value is None:
        return "--"
    middle = number(value.middle)
    shown = rf"\textbf{{{middle}}}" if middle == best else middle
    if spread == "error":
        return shown if value.low is None else rf"{shown} $\pm$ {number(value.middle - value.low)}"
    return shown if value.low == value.high else f"{shown} ({number(value.low)}--{number(value.high)})"
