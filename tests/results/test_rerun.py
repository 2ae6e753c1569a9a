"""A committed cell trained again gives the same figures; differences and mistakes are reported."""

import json

import pytest
import rerun
from helpers import tiny

from rnnbench.store.rows import read_jsonl, write_jsonl
from rnnbench.store.workdir import locked
from rnnbench.study import table as tables
from rnnbench.train import run as train


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """A table of one cell, two learning rates × two seeds."""
    folder = tmp_path_factory.mktemp("rerun")
    members = {"population.learning_rates": (0.03, 0.01), "population.seeds": (0, 1)}
    config = tiny("lstm", {"train.steps": 6, "train.batch_size": 16} | members)
    rows = train.run(config, folder / "run")
    tables.add(folder / "table", [rows[0]["cell"]], config, rows, folder / "run")
    return folder / "table"


def test_the_same_figures_again(table, capsys):
    """A member alone is what it was in its population."""
    assert rerun.main([str(table), "bit_parity-tiny-lstm", "--seeds=1", "--learning_rates=0.01"]) == 0
    shown = capsys.readouterr().out
    assert "greatest difference 0.0000" in shown and "length=24" in shown and "0.03 " not in shown


def test_what_deviates_is_told(table, tmp_path, capsys, monkeypatch):
    rows = read_jsonl(table / "results.jsonl")
    monkeypatch.setattr(train, "run_alone", lambda config, folder: rows)
    off = [row | {row["headline"]: row[row["headline"]] - 0.05 * (row["seed"] == 1)} for row in rows]
    write_jsonl(tmp_path / "results.jsonl", off)
    (tmp_path / "configs.json").write_text((table / "configs.json").read_text())
    arguments = [str(tmp_path), "bit_parity-tiny-lstm"]
    assert rerun.main(arguments) == 1
    assert "greatest difference 0.0500, tolerance 0.02: DEVIATES" in capsys.readouterr().out
    assert rerun.main([*arguments, "--tolerance=0.06"]) == 0


def test_members_of_an_earlier_call_do_not_count(table, tmp_path, capsys):
    arguments = [
        str(table),
        "bit_parity-tiny-lstm",
        "--learning_rates=0.01",
        f"--workdir={tmp_path / 'kept'}",
    ]
    rerun.main([*arguments, "--seeds=7"])
    capsys.readouterr()
    assert rerun.main([*arguments, "--seeds=0"]) == 0
    assert "greatest difference 0.0000" in capsys.readouterr().out
    with locked(tmp_path / "kept" / ".lock"):
        assert rerun.main([*arguments, "--seeds=0"]) == 2
    assert "in use by another command" in capsys.readouterr().err


def copied(table, folder, rows):
    """The table with other rows."""
    write_jsonl(folder / "results.jsonl", rows)
    (folder / "configs.json").write_text((table / "configs.json").read_text())
    return str(folder), "bit_parity-tiny-lstm"


@pytest.mark.parametrize(
    "lost, words",
    [
        (lambda row: True, "no final rows to compare with"),
        (lambda row: row["learning_rate"] == 0.01, "no 0.01 in the table"),
    ],
)
def test_what_the_table_lacks_is_refused_before_training(table, tmp_path, capsys, monkeypatch, lost, words):
    monkeypatch.setattr(train, "run_alone", lambda *_: pytest.fail("trained"))
    rows = [row for row in read_jsonl(table / "results.jsonl") if not lost(row)]
    other = read_jsonl(table / "results.jsonl")[0] | {"cell": "another"}
    assert rerun.main(copied(table, tmp_path, [*rows, other])) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert words in line


def test_a_case_that_the_table_lacks_is_said(table, tmp_path, capsys, monkeypatch):
    rows = read_jsonl(table / "results.jsonl")
    monkeypatch.setattr(train, "run_alone", lambda *_: rows)
    fewer = [row for row in rows if row["case"] != {"length": 24}]
    assert rerun.main(copied(table, tmp_path, fewer)) == 0
    printed = capsys.readouterr()
    assert [line.partition(";")[0] for line in printed.err.splitlines()] == [
        f"length=24: the table has none at learning rate {rate}" for rate in (0.03, 0.01)
    ]
    assert "length=24" not in printed.out and "greatest difference 0.0000" in printed.out
    assert "all" not in printed.out  # each member with its counterpart
    monkeypatch.setattr(train, "run_alone", lambda *_: [row for row in rows if row not in fewer])
    assert rerun.main(copied(table, tmp_path, fewer)) == 2


def rows_of(values, rate=0.01):
    row = {"case": {"length": 8}, "learning_rate": rate, "headline": "accuracy"}
    return [row | {"seed": seed, "accuracy": value} for seed, value in values.items()]


def test_other_seeds_must_overlap():
    committed = rows_of({0: 1.0, 1: 0.5, 2: 0.75}) + rows_of({0: 0.0, 1: 0.0, 2: 0.0}, rate=0.1)
    (line,) = rerun.compare(committed, rows_of({7: 0.0, 8: 0.25, 9: 0.5}))
    assert (line["seed"], line["before"], line["now"]) == ("all", [0.5, 0.75, 1.0], [0.0, 0.25, 0.5])
    assert line["difference"] == 0.0 and rerun.spread(line["now"]) == "0.250 (0.000–0.500)"
    (line,) = rerun.compare(committed, rows_of({7: 0.0, 8: 0.25}))
    assert line["difference"] == rerun.gap(line["now"], line["before"]) == 0.25
    (line,) = rerun.compare(committed, rows_of({0: None}))
    assert (line["seed"], line["before"], line["now"]) == (0, [1.0], [0.0])  # diverged


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["{table}", "bit_parity-tiny-gpt"], "no such cell in"),
        (["{table}/none", "bit_parity-tiny-lstm"], "no table here"),
        (["{table}", "bit_parity-tiny-lstm", "--seeds=a"], "--seeds"),
        (["{table}", "bit_parity-tiny-lstm", "--seeds=1,1"], "population.seeds"),
        (["{table}", "bit_parity-tiny-lstm", "--learning_rates=0.5"], "--learning_rates"),
    ],
)
def test_refusals(table, capsys, arguments, words):
    assert rerun.main([argument.format(table=table) for argument in arguments]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert words in line


def test_plug_ins_beside_the_rows_are_found(table, tmp_path):
    """A cell whose mixer and task lie in the table's folder can be set up again."""
    (tmp_path / "mixer_beside_rows.py").write_text("from external_mixer import RunningSum\n")
    write_jsonl(tmp_path / "results.jsonl", read_jsonl(table / "results.jsonl"))
    configs = json.loads((table / "configs.json").read_text())
    configs["bit_parity-tiny-lstm"]["model"] |= {"mixer": "mixer_beside_rows:RunningSum", "options": {}}
    (tmp_path / "configs.json").write_text(json.dumps(configs))
    rerun.find(str(tmp_path), "bit_parity-tiny-lstm")
    assert __import__("mixer_beside_rows").RunningSum
