"""From rows to what a person reads: which member is shown, and whether the figure tells the truth."""

import itertools
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from rnnbench import plot, report, tables
from rnnbench.metrics import write_jsonl

LENGTHS = (32, 64, 256)


def row(model="lstm", length=32, accuracy=0.75, seed=0, learning_rate=0.003, **changes):
    case = length if isinstance(length, dict) else {"length": length}
    return {
        "cell": model,
        "task": "bit_parity",
        "protocol": "small",
        "model": model,
        "overrides": {},
        "seed": seed,
        "learning_rate": learning_rate,
        "step": 100,
        "final": True,
        "case": case,
        "selection": case["length"] == 32,
        "loss": None if accuracy is None else 1 - accuracy,
        "accuracy": accuracy,
        "headline": "accuracy",
        "chance": 0.5,
        "diverged": accuracy is None,
        "params": 12345,
        "state_size": 2048,
        "train_seconds": 12.4,
        **changes,
    }


def member(accuracies, **changes):
    return [row(length=length, accuracy=value, **changes) for length, value in zip(LENGTHS, accuracies)]


def only(rows):
    (entry,) = report.summarise(rows)
    return entry


def test_learning_rate_by_the_median_at_the_selection_case_alone():
    rows = member((0.9, 0.6, 0.5), learning_rate=0.001, seed=0) + member(
        (0.9, 0.6, 0.5), learning_rate=0.001, seed=1
    )
    rows += member((1.0, 1.0, 1.0), learning_rate=0.01, seed=0) + member(
        (0.7, 1.0, 1.0), learning_rate=0.01, seed=1
    )
    entry = only(rows)
    assert entry["learning_rate"] == 0.001  # the best member and the best extrapolation are at 0.01
    assert entry["learning_rates"] == {0.001: pytest.approx(0.9), 0.01: pytest.approx(0.85)}
    assert entry["cases"]["length=256"]["median"] == 0.5


def test_equal_accuracy_is_settled_by_the_loss():
    rows = member((1.0, 0.5, 0.5), learning_rate=0.001) + member((1.0, 1.0, 1.0), learning_rate=0.01)
    for each in rows[:3]:
        each["loss"] = 0.2
    assert only(rows)["learning_rate"] == 0.01


def test_median_best_and_min_over_seeds():
    rows = [each for seed, x in enumerate((0.6, 0.9, 0.7)) for each in member((x, x, x), seed=seed)]
    spread = only(rows)["cases"]["length=64"]
    assert (spread["median"], spread["best"], spread["min"], spread["seeds"]) == (0.7, 0.9, 0.6, 3)


def test_a_diverged_member_is_worse_than_any_other():
    stable = [each for seed in range(3) for each in member((0.55, 0.5, 0.5), seed=seed, learning_rate=0.001)]
    wild = [each for seed in range(3) for each in member((None,) * 3, seed=seed, learning_rate=0.1)]
    wild[:3] = member((1.0, 1.0, 1.0), seed=0, learning_rate=0.1)
    entry = only(stable + wild)
    assert entry["learning_rate"] == 0.001 and entry["learning_rates"][0.1] is None
    assert entry["diverged"] == [{"learning_rate": 0.1, "seed": 1}, {"learning_rate": 0.1, "seed": 2}]
    spread = only(wild)["cases"]["length=32"]
    assert (spread["median"], spread["best"], spread["min"]) == (None, 1.0, None)
    text = tables.markdown(report.summarise(wild))
    assert "diverged (diverged–1.000)" in text and "lstm diverged at learning rate 0.1, seed 2." in text


def test_the_last_evaluation_counts_and_unfinished_runs_are_marked():
    early = member((0.6, 0.6, 0.6), step=50, final=False)
    late = member((0.8, 0.8, 0.8), step=100, final=False)
    entry = only(late + early)
    assert entry["cases"]["length=32"]["median"] == 0.8 and not entry["final"]
    assert "lstm is not finished: figures of step 100." in tables.markdown([entry])
    assert "not finished" not in tables.markdown(report.summarise(member((0.8, 0.8, 0.8))))


def test_tasks_protocols_and_overrides_are_never_mixed():
    rows = member((0.9, 0.9, 0.9)) + member((0.8, 0.8, 0.8), protocol="literature")
    rows += member((0.7, 0.7, 0.7), overrides={"model.dim": 128})
    summary = report.summarise(rows)
    assert [entry["label"] for entry in summary] == ["lstm", "lstm", "lstm model.dim=128"]
    text = tables.markdown(summary)
    small, literature = text.split("## bit_parity, protocol ")[1:]
    assert small.startswith("small") and "0.800" not in small and "0.700" in small
    assert literature.startswith("literature") and "0.900" not in literature


def test_markdown_says_what_the_figures_mean():
    rows = member((0.9, 0.8, 0.7)) + member((0.95, 0.7, 0.6), learning_rate=0.01)
    text = tables.markdown(report.summarise(rows), "plot.png")
    assert "| lstm | 0.950 | 0.700 | 0.600 | 0.01 | 1 | 12,345 | 2,048 | 12 |" in text
    assert "| model | 32 (1×) | 64 (2×) | 256 (8×) | learning rate |" in text
    assert "Headline: accuracy; chance 0.5." in text and "chosen at length=32" in text
    assert "| lstm | 0.900 | 0.950 |" in text  # the learning rates tried
    assert "](plot.png)" in text


