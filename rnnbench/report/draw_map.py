"""The map as a figure for one printed page."""

from textwrap import fill

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle

from rnnbench.report.map import MULTIPLES, Map, Reach

INK, SOFT, RULE = "#222222", "#666666", "#D5D5D5"
# Grey: not learned; sand: the training length alone; blues: beyond it. The lightness falls from 1× on, so
# that the order is visible with colour blindness and in black and white.
COLOURS = {0: "#ECEAE6", 1: "#F4D9A0", 2: "#A9CCE3", 4: "#4A90C4", 8: "#0B3C6F"}
WIDE, HIGH, FOOT = 0.40, 0.235, 1.15  # inches: of a cell, of classes and legend
LEGEND = 6.3  # inches: of the legend in two columns
MARKS = {"ring": {"marker": "o", "fillstyle": "none"}, "cross": {"marker": "X"}}


def ink(level: int) -> str:
    """The colour of the text on a level."""
    return "white" if level >= 4 else INK


def draw(panel: Map) -> Figure:
    """Families of rows and classes of columns, a gap between two of them."""
    rows, y = _places(panel.families, gap=1.0)
    columns, x = _places(panel.classes, gap=0.25)
    left = 0.35 + 0.08 * max((len(panel.names.get(row, row)) for row in rows), default=0)
    left = max(left, 0.2 + 0.09 * max(len(family) for family, _ in panel.families))
    head = 0.55 + 0.035 * max(map(len, columns), default=0)  # the columns' names stand at 45 degrees
    size = max(left + WIDE * x + 0.7, LEGEND), head + HIGH * y + FOOT
    figure = Figure(figsize=size, facecolor="white")
    axes = figure.add_axes((left / size[0], FOOT / size[1], WIDE * x / size[0], HIGH * y / size[1]))
    axes.set(xlim=(0, x), ylim=(y, 0))
    axes.set_axis_off()
    _headings(axes, panel, rows, columns, left)
    for model, top in rows.items():
        for task, side in columns.items():
            _cell(axes, side, top, panel.cells.get((model, task)))
    figure.text(0.12 / size[0], 1 - 0.22 / size[1], panel.title, fontsize=11, fontweight="bold", color=INK)
    figure.text(0.12 / size[0], 1 - 0.4 / size[1], panel.subtitle, fontsize=7.5, color=SOFT)
    look = {"frameon": False, "fontsize": 7.5, "labelcolor": INK, "handlelength": 1.4, "columnspacing": 1.2}
    across = 4 if size[0] > 1.2 * LEGEND else 2
    figure.legend(handles=_legend(), ncols=across, loc="lower left", bbox_to_anchor=(0.0, 0.0), **look)
    return figure


def _places(grouped: list[tuple[str, list[str]]], gap: float) -> tuple[dict[str, float], float]:
    """({name: where it begins}, where the last one ends); `gap` lies before every group."""
    found, at = {}, 0.0
    for _, names in grouped:
        at += gap
        for name in names:
            found[name], at = at, at + 1
    return found, at


def _headings(axes: Axes, panel: Map, rows: dict, columns: dict, left: float) -> None:
    for family, models in panel.families:
        place = -left / WIDE + 0.3, rows[models[0]] - 0.12
        axes.text(*place, family, fontsize=8, fontweight="bold", color=SOFT, va="bottom")
    for model, top in rows.items():
        name = panel.names.get(model, model)
        axes.text(-0.15, top + 0.5, name, fontsize=8, color=INK, ha="right", va="center")
    up = {"rotation": 45, "ha": "left", "va": "bottom", "rotation_mode": "anchor"}
    for task, side in columns.items():
        axes.text(side + 0.4, 0.55, task, fontsize=8, color=INK, **up)
    for kind, names in panel.classes:
        start, end = columns[names[0]], columns[names[-1]] + 1
        bottom = max(rows.values()) + 1.25
        for line in (0.42, bottom):
            axes.plot([start + 0.05, end - 0.05], [line, line], color=SOFT, linewidth=0.8, clip_on=False)
        below = {"fontsize": 6.5, "fontweight": "bold", "color": SOFT, "ha": "center", "va": "top"}
        axes.text((start + end) / 2, bottom + 0.15, fill(kind, 8 * len(names)), **below)


def _cell(axes: Axes, x: float, y: float, cell: Reach | None) -> None:
    fill = {"facecolor": "white", "edgecolor": RULE} if cell is None else {"facecolor": COLOURS[cell.median]}
    axes.add_patch(Rectangle((x + 0.03, y + 0.05), 0.94, 0.9, linewidth=0.5, **fill))
    if cell is None:
        return
    place = {"ha": "center", "va": "center", "color": ink(cell.median)}
    axes.text(x + 0.44, y + (0.36 if cell.between else 0.5), cell.text, fontsize=7.5, **place)
    if cell.between:
        axes.text(x + 0.44, y + 0.76, cell.between, fontsize=5.6, **place)
    if cell.mark:
        look = {"color": ink(cell.median), "markersize": 3.6, "markeredgewidth": 0.8, "linestyle": ""}
        axes.plot(x + 0.84, y + 0.3, **look, **MARKS[cell.mark])


def _legend() -> list:
    names = {0: "does not learn the training length", 1: "holds the training length only"}
    names |= {multiple: f"holds to {multiple}×" for multiple in MULTIPLES[1:]}
    mark = {"linestyle": "", "color": INK, "markersize": 4}
    return [
        *(Patch(facecolor=COLOURS[level], label=name) for level, name in names.items()),
        Patch(facecolor="white", edgecolor=RULE, label="not run yet"),
        Line2D([], [], label="theory: can; no seed does", **mark, **MARKS["ring"]),
        Line2D([], [], label="theory: cannot at every length; a seed does here", **mark, **MARKS["cross"]),
    ]
