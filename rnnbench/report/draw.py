"""Figures as plain data (`panels`) → matplotlib, for files and for TensorBoard."""

import io
import math
import os
import sys
from collections.abc import Sequence
from textwrap import fill

try:
    import matplotlib
except ValueError:  # MPLBACKEND, set by a notebook, may name a backend that is not installed
    del os.environ["MPLBACKEND"]
    for name in [name for name in sys.modules if name.startswith("matplotlib")]:
        del sys.modules[name]
    import matplotlib
import matplotlib.style
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from rnnbench.report import draw_map
from rnnbench.report.figures import accuracy_vs_length
from rnnbench.report.map import Map
from rnnbench.report.panels import MANY, Heatmap, Line, Panel, Plot, legend
from rnnbench.report.spread import number, skill
from rnnbench.report.style import MARKERS, Style, heat
from rnnbench.report.summary import summarise

# TrueType fonts in a PDF can be searched and edited, and journals accept them.
FIXED = {"svg.hashsalt": "rnnbench", "pdf.fonttype": 42}
UNDATED = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}
INK, SOFT, RULE = "#333333", "#666666", "#BBBBBB"
SHADE = "#F1F1EC"  # the lengths of training
DOTS = {"color": "#8A8A8A", "linewidth": 1.2, "linestyle": (0, (1, 2))}  # chance


def of_rows(rows: Sequence[dict]) -> Plot:
    """The plot of accuracy against length for these rows."""
    return accuracy_vs_length(summarise(rows))


def png(plot: Plot) -> bytes:
    """The plot as a PNG file."""
    return files(plot, ("png",))["png"]


def files(plot: Plot, kinds: Sequence[str] = ("png", "svg")) -> dict[str, bytes]:
    """{kind: the plot as a file of that kind}; the same bytes for any matplotlibrc of the user."""
    found = {}
    dpi = 200 if isinstance(plot.panels[0], Map) else 110
    with matplotlib.style.context("default"), matplotlib.rc_context(FIXED):
        figure = draw(plot)
        for kind in kinds:
            buffer = io.BytesIO()
            figure.savefig(buffer, format=kind, dpi=dpi, metadata=UNDATED.get(kind))
            found[kind] = buffer.getvalue()
    return found


def draw(plot: Plot) -> Figure:
    """The panels of a plot in a grid, with one legend for all of them."""
    if isinstance(plot.panels[0], Map):
        return draw_map.draw(plot.panels[0])
    columns = min(len(plot.panels), 3 if plot.name == "cost" else 2)
    rows = math.ceil(len(plot.panels) / columns)
    if isinstance(plot.panels[0], Heatmap):
        columns, rows = 1, len(plot.panels)
        names = max(len(row) for panel in plot.panels for row in panel.rows)
        width = max(2.4, 0.5 + 0.085 * names) + 1.45 * max(len(panel.columns) for panel in plot.panels)
        height = 1.6 + 0.5 * max(len(panel.rows) for panel in plot.panels)
    else:
        width, height = 5.6 if columns == 3 else 6.8, 4.4
    handles = _legend([panel for panel in plot.panels if isinstance(panel, Panel)])
    inches = 0.75 + 0.085 * max((len(handle.get_label()) for handle in handles), default=0)
    across = max(math.floor(width * columns / inches), 1)
    size = max(width * columns, inches + 0.2), height * rows + 0.24 * math.ceil(len(handles) / across)
    figure = Figure(figsize=size, layout="constrained", facecolor="white")
    figure.get_layout_engine().set(w_pad=0.12, h_pad=0.12)
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes, panel in zip(grid.flat, plot.panels):
        (_draw_heatmap if isinstance(panel, Heatmap) else _draw_panel)(axes, panel)
    for axes in list(grid.flat)[len(plot.panels) :]:
        axes.set_axis_off()
    if handles:
        look = {"loc": "outside lower center", "frameon": False, "fontsize": 10, "labelcolor": INK}
        figure.legend(handles=handles, ncols=across, **look)
    figure.draw_without_rendering()
    figure.set_layout_engine("none")  # fixed: otherwise each further file would lay it out again
    return figure


def _legend(panels: Sequence[Panel]) -> list:
    handles = [Line2D([], [], label=name, **_look(line)) for name, line in legend(panels)]
    if any(panel.chance for panel in panels):
        handles.append(Line2D([], [], label="chance", **DOTS))
    if any(panel.trained for panel in panels):
        handles.append(Patch(facecolor=SHADE, edgecolor=RULE, label="lengths of training"))
    return handles


