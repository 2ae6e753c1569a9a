"""report.html, one file that needs no network, and report.md, both from a template."""

import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jinja2
import plotly.graph_objects as go
from plotly.io.json import to_json_plotly
from plotly.offline import get_plotlyjs

from rnnbench.report import tables, text
from rnnbench.report.draw_map import COLOURS, ink
from rnnbench.report.map import Map, details
from rnnbench.report.panels import MANY, Heatmap, Line, Panel, Plot, legend
from rnnbench.report.read import Results
from rnnbench.report.style import MARKERS
from rnnbench.report.summary import groups

CLEAR = "rgba(0,0,0,0)"
GREY = "#808080"  # readable on white and on black, in case the page's style is missing


def render(entries: Sequence[dict], found: Results, drawn: Sequence[Plot]) -> dict[str, str]:
    """{"report.html": …, "report.md": …}."""
    folder = jinja2.FileSystemLoader(Path(__file__).parent)
    environment = jinja2.Environment(
        loader=folder,
        autoescape=lambda name: name.endswith(".html"),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"pipes": pipe_table, "code": code}
    names = ("report.html", "report.md")
    context = _context(entries, found, drawn)
    return {name: environment.get_template(name).render(context) for name in names}


def _context(entries: Sequence[dict], found: Results, drawn: Sequence[Plot]) -> dict[str, Any]:
    heatmaps = [plot for plot in drawn if isinstance(plot.panels[0], Heatmap)]
    maps = [panel for plot in drawn for panel in plot.panels if isinstance(panel, Map)]
    lines = [plot for plot in drawn if isinstance(plot.panels[0], Panel)]
    plots = [(plot, legend(plot.panels)) for plot in lines]
    figures = {
        f"{plot.name}-{i}": figure(panel).to_plotly_json()
        for plot, _ in plots
        for i, panel in enumerate(plot.panels)
    }
    return {
        "plotlyjs": get_plotlyjs(),
        "figures": to_json_plotly(figures),
        "heatmaps": [(panel, *heat_rows(panel)) for plot in heatmaps for panel in plot.panels],
        "maps": maps,
        "map_cells": to_json_plotly([[details(cell) for cell in panel.cells.values()] for panel in maps]),
        "colours": {level: f"background:{colour};color:{ink(level)}" for level, colour in COLOURS.items()},
        "accent": "#0072B2",
        "grey": GREY,
        "signs": {"ring": "○", "cross": "✕", "": ""},
        "drawn": drawn,
        "plots": plots,
        "markers": {name: outline for name, (_, outline) in MARKERS.items()},
        "groups": groups(entries),
        "entries": entries,
        "found": found,
        "tables": tables,
        "text": text,
    }


def heat_rows(panel: Heatmap) -> tuple[list[tuple[str, str]], list[tuple[str, list[tables.Cell]]]]:
    """(columns, [(model, cells), …]) of the heatmap as a table."""
    rows = [[tables.metric(spread, digits=2) for spread in row] for row in panel.cells]
    return panel.columns, list(zip(panel.rows, rows))


def pipe_table(table: tables.Table) -> str:
    """A table in Markdown."""
    texts = [table.columns, ["---", *["---:"] * (len(table.columns) - 1)]]
    plain = lambda cell: f"{cell.text} ({cell.detail})" if cell.detail else cell.text
    texts += [[plain(cell).replace("|", "\\|").replace("\n", " ") for cell in line] for line in table.lines]
    return "\n".join(f"| {' | '.join(line)} |" for line in texts)


def code(text: Any) -> str:
    """A text as code in Markdown, in more backticks than it has in a row."""
    text = " ".join(str(text).split())
    fence = "`" * (1 + max(map(len, re.findall("`+", text)), default=0))
    space = " " if "`" in text else ""
    return f"{fence}{space}{text}{space}{fence}" if text else ""


