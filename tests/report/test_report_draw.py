"""Figures agree with the rows: lines, ranges and labels are where the numbers are."""

import math
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import matplotlib
import pytest
from report_rows import LENGTHS, member, row, write_study

from rnnbench.mixers import PRESETS
from rnnbench.report import draw, page
from rnnbench.report.figures import plots
from rnnbench.report.panels import Plot, log_ticks
from rnnbench.report.read import Results, read
from rnnbench.report.style import MARKERS, STYLES, style
from rnnbench.report.summary import summarise

ROOT = Path(__file__).parents[2]


def figure_of(rows):
    return draw.draw(draw.of_rows(rows))


def legend_of(figure):
    return [text.get_text() for text in figure.legends[0].get_texts()]


def lines_of(axes):
    return {
        line.get_color(): line for line in axes.get_lines() if line.get_marker() not in ("", "None", None)
    }


def test_the_figure_has_a_line_per_model_and_the_training_range():
    rows = member((1.0, 1.0, 0.99), model="deltanet_neg") + member((0.7, 0.6, 0.5), model="gpt")
    figure = figure_of(rows)
    (axes,) = figure.axes
    lines = lines_of(axes)
    neg, gpt = lines[STYLES["deltanet_neg"].color], lines[STYLES["gpt"].color]
    assert list(neg.get_ydata()) == [1.0, 1.0, 0.99] and list(gpt.get_ydata()) == [0.7, 0.6, 0.5]
    assert list(gpt.get_xdata()) == pytest.approx(LENGTHS, rel=0.05)
    assert neg.get_linestyle() != gpt.get_linestyle()
    assert legend_of(figure) == ["deltanet_neg", "gpt", "chance", "lengths of training"]
    assert [text.get_text() for text in axes.texts] == ["accuracy · protocol small · one seed"]
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["32\n1×", "64\n2×", "256\n8×"]
    assert axes.patches[0].get_x() + axes.patches[0].get_width() == pytest.approx(32)


def test_presets_are_told_apart():
    """By colour and marker, and by colour and dash where a line has too many points for markers."""
    entries = [{"model": name, "label": name} for name in PRESETS]
    styles = [style(entry, entries) for entry in entries]
    assert len({(each.color, each.marker) for each in styles}) == len(PRESETS)
    assert len({(each.color, each.dash) for each in styles}) == len(PRESETS)
    assert {each.marker for each in styles} <= MARKERS.keys()
    assert styles == [style(entry, [entry]) for entry in entries]
    for name in ("deltanet", "mamba"):
        assert STYLES[name].color == STYLES[f"{name}_neg"].color
        assert STYLES[name].dash != STYLES[f"{name}_neg"].dash


def test_a_model_looks_the_same_in_every_group():
    """Also one of a user, and one with other settings, whatever its group has beside it."""
    names = [f"mine{i}" for i in range(12)]
    rows = [each for name in names for each in member((0.9, 0.8, 0.7), model=name)]
    rows += [each for i in range(20) for each in member((0.9,) * 3, overrides={"model.dim": i})]
    rows += member((0.9,) * 3)
    few = {"task": "dyck"}
    rows += member((0.9,) * 3, model="mine7", **few) + member((0.9,) * 3, overrides={"model.dim": 9}, **few)
    rows += member((0.9,) * 3, overrides={"model.dim": 10}, **few)
    first, second = draw.of_rows(rows).panels
    looks = {line.label: line.style for line in first.lines}
    assert looks["lstm"] == STYLES["lstm"]
    assert len(set(looks.values()) | set(STYLES.values())) == 32 + len(STYLES)
    assert {line.label for line in second.lines} == {"mine7", "lstm dim=9", "lstm dim=10"}
    assert all(line.style == looks[line.label] for line in second.lines)


def test_a_length_range_stands_at_its_upper_end_and_more_pairs_win():
    rows = [row(length=32), row(length={"length": [40, 256]}, accuracy=0.6)]
    (axes,) = figure_of(rows).axes
    assert next(iter(lines_of(axes).values())).get_xdata()[-1] == pytest.approx(256)
    rows = [
        row(length={"length": 32, "pairs": 16}, accuracy=0.6),
        row(length={"length": 32, "pairs": 8}, accuracy=1.0),
    ]
    (axes,) = figure_of(rows).axes
    assert list(next(iter(lines_of(axes).values())).get_ydata()) == [0.6]


def test_a_panel_per_task_and_kind_of_case():
    kinds = [{"length": length, "ones": ones} for length in (32, 64) for ones in (12, "any")]
    rows = member((0.9, 0.8, 0.7)) + [row(task="controlled_bit_parity", length=kind) for kind in kinds]
    titles = [axes.get_title("left") for axes in figure_of(rows).axes if axes.axison]
    assert titles == ["Bit parity", "Controlled bit parity · ones 12", "Controlled bit parity · ones any"]


