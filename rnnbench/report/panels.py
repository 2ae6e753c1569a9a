"""Entries → figures as plain data, which `draw` turns into PNG and SVG and `interactive` into the page's."""

import math
import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from rnnbench.metrics import case_name
from rnnbench.report.read import Results
from rnnbench.report.style import style
from rnnbench.report.summary import Group, groups, kinds, longest, quantile, skill

POINTS = 200  # of a learning curve: more cannot be told apart


@dataclass(frozen=True)
class Line:
    """A model's line, or its single point. A y of None: its median diverged. `low` and `high`: quartiles."""

    label: str
    style: dict
    x: list[float]
    y: list[float | None]
    low: list[float | None] = field(default_factory=list)
    high: list[float | None] = field(default_factory=list)
    hover: list[str] = field(default_factory=list)  # what each point is, in words


@dataclass(frozen=True)
class Panel:
    """One pair of axes. `chance`: points of a dotted line; `trained`: up to where lengths were trained."""

    title: str
    subtitle: str
    x_title: str
    y_title: str
    lines: list[Line]
    x_log: int = 0  # base of the logarithm; 0 = linear
    x_ticks: list[tuple[float, str]] = field(default_factory=list)
    chance: list[tuple[float, float]] = field(default_factory=list)
    trained: float | None = None
    share: bool = True  # y is an accuracy, so its scale ends at 1


@dataclass(frozen=True)
class Heatmap:
    """values[row][column] from 0, chance, to 1; None where there is nothing or where it diverged."""

    title: str
    subtitle: str
    rows: list[str]
    columns: list[str]
    values: list[list[float | None]]
    texts: list[list[str]]


@dataclass(frozen=True)
class Plot:
    """A figure of several panels; `name` is the stem of its file names."""

    name: str
    title: str
    caption: str
    panels: list


CAPTIONS = {
    "overview": (
        "Overview",
        "Each model's headline metric at the longest evaluated length of each task: the median over seeds, "
        "and below it the least and the best seed. The colour runs from chance to 1.",
    ),
    "accuracy_vs_length": (
        "Accuracy against length",
        "The headline metric against the length of the sequences, at each model's learning rate: median over "
        "seeds, band between the quartiles; the lengths of training are shaded, the dotted line is chance.",
    ),
    "learning_rates": (
        "Learning-rate window",
        "The headline metric at the longest length of training against the learning rate: how wide is the "
        "range in which a model learns? Median over seeds, band between the quartiles.",
    ),
    "learning_curves": (
        "Learning curves",
        "Training loss against optimiser steps at each model's learning rate: median over seeds, band "
        "between the quartiles.",
    ),
    "cost": (
        "Accuracy against cost",
        "The headline metric at the longest length against what it costs: float32 values of state carried "
        "per sequence of that length, parameters, seconds of training per member. The bars are quartiles.",
    ),
    "positions": (
        "Accuracy by position",
        "Accuracy along the sequence at the longest length: where does a model lose track? Median over "
        "seeds, band between the quartiles.",
    ),
}


def plots(entries: Sequence[dict], results: Results) -> list[Plot]:
    """All figures of a report that have something to show."""
    found = groups(entries)
    made = {
        "overview": _overview(found),
        "accuracy_vs_length": _lengths(found),
        "learning_rates": _learning_rates(found),
        "learning_curves": _learning_curves(found, results.curves),
        "cost": _cost(found),
        "positions": _positions(found, results.positions),
    }
    drawn = [Plot(name, *CAPTIONS[name], list(panels)) for name, panels in made.items()]
    return [plot for plot in drawn if plot.panels]


def accuracy_vs_length(entries: Sequence[dict]) -> Plot:
    """A panel per task and protocol, and per kind of case where a task has several of the same length."""
    name = "accuracy_vs_length"
    return Plot(name, *CAPTIONS[name], list(_lengths(groups(entries))))


def _overview(found: Sequence[Group]) -> Iterator[Heatmap]:
    for protocol in dict.fromkeys(group.protocol for group in found):
        columns: dict[str, dict[str, dict]] = {}
        for group in found:
            for kind, lines in kinds(group):
                if group.protocol == protocol:
                    furthest = max(length for _, line in lines for length, _ in line)
                    words = group.title.replace(" ", "<br>") if len(group.title) > 12 else group.title
                    name = "<br>".join(filter(None, [words, kind, f"length {furthest}"]))
                    while name in columns:
                        name += " "  # the same task with other settings
                    at_end = {e["label"]: line[-1][1] for e, line in lines if line[-1][0] == furthest}
                    columns[name] = at_end
        mine = [group for group in found if group.protocol == protocol]
        rows = list(dict.fromkeys(entry["label"] for group in mine for entry in group.entries))
        cells = [[column.get(label) for column in columns.values()] for label in rows]
        yield Heatmap(
            "All models",
            f"protocol {protocol}",
            rows,
            list(columns),
            [[cell and _clipped(skill(cell)) for cell in row] for row in cells],
            [[_cell_text(cell) for cell in row] for row in cells],
        )


