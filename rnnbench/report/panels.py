"""Figures as plain data, which `draw` turns into PNG and SVG and `interactive` into the page's."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field

from rnnbench.report.style import style
from rnnbench.report.summary import Group, quantile


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


def y_range(panel: Panel) -> tuple[float, float]:
    """The least and the greatest y that is shown."""
    shown = [y for line in panel.lines for y in (*line.y, *line.low, *line.high) if y is not None]
    shown = [*shown, *(y for _, y in panel.chance)] or [0.0]
    if panel.share:
        bottom = max(min(shown) - 0.08, -0.03)
        return bottom, 1 + 0.1 * (1 - bottom)
    return min(0.0, *shown), 1.05 * max(shown) or 1.0


def of_seeds(entry: dict, group: Group, name: str, by_x: dict[float, list], low_is_bad: bool = True) -> Line:
    """Median and quartiles at each x of the values of the seeds; a None among them is the worst of all."""
    sign, quartiles = 1 if low_is_bad else -1, []
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


def of_spreads(entry: dict, group: Group, points: Sequence[tuple[float, str, dict]]) -> Line:
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


def heading(group: Group, kind: str) -> str:
    return " · ".join(filter(None, [group.title, kind]))


def subtitle(group: Group, where: str = "", what: str | None = None) -> str:
    seeds = max(len(entry["seeds"]) for entry in group.entries)
    what = group.headline if what is None else what
    seen = f"{seeds} seeds" if seeds > 1 else "one seed"
    return " · ".join(filter(None, [what, where, f"protocol {group.protocol}", seen]))


def log_ticks(values: Sequence[float]) -> list[tuple[float, str]]:
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