def test_unknown_models_repeated_models_and_diverged_ones_are_drawn():
    rows = member((0.9, 0.8, 0.7), model="mine") + member(
        (0.6, 0.6, 0.6), model="mine", overrides={"model.dim": 9}
    )
    rows += member((None, None, None), model="gpt") + member((0.9, None, None), model="lstm", seed=1)
    assert legend_of(figure_of(rows))[:4] == ["mine", "mine dim=9", "gpt (diverged)", "lstm"]


@pytest.mark.parametrize("letters", [24, 90])
def test_nothing_in_a_figure_is_cut_or_covered(letters):
    names = [f"a_model_with_{'a' * (letters - 15)}_{i}" for i in range(12)]
    rows = [each for i, name in enumerate(names) for each in member((1 - 0.04 * i, 0.5, 0.5), model=name)]
    for plot in plots(summarise(rows), Results(rows, [], [], {}, [], [], [])):
        figure = draw.draw(plot)
        inside = lambda box, whole=figure.bbox: whole.x0 <= box.x0 <= box.x1 <= whole.x1 and box.y0 >= 0
        boxes = [axes.get_tightbbox() for axes in figure.axes if axes.axison]
        legends = [legend.get_window_extent() for legend in figure.legends]
        assert all(map(inside, [*boxes, *legends]))
        assert not any(legend.overlaps(box) for legend in legends for box in boxes)


def test_long_names_leave_room_for_the_cells_of_the_overview():
    rows = member((0.9, 0.8, 0.7)) + member((0.9, 0.8, 0.7), overrides={"model.mixer_of_mine": "x" * 50})
    found = Results(rows, [], [], {}, [], [], [])
    (plot,) = [plot for plot in plots(summarise(rows), found) if plot.name == "overview"]
    figure = draw.draw(plot)
    (axes,) = figure.axes
    box, names = axes.get_window_extent(), axes.get_yticklabels()
    assert box.width > figure.dpi  # an inch for the one cell
    assert all(0 <= name.get_window_extent().x0 < name.get_window_extent().x1 <= box.x0 for name in names)


def test_lines_stay_at_their_length():
    """However many there are, so that the last is not drawn at the next length."""
    rows = [each for i in range(36) for each in member((0.9, 0.8, 0.7), model=f"m{i}")]
    (panel,) = draw.of_rows(rows).panels
    shifts = [math.log2(x / length) for line in panel.lines for x, length in zip(line.x, LENGTHS)]
    assert max(map(abs, shifts)) <= 0.1 + 1e-9 and len(set(shifts)) > 36 / 2


def test_figures_have_our_style_whatever_the_users_is():
    rows = member((1.0, 1.0, 0.9))
    ours = draw.png(draw.of_rows(rows))
    theirs = {"text.usetex": True, "font.size": 40, "savefig.bbox": "tight", "axes.facecolor": "red"}
    with matplotlib.rc_context(theirs):
        assert draw.png(draw.of_rows(rows)) == ours
        assert matplotlib.rcParams["text.usetex"]


@pytest.mark.parametrize("backend", ["no_such_backend", "module://no_such_module.backend"])
def test_the_backend_of_a_notebook_does_no_harm(backend, tmp_path):
    code = "import report_rows; from rnnbench.report import draw; rows = report_rows.member((1, 1, 1)); "
    code += "draw.png(draw.of_rows(rows))"
    places = {"PYTHONPATH": os.pathsep.join(map(str, (ROOT, ROOT / "tests"))), "MPLBACKEND": backend}
    subprocess.run([sys.executable, "-c", code], env=os.environ | places, cwd=tmp_path, check=True)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """The figures of a study by name."""
    found = read([write_study(tmp_path_factory.mktemp("study"))])
    return {plot.name: plot for plot in plots(summarise(found.rows), found)}


def test_every_figure_with_a_panel_per_task(drawn):
    panels = {name: [panel.title for panel in plot.panels] for name, plot in drawn.items()}
    tasks = ["Bit parity", "MQAR"]
    assert panels.pop("overview") == ["All models"]
    assert panels.pop("cost") == [task for task in tasks for _ in range(3)]
    assert set(panels) == {"accuracy_vs_length", "learning_rates", "learning_curves", "positions"}
    assert all(titles == tasks for titles in panels.values())


def test_the_heatmap_is_scaled_from_chance_to_1(drawn):
    (panel,) = drawn["overview"].panels
    assert panel.rows == ["gpt", "deltanet_neg"]
    assert panel.columns == [("Bit parity", "length 256"), ("MQAR", "length 256")]
    assert [[spread["median"] for spread in row] for row in panel.cells] == [[0.49, 0.49], [0.97, 0.97]]
    columns, rows = page.heat_rows(panel)
    assert columns == panel.columns and [name for name, _ in rows] == panel.rows
    (gpt, _), (neg, _) = (cells for _, cells in rows)
    assert (neg.text, neg.detail) == ("0.97", "0.96–0.98")
    assert gpt.colour == "background:rgb(59 58 110);color:white" and neg.colour.endswith("color:black")