def _look(line: Line) -> dict:
    style: Style = line.style
    joined = line.joined and len(line.x) > 1
    dash = "none" if not joined else (0, style.dash) if style.dash else "-"
    marker = MARKERS[style.marker][0] if style.marker and len(line.x) <= MANY else ""
    look = {"marker": marker, "markersize": 7, "markeredgecolor": "white", "markeredgewidth": 0.9}
    return {"color": style.color, "linestyle": dash, "linewidth": 1.8} | look


def _title(axes: Axes, panel: Panel | Heatmap) -> None:
    axes.set_title(panel.title, loc="left", fontsize=13, fontweight="bold", color=INK, pad=22)
    place = {"xycoords": "axes fraction", "textcoords": "offset points"}
    axes.annotate(panel.subtitle, (0, 1), (0, 7), **place, fontsize=10, color=SOFT)


def _draw_heatmap(axes: Axes, panel: Heatmap) -> None:
    axes.set(xlim=(-0.5, len(panel.columns) - 0.5), ylim=(len(panel.rows) - 0.5, -0.5))
    for y, row in enumerate(panel.cells):
        for x, spread in enumerate(row):
            if spread is None:
                continue
            share = skill(spread)
            colour, ink = ((238, 238, 238), INK) if share is None else heat(share)
            square = {"facecolor": [part / 255 for part in colour], "edgecolor": "white", "linewidth": 2}
            axes.add_patch(Rectangle((x - 0.5, y - 0.5), 1, 1, **square))
            place = {"ha": "center", "va": "center", "color": ink}
            several = spread["seeds"] > 1
            axes.text(x, y - 0.17 * several, number(spread["median"], 2), fontsize=10, **place)
            if several:
                between = f"{number(spread['min'], 2)}–{number(spread['best'], 2)}"
                axes.text(x, y + 0.2, between, fontsize=8, **place)
    axes.set_xticks(range(len(panel.columns)), [fill(name, 18) + f"\n{at}" for name, at in panel.columns])
    axes.set_yticks(range(len(panel.rows)), panel.rows)
    axes.tick_params(colors=INK, labelsize=10, length=0)
    axes.tick_params(axis="x", labelsize=9)
    axes.spines[:].set_visible(False)
    _title(axes, panel)


def _draw_panel(axes: Axes, panel: Panel) -> None:
    _set_scales(axes, panel)
    left, right = axes.get_xlim()
    if panel.trained is not None:
        axes.axvspan(left, panel.trained, color=SHADE, zorder=0, linewidth=0)
    if panel.chance:
        xs, ys = zip(*panel.chance)
        axes.plot([left, *xs, right], [ys[0], *ys, ys[-1]], zorder=1, **DOTS)
    for line in panel.lines:
        _draw_line(axes, line, panel.worst())
    _title(axes, panel)


def _set_scales(axes: Axes, panel: Panel) -> None:
    xs = [x for line in panel.lines for x in line.x] + [tick for tick, _ in panel.x_ticks]
    low, high = min(xs), max(xs)
    if panel.x_log:
        axes.set_xscale("log", base=panel.x_log)
        low, high = min(low, panel.trained or low), max(high, panel.trained or high)
        margin = max(high / low, 2) ** 0.06
        axes.set_xlim(low / margin, high * margin)
    else:
        margin = 0.03 * max(high - low, 1)  # a curve may have a single point
        axes.set_xlim(low - margin, high + margin)
    if panel.x_ticks:
        texts = dict(panel.x_ticks)
        axes.xaxis.set_major_locator(FixedLocator(list(texts)))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: texts.get(x, f"{x:g}")))
    if panel.y_log:
        axes.set_yscale("log")
    axes.set_xlabel(panel.x_title, color=INK, fontsize=10)
    axes.set_ylabel(panel.y_title, color=INK, fontsize=10)
    axes.set_ylim(*panel.y_range())
    axes.grid(axis="y", color="#E6E6E6", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(RULE)
    axes.tick_params(which="both", colors=INK, labelsize=10, length=0)


def _draw_line(axes: Axes, line: Line, worst: float) -> None:
    ys = [math.nan if y is None else y for y in line.y]
    if line.low:
        low, high = ([worst if y is None else y for y in side] for side in (line.low, line.high))
        if len(line.x) > 1:
            axes.fill_between(line.x, low, high, color=line.style.color, alpha=0.12, linewidth=0, zorder=2)
        else:
            axes.vlines(line.x, low, high, color=line.style.color, alpha=0.5, linewidth=2, zorder=2)
    axes.plot(line.x, ys, zorder=3, **_look(line))