def test_the_terminal_table_shows_every_model_and_case():
    rows = member((1.0, 0.75, None), model="gpt") + member((0.5, 0.5, 0.5), model="mamba_neg")
    console = Console(width=100, record=True, force_terminal=False)
    with console.capture() as capture:
        console.print(report.table(report.summarise(rows)))
    text = capture.get()
    for part in ("bit_parity · small", "32", "8×", "gpt", "1.000", "0.750", "diverged", "mamba_neg", "0.003"):
        assert part in text
    assert (
        tables._cell({"median": 1.0, "chance": 0.5}).style
        != tables._cell({"median": 0.5, "chance": 0.5}).style
    )


def lines_of(axes):
    return {
        line.get_color(): line for line in axes.get_lines() if line.get_marker() not in ("", "None", None)
    }


def test_the_figure_has_a_line_per_model_and_the_training_range():
    rows = member((1.0, 1.0, 0.99), model="deltanet_neg") + member((0.7, 0.6, 0.5), model="gpt")
    (axes,) = report.accuracy_vs_length(rows).axes
    lines = lines_of(axes)
    neg, gpt = lines[plot.STYLES["deltanet_neg"][0]], lines[plot.STYLES["gpt"][0]]
    assert list(neg.get_ydata()) == [1.0, 1.0, 0.99] and list(gpt.get_ydata()) == [0.7, 0.6, 0.5]
    assert list(gpt.get_xdata()) == pytest.approx(LENGTHS, rel=0.05)
    assert neg.get_linestyle() != gpt.get_linestyle()
    texts = [text.get_text() for text in axes.texts]
    assert {"gpt", "deltanet_neg", "chance", "trained", "accuracy · protocol small · one seed"} <= set(texts)
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["32\n1×", "64\n2×", "256\n8×"]
    assert axes.patches[0].get_x() + axes.patches[0].get_width() == pytest.approx(32)


def test_presets_are_told_apart():
    assert len({(color, str(dash), marker) for color, dash, marker in plot.STYLES.values()}) == 9
    for name in ("deltanet", "mamba"):
        assert plot.STYLES[name][0] == plot.STYLES[f"{name}_neg"][0]
        assert plot.STYLES[name][1] != plot.STYLES[f"{name}_neg"][1]


def test_a_length_range_stands_at_its_upper_end_and_more_pairs_win():
    rows = [row(length=32), row(length={"length": [40, 256]}, accuracy=0.6)]
    (axes,) = report.accuracy_vs_length(rows).axes
    assert next(iter(lines_of(axes).values())).get_xdata()[-1] == pytest.approx(256)
    rows = [
        row(length={"length": 32, "pairs": 16}, accuracy=0.6),
        row(length={"length": 32, "pairs": 8}, accuracy=1.0),
    ]
    (axes,) = report.accuracy_vs_length(rows).axes
    assert list(next(iter(lines_of(axes).values())).get_ydata()) == [0.6]


def test_a_panel_per_task_and_kind_of_case():
    kinds = [{"length": length, "ones": ones} for length in (32, 64) for ones in (12, "any")]
    rows = member((0.9, 0.8, 0.7)) + [row(task="controlled_bit_parity", length=kind) for kind in kinds]
    titles = [axes.get_title("left") for axes in report.accuracy_vs_length(rows).axes if axes.axison]
    assert titles == ["Bit parity", "Controlled bit parity · ones 12", "Controlled bit parity · ones any"]


def test_unknown_models_repeated_models_and_diverged_ones_are_drawn():
    rows = member((0.9, 0.8, 0.7), model="mine") + member(
        (0.6, 0.6, 0.6), model="mine", overrides={"model.dim": 9}
    )
    rows += member((None, None, None), model="gpt") + member((0.9, None, None), model="lstm", seed=1)
    (axes,) = report.accuracy_vs_length(rows).axes
    texts = [text.get_text() for text in axes.texts]
    assert {"mine", "mine model.dim=9", "gpt (diverged)", "lstm"} <= set(texts)


@pytest.mark.parametrize(
    "wanted", [[0.5] * 6 + [1.0] * 3, [0.5, 0.51, 0.9], [0.0, 0.2, 1.0], [0.98, 0.99, 1.0], [0.7]]
)
def test_labels_do_not_overlap(wanted):
    heights = plot.spread_apart(wanted, 0.05, 0.0, 1.0)
    assert all(b - a >= 0.05 - 1e-9 for a, b in itertools.pairwise(heights))
    assert min(heights) >= -1e-9 and max(heights) <= 1 + 1e-9
    if wanted == [0.0, 0.2, 1.0]:
        assert heights == wanted


def test_more_labels_than_fit_stay_in_order():
    heights = plot.spread_apart([0.5] * 30, 0.05, 0.0, 1.0)
    assert heights == sorted(heights) and len(set(heights)) == 30


def test_command_line_on_a_study(tmp_path, capsys):
    for model, accuracy in (("lstm", 1.0), ("gpt", 0.5)):
        write_jsonl(tmp_path / "cells" / model / "results.jsonl", member((accuracy,) * 3, model=model))
    assert report.main([str(tmp_path)]) == 0
    assert "gpt" in capsys.readouterr().out
    assert "| lstm | 1.000 |" in (tmp_path / "report.md").read_text()
    assert (tmp_path / "accuracy_vs_length.png").read_bytes()[:4] == b"\x89PNG"


def test_a_workdir_without_results_is_one_line_and_exit_code_2(tmp_path):
    command = [sys.executable, "-m", "rnnbench.report", str(tmp_path / "nothing")]
    done = subprocess.run(command, cwd=Path(__file__).parents[1], capture_output=True, text=True, check=False)
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.count("\n") == 1 and "nothing: no results here" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_broken_file_is_named(tmp_path, capsys):
    (tmp_path / "results.jsonl").write_text('{"step": 1')
    assert report.main([str(tmp_path)]) == 2
    assert "results.jsonl:1" in capsys.readouterr().err
