"""From rows to what a person reads: which member is shown, and that text and tables agree with rows."""

import pytest
from report_rows import member, row
from rich.console import Console

from rnnbench.report import console, page, tables, text
from rnnbench.report.figures import plots
from rnnbench.report.read import Results
from rnnbench.report.spread import spreads
from rnnbench.report.summary import groups, summarise, summary_line


def only(rows):
    (entry,) = summarise(rows)
    return entry


def report_of(rows):
    """The text of report.md."""
    entries, found = summarise(rows), Results(rows, [], [], {}, [], [], [])
    return page.render(entries, found, plots(entries, found))["report.md"]


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
    said = report_of(wild)
    assert "diverged (diverged–1.000)" in said and "| Bit parity | small | lstm | 0.1 | 2 |" in said


def test_the_last_evaluation_counts_and_unfinished_runs_are_marked():
    early = member((0.6, 0.6, 0.6), step=50, final=False)
    late = member((0.8, 0.8, 0.8), step=100, final=False)
    entry = only(late + early)
    assert entry["cases"]["length=32"]["median"] == 0.8 and not entry["final"]
    assert "lstm is not finished; numbers are from step 100." in report_of(late + early)
    assert "not finished" not in report_of(member((0.8, 0.8, 0.8)))


def test_members_at_different_steps_are_said_and_all_of_them_drawn():
    done, cut = member((0.8, 0.8, 0.8), step=1000), member((0.6, 0.6, 0.6), step=500, seed=2, final=False)
    assert "lstm is not finished; numbers are from steps 500 to 1000." in report_of(done + cut)
    keys = ("cell", "seed", "learning_rate", "step", "case")
    positions = [
        {key: each[key] for key in keys} | {"workdir": None, "starts": [0, 128], "accuracy": [share, share]}
        for each, share in ((done[-1], 0.9), (cut[-1], 0.5), (cut[-1] | {"step": 250}, 0.0))
    ]
    rows = done + cut
    drawn = plots(summarise(rows), Results(rows, positions, [], {}, [], [], []))
    (line,) = {plot.name: plot for plot in drawn}["positions"].panels[0].lines
    assert (line.low, line.y, line.high) == ([0.5, 0.5], pytest.approx([0.7, 0.7]), [0.9, 0.9])


def test_tasks_protocols_and_overrides_are_never_mixed():
    rows = member((0.9, 0.9, 0.9)) + member((0.8, 0.8, 0.8), protocol="literature")
    rows += member((0.7, 0.7, 0.7), overrides={"model.dim": 128})
    summary = summarise(rows)
    assert [entry["label"] for entry in summary] == ["lstm", "lstm", "lstm dim=128"]
    text = report_of(rows)
    small, literature = text.partition("## Cost")[0].split("## Bit parity · ")[1:]
    assert small.startswith("small") and "0.800" not in small and "0.700" in small
    assert literature.startswith("literature") and "0.900" not in literature


def test_markdown_says_what_the_figures_mean():
    rows = member((0.9, 0.8, 0.7)) + member((0.8, 0.8, 0.7), learning_rate=0.001)
    rows += member((0.95, 0.7, 0.6), learning_rate=0.01)
    text = report_of(rows)
    assert (
        "| lstm | 0.950 | 0.700 | 0.600 | 0.01 (edge) | 1 | 12,345 | 2,048 | 4 |" in text
    )  # 12.4 s for three members
    assert "| model | 32 (1×) | 64 (2×) | 256 (8×) | learning rate |" in text
    assert "Headline: accuracy; chance 0.5." in text and "chosen at length 32" in text


@pytest.mark.parametrize(
    "error, shown",
    [
        ("no *a* in <b>", "`no *a* in <b>`"),
        ("no `a` here", "`` no `a` here ``"),
        ("```\nTrace|back", "```` ``` Trace|back ````"),
        ("", ""),
        (None, "`None`"),
    ],
)
def test_an_error_is_no_markdown(error, shown):
    rows = member((0.9, 0.8, 0.7))
    failure = {"workdir": "a", "cell": "broken", "error": error, "traceback": ""}
    text = page.render(summarise(rows), Results(rows, [], [], {}, [failure], [], []), [])["report.md"]
    assert f"\n- broken: {shown}\n" in text


def shown(rows, width):
    screen = Console(width=width, force_terminal=False, highlight=False)
    with screen.capture() as capture:
        console.show(summarise(rows), screen)
    return capture.get()


def test_the_terminal_table_shows_every_model_and_case():
    rows = member((1.0, 0.75, None), model="gpt") + member((0.5, 0.5, 0.5), model="mamba_neg")
    out = shown(rows, 100)
    for part in ("Bit parity · small", "32", "8×", "gpt", "1.000", "0.750", "diverged", "mamba_neg", "0.003"):
        assert part in out
    spread = row() | {"median": 1.0}
    assert console._cell(spread).style != console._cell(spread | {"median": 0.5}).style


