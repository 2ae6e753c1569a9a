"""The figure of accuracy against sequence length, from the entries of `report.summarise`."""

import math

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

# Okabe and Ito's palette, told apart by every kind of colour vision; each preset keeps its colour and marker
# in every figure. A variant with negative eigenvalues has the hue of its preset, dashes and a diamond.
STYLES = {
    "gpt": ("#000000", "-", "o"),
    "linear_transformer": ("#E69F00", "-", "s"),
    "lstm": ("#009E73", "-", "^"),
    "qlstm": ("#56B4E9", "-", "v"),
    "lru": ("#CC79A7", "-", "P"),
    "deltanet": ("#0072B2", "-", "o"),
    "mamba": ("#D55E00", "-", "s"),
    "deltanet_neg": ("#0072B2", (0, (4, 1.6)), "D"),
    "mamba_neg": ("#D55E00", (0, (4, 1.6)), "D"),
}
TITLES = {"mqar": "MQAR"}
OTHERS = ("#7A5195", "#8C6D31", "#6B6B6B", "#A0522D")
LABEL_GAP = 0.052  # of the panel's height, between two labels at the line ends
INK, FAINT = "#333333", "#8A8A8A"


def draw(summary: list[dict]) -> Figure:
    """A panel per task and protocol, and per kind of case where a task has several of the same length."""
    panels = _panels(summary)
    columns = min(len(panels), 2)
    rows = math.ceil(len(panels) / columns)
    figure = Figure(figsize=(7.6 * columns, 5.0 * rows), layout="constrained", facecolor="white")
    figure.get_layout_engine().set(w_pad=0.15, h_pad=0.12)
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes, panel in zip(grid.flat, panels):
        _draw_panel(axes, *panel)
    for axes in list(grid.flat)[len(panels) :]:
        axes.set_axis_off()
    return figure


def _panels(summary: list[dict]) -> list[tuple]:
    """(title, entries, lines), where lines[i] = [(length, spread), ...] of entries[i]."""
    panels = {}
    for entry in summary:
        for spread in entry["cases"].values():
            kind = {k: v for k, v in spread["case"].items() if k not in ("length", "pairs")}
            key = (entry["task"], entry["protocol"], tuple(kind.items()))
            panels.setdefault(key, {}).setdefault(id(entry), (entry, []))[1].append(spread)
    result = []
    for (task, _, kind), members in panels.items():
        title = TITLES.get(task, task.replace("_", " ").capitalize()) + "".join(
            f" · {name} {value}" for name, value in kind
        )
        entries = [entry for entry, _ in members.values()]
        lines = [_hardest_per_length(spreads) for _, spreads in members.values()]
        result.append((title, entries, lines))
    return result


def _hardest_per_length(spreads: list[dict]) -> list[tuple[int, dict]]:
    """One case per length, the one with most pairs; a range of lengths stands at its upper end."""
    by_length = {}
    for spread in sorted(spreads, key=lambda s: s["case"].get("pairs", 0)):
        length = spread["case"]["length"]
        by_length[max(length) if isinstance(length, (list, tuple)) else length] = spread
    return sorted(by_length.items())


def _draw_panel(axes: Axes, title: str, entries: list[dict], lines: list[list]) -> None:
    trained = entries[0]["train_case"]["length"]
    lengths = sorted({length for line in lines for length, _ in line})
    chance = {length: spread["chance"] for line in lines for length, spread in line}
    bottom = _set_scales(axes, lengths, trained, lines)
    _mark_training_and_chance(axes, lengths, trained, chance)
    octaves = math.log2(max(lengths) / min(lengths))
    sidestep = 0.011 * max(octaves, 0.3)
    ends = []
    for i, (entry, line) in enumerate(zip(entries, lines)):
        style = _style(entry, entries)
        end = _draw_line(axes, line, style, (i - (len(entries) - 1) / 2) * sidestep, bottom)
        ends.append((end, entry["label"], style["color"]))
    _label_ends(axes, ends)
    seeds = max(len(entry["seeds"]) for entry in entries)
    headline = entries[0]["headline"].replace("_", " ")
    spread = f"median of {seeds} seeds, band min to max" if seeds > 1 else "one seed"
    axes.set_title(title, loc="left", fontsize=14, fontweight="bold", color=INK, pad=24)
    subtitle = f"{headline} · protocol {entries[0]['protocol']} · {spread}"
    place = {"xycoords": "axes fraction", "textcoords": "offset points"}
    axes.annotate(subtitle, (0, 1), (0, 8), **place, fontsize=10, color="#666666")


