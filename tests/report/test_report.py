"""From rows to what a person reads: which member is shown, and whether words and tables tell the truth."""

import pytest
from report_rows import member, row
from rich.console import Console

from rnnbench.report import tables
from rnnbench.report.findings import findings
from rnnbench.report.read import Results
from rnnbench.report.summary import groups, quantile, summarise
from rnnbench.report.text import markdown


def only(rows):
    (entry,) = summarise(rows)
    return entry


def report_of(rows):
    """The text of report.md, without figures."""
    return markdown(summarise(rows), Results(rows, [], [], {}, [], [], []), [])


def test_learning_rate_by_the_median_at_the_selection_case_alone():
    rows = member((0.9, 0.6, 0.5), learning_rate=0.001, seed=0) + member(
        (0.9, 0.6, 0.5), learning_rate=0.001, seed=1
    )
    rows += member((1.0, 1.0, 1.0), learning_rate=0.01, seed=0) + member(
        (0.7, 1.0, 1.0), learning_rate=0.01, seed=1
    )
    entry = only(rows)
    assert entry["learning_rate"] == 0.001  # the best member and the best extrapolation are at 0.01
    medians = {rate: spread["median"] for rate, spread in entry["learning_rates"].items()}
    assert medians == {0.001: pytest.approx(0.9), 0.01: pytest.approx(0.85)}
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
    assert entry["learning_rate"] == 0.001 and entry["learning_rates"][0.1]["median"] is None
    assert entry["diverged"] == [{"learning_rate": 0.1, "seed": 1}, {"learning_rate": 0.1, "seed": 2}]
    spread = only(wild)["cases"]["length=32"]
    assert (spread["median"], spread["best"], spread["min"]) == (None, 1.0, None)
    text = report_of(wild)
    assert "diverged (diverged–1.000)" in text and "lstm diverged at learning rate 0.1, seed 2." in text


def test_the_last_evaluation_counts_and_unfinished_runs_are_marked():
    early = member((0.6, 0.6, 0.6), step=50, final=False)
    late = member((0.8, 0.8, 0.8), step=100, final=False)
    entry = only(late + early)
    assert entry["cases"]["length=32"]["median"] == 0.8 and not entry["final"]
    assert "lstm is not finished: figures of step 100." in report_of(late + early)
    assert "not finished" not in report_of(member((0.8, 0.8, 0.8)))


def test_tasks_protocols_and_overrides_are_never_mixed():
    rows = member((0.9, 0.9, 0.9)) + member((0.8, 0.8, 0.8), protocol="literature")
    rows += member((0.7, 0.7, 0.7), overrides={"model.dim": 128})
    summary = summarise(rows)
    assert [entry["label"] for entry in summary] == ["lstm", "lstm", "lstm model.dim=128"]
    text = report_of(rows)
    small, literature = text.partition("## Cost")[0].split("## bit_parity, protocol ")[1:]
    assert small.startswith("small") and "0.800" not in small and "0.700" in small
    assert literature.startswith("literature") and "0.900" not in literature


def test_markdown_says_what_the_figures_mean():
    rows = member((0.9, 0.8, 0.7)) + member((0.95, 0.7, 0.6), learning_rate=0.01)
    text = report_of(rows)
    assert (
        "| lstm | 0.950 | 0.700 | 0.600 | 0.01 | 1 | 12,345 | 2,048 | 6 |" in text
    )  # 12.4 s for two members
    assert "| model | 32 (1×) | 64 (2×) | 256 (8×) | learning rate |" in text
    assert "Headline: accuracy; chance 0.5." in text and "chosen at length=32" in text
    assert "| lstm | 0.900 | 0.950 |" in text  # the learning rates tried


def test_the_terminal_table_shows_every_model_and_case():
    rows = member((1.0, 0.75, None), model="gpt") + member((0.5, 0.5, 0.5), model="mamba_neg")
    console = Console(width=100, record=True, force_terminal=False)
    with console.capture() as capture:
        console.print(tables.terminal(summarise(rows)))
    text = capture.get()
    for part in ("bit_parity · small", "32", "8×", "gpt", "1.000", "0.750", "diverged", "mamba_neg", "0.003"):
        assert part in text
    spread = row() | {"median": 1.0}
    assert tables._cell(spread).style != tables._cell(spread | {"median": 0.5}).style


def test_quartiles_with_a_diverged_seed():
    assert [quantile([4.0, 1.0, 2.0, 3.0], share) for share in (0.25, 0.75)] == [1.75, 3.25]
    assert quantile([float("-inf"), 1.0, 2.0], 0.25) == float("-inf")
    assert quantile([float("-inf"), 1.0, 2.0], 0.75) == 1.5 and quantile([0.7], 0.25) == 0.7
    rows = [each for seed, x in enumerate((0.6, None, 0.8)) for each in member((x, x, x), seed=seed)]
    spread = only(rows)["cases"]["length=64"]
    assert (spread["low"], spread["median"], spread["high"]) == (None, 0.6, pytest.approx(0.7))