@pytest.mark.parametrize("width", [40, 80, 200])
def test_a_terminal_never_cuts_a_number(width):
    case = lambda i: {"length": 32 * (i + 1), "pairs": i + 1, "values_per_key": 4}
    rows = [row(model=m, length=case(i), accuracy=0.111 * i, selection=i == 0, train_seconds=123456.0)
            for m in ("gpt", "a_model_of_a_user[/b] with a long name") for i in range(9)]  # fmt: skip
    out = shown(rows, width)
    assert "…" not in out and max(map(len, out.splitlines())) <= max(width, 60)
    for i in range(9):
        assert out.count(f"{0.111 * i:.3f}") == 2
        assert any(f"{i + 1}" in line.split() for line in out.splitlines() if "pairs" in line)
    assert "[/b]" in out and out.count("0.003") == 2


def test_spreads_with_a_diverged_seed():
    of = lambda *values, **more: spreads([("x", value) for value in values], **more)["x"]
    five = of(5.0, 4.0, 1.0, 2.0, 3.0)
    assert (five["low"], five["median"], five["high"]) == (2.0, 3.0, 4.0)  # quartiles
    four = of(4.0, 1.0, 2.0, 3.0)
    assert (four["low"], four["high"], four["seeds"]) == (1.0, 4.0, 4)  # ends where a seed is
    wild = of(None, 0.7, 0.8, 0.9, 1.0, 0.6)
    assert (wild["min"], wild["low"], wild["median"]) == (None, pytest.approx(0.625), 0.75)
    assert of(None, None, 1.0, 1.0, 1.0, 1.0)["low"] is None  # between a diverged seed and another
    losses = of(None, 0.5, 0.4, worst=float("inf"))
    assert (losses["min"], losses["median"], losses["best"]) == (0.4, 0.5, None)


def test_bands_of_few_seeds_end_where_seeds_are():
    rows = [each for seed, x in enumerate((0.6, None, 0.8)) for each in member((x, x, x), seed=seed)]
    spread = only(rows)["cases"]["length=64"]
    assert (spread["low"], spread["median"], spread["high"]) == (None, 0.6, 0.8)


def test_the_line_of_a_run_says_which_member_it_shows():
    rows = [each for seed, x in enumerate((0.9, 0.7, 0.6)) for each in member((x, x, None), seed=seed)]
    rows += member((0.65, 1.0, 1.0), learning_rate=0.01)
    assert summary_line(rows) == (
        "length=32: 0.700  length=64: 0.700  length=256: diverged  (median of 3 seeds at learning rate 0.003)"
    )
    assert summary_line(member((0.9, 0.8, 0.7), seed=4)).endswith("(seed 4 at learning rate 0.003)")


def test_ranges_and_numbers_are_in_order_of_their_upper_bound():
    cases = [{"length": 64, "pairs": (1, 4)}, {"length": 64, "pairs": 16}, {"length": 64, "pairs": 4}]
    cases += [{"length": [40, 256], "pairs": 2}, {"length": 32, "pairs": [2, 20]}]
    (group,) = groups(summarise([row(length=case, selection=case["pairs"] == 16) for case in cases]))
    assert [tuple(spread["case"].values()) for spread in group.cases.values()] == [
        (32, [2, 20]), (64, (1, 4)), (64, 4), (64, 16), ([40, 256], 2),
    ]  # fmt: skip


def test_a_learning_rate_at_the_edge_of_those_tried_is_flagged():
    better = lambda best, rates: [
        each for rate in rates for each in member((0.9 if rate == best else 0.6,) * 3, learning_rate=rate)
    ]
    rates = (0.001, 0.003, 0.01)
    assert [only(better(best, rates))["at_edge"] for best in rates] == [True, False, True]
    assert not only(better(0.003, (0.003,)))["at_edge"]
    assert not only(better(0.003, (0.001, 0.003)))["at_edge"]  # each of two is at an edge
    wild = [each for rate in rates for each in member((None,) * 3, learning_rate=rate)]
    assert not only(wild)["at_edge"]  # there is no best
    assert "0.01*" in shown(better(0.01, rates), 80) and "*" not in shown(better(0.003, rates), 80)
    assert "| 0.01 (edge) |" in report_of(better(0.01, rates))


