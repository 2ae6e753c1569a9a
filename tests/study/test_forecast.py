"""Forecasts of cells before they run: sizes checked by hand, times from measured rows, the listing."""

import pytest
from helpers import tiny

from rnnbench.study import forecast
from rnnbench.study.forecast import Seconds
from rnnbench.train.population import prepare

POPULATION = {"population.learning_rates": (0.1, 0.2), "population.seeds": (0, 1, 2)}


def test_a_size_by_hand():
    """Training at length 12 in 20 steps, three evaluations at lengths 12 and 24 of two batches of eight."""
    setup = prepare(tiny("lstm", POPULATION | {"model.mlp_dim": 0, "eval.every": 8}))
    size = forecast.size(setup)
    lstm = 16 * 64 + 16 * 64 + 64  # input and recurrent weights, bias
    norms, head, embedding = 2 * 16, 16 * 2 + 2, 2 * 16
    assert (size.task, size.model, size.members, size.steps) == ("bit_parity", "lstm", 6, 20)
    assert (size.params, size.state_size) == (lstm + norms + head + embedding, 32)
    per_token = 2 * (size.params - embedding + 32)
    assert size.operations == 6 * per_token * 8 * (20 * 3 * 12 + 3 * 2 * (12 + 24))


def test_a_step_takes_one_window():
    lengths = {"task.train_lengths": (12, 12)}
    one, four = (
        forecast.size(prepare(tiny("lstm", lengths | {"train.windows": n}))).operations for n in (1, 4)
    )
    assert one - four == pytest.approx((1 - 1 / 4) * one * 20 * 3 * 12 / (20 * 3 * 12 + 2 * (12 + 24)))


def test_a_tied_head_multiplies_though_it_has_no_parameters():
    mqar = {"task.train_mix": ((16, 2),), "eval.lengths": (16,), "eval.pairs": (2,), "model.mlp_dim": 0}
    linear, tied = (
        forecast.size(prepare(tiny("lstm", mqar | {"model.head": head}, task="mqar")))
        for head in ("linear", "tied")
    )
    assert linear.params - tied.params == 16 * 64 + 64  # 64 values
    per_token = 2 * 64  # the bias that a tied head lacks
    assert linear.operations - tied.operations == per_token * 8 * 16 * (20 * 3 + 2)


def test_a_state_that_grows_and_a_mixture_of_lengths():
    gpt = forecast.size(prepare(tiny("gpt", {})))
    assert gpt.state_size == 2 * 16 * 24
    mix = {"task.train_mix": ((16, 2, 3.0), (32, 4, 1.0)), "eval.lengths": (16,), "eval.pairs": (2,)}
    even = mix | {"task.train_mix": ((16, 2), (32, 4))}
    lighter, heavier = (forecast.size(prepare(tiny("lstm", s, task="mqar"))).operations for s in (mix, even))
    assert lighter < heavier


def size(task, model, operations=100.0):
    return forecast.Size(task, model, 1, 1, 1, 1, 1, operations)


SIZES = {
    "a lstm": size("a", "lstm"),
    "a lstm wide": size("a", "lstm", 300.0),
    "b lstm": size("b", "lstm"),
    "b lru": size("b", "lru"),
}


@pytest.mark.parametrize(
    "known, seconds, rule",
    [
        ({}, forecast.COMPILE_SECONDS + 100 / forecast.OPERATIONS_PER_SECOND["cpu"], "guess"),
        ({"b lru": Seconds(10.0, 3.0, 1)}, 13.0, "study"),
        ({"b lru": Seconds(10.0, 3.0, 1), "b lstm": Seconds(20.0, 4.0, 1)}, 24.0, "model"),
        ({"b lstm": Seconds(20.0, 4.0, 1), "a lstm wide": Seconds(30.0, 5.0, 1)}, 15.0, "task and model"),
        ({"of another study": Seconds(1.0, 1.0, 1), "b lru": Seconds(10.0, 3.0, 1)}, 13.0, "study"),
    ],
)
def test_times_are_from_the_finished_cells_most_alike(known, seconds, rule):
    assert forecast.predict("a lstm", SIZES, known) == (pytest.approx(seconds), rule)


def test_the_members_that_are_left_take_what_the_others_took():
    """Two of six are finished, of a grid that will have eight: 100 operations each."""
    sizes = {"a lstm": size("a", "lstm", 600.0)._replace(members=6, left=6), "other": size("a", "lstm")}
    known = {"a lstm": Seconds(10.0, 3.0, 2), "other": Seconds(1.0, 1.0, 1)}
    assert forecast.predict("a lstm", sizes, known) == (pytest.approx(3.0 + 30.0), "itself")
    setup = prepare(tiny("lstm", POPULATION))
    assert [
        forecast.size(setup, finished).left
        for finished in (
            (),
            [(0.1, 0), (0.1, 1)],
            [(0.1, 0), (0.1, 7)],
            [(r, s) for r in (0.1, 0.2) for s in range(4)],
        )
    ] == [6, 4, 6, 0]


def test_listing(capsys):
    status = {"a lstm": "to do", "b lstm": "resumable", "b lru": "to do"}
    settings = dict.fromkeys(status, "") | {"b lstm": "train.steps=5"}
    sizes = SIZES | {"b lru": size("b", "lru")._replace(left=0)}
    forecast.show(sizes, {"b lru": Seconds(100.0, 20.0, 1)}, status, settings)
    head, *lines = capsys.readouterr().out.splitlines()
    assert head.split() == [
        "cell",
        "params",
        "state",
        "members",
        "steps",
        "seconds",
        "from",
        "status",
        "settings",
    ]
    assert lines[0].split()[2:] == ["1", "1", "1", "1", "120", "study", "to", "do"]
    assert lines[1].split()[-2:] == ["resumable", "train.steps=5"]
    assert lines[2].split()[-3:] == ["120", "itself", "done"]
    assert lines[3].startswith("3 cells, 1 done; the others take about 4:00,")


def test_status(tmp_path):
    assert forecast.status(tmp_path / "none") == "to do"
    (tmp_path / "error.json").write_text("{}")
    assert forecast.status(tmp_path) == "failed"
    (tmp_path / "checkpoints" / "20").mkdir(parents=True)
    assert forecast.status(tmp_path) == "resumable"


def test_a_finished_cell_took_the_time_of_all_its_parts():
    part = {
        "cell": "a",
        "learning_rate": 0.1,
        "compile_seconds": 3.0,
        "train_seconds": 40.0,
        "eval_seconds": 2.0,
    }
    rows = [part | {"seed": 0}, part | {"seed": 1}, part | {"seed": 2, "train_seconds": 50.0}]
    assert forecast.measured({"a": rows}) == {"a": Seconds(94.0, 6.0, 3)}


def test_shares():
    rows = [
        {"cell": cell, "compile_seconds": 30.0, "train_seconds": train, "eval_seconds": 10.0}
        for cell, train in (("a", 40.0), ("b", 80.0))
        for _ in range(4)  # every row of a cell has the seconds of the whole population
    ]
    assert forecast.shares(rows) == "2 cells, 3:20 in all: compile 30 %, train 60 %, evaluate 10 %"