def _clipped(value: float | None) -> float | None:
    return None if value is None else min(max(value, 0.0), 1.0)


def _cell_text(spread: dict | None) -> str:
    if spread is None:
        return ""
    median, least, best = (
        "div." if spread[k] is None else f"{spread[k]:.2f}" for k in ("median", "min", "best")
    )
    return median if spread["seeds"] == 1 else f"{median}<br>{least}–{best}"


def _lengths(found: Sequence[Group]) -> Iterator[Panel]:
    for group in found:
        for kind, lines in kinds(group):
            trained = longest(group.train_case)
            lengths = sorted({length for _, line in lines for length, _ in line})
            chance = {length: spread["chance"] for _, line in lines for length, spread in line}
            octaves = math.log2(lengths[-1] / lengths[0])
            drawn = []
            for i, (entry, line) in enumerate(lines):
                # A little to the side, so that equal lines stay visible.
                shift = 2 ** (0.011 * max(octaves, 0.3) * (i - (len(lines) - 1) / 2))
                points = [(length * shift, case_name(spread["case"]), spread) for length, spread in line]
                drawn.append(_line(entry, group, points))
            yield Panel(
                _title(group, kind),
                _subtitle(group),
                "sequence length, and as a multiple of the longest in training",
                group.headline,
                drawn,
                x_log=2,
                x_ticks=[(length, f"{length}\n{length / trained:.3g}×") for length in lengths],
                chance=sorted(chance.items()),
                trained=trained,
            )


def _learning_rates(found: Sequence[Group]) -> Iterator[Panel]:
    for group in found:
        rates = sorted({rate for entry in group.entries for rate in entry["learning_rates"]})
        if len(rates) < 2:
            continue
        chance = next(iter(group.entries[0]["learning_rates"].values()))["chance"]
        yield Panel(
            group.title,
            _subtitle(group, f"at {case_name(group.train_case)}"),
            "learning rate",
            group.headline,
            [
                _line(e, group, [(r, f"learning rate {r:g}", s) for r, s in e["learning_rates"].items()])
                for e in group.entries
            ],
            x_log=10,
            x_ticks=[(rate, f"{rate:g}") for rate in rates],
            chance=[(rate, chance) for rate in rates],
        )


def _learning_curves(found: Sequence[Group], curves: Sequence[dict]) -> Iterator[Panel]:
    by_run = _by_run(curves)
    for group in found:
        lines = []
        for entry in group.entries:
            by_step: dict[float, list] = {}
            for row in _of_chosen(entry, by_run):
                by_step.setdefault(row["step"], []).append(row["loss"])
            steps = sorted(by_step)
            steps = steps[:: -(-len(steps) // POINTS) or 1]
            if steps:
                lines.append(
                    _of_seeds(entry, group, "step", {step: by_step[step] for step in steps}, _high_is_worse)
                )
        if lines:
            yield Panel(group.title, _subtitle(group, what=""), "step", "training loss", lines, share=False)


COSTS: dict[str, Callable[[dict, dict], float]] = {
    "state size (float32 values)": lambda entry, spread: spread["state_size"],
    "parameters": lambda entry, spread: entry["params"],
    "training seconds per member": lambda entry, spread: entry["train_seconds"],
}


def _cost(found: Sequence[Group]) -> Iterator[Panel]:
    for group in found:
        kind, lines = next(kinds(group))  # the kind that comes first is the one of training
        furthest = max(length for _, line in lines for length, _ in line)
        last = [(entry, line[-1][1]) for entry, line in lines if line[-1][0] == furthest]
        for name, cost in COSTS.items():
            known = [(e, cost(e, s), s) for e, s in last if cost(e, s) > 0]
            if known:
                points = [_line(e, group, [(value, f"{name} {value:,.4g}", s)]) for e, value, s in known]
                ticks = _log_ticks([value for _, value, _ in known])
                where = _title(group, kind), _subtitle(group, f"at length {furthest}")
                yield Panel(*where, name, group.headline, points, x_log=10, x_ticks=ticks)


def _log_ticks(values: Sequence[float]) -> list[tuple[float, str]]:
    """1, 2, 5, 10 … from the last one below all values to the first above; powers of ten if they are many."""
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values))) + 1
    for digits in ((1, 2, 5), (1,)):
        steps = [digit * 10.0**power for power in range(low, high + 1) for digit in digits]
        first = max(i for i, step in enumerate(steps) if step <= min(values) * (1 + 1e-9))
        last = min(i for i, step in enumerate(steps) if step >= max(values) * (1 - 1e-9))
        kept = steps[first : max(last, first + 1) + 1]
        if len(kept) <= 7:
            break
    text = lambda value: f"{value / 1000:g}k" if 1000 <= value < 1e6 else f"{value:g}"
    return [(step, text(step)) for step in kept]