def figure(panel: Panel) -> go.Figure:
    """A panel for the page: transparent; its heading and its legend are the page's."""
    bottom, top = panel.y_range()
    traces = [trace for line in panel.lines for trace in _traces(line, panel.worst())]
    if panel.chance:
        xs, ys = zip(*panel.chance)
        dotted = {"color": GREY, "width": 1.2, "dash": "dot"}
        traces.insert(0, go.Scatter(x=xs, y=ys, mode="lines", line=dotted, name="chance", hoverinfo="skip"))
    x_axis, shapes = _x_axis(panel), []
    if panel.trained is not None:
        area = {"x0": 10 ** x_axis["range"][0], "x1": panel.trained, "yref": "paper", "y0": 0, "y1": 1}
        look = {"fillcolor": "rgba(128,128,128,0.13)", "line": {"width": 0}, "layer": "below"}
        shapes.append({"type": "rect"} | area | look)
    y_axis = {"title": {"text": panel.y_title, "standoff": 8}, "range": [bottom, top], "zeroline": False}
    layout = {
        "template": "none",
        "paper_bgcolor": CLEAR,
        "plot_bgcolor": CLEAR,
        "font": {"family": "system-ui, sans-serif", "size": 12, "color": GREY},
        "height": 320,
        "margin": {"l": 54, "r": 12, "t": 8, "b": 58},
        "hovermode": "closest",
        "showlegend": False,
        "shapes": shapes,
        "xaxis": x_axis,
        "yaxis": y_axis | {"gridcolor": "rgba(128,128,128,0.25)"},
    }
    return go.Figure(traces, layout)


def _x_axis(panel: Panel) -> dict:
    axis = {"title": {"text": panel.x_title, "standoff": 10}, "type": "log" if panel.x_log else "linear"}
    axis |= {"showgrid": False, "zeroline": False, "showline": True, "linecolor": GREY}
    if panel.x_log:
        xs = [x for line in panel.lines for x in line.x] + [tick for tick, _ in panel.x_ticks]
        low, high = math.log10(min(xs)), math.log10(max(xs))
        margin = 0.05 * max(high - low, 0.1)
        axis["range"] = [low - margin, high + margin]
    if panel.x_ticks:
        values, texts = zip(*panel.x_ticks)
        texts = [each.replace("\n", "<br>") for each in texts]
        axis |= {"tickvals": values, "ticktext": texts, "tickangle": 0}
    return axis


def _traces(line: Line, worst: float) -> list[go.Scatter]:
    """The band and the line on it; both have the model's name, by which the legend shows and hides them."""
    look, few = line.style, len(line.x) <= MANY
    dash = ",".join(f"{2 * width:g}px" for width in look.dash) or "solid"
    traces, error = [], None
    if line.low:
        low, high = ([worst if y is None else y for y in side] for side in (line.low, line.high))
        if len(line.x) > 1:
            edge = {"x": [*line.x, *reversed(line.x)], "y": [*low, *reversed(high)], "name": line.label}
            area = {"mode": "lines", "line": {"width": 0}, "fillcolor": _faint(look.color), "fill": "toself"}
            traces.append(go.Scatter(**edge, **area, hoverinfo="skip"))
        elif line.y[0] is not None:
            error = {"array": [high[0] - line.y[0]], "arrayminus": [line.y[0] - low[0]], "symmetric": False}
            error |= {"color": look.color, "thickness": 1.5}
    traces.append(
        go.Scatter(
            x=line.x,
            y=[math.nan if y is None else y for y in line.y],
            mode="lines+markers" if few and len(line.x) > 1 else "markers" if few else "lines",
            line={"color": look.color, "dash": dash, "width": 2 if few else 1.5},
            marker={"symbol": look.marker, "size": 7 if len(line.x) > 1 else 10, "color": look.color},
            error_y=error,
            name=line.label,
            text=line.hover,
            hovertemplate="<b>%{fullData.name}</b><br>%{text}<extra></extra>",
        )
    )
    return traces


def _faint(color: str) -> str:
    return "rgba({},{},{},0.15)".format(*(int(color[i : i + 2], 16) for i in (1, 3, 5)))
