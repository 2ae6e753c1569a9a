"""Long streams: pieces equal the whole, only members that solved the task run, files and refusals."""

import shutil

import jax
import numpy as np
import pytest
from helpers import tiny

from rnnbench import long_streams, notebook
from rnnbench.config.build import changed, label
from rnnbench.store.rows import read_jsonl, write_jsonl
from rnnbench.train import run as train


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Two members, of which, by its rows, only seed 1 solved the longest case."""
    folder = tmp_path_factory.mktemp("far") / "run"
    train.run(tiny("lstm", {"train.steps": 4, "population.seeds": (0, 1)}), folder)
    rows = read_jsonl(folder / "results.jsonl")
    for row in rows:
        longest = row["case"]["length"] == 24
        row[row["headline"]] = 0.96 if longest and row["seed"] == 1 else 0.9 if longest else 1.0
    write_jsonl(folder / "results.jsonl", rows)
    return folder


def test_in_pieces_as_in_one_evaluation(run):
    """97 tokens in pieces of 10 give the sums that the evaluation of that length gives."""
    member = notebook.load(run, seed=1)
    case, key = {"length": 97}, jax.random.key(3)
    sums = long_streams.stream(member.model, member.task, case, key, sequences=5, piece=10)
    keys = jax.random.split(jax.random.fold_in(key, 0), 5)
    batch = jax.vmap(lambda key: member.task.sample(key, case))(keys)
    right = (member.model(batch.inputs)[0].argmax(-1) == batch.targets) & batch.mask
    np.testing.assert_array_equal(sums["count"], batch.mask.sum(axis=0))
    np.testing.assert_array_equal(sums["right"], right.sum(axis=0))
    assert 0 < sums["right"].sum() < sums["count"].sum()


def test_files(run, tmp_path):
    arguments = [str(run), "--length=40", "--piece=16", "--sequences=4", f"--out={tmp_path}"]
    for _ in range(2):  # again: the rows are replaced, not doubled
        assert long_streams.main(arguments) == 0
        (row,) = read_jsonl(tmp_path / "far.jsonl")
    assert (row["seed"], row["case"], row["sequences"], row["model"]) == (1, {"length": 40}, 4, "lstm")
    assert np.mean(row["accuracy_by_position"]) == pytest.approx(row["accuracy"])
    assert np.mean(row["accuracy_by_position"][30:]) == pytest.approx(row["last_quarter_accuracy"])
    assert (tmp_path / "far.png").read_bytes().startswith(b"\x89PNG")


def test_other_lengths_and_members_are_added(run, tmp_path):
    arguments = [str(run), "--piece=16", "--sequences=4", f"--out={tmp_path}"]
    for more in ("--length=40", "--length=30", "--length=40 --solved=0.5"):
        assert long_streams.main([*arguments, *more.split()]) == 0
    found = [(row["seed"], row["case"]["length"]) for row in read_jsonl(tmp_path / "far.jsonl")]
    assert sorted(found) == [(0, 40), (1, 30), (1, 40)]


def streamed(model, case=None, task="bit_parity", **changes):
    where = {"task": task, "protocol": "small", "model": model, "case": case or {"length": 2}}
    row = {"chance": 0.5, "starts": [0, 1], "accuracy_by_position": [1.0, 0.75]} | where | changes
    return {"cell": f"{task}-{model}-{row.get('overrides')}"} | row


def test_a_line_per_model_and_case():
    ones, short = {"length": 2, "ones": "any"}, {"length": 1}
    rows = [streamed("lstm"), streamed("lstm"), streamed("mamba", ones), streamed("mamba", short)]
    (panel,) = long_streams.figure(rows).panels
    assert {line.label for line in panel.lines} == {"lstm (2)", "mamba ones=any (1)", "mamba 1 (1)"}
    assert panel.lines[0].x == [1, 2] and panel.lines[0].y == [1.0, 0.75]
    assert panel.chance == [(1, 0.5), (2, 0.5)]


def test_a_panel_per_task_and_a_line_per_setting():
    """Never an average over two tasks or two settings."""
    wide = [{"model.dim": dim, "train.steps": 9} for dim in (32, 64)]
    rows = [streamed("lstm", overrides=overrides) for overrides in wide]
    rows += [streamed("lstm", task="dyck", chance=None, accuracy_by_position=[0.5, 0.25])]
    parity, dyck = long_streams.figure(rows).panels
    assert [line.label for line in parity.lines] == ["lstm dim=32 (1)", "lstm dim=64 (1)"]
    assert parity.lines[0].style != parity.lines[1].style
    assert [line.y for line in dyck.lines] == [[0.5, 0.25]] and not dyck.chance


@pytest.mark.parametrize(
    "flags, words",
    [
        (["--length=0"], "--length"),
        (["--piece=0"], "--piece"),
        (["--sequences=-1"], "--sequences"),
        (["--solved=0.97"], "--solved"),
        (["--length=3000000000"], "--length"),
        (["--out={run}/config.json"], "--out"),
        (["--out={run}/config.json/below"], "--out"),
        (["{run}/none"], "no run or study"),
    ],
)
def test_refusals(run, capsys, flags, words):
    before = sorted(path.name for path in run.iterdir())
    assert long_streams.main([str(run), *(flag.format(run=run) for flag in flags)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert words in line
    assert sorted(path.name for path in run.iterdir()) == before


def test_a_length_that_cannot_hold_the_case(tmp_path, capsys):
    lengths = {"task.train_lengths": (32, 32), "eval.lengths": (32,), "eval.pairs": (8,)}
    train.run(tiny("lstm", {"train.steps": 4} | lengths, "mqar"), tmp_path)
    assert long_streams.main([str(tmp_path), "--solved=0", "--length=2"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("rnnbench: --length: there are no sequences of length=2,pairs=")
    assert not (tmp_path / long_streams.ROWS).exists()


def test_lengths_without_a_target(tmp_path, capsys):
    train.run(tiny("lstm", {"train.steps": 4}, "dyck"), tmp_path)
    capsys.readouterr()
    assert long_streams.main([str(tmp_path), "--solved=0", "--length=1", "--sequences=3"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line == "rnnbench: --length: 3 sequences of length=1 have no target"
    assert not (tmp_path / long_streams.ROWS).exists()


def test_a_diverged_member_takes_no_part(run):
    rows = [row | {"diverged": row["seed"] == 1} for row in read_jsonl(run / "results.jsonl")]
    assert {row["seed"] for row in long_streams.solved(rows, 0.0)} == {0}


def test_nan_is_no_right_answer(tmp_path):
    """Of learned positions, which end at the longest length of the run."""
    config = changed(tiny("gpt", {"train.steps": 4}), {"model.positions": "learned"})
    train.run(label(config), tmp_path)
    member = notebook.load(tmp_path)
    sums = long_streams.stream(member.model, member.task, {"length": 40}, jax.random.key(0), 8, piece=12)
    assert sums["right"][:24].sum() > 0 and not sums["right"][24:].any()


def test_a_study_whose_first_cell_failed(run, tmp_path):
    cells = tmp_path / "study" / "cells"
    shutil.copytree(run, cells / "second")
    (cells / "first").mkdir()
    (cells / "first" / "error.json").write_text("{}")
    arguments = [str(tmp_path / "study"), "--length=40", "--sequences=4", f"--out={tmp_path}"]
    assert long_streams.main(arguments) == 0
    assert len(read_jsonl(tmp_path / "far.jsonl")) == 1


@pytest.mark.parametrize(
    "file, change, words",
    [
        ("results.jsonl", {"final": False}, "nothing is trained to its end"),
        ("results.jsonl", {"seed": None}, "results.jsonl:1: not a row of such a file ('seed' is None)"),
        ("far.jsonl", {}, "far.jsonl:1: not a row of such a file (it has no 'starts')"),
    ],
)
def test_unfinished_and_damaged_rows(run, tmp_path, capsys, file, change, words):
    copy = shutil.copytree(run, tmp_path / "copy")
    rows = [row | change for row in read_jsonl(run / "results.jsonl")]
    write_jsonl(copy / file, rows)
    assert long_streams.main([str(copy), "--solved=0", "--length=40", "--sequences=4"]) == 2
    assert words in capsys.readouterr().err