def _positions(found: Sequence[Group], positions: Sequence[dict]) -> Iterator[Panel]:
    by_run = _by_run(positions)
    for group in found:
        for kind, of_kind in kinds(group):
            furthest = max(length for _, line in of_kind for length, _ in line)
            lines = []
            for entry, line in of_kind:
                by_start: dict[float, list] = {}
                for row in _of_chosen(entry, by_run):
                    if row["step"] == entry["step"] and row["case"] == line[-1][1]["case"]:
                        for start, value in zip(row["starts"], row["accuracy"]):
                            if value is not None:  # asked there
                                by_start.setdefault(start, []).append(value)
                if line[-1][0] == furthest and len(by_start) > 1:
                    lines.append(
                        _of_seeds(entry, group, "position", dict(sorted(by_start.items())), _low_is_worse)
                    )
            if lines:
                subtitle = _subtitle(group, f"at length {furthest}", what="accuracy")
                yield Panel(_title(group, kind), subtitle, "position in the sequence", "accuracy", lines)


def _by_run(rows: Sequence[dict]) -> dict[tuple, list[dict]]:
    found: dict[tuple, list[dict]] = {}
    for row in rows:
        found.setdefault((row["workdir"], row["cell"], row["learning_rate"]), []).append(row)
    return found


def _of_chosen(entry: dict, by_run: dict[tuple, list[dict]]) -> Iterator[dict]:
    for run in entry["runs"]:
        yield from by_run.get((*run, entry["learning_rate"]), [])


_low_is_worse, _high_is_worse = 1, -1


def _of_seeds(entry: dict, group: Group, name: str, by_x: dict[float, list], sign: int) -> Line:
    """Median and quartiles at each x of the values of the seeds; a None among them is the worst of all."""
    quartiles = []
    for values in by_x.values():
        scores = [float("-inf") if value is None else sign * value for value in values]
        three = quantile(scores, 0.25), statistics.median(scores), quantile(scores, 0.75)
        quartiles.append([sign * q if q != float("-inf") else None for q in three])
    low, y, high = map(list, zip(*quartiles))
    look, counts = style(entry, group.entries), [len(values) for values in by_x.values()]
    hover = [f"{name} {x}: {_words(*q)}" for x, q in zip(by_x, zip(y, low, high, counts))]
    if max(counts) == 1:
        low = high = []
    return Line(entry["label"], look, list(by_x), y, low, high, hover)


def _line(entry: dict, group: Group, points: Sequence[tuple[float, str, dict]]) -> Line:
    """Of (x, what it is in words, spread)."""
    xs, names, spreads = zip(*points)
    quartiles = [[s[name] for s in spreads] for name in ("median", "low", "high")]
    hover = [f"{n}: {_words(s['median'], s['low'], s['high'], s['seeds'])}" for n, s in zip(names, spreads)]
    if all(spread["seeds"] == 1 for spread in spreads):
        quartiles[1:] = [], []
    return Line(entry["label"], style(entry, group.entries), list(xs), *quartiles, hover)


def _words(median: float | None, low: float | None, high: float | None, count: int) -> str:
    shown, least, best = ("diverged" if value is None else f"{value:.3f}" for value in (median, low, high))
    return shown if count == 1 else f"{shown}<br>quartiles of {count} seeds: {least} to {best}"


def _title(group: Group, kind: str) -> str:
    return " · ".join(filter(None, [group.title, kind]))


def _subtitle(group: Group, where: str = "", what: str | None = None) -> str:
    seeds = max(len(entry["seeds"]) for entry in group.entries)
    what = group.headline if what is None else what
    seen = f"{seeds} seeds" if seeds > 1 else "one seed"
    return " · ".join(filter(None, [what, where, f"protocol {group.protocol}", seen]))