def test_lines_carry_the_median_and_the_spread(drawn):
    gpt, neg = drawn["accuracy_vs_length"].panels[0].lines
    assert neg.y == pytest.approx([0.99, 0.98, 0.97])
    assert neg.low == pytest.approx([0.98, 0.97, 0.96]) and neg.high == pytest.approx([1.0, 0.99, 0.98])
    assert neg.hover[2] == "length 256: 0.970<br>worst to best of 3 seeds: 0.960 to 0.980"
    gpt, _ = drawn["learning_rates"].panels[0].lines
    assert gpt.x == [0.001, 0.01] and gpt.y == pytest.approx([0.59, 0.59])
    assert gpt.low == [pytest.approx(0.58), None]


def test_curves_and_positions_are_of_the_chosen_members(drawn):
    gpt, neg = drawn["learning_curves"].panels[1].lines
    assert neg.x == [50, 100] and neg.y == pytest.approx([0.01, 0.01])
    assert gpt.y == pytest.approx([0.41, 0.41])  # three seeds at 0.001: the diverged one is at 0.01
    gpt, _ = drawn["positions"].panels[0].lines
    assert gpt.x == list(range(0, 256, 8)) and set(gpt.y) == {0.5}


def test_a_diverged_seed_draws_its_band_to_the_worst_end():
    """Of a loss that is the top, of an accuracy the bottom."""
    rows = [each for seed, x in enumerate((0.9, 0.8, None)) for each in member((x,) * 3, seed=seed)]
    curves = [
        {"workdir": None, "cell": "cell-lstm", "learning_rate": 0.003, "seed": seed, "step": step}
        | {"loss": None if seed == 2 and step == 100 else 0.1 * (seed + 1)}
        for seed in range(3)
        for step in (50, 100)
    ]
    drawn = plots(summarise(rows), Results(rows, [], curves, {}, [], [], []))
    panels = {plot.name: plot.panels[0] for plot in drawn}
    loss, accuracy = panels["learning_curves"], panels["accuracy_vs_length"]
    assert loss.lines[0].hover[1] == "step 100: 0.200<br>best to worst of 3 seeds: 0.100 to diverged"
    assert accuracy.lines[0].hover[0] == "length 32: 0.800<br>worst to best of 3 seeds: diverged to 0.900"
    for panel, end in ((loss, loss.y_range()[1]), (accuracy, accuracy.y_range()[0])):
        band, _ = [trace for trace in page.figure(panel).data if trace.name == "lstm"]
        assert end in band.y and set(panel.y_range()) - {end} - set(band.y)
        (axes,) = draw.draw(Plot("curves", "", "", [panel])).axes
        (area,) = axes.collections
        heights = area.get_paths()[0].vertices[:, 1]
        assert end in heights and not set(panel.y_range()) - {end} & set(heights)


def test_the_page_shows_the_same_as_the_files(drawn):
    for name in ("accuracy_vs_length", "learning_rates"):
        panel = drawn[name].panels[0]
        traces = {trace.name: trace for trace in page.figure(panel).data if trace.hovertemplate}
        assert set(traces) == {"gpt", "deltanet_neg"}
        for line in panel.lines:
            assert list(traces[line.label].x) == line.x and list(traces[line.label].y) == line.y
            assert list(traces[line.label].text) == line.hover


def test_one_learning_rate_is_no_window_and_one_position_no_curve():
    found = read_like(member((0.9, 0.8, 0.7)))
    assert [plot.name for plot in plots(summarise(found.rows), found)] == [
        "overview",
        "accuracy_vs_length",
        "cost",
    ]


def test_a_curve_of_one_point_is_drawn(drawn):
    panel = drawn["learning_curves"].panels[0]
    short = [replace(line, x=line.x[:1], y=line.y[:1], low=[], high=[]) for line in panel.lines]
    (axes,) = draw.draw(replace(drawn["learning_curves"], panels=[replace(panel, lines=short)])).axes
    assert axes.get_xlim()[0] < 50 < axes.get_xlim()[1]


def read_like(rows):
    position = {key: rows[-1][key] for key in ("cell", "seed", "learning_rate", "step", "case")}
    last_only = position | {"workdir": None, "starts": [0, 128], "accuracy": [None, 0.7]}
    return Results(rows, [last_only], [], {}, [], [], [])


@pytest.mark.parametrize(
    "values, ticks",
    [
        ([32, 16384], ["10", "100", "1k", "10k", "100k"]),
        ([12674, 12700], ["10k", "20k"]),
        ([700, 2e6], ["100", "1k", "10k", "100k", "1M", "10M"]),
        ([0.3, 4.0], ["0.2", "0.5", "1", "2", "5"]),
        ([1.0], ["1", "2"]),
    ],
)
def test_ticks_enclose_the_values(values, ticks):
    assert [text for _, text in log_ticks(values)] == ticks
