"""Figures as plain data, from which `draw` makes PNG and SVG, and `page` the figures of report.html."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from rnnbench.report.style import Style

MANY = 24  # points from which a line has no markers


@dataclass(frozen=True)
class Line:
    """A model's line, or its single point: y, and the band from low to high. None: it diverged."""

    label: str
    style: Style
    x: list[float]
    y: list[float | None]
    low: list[float | None] = field(default_factory=list)
    high: list[float | None] = field(default_factory=list)
    hover: list[str] = field(default_factory=list)  # a description of each point
    joined: bool = True


@dataclass(frozen=True)
class Panel:
    """One pair of axes. `chance`: points of a dotted line; `trained`: the longest training length."""

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
    y_log: bool = False
    loss: bool = False  # less is better

    def y_range(self) -> tuple[float, float]:
        """The smallest and the largest y that is shown."""
        shown = [y for line in self.lines for y in (*line.y, *line.low, *line.high) if y is not None]
        shown = [*shown, *(y for _, y in self.chance)] or [0.0]
        if self.y_log:
            return 0.8 * min(shown), 1.25 * max(shown)
        if self.share:
            bottom = max(min(shown) - 0.08, -0.04)
            return bottom, 1 + 0.06 * (1 - bottom)
        return min(0.0, *shown), 1.05 * max(shown) or 1.0

    def worst(self) -> float:
        """The y at which a band ends whose seed there diverged."""
        return self.y_range()[self.loss]


@dataclass(frozen=True)
class Heatmap:
    """cells[row][column]: a spread, or None for an empty cell. Columns: (task and kind, length)."""

    title: str
    subtitle: str
    rows: list[str]
    columns: list[tuple[str, str]]
    cells: list[list[dict | None]]


@dataclass(frozen=True)
class Plot:
    """A figure of several panels; `name` is the stem of its file names."""

    name: str
    title: str
    caption: str
    panels: list


def legend(panels: Sequence[Panel]) -> list[tuple[str, Line]]:
    """(name, one of its lines) per model of several panels."""
    by_label: dict[str, list[Line]] = {}
    for line in (line for panel in panels for line in panel.lines):
        by_label.setdefault(line.label, []).append(line)
    nowhere = lambda lines: all(y is None for line in lines for y in line.y)
    return [(f"{n} (diverged)" if nowhere(lines) else n, lines[0]) for n, lines in by_label.items()]


def log_ticks(values: Sequence[float]) -> list[tuple[float, str]]:
    """1, 2, 5, 10 … from the last one below all values to the first above; powers of ten if they are many."""
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values))) + 1
    for digits in ((1, 2, 5), (1,)):
        steps = [digit * 10.0**power for power in range(low, high + 1) for digit in digits]
        first = max(i for i, step in enumerate(steps) if step <= min(values) * (1 + 1e-9))
        last = min(i for i, step in enumerate(steps) if step >= max(values) * (1 - 1e-9))
        kept = steps[first : max(last, first + 1) + 1]
        if len(kept) <= 8:
            break
    return [(step, _short(step)) for step in kept]


def _short(value: float) -> str:
    size, unit = next(each for each in ((1e6, "M"), (1e3, "k"), (0, "")) if value >= each[0])
    return f"{value / (size or 1):g}{unit}"
