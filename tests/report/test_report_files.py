"""The command line of the report: what it reads, what it writes, what it says of lines it cannot use."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from report_rows import member, row, write_run, write_study

from rnnbench.report.__main__ import main
from rnnbench.report.read import read
from rnnbench.store.rows import write_jsonl
from rnnbench.study import run

ROOT = Path(__file__).parents[2]
FIGURES = ("overview", "accuracy_vs_length", "learning_rates", "learning_curves", "cost", "positions")


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return write_study(tmp_path_factory.mktemp("study"))


def test_a_study(study, capsys):
    before = {path.name for path in study.iterdir()}
    assert main([str(study)]) == 0
    written = {path.name for path in study.iterdir()} - before
    figures = {f"{name}.{kind}" for name in FIGURES for kind in ("png", "svg")}
    assert written == figures | {"report.md", "report.html", "results.csv"}
    out = capsys.readouterr().out
    assert "deltanet_neg" in out and f"written: {study / 'report.html'} and 14 files beside it" in out
    text = (study / "report.md").read_text()
    for part in (
        "compares 2 models on 2 tasks (Bit parity, MQAR): 24 trained members",
        "Length 256, 8 times training: held by every seed of deltanet_neg.",
        "| Bit parity | small | gpt | 0.01 | 2 |",
        "- dyck-gpt: `XlaRuntimeError: out of <memory>`",
        "1 cell of the study has no results yet",
        "training, 13% evaluating.",
    ):
        assert part in text, part
    assert text.count("](") == len(FIGURES)
    assert (study / "cost.png").read_bytes()[:4] == b"\x89PNG" and "<svg" in (study / "cost.svg").read_text()
    with (study / "results.csv").open(newline="") as file:
        table = list(csv.DictReader(file))
    assert len(table) == 72 and table[0]["case"] == "length=32" and table[0]["length"] == "32"
    assert {line["diverged"] for line in table} == {"True", "False"}


def test_several_workdirs_make_one_report(tmp_path):
    for name, seed in (("first", 0), ("second", 1)):
        write_run(tmp_path / name, member((0.9, 0.9, 0.9), seed=seed), {"model": {"name": "lstm"}})
    table = tmp_path / "table"
    write_jsonl(table / "results.jsonl", member((0.8, 0.8, 0.8), model="gpt"))
    (table / "configs.json").write_text(json.dumps({"cell-gpt": {"model": {"name": "gpt"}}}))
    folders = [str(tmp_path / name) for name in ("first", "second", "table")]
    assert main([*folders, "--out", str(tmp_path / "new" / "folder")]) == 0
    text = (tmp_path / "new" / "folder" / "report.md").read_text()
    assert "| lstm | 0.900 (0.900–0.900) |" in text and "| gpt | 0.800 |" in text
    html = (tmp_path / "new" / "folder" / "report.html").read_text()
    assert f"<summary>{table}: cell-gpt</summary>\n<pre>model.name = &#34;gpt&#34;" in html
    assert not (tmp_path / "first" / "report.md").exists()


def test_the_same_member_twice_is_read_once_and_said_where_it_differs(tmp_path):
    for name, accuracy in (("first", 0.9), ("second", 0.5), ("same", 0.9)):
        write_run(tmp_path / name, member((accuracy,) * 3), {"name": name})
    found = read([tmp_path / "first", tmp_path / "second", tmp_path / "first", tmp_path / "same"])
    assert {each["accuracy"] for each in found.rows} == {0.9} and len(found.rows) == 3
    assert found.configs == {(str(tmp_path / "first"), "cell-lstm"): {"name": "first"}}
    (problem,) = found.problems
    assert problem.startswith(f"{tmp_path / 'second'}: members of cell-lstm")


def test_a_folder_in_two_spellings_is_read_once(tmp_path, monkeypatch):
    folder = write_study(tmp_path / "study")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "link").symlink_to(folder)
    found = read(["study", "study/", folder, "link"])
    assert len(found.failures) == len(found.missing) == 1 and found.problems == []
    assert {row["workdir"] for row in found.rows} == {"study"}


def test_cells_that_are_in_the_table_are_not_missing(tmp_path):
    write_run(tmp_path / "study" / "cells" / "a", member((0.9, 0.8, 0.7), cell="a"))
    (tmp_path / "study" / "study.json").write_text(json.dumps({"cells": {"a": {}, "b": {}, "c": {}}}))
    write_run(tmp_path / "table", member((0.9, 0.8, 0.7), cell="b"))
    assert read([tmp_path / "study", tmp_path / "table"]).missing == [(str(tmp_path / "study"), "c")]


BAD_LINES = {
    '{"step": 1': "not a line of JSON",
    "[1, 2]": "not a JSON object",
    json.dumps(row(accuracy=float("nan"))): "not a line of JSON (NaN is not a number in JSON)",
    '{"loss": 3}': "not a result row (it has no 'cell')",
    json.dumps(row(seed="zero")): "not a result row ('seed' is 'zero')",
    json.dumps(row(length={"length": 32, "pairs": 4}, headline="f1")): "not a result row (it has no 'f1')",
    json.dumps(row() | {"case": {"size": 3}}): "not a result row (its case has no 'length')",
    json.dumps(row() | {"case": {"length": "abc"}}): "not a result row ('length' of its case is 'abc')",
    json.dumps(row() | {"case": {"length": []}}): "not a result row ('length' of its case is [])",
    json.dumps(row() | {"case": {"length": [8, "b"]}}): "not a result row ('length' of its case is [8, 'b'])",
    json.dumps(row() | {"case": {"length": 0}}): "not a result row ('length' of its case is 0)",
    json.dumps(row() | {"case": {"length": 8, "pairs": []}}): "not a result row ('pairs' of its case is [])",
}


@pytest.mark.parametrize("line", BAD_LINES)
def test_a_line_that_cannot_be_used_is_named_and_skipped(line, tmp_path):
    good = [json.dumps(each) for each in member((0.9, 0.8, 0.7))]
    (tmp_path / "results.jsonl").write_text("\n".join([good[0], line, *good[1:]]) + "\n")
    found = read([tmp_path])
    assert len(found.rows) == 3
    (problem,) = found.problems
    assert problem.startswith(f"{tmp_path / 'results.jsonl'}:2: {BAD_LINES[line]}") and "skipped" in problem


@pytest.mark.parametrize(
    "name, content, wrong",
    [
        ("configs.json", {"cells": []}, "its cells are not a JSON object"),
        ("configs.json", {"cell-lstm": {"a.b": 1}}, "cell-lstm is not a config"),
        ("configs.json", {"cell-lstm": {"model": {"a.b": 1}}}, "cell-lstm is not a config"),
        ("configs.json", {"cell-lstm": 3}, "cell-lstm is not a config"),
        ("study.json", {"cells": "all"}, "its cells are not a JSON object"),
        ("config.json", {"a.b": 1}, "cell-lstm is not a config"),
    ],
)
def test_a_config_that_cannot_be_used_is_named_and_skipped(name, content, wrong, tmp_path, capsys):
    write_run(tmp_path, member((0.9, 0.8, 0.7)))
    (tmp_path / name).write_text(json.dumps(content))
    assert main([str(tmp_path)]) == 0
    assert capsys.readouterr().err == f"{tmp_path / name}: {wrong}; skipped\n"


def test_positions_that_are_no_numbers_are_skipped(tmp_path, capsys):
    write_run(tmp_path, member((0.9, 0.8, 0.7)))
    last = read([tmp_path]).positions[-1] | {"accuracy": ["high"] * 32}
    write_jsonl(tmp_path / "positions.jsonl", [last])
    assert main([str(tmp_path)]) == 0
    assert "positions.jsonl:1: not a result row (its positions are not numbers)" in capsys.readouterr().err


def test_problems_go_to_stderr(tmp_path, capsys):
    write_run(tmp_path, member((0.9, 0.8, 0.7)))
    with (tmp_path / "positions.jsonl").open("a") as file:
        file.write('{"cell": "cut o')
    (tmp_path / "config.json").write_text("{")
    assert main([str(tmp_path)]) == 0
    errors = capsys.readouterr().err.splitlines()
    assert len(errors) == 2 and "positions.jsonl:4: not a line of JSON" in errors[0]
    assert errors[1] == f"{tmp_path / 'config.json'}: not a JSON object; skipped"


def test_a_report_that_fails_is_a_warning_of_the_study(tmp_path, monkeypatch, capsys):
    write_study(tmp_path)
    monkeypatch.setattr(run, "write", lambda *_: 1 / 0)
    run.report(tmp_path, None)
    printed = capsys.readouterr()
    said = "rnnbench: no report (ZeroDivisionError: division by zero); try python -m rnnbench.report"
    assert printed.out == "" and printed.err == f"{said} {tmp_path}\n"


def test_the_text_of_a_user_is_never_markup(tmp_path, capsys):
    folder = tmp_path / "[exp1]" / "[" / "b]"  # as `--workdir=[exp1]/[/b]`
    write_run(folder, member((0.9, 0.8, 0.7), model="[draft]rep[/b] :smile:", cell="[/c]"))
    assert main([str(folder)]) == 0
    printed = capsys.readouterr()
    assert f"written: {folder / 'report.html'} and" in printed.out and printed.err == ""
    assert "[draft]rep[/b] :smile:" in printed.out


def test_a_terminal_without_these_characters_gets_others(tmp_path):
    write_run(tmp_path, member((0.9, 0.8, 0.7), model="β"))
    command = [sys.executable, "-m", "rnnbench.report", str(tmp_path)]
    ascii_only = os.environ | {"PYTHONIOENCODING": "ascii"}
    done = subprocess.run(command, cwd=ROOT, env=ascii_only, capture_output=True, check=False)
    assert done.returncode == 0 and done.stderr == b"" and b"0.900" in done.stdout
    assert "β" in (tmp_path / "report.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name, message", [("nothing", "there is no such folder"), ("", "no results here")])
def test_nothing_to_report_is_one_line_and_exit_code_2(name, message, tmp_path):
    command = [sys.executable, "-m", "rnnbench.report", str(tmp_path / name)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.count("\n") == 1 and message in done.stderr and str(tmp_path / name) in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_study_that_only_failed_says_so(tmp_path, capsys):
    (tmp_path / "cells" / "mqar-gpt").mkdir(parents=True)
    (tmp_path / "cells" / "mqar-gpt" / "error.json").write_text('{"error": "no"}')
    assert main([str(tmp_path)]) == 2
    assert "1 cells failed, mqar-gpt first" in capsys.readouterr().err


def test_a_member_in_two_folders_counts_once_in_every_figure(tmp_path):
    for name, seeds in (("a", (0, 1)), ("b", (0, 1, 2))):
        write_run(tmp_path / name, [each for seed in seeds for each in member((0.9, 0.8, 0.7), seed=seed)])
    found = read([tmp_path / "a", tmp_path / "b"])
    owners = [{(each["workdir"], each["seed"]) for each in rows} for rows in found[:3]]
    assert owners == [{(str(tmp_path / folder), seed) for folder, seed in (("a", 0), ("a", 1), ("b", 2))}] * 3


def test_rows_that_cannot_choose_a_learning_rate(tmp_path, capsys):
    write_run(tmp_path, [each for each in member((0.9, 0.8, 0.7)) if not each["selection"]])
    before = sorted(tmp_path.iterdir())
    assert main([str(tmp_path), f"--out={tmp_path / 'out'}"]) == 2
    said = f"rnnbench: {tmp_path}: no rows of the case that selects the learning rate"
    assert capsys.readouterr().err.startswith(said)
    assert sorted(tmp_path.iterdir()) == before


def test_a_folder_in_the_home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    write_run(tmp_path / "run", member((0.9, 0.8, 0.7)))
    assert main([str(tmp_path / "run"), "--out=~/report"]) == 0
    assert (tmp_path / "report" / "report.html").exists()


def test_no_folder_to_write_into(tmp_path, capsys):
    write_run(tmp_path / "run", member((0.9, 0.8, 0.7)))
    (tmp_path / "file").write_text("")
    assert main([str(tmp_path / "run"), "--out", str(tmp_path / "file")]) == 2
    assert "--out" in capsys.readouterr().err
