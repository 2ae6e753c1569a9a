"""Figures as plain data (`panels`) → matplotlib, for files and for TensorBoard."""

import io
import math
from collections.abc import Sequence

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from rnnbench.report.figures import accuracy_vs_length
from rnnbench.report.panels import Heatmap, Line, Panel, Plot, y_range
from rnnbench.report.summary import summarise

MARKERS = {
    "circle": "o",
    "square": "s",
    "triangle-up": "^",
    "triangle-down": "v",
    "cross": "P",
    "diamond": "D",
    "x": "X",
}
LABEL_GAP = 0.052  # of the panel's height, between two labels at the line ends
INK, FAINT = "#333333", "#8A8A8A"


def of_rows(rows: Sequence[dict]) -> Figure:
    """The figure of accuracy against length of these rows."""
    return draw(accuracy_vs_length(summarise(rows)))


def png(figure: Figure) -> bytes:
    """The figure as a PNG file, for a workdir or for TensorBoard."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=160)
    return buffer.getvalue()


def svg(figure: Figure) -> bytes:
    """The figure as an SVG file, the same bytes every time."""
    buffer = io.BytesIO()
    with matplotlib.rc_context({"svg.hashsalt": "rnnbench"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    return buffer.getvalue()


def draw(plot: Plot) -> Figure:
    """The panels of a plot in a grid."""
    columns = min(len(plot.panels), 3 if plot.name == "cost" else 2)
    rows = math.ceil(len(plot.panels) / columns)
    width, height = 7.6, 5.0
    if isinstance(plot.panels[0], Heatmap):
        width = 2.6 + 1.5 * max(len(panel.columns) for panel in plot.panels)
        height = 1.5 + 0.55 * max(len(panel.rows) for panel in plot.panels)
    figure = Figure(figsize=(width * columns, height * rows), layout="constrained", facecolor="white")
    figure.get_layout_engine().set(w_pad=0.15, h_pad=0.12)
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes, panel in zip(grid.flat, plot.panels):
        (_draw_heatmap if isinstance(panel, Heatmap) else _draw_panel)(axes, panel)
    for axes in list(grid.flat)[len(plot.panels) :]:
        axes.set_axis_off()
    figure.draw_without_rendering()
    figure.set_layout_engine("none")  # done: each further file would lay it out again
    return figure


def _title(axes: Axes, panel: Panel | Heatmap) -> None:
    axes.set_title(panel.title, loc="left", fontsize=14, fontweight="bold", color=INK, pad=24)
    place = {"xycoords": "axes fraction", "textcoords": "offset points"}
    axes.annotate(panel.subtitle, (0, 1), (0, 8), **place, fontsize=10, color="#666666")


def _draw_heatmap(axes: Axes, panel: Heatmap) -> None:
    values = [[math.nan if value is None else value for value in row] for row in panel.values]
    xs, ys = ([i - 0.5 for i in range(len(names) + 1)] for names in (panel.columns, panel.rows))
    axes.pcolormesh(xs, ys, values, cmap="viridis", vmin=0, vmax=1, edgecolors="white", linewidth=2)
    axes.invert_yaxis()
    axes.set_xticks(range(len(panel.columns)), [name.strip().replace("<br>", "\n") for name in panel.columns])
    axes.set_yticks(range(len(panel.rows)), panel.rows)
    axes.tick_params(colors=INK, labelsize=10, length=0)
    axes.spines[:].set_visible(False)
    for y, row in enumerate(panel.texts):
        for x, text in enumerate(row):
            value = panel.values[y][x]
            color = INK if value is None else "black" if value > 0.6 else "white"
            place = {"ha": "center", "va": "center", "fontsize": 9, "linespacing": 1.3}
            axes.text(x, y, text.replace("<br>", "\n"), color=color, **place)
    _title(axes, panel)


def _draw_panel(axes: Axes, panel: Panel) -> None:
    bottom = _set_scales(axes, panel)
    _mark_training_and_chance(axes, panel)
    ends = [(_draw_line(axes, line, bottom), line.label, line.style["color"]) for line in panel.lines]
    _label_ends(axes, ends)
    _title(axes, panel)


def _set_scales(axes: Axes, panel: Panel) -> float:
    xs = [x for line in panel.lines for x in line.x] + [tick for tick, _ in panel.x_ticks]
    low, high = min(xs), max(xs)
    if panel.x_log:
        axes.set_xscale("log", base=panel.x_log)
        low, high = min(low, panel.trained or low), max(high, panel.trained or high)
        margin = max(high / low, 2) ** 0.1
        axes.set_xlim(low / margin, high * margin**0.6)
    else:
        margin = 0.03 * max(high - low, 1)  # a curve may have a single point
        axes.set_xlim(low - margin, high + margin)
    if panel.x_ticks:
        texts = dict(panel.x_ticks)
        axes.xaxis.set_major_locator(FixedLocator(list(texts)))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: texts.get(x, f"{x:g}")))
    axes.set_xlabel(panel.x_title, color=INK, fontsize=10)
    axes.set_ylabel(panel.y_title, color=INK, fontsize=10)
    bottom, top = y_range(panel)
    axes.set_ylim(bottom, top)
    axes.grid(axis="y", color="#E6E6E6", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color("#BBBBBB")
    axes.tick_params(which="both", colors=INK, labelsize=10, length=0)
    return bottom


def _mark_training_and_chance(axes: Axes, panel: Panel) -> None:
    left, right = axes.get_xlim()
    small = {"textcoords": "offset points", "color": FAINT, "fontsize": 9, "va": "top", "style": "italic"}
    if panel.trained is not None:
        axes.axvspan(left, panel.trained, color="#F1F1EC", zorder=0, linewidth=0)
        axes.annotate("trained", (left, axes.get_ylim()[1]), (3, -2), **small)
    if panel.chance:
        xs, ys = zip(*panel.chance)
        look = {"color": FAINT, "linewidth": 1.1, "linestyle": (0, (1, 2)), "zorder": 1}
        axes.plot([left, *xs, right], [ys[0], *ys, ys[-1]], **look)
        axes.annotate("chance", (left, ys[0]), (3, -3), **small)


def _draw_line(axes: Axes, line: Line, bottom: float) -> tuple[float, float] | None:
    """Draws it; returns the last point, or None where there is none."""
    ys = [math.nan if y is None else y for y in line.y]
    color, dash = line.style["color"], line.style["dash"]
    if line.low:
        low, high = ([bottom if y is None else y for y in side] for side in (line.low, line.high))
        if len(line.x) > 1:
            axes.fill_between(line.x, low, high, color=color, alpha=0.12, linewidth=0, zorder=2)
        else:
            axes.plot(line.x * 2, [low[0], high[0]], color=color, alpha=0.5, linewidth=2, zorder=2)
    few = len(line.x) <= 24
    look = {"marker": MARKERS[line.style["marker"]] if few else "", "markersize": 6 if len(line.x) > 1 else 8}
    look |= {"linestyle": (0, dash) if dash else "-", "linewidth": 2 if few else 1.5}
    axes.plot(line.x, ys, color=color, **look, markeredgecolor="white", markeredgewidth=0.9, zorder=3)
    points = [point for point in zip(line.x, ys) if not math.isnan(point[1])]
    return points[-1] if points else None


def _label_ends(axes: Axes, ends: list[tuple]) -> None:
    """Names beside the last points, pushed apart; a thin line leads from each to its point."""
    bottom, top = axes.get_ylim()
    gap = LABEL_GAP * (top - bottom)
    order = sorted(range(len(ends)), key=lambda i: (bottom if ends[i][0] is None else ends[i][0][1], -i))
    wanted = [bottom if ends[i][0] is None else ends[i][0][1] for i in order]
    heights = spread_apart(wanted, gap, bottom + gap / 2, top)
    beside = axes.get_yaxis_transform()  # x as a fraction of the panel, y as the data
    for i, height in zip(order, heights):
        point, label, color = ends[i]
        text = {"fontsize": 10, "color": color, "va": "center", "annotation_clip": False}
        if point is None:
            axes.annotate(f"{label} (diverged)", (1.06, height), xycoords=beside, **text)
            continue
        leader = {"arrowstyle": "-", "color": color, "linewidth": 0.7, "alpha": 0.5}
        leader |= {"shrinkB": 4, "relpos": (0, 0.5)}
        axes.annotate(label, point, (1.06, height), textcoords=beside, arrowprops=leader, **text)


def spread_apart(wanted: list[float], gap: float, low: float, high: float) -> list[float]:
    """Ascending heights at least `gap` apart, near the ascending wanted ones, within [low, high] if they fit.

    Neighbours that are too close are merged into a block that is centred on the mean of what they want.
    """
    blocks = []  # [sum of wanted, count]
    place = lambda block: min(
        max(block[0] / block[1] - gap * (block[1] - 1) / 2, low), max(high - gap * (block[1] - 1), low)
    )
    for value in wanted:
        blocks.append([value, 1])
        while len(blocks) > 1 and place(blocks[-2]) + gap * blocks[-2][1] > place(blocks[-1]):
            value_sum, count = blocks.pop()
            blocks[-1] = [blocks[-1][0] + value_sum, blocks[-1][1] + count]
    return [place(block) + gap * k for block in blocks for k in range(block[1])]