def _set_scales(axes: Axes, lengths: list[int], trained: int, lines: list[list]) -> float:
    axes.set_xscale("log", base=2)
    low, high = min(*lengths, trained), max(*lengths, trained)
    margin = max(high / low, 2) ** 0.1
    axes.set_xlim(low / margin, high * margin**0.6)
    axes.xaxis.set_major_locator(FixedLocator(lengths))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:.0f}\n{x / trained:.3g}×"))
    axes.set_xlabel("sequence length, and as a multiple of the longest in training", color=INK, fontsize=10)
    values = [spread[name] for line in lines for _, spread in line for name in ("chance", "median", "min")]
    bottom = max(min(value for value in values if value is not None) - 0.08, -0.03)
    axes.set_ylim(bottom, 1 + 0.07 * (1 - bottom))
    axes.grid(axis="y", color="#E6E6E6", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color("#BBBBBB")
    axes.tick_params(colors=INK, labelsize=10, length=0)
    return bottom


def _mark_training_and_chance(axes: Axes, lengths: list[int], trained: int, chance: dict[int, float]) -> None:
    left, right = axes.get_xlim()
    axes.axvspan(left, trained, color="#F1F1EC", zorder=0, linewidth=0)
    small = {"textcoords": "offset points", "color": FAINT, "fontsize": 9, "va": "top", "style": "italic"}
    axes.annotate("trained", (left, axes.get_ylim()[1]), (3, -2), **small)
    xs = [left, *lengths, right]
    ys = [chance[lengths[0]], *(chance[length] for length in lengths), chance[lengths[-1]]]
    axes.plot(xs, ys, color=FAINT, linewidth=1.1, linestyle=(0, (1, 2)), zorder=1)
    axes.annotate("chance", (left, ys[0]), (3, -3), **small)


def _style(entry: dict, entries: list[dict]) -> dict:
    """Further lines of the same model, with other settings, keep its hue and differ in their dashes."""
    strangers = sorted({other["model"] for other in entries} - STYLES.keys())
    namesakes = [other["label"] for other in entries if other["model"] == entry["model"]]
    if entry["model"] in STYLES:
        color, dash, marker = STYLES[entry["model"]]
    else:
        color, dash, marker = OTHERS[strangers.index(entry["model"]) % len(OTHERS)], "-", "X"
    nth = namesakes.index(entry["label"])
    return {"color": color, "linestyle": (0, (1 + 5 / nth, 1 + nth)) if nth else dash, "marker": marker}


def _draw_line(axes: Axes, line: list[tuple], style: dict, shift: float, bottom: float):
    """Draws it a little to the side, so that equal lines stay visible; returns the last point or None."""
    xs = [length * 2**shift for length, _ in line]
    ys = [math.nan if spread["median"] is None else spread["median"] for _, spread in line]
    if any(spread["seeds"] > 1 for _, spread in line):
        least = [bottom if spread["min"] is None else spread["min"] for _, spread in line]
        best = [bottom if spread["best"] is None else spread["best"] for _, spread in line]
        axes.fill_between(xs, least, best, color=style["color"], alpha=0.12, linewidth=0, zorder=2)
    axes.plot(
        xs, ys, **style, linewidth=2, markersize=6, markeredgecolor="white", markeredgewidth=0.9, zorder=3
    )
    points = [point for point in zip(xs, ys) if not math.isnan(point[1])]
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
