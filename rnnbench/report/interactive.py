"""Figures as plain data (`panels`) → plotly, for the page. Colours of text and rules are the page's (CSS)."""

import math

import plotly.graph_objects as go

from rnnbench.report.panels import Heatmap, Line, Panel, y_range

CLEAR = "rgba(0,0,0,0)"
GREY = "#808080"  # readable on white and on black, should the page's style be missing


def figure(panel: Panel | Heatmap) -> go.Figure:
    """Transparent, so that it looks right on a light and on a dark page."""
    return _heatmap(panel) if isinstance(panel, Heatmap) else _panel(panel)


def _layout(panel: Panel | Heatmap, height: int, **more) -> dict:
    return {
        "template": "none",
        "paper_bgcolor": CLEAR,
        "plot_bgcolor": CLEAR,
        "font": {"family": "system-ui, sans-serif", "size": 12, "color": GREY},
        "height": height,
        "title": {
            "text": f"<b>{panel.title}</b>",
            "subtitle": {"text": panel.subtitle, "font": {"size": 11}},
            "font": {"size": 15},
            "x": 0,
            "xref": "container",
            "xanchor": "left",
            "pad": {"l": 8},
        },
        **more,
    }


def _heatmap(panel: Heatmap) -> go.Figure:
    cells = go.Heatmap(
        x=panel.columns,
        y=panel.rows,
        z=panel.values,
        text=panel.texts,
        texttemplate="%{text}",
        colorscale="Viridis",
        zmin=0,
        zmax=1,
        xgap=2,
        ygap=2,
        hovertemplate="%{y}<br>%{x}<br>%{text}<br>%{z:.2f} of the way from chance to 1<extra></extra>",
        colorbar={"tickvals": [0, 1], "ticktext": ["chance", "1"], "thickness": 10, "outlinewidth": 0},
    )
    empty = [
        {"x": x, "y": y, "text": panel.texts[i][j], "showarrow": False}
        for i, y in enumerate(panel.rows)
        for j, x in enumerate(panel.columns)
        if panel.values[i][j] is None and panel.texts[i][j]
    ]
    lines = 1 + max((name.count("<br>") for name in panel.columns), default=0)
    margin = {"l": 10 + 7 * max(map(len, panel.rows)), "r": 10, "t": 62, "b": 24 + 15 * lines}
    height = margin["t"] + margin["b"] + 44 * len(panel.rows)
    layout = _layout(panel, height, margin=margin, annotations=empty)
    layout |= {"xaxis": {"showgrid": False, "ticks": "", "tickangle": 0, "zeroline": False}}
    layout |= {"yaxis": {"autorange": "reversed", "showgrid": False, "ticks": "", "zeroline": False}}
    return go.Figure([cells], layout)


def _panel(panel: Panel) -> go.Figure:
    bottom, top = y_range(panel)
    traces = [trace for line in panel.lines for trace in _traces(line, bottom)]
    if panel.chance:
        xs, ys = zip(*panel.chance)
        dotted = {"color": GREY, "width": 1.2, "dash": "dot"}
        traces.insert(0, go.Scatter(x=xs, y=ys, mode="lines", line=dotted, name="chance", hoverinfo="skip"))
    x_axis = _x_axis(panel)
    shapes, notes = [], []
    if panel.trained is not None:
        area = {"x0": 10 ** x_axis["range"][0], "x1": panel.trained, "yref": "paper", "y0": 0, "y1": 1}
        look = {"fillcolor": "rgba(128,128,128,0.13)", "line": {"width": 0}, "layer": "below"}
        shapes.append({"type": "rect"} | area | look)
        place = {"xref": "paper", "x": 0, "xanchor": "left", "yref": "paper", "y": 1, "yanchor": "top"}
        notes.append({"text": "trained", "showarrow": False, "font": {"size": 11}} | place)
    y_axis = {"title": {"text": panel.y_title}, "range": [bottom, top], "gridcolor": "rgba(128,128,128,0.25)"}
    legend = {"orientation": "h", "x": 0, "xanchor": "left", "y": -0.28, "yanchor": "top"}
    more = {"margin": {"l": 58, "r": 16, "t": 62, "b": 60}, "hovermode": "closest"}
    more |= {"xaxis": x_axis, "yaxis": y_axis | {"zeroline": False}, "shapes": shapes, "annotations": notes}
    return go.Figure(traces, _layout(panel, 430, legend=legend | {"font": {"size": 11}}, **more))


def _x_axis(panel: Panel) -> dict:
    axis = {"title": {"text": panel.x_title}, "type": "log" if panel.x_log else "linear"}
    axis |= {"showgrid": False, "zeroline": False, "showline": True, "linecolor": GREY}
    if panel.x_log:
        xs = [x for line in panel.lines for x in line.x] + [tick for tick, _ in panel.x_ticks]
        low, high = math.log10(min(xs)), math.log10(max(xs))
        margin = 0.05 * max(high - low, 0.1)
        axis["range"] = [low - margin, high + margin]
    if panel.x_ticks:
        values, texts = zip(*panel.x_ticks)
        axis |= {"tickvals": values, "ticktext": [text.replace("\n", "<br>") for text in texts]}
    return axis


def _traces(line: Line, bottom: float) -> list[go.Scatter]:
    """The band between the quartiles, and the line on it; the legend shows and hides both."""
    color, few = line.style["color"], len(line.x) <= 24
    dash = ",".join(f"{2 * width:g}px" for width in line.style["dash"]) or "solid"
    whole = any(y is not None for y in line.y)
    common = {"legendgroup": line.label, "name": line.label if whole else f"{line.label} (diverged)"}
    mark = {"symbol": line.style["marker"], "size": 7 if len(line.x) > 1 else 10, "color": color}
    traces = []
    error = None
    if line.low:
        low, high = ([bottom if y is None else y for y in side] for side in (line.low, line.high))
        if len(line.x) > 1:
            edge = {"x": [*line.x, *reversed(line.x)], "y": [*low, *reversed(high)]}
            look = {"mode": "lines", "line": {"width": 0}, "fillcolor": _faint(color), "fill": "toself"}
            traces.append(go.Scatter(**edge, **look, **common, showlegend=False, hoverinfo="skip"))
        elif whole:
            up, down = high[0] - line.y[0], line.y[0] - low[0]
            error = {
                "array": [up],
                "arrayminus": [down],
                "symmetric": False,
                "color": color,
                "thickness": 1.5,
            }
    traces.append(
        go.Scatter(
            x=line.x,
            y=[math.nan if y is None else y for y in line.y],
            mode="lines+markers" if few and len(line.x) > 1 else "markers" if few else "lines",
            line={"color": color, "dash": dash, "width": 2 if few else 1.5},
            marker=mark,
            error_y=error,
            text=line.hover,
            hovertemplate="<b>%{fullData.name}</b><br>%{text}<extra></extra>",
            **common,
        )
    )
    return traces


def _faint(color: str) -> str:
    return "rgba({},{},{},0.15)".format(*(int(color[i : i + 2], 16) for i in (1, 3, 5)))