def test_settings_of_the_task_are_never_mixed_and_common_changes_are_named_once():
    rows = member((0.9, 0.9, 0.9), protocol="custom", overrides={"train.steps": 9})
    mixer = {"model.mixer": "my_file:EMA", "train.steps": 9}
    rows += member((0.8, 0.8, 0.8), model="EMA", protocol="custom", overrides=mixer)
    deeper = {"task.depth": 5, "train.steps": 9}
    rows += member((0.7, 0.7, 0.7), cell="deeper", protocol="custom", overrides=deeper)
    first, second = groups(summarise(rows))
    assert [entry["label"] for entry in first.entries] == ["lstm", "EMA"]
    assert (first.title, first.changes) == ("Bit parity", "train.steps=9")
    assert (second.title, second.changes) == ("Bit parity task.depth=5", "task.depth=5, train.steps=9")


def test_another_training_length_is_another_table():
    longer = [row(length=length, model="gpt", selection=length == 64) for length in (64, 256)]
    assert [group.train_case for group in groups(summarise(member((1, 1, 1)) + longer))] == [
        {"length": 32},
        {"length": 64},
    ]


def test_seeds_of_two_workdirs_count_together_and_each_run_costs_its_own_time():
    rows = [each | {"workdir": "a"} for each in member((0.9, 0.9, 0.9), seed=0)]
    rows += [each | {"workdir": "b"} for each in member((0.7, 0.7, 0.7), seed=1, train_seconds=7.6)]
    entry = only(rows)
    assert entry["seeds"] == [0, 1] and entry["cases"]["length=32"]["median"] == pytest.approx(0.8)
    assert entry["runs"] == [("a", "cell-lstm"), ("b", "cell-lstm")]
    assert entry["seconds"] == {"compile_seconds": 10.0, "train_seconds": 20.0, "eval_seconds": 5.2}
    assert entry["train_seconds"] == 10.0  # per member


def test_the_cost_of_the_study():
    rows = member((1.0, 1.0, 1.0)) + member((1.0, 1.0, 1.0), model="gpt", train_seconds=72.4)
    entries = summarise(rows)
    assert tables.cost_sentence(entries) == (
        "100 s in all for 2 trained members: 10% compiling, 85% training, 5% evaluating."
    )
    lines = [[cell.text for cell in line] for line in tables.cost(entries).lines]
    assert lines[1] == ["Bit parity", "small", "gpt", "1", "5", "72", "3", "80", "80%"]


def sentences(rows):
    ((_, found),) = findings(summarise(rows))
    return found


def test_findings_say_who_holds_who_falls_and_who_never_learned():
    rows = member((1.0, 1.0, 0.96), model="lstm") + member((1.0, 1.0, 0.97), model="mamba", state_size=9)
    rows += member((0.98, 0.6, 0.5), model="lru") + member((0.8, 0.7, 0.6), model="qlstm")
    rows += member((0.51, 0.5, 0.5), model="gpt") + member((None,) * 3, model="deltanet")
    assert sentences(rows) == [
        "Up to length 256, 8 times the longest in training: lstm and mamba hold.",
        "Among these lstm trains fastest and mamba carries the smallest state.",
        "Learned, but not held beyond the lengths of training: lru (0.500 at length 256, 0.980 at 32).",
        "Learned in part: qlstm (0.600 at length 256, 0.800 at 32).",
        "At chance in and beyond training: gpt.",
        "Diverged: deltanet.",
    ]


def test_findings_name_the_models_that_hang_on_the_learning_rate():
    rows = member((1.0, 1.0, 1.0), learning_rate=0.001) + member((0.5, 0.5, 0.5), learning_rate=0.01)
    rows += member((0.9, 0.9, 0.9), model="gpt", learning_rate=0.001)
    rows += member((0.8, 0.9, 0.9), model="gpt", learning_rate=0.01)
    assert sentences(rows)[-1] == "The learning rate decides for lstm (1.000 at 0.001, 0.500 at 0.01)."
    assert not any("decides" in sentence for sentence in sentences(member((1.0, 1.0, 1.0))))


def test_an_unknown_task_without_extrapolation():
    rows = [row(task="my_task", model="mine", accuracy=0.99), row(task="my_task", accuracy=0.5)]
    assert sentences(rows) == ["Up to length 32: mine holds.", "At chance in and beyond training: lstm."]
    assert "on 1 task (My task)" in report_of(rows)