def test_settings_of_the_task_are_never_mixed_and_common_changes_are_named_once():
    rows = member((0.9, 0.9, 0.9), protocol="custom", overrides={"train.steps": 9})
    mixer = {"model.mixer": "my_file:EMA", "train.steps": 9}
    rows += member((0.8, 0.8, 0.8), model="EMA", protocol="custom", overrides=mixer)
    deeper = {"task.depth": 5, "train.steps": 9}
    rows += member((0.7, 0.7, 0.7), cell="deeper", protocol="custom", overrides=deeper)
    first, second = groups(summarise(rows))
    assert [entry["label"] for entry in first.entries] == ["lstm", "EMA"]
    assert (first.title, first.changes) == ("Bit parity", "train.steps=9")
    assert (second.title, second.changes) == ("Bit parity · depth 5", "task.depth=5, train.steps=9")


def test_labels_within_a_group_are_unique():
    """Also where only the mixers, or settings of different sections, differ."""
    of = lambda model, **overrides: member((0.9, 0.8, 0.7), model=model, overrides=overrides)
    rows = of("EMA", **{"model.mixer": "v1:EMA"}) + of("EMA", **{"model.mixer": "v2:EMA"})
    rows += of("lstm", **{"model.mixer": "my_file:LSTM"}) + of("lstm")
    rows += of("gpt", **{"model.warmup": 1}) + of("gpt", **{"optim.warmup": 1})
    rows += of("gru", **{"model.dim": 8})
    assert [entry["label"] for entry in summarise(rows)] == [
        "EMA mixer=v1:EMA", "EMA mixer=v2:EMA", "lstm mixer=my_file:LSTM", "lstm",
        "gpt model.warmup=1", "gpt optim.warmup=1", "gru dim=8",
    ]  # fmt: skip


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


def test_parts_of_a_cell_that_were_trained_apart_add_up():
    rows = [each for seed in (0, 1) for each in member((0.9, 0.9, 0.9), seed=seed)]
    rows += member((0.7, 0.7, 0.7), seed=2, train_seconds=7.6)
    entry = only(rows)
    assert entry["seconds"] == {"compile_seconds": 10.0, "train_seconds": 20.0, "eval_seconds": 5.2}
    assert entry["train_seconds"] == pytest.approx(20.0 / 3)


def test_the_cost_of_the_study():
    rows = member((1.0, 1.0, 1.0)) + member((1.0, 1.0, 1.0), model="gpt", train_seconds=72.4)
    entries = summarise(rows)
    assert text.cost(entries) == (
        "100 s in all for 2 trained members: 10% compiling, 85% training, 5% evaluating."
    )
    lines = [[cell.text for cell in line] for line in tables.cost(entries).lines]
    assert lines[1] == ["Bit parity", "small", "gpt", "1", "5", "72", "3", "80", "80%"]


def sentences(rows):
    ((_, found),) = text.findings(summarise(rows))
    return found


def test_findings_say_whose_every_seed_holds():
    rows = [each for seed in range(3) for each in member((1.0, 1.0, 0.96), seed=seed)]
    for model, last in {
        "mamba": (1.0, 1.0, 0.5),
        "lru": (0.94, 0.5, None),
        "gpt": (0.95, 0.96, None),
    }.items():
        rows += [each for s in range(3) for each in member((1.0, 1.0, last[s]), model=model, seed=s)]
    assert sentences(rows) == [
        "Length 256, 8 times training: held by every seed of lstm; by some seeds of mamba and gpt."
    ]
    assert sentences(member((1.0, 1.0, 0.94))) == ["Length 256, 8 times training: held by no model."]


def test_findings_name_the_learning_rates_at_the_edge():
    rates = {0.001: 1.0, 0.01: 0.5, 0.1: 0.5}
    rows = [each for rate, found in rates.items() for each in member((found,) * 3, learning_rate=rate)]
    assert sentences(rows)[-1] == "Best learning rate at the edge of those tried: lstm."


def test_chance_is_what_the_rows_say():
    rows = [
        row(length=256, selection=True, accuracy=x, seed=s, chance=0.75) for s, x in enumerate((0.96, 0.98))
    ]
    assert sentences(rows) == ["Length 256: held by some seeds of lstm."]  # 0.96 is 84% of the way


def test_an_unknown_task_without_extrapolation():
    rows = [row(task="my_task", model="mine", accuracy=0.99), row(task="my_task", accuracy=0.5)]
    assert sentences(rows) == ["Length 32: held by mine."]
    assert "on 1 task (My task)" in report_of(rows)


def test_titles_tell_settings_apart():
    rows = member((0.9, 0.9, 0.9))
    rows += member((0.8, 0.8, 0.8), cell="b", protocol="custom", overrides={"model.conv_size": 4})
    rows += member((0.8, 0.8, 0.8), cell="c", protocol="long") + member(
        (0.8, 0.8, 0.8), cell="d", protocol="map"
    )
    titles = ["Bit parity · small", "Bit parity · conv size 4", "Bit parity · long", "Bit parity · map"]
    assert [group.title for group in groups(summarise(rows))] == titles
