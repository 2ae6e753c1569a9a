"""Whether the figures tell the truth: lines, ranges and labels where the numbers are."""

import itertools
from dataclasses import replace

import pytest
from report_rows import LENGTHS, member, row, write_study

from rnnbench.report import draw, interactive
from rnnbench.report.figures import plots
from rnnbench.report.panels import log_ticks
from rnnbench.report.read import Results, read
from rnnbench.report.style import STYLES
from rnnbench.report.summary import summarise


def lines_of(axes):
    return {
        line.get_color(): line for line in axes.get_lines() if line.get_marker() not in ("", "None", None)
    }


def test_the_figure_has_a_line_per_model_and_the_training_range():
    rows = member((1.0, 1.0, 0.99), model="deltanet_neg") + member((0.7, 0.6, 0.5), model="gpt")
    (axes,) = draw.of_rows(rows).axes
    lines = lines_of(axes)
    neg, gpt = lines[STYLES["deltanet_neg"][0]], lines[STYLES["gpt"][0]]
    assert list(neg.get_ydata()) == [1.0, 1.0, 0.99] and list(gpt.get_ydata()) == [0.7, 0.6, 0.5]
    assert list(gpt.get_xdata()) == pytest.approx(LENGTHS, rel=0.05)
    assert neg.get_linestyle() != gpt.get_linestyle()
    texts = [text.get_text() for text in axes.texts]
    assert {"gpt", "deltanet_neg", "chance", "trained", "accuracy · protocol small · one seed"} <= set(texts)
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["32\n1×", "64\n2×", "256\n8×"]
    assert axes.patches[0].get_x() + axes.patches[0].get_width() == pytest.approx(32)


def test_presets_are_told_apart():
    assert len({(color, str(dash), marker) for color, dash, marker in STYLES.values()}) == 9
    for name in ("deltanet", "mamba"):
        assert STYLES[name][0] == STYLES[f"{name}_neg"][0]
        assert STYLES[name][1] != STYLES[f"{name}_neg"][1]


def test_a_length_range_stands_at_its_upper_end_and_more_pairs_win():
    rows = [row(length=32), row(length={"length": [40, 256]}, accuracy=0.6)]
    (axes,) = draw.of_rows(rows).axes
    assert next(iter(lines_of(axes).values())).get_xdata()[-1] == pytest.approx(256)
    rows = [
        row(length={"length": 32, "pairs": 16}, accuracy=0.6),
        row(length={"length": 32, "pairs": 8}, accuracy=1.0),
    ]
    (axes,) = draw.of_rows(rows).axes
    assert list(next(iter(lines_of(axes).values())).get_ydata()) == [0.6]


def test_a_panel_per_task_and_kind_of_case():
    kinds = [{"length": length, "ones": ones} for length in (32, 64) for ones in (12, "any")]
    rows = member((0.9, 0.8, 0.7)) + [row(task="controlled_bit_parity", length=kind) for kind in kinds]
    titles = [axes.get_title("left") for axes in draw.of_rows(rows).axes if axes.axison]
    assert titles == ["Bit parity", "Controlled bit parity · ones 12", "Controlled bit parity · ones any"]


def test_unknown_models_repeated_models_and_diverged_ones_are_drawn():
    rows = member((0.9, 0.8, 0.7), model="mine") + member(
        (0.6, 0.6, 0.6), model="mine", overrides={"model.dim": 9}
    )
    rows += member((None, None, None), model="gpt") + member((0.9, None, None), model="lstm", seed=1)
    (axes,) = draw.of_rows(rows).axes
    texts = [text.get_text() for text in axes.texts]
    assert {"mine", "mine model.dim=9", "gpt (diverged)", "lstm"} <= set(texts)


@pytest.mark.parametrize(
    "wanted", [[0.5] * 6 + [1.0] * 3, [0.5, 0.51, 0.9], [0.0, 0.2, 1.0], [0.98, 0.99, 1.0], [0.7]]
)
def test_labels_do_not_overlap(wanted):
    heights = draw.spread_apart(wanted, 0.05, 0.0, 1.0)
    assert all(b - a >= 0.05 - 1e-9 for a, b in itertools.pairwise(heights))
    assert min(heights) >= -1e-9 and max(heights) <= 1 + 1e-9
    if wanted == [0.0, 0.2, 1.0]:
        assert heights == wanted


def test_more_labels_than_fit_stay_in_order():
    heights = draw.spread_apart([0.5] * 30, 0.05, 0.0, 1.0)
    assert heights == sorted(heights) and len(set(heights)) == 30


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
    assert panel.columns == ["Bit parity<br>length 256", "MQAR<br>length 256"]
    assert panel.values == [[0.0, 0.0], [pytest.approx(0.94)] * 2]
    assert panel.texts[1][0] == "0.97<br>0.96–0.98"
    (trace,) = interactive.figure(panel).data
    assert (trace.zmin, trace.zmax) == (0, 1)


def test_lines_carry_the_median_and_the_quartiles(drawn):
    gpt, neg = drawn["accuracy_vs_length"].panels[0].lines
    assert neg.y == pytest.approx([0.99, 0.98, 0.97])
    assert neg.low == pytest.approx([0.985, 0.975, 0.965]) and neg.high == pytest.approx(
        [0.995, 0.985, 0.975]
    )
    assert neg.hover[2] == "length=256: 0.970<br>quartiles of 3 seeds: 0.965 to 0.975"
    gpt, _ = drawn["learning_rates"].panels[0].lines
    assert (
        gpt.x == [0.001, 0.01]
        and gpt.y == pytest.approx([0.59, 0.59])
        and gpt.low == [pytest.approx(0.585), None]
    )


def test_curves_and_positions_are_of_the_chosen_members(drawn):
    gpt, neg = drawn["learning_curves"].panels[1].lines
    assert neg.x == [50, 100] and neg.y == pytest.approx([0.01, 0.01])
    assert gpt.y == pytest.approx([0.41, 0.41])  # three seeds at 0.001: the diverged one is at 0.01
    gpt, _ = drawn["positions"].panels[0].lines
    assert gpt.x == list(range(0, 256, 8)) and set(gpt.y) == {0.5}


def test_the_page_shows_the_same_as_the_files(drawn):
    for name in ("accuracy_vs_length", "learning_rates"):
        panel = drawn[name].panels[0]
        traces = {trace.name: trace for trace in interactive.figure(panel).data if trace.hovertemplate}
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
        ([0.3, 4.0], ["0.2", "0.5", "1", "2", "5"]),
        ([1.0], ["1", "2"]),
    ],
)
def test_ticks_enclose_the_values(values, ticks):
    assert [text for _, text in log_ticks(values)] == ticks
