"""A study: its cells, running them once, its report, and what it refuses."""

import json
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
from helpers import tiny

from rnnbench.config import ConfigError
from rnnbench.store import workdir
from rnnbench.store.rows import read_jsonl
from rnnbench.store.workdir import WorkdirError
from rnnbench.study import cells as grid
from rnnbench.study import run as study
from rnnbench.train import run as train

pytestmark = pytest.mark.usefixtures("compiled_once")

MODELS = ("lstm", "qlstm")


def cells(flags, models=MODELS, tasks=("bit_parity",)):
    """The cells of a study of tiny's configs, changed by flags."""
    configs = [tiny(model, {}, task) for task in tasks for model in models]
    return grid.cells(configs, flags, {}, lambda task: pytest.fail("no file is needed"))


def bytes_of(folder):
    return {p: (p.read_bytes(), p.stat().st_mtime_ns) for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    folder = tmp_path_factory.mktemp("studies") / "study"
    return folder, study.run(cells({"train.steps": 4}), folder)[0]


def test_a_cell_per_task_and_model():
    found = cells({}, tasks=("bit_parity", "dyck"))
    assert list(found) == [
        "bit_parity-tiny-lstm",
        "bit_parity-tiny-qlstm",
        "dyck-tiny-lstm",
        "dyck-tiny-qlstm",
    ]
    assert found["dyck-tiny-qlstm"].model.name == "qlstm"
    assert found["dyck-tiny-qlstm"].task.train_lengths == (4, 12)
    assert all(cell.protocol == "tiny" and not cell.overrides for cell in found.values())


def test_flags_reach_every_cell_and_label_it_custom():
    found = cells({"train.steps": 4, "population.seeds": (0, 1), "study.models": "gpt,lru"})
    assert [cell.model.name for cell in found.values()] == ["gpt", "lru"]
    for cell in found.values():
        assert (cell.train.steps, cell.population.seeds, cell.protocol) == (4, (0, 1), "custom")
        assert cell.overrides == (("train.steps", 4),)


def test_a_flag_holds_for_the_presets_that_have_it():
    """Heads and convolutions: the flag leaves a mixer without them unchanged, as a protocol does."""
    lstm, gpt = cells({"model.heads": 4}, models=("lstm", "gpt")).values()
    assert (lstm.model.heads, lstm.protocol) == (0, "tiny")
    assert (gpt.model.heads, gpt.protocol) == (4, "custom")


def test_seeds_alone_leave_the_protocol():
    assert {cell.protocol for cell in cells({"population.seeds": (1, 2)}).values()} == {"tiny"}


def test_every_cell_is_a_run(ran):
    folder, rows = ran
    found = cells({"train.steps": 4})
    assert {path.name for path in (folder / "cells").iterdir()} == set(found)
    for name in found:
        mine = read_jsonl(folder / "cells" / name / "results.jsonl")
        assert mine == [row for row in rows if row["cell"] == name]
        assert [(row["step"], row["final"], row["case"]["length"]) for row in mine] == [
            (4, True, 12),
            (4, True, 24),
        ]
        assert all(row["protocol"] == "custom" and row["overrides"] == {"train.steps": 4} for row in mine)


def test_the_report(ran):
    folder, _ = ran
    report = (folder / "report.md").read_text()
    assert all(name in report for name in MODELS)
    assert (folder / "accuracy_vs_length.png").read_bytes().startswith(b"\x89PNG")
    assert list(json.loads((folder / "study.json").read_text())["cells"]) == list(cells({"train.steps": 4}))


def test_finished_cells_are_skipped(ran, monkeypatch):
    folder, rows = ran
    before = bytes_of(folder / "cells")
    monkeypatch.setattr(train, "compile_all", lambda *args: pytest.fail("trained again"))
    assert study.run(cells({"train.steps": 4}), folder) == (rows, [])
    assert bytes_of(folder / "cells") == before


@pytest.mark.parametrize("flags", [{"train.steps": 5}, {"study.models": "gpt"}, {"optim.clip": 0.5}])
def test_another_study_is_refused(ran, flags):
    folder, _ = ran
    before = bytes_of(folder)
    with pytest.raises(WorkdirError, match="another"):
        study.run(cells({"train.steps": 4} | flags), folder)
    assert bytes_of(folder) == before


def test_a_run_is_no_study_and_a_study_no_run(ran, tmp_path):
    folder, _ = ran
    (cell, _) = cells({"train.steps": 4}).values()
    with pytest.raises(WorkdirError, match="study"):
        train.run(cell, folder)
    with pytest.raises(WorkdirError, match="run"):
        study.run(cells({}), next((folder / "cells").iterdir()))


def test_every_cell_is_checked_before_the_first_runs(tmp_path):
    with pytest.raises(ConfigError) as error:
        study.run(cells({"model.heads": 3}, models=("lstm", "deltanet")), tmp_path / "study")
    assert error.value.key == "model.heads"
    assert not (tmp_path / "study").exists()


def test_a_table_is_filled_and_counts_as_done(ran, tmp_path, monkeypatch):
    """Cells finished in one workdir are put into the table, and are skipped in another one's study."""
    folder, rows = ran
    here, table, elsewhere = tmp_path / "here", tmp_path / "table", tmp_path / "elsewhere"
    shutil.copytree(folder, here)
    monkeypatch.setattr(train, "compile_all", lambda *args: pytest.fail("trained again"))
    assert study.run(cells({"train.steps": 4}), here, table) == (rows, [])
    assert read_jsonl(table / "results.jsonl") == rows
    assert study.run(cells({"train.steps": 4}), elsewhere, table) == (rows, [])
    assert not (elsewhere / "cells").exists()
    assert all(name in (elsewhere / "report.md").read_text() for name in MODELS)
    failed = elsewhere / "cells" / rows[0]["cell"] / "error.json"  # here, before another workdir finished it
    failed.parent.mkdir(parents=True)
    failed.write_text("{}")
    assert study.run(cells({"train.steps": 4}), elsewhere, table) == (rows, []) and not failed.exists()
    with pytest.raises(ConfigError, match=r"--config\.study\.table: .* is the workdir too"):
        study.run(cells({"train.steps": 4}), here, here)
    saved = json.loads((table / "configs.json").read_text())
    saved[next(iter(saved))]["optim"]["clip"] = 0.5
    (table / "configs.json").write_text(json.dumps(saved))
    before = bytes_of(tmp_path)
    with pytest.raises(ConfigError, match=r"--config.study.table: .*optim\.clip"):
        study.run(cells({"train.steps": 4}), tmp_path / "third", table)
    assert bytes_of(tmp_path) == before


GRID = {"train.steps": 4, "population.learning_rates": (0.01,), "population.seeds": (0,)}
SEEDS, RATES = {"population.seeds": (0, 1)}, {"population.learning_rates": (0.1, 0.01)}
SECONDS = {"train_seconds", "compile_seconds", "eval_seconds"}
SMALL = ("lstm", "gpt")


def rows_of(folder, name="results.jsonl"):
    return [{k: v for k, v in row.items() if k not in SECONDS} for row in read_jsonl(folder / name)]


def content(file):
    return json.loads(file.read_text())


def assert_same_rows(folder, other):
    for name in ("results.jsonl", "positions.jsonl"):
        assert rows_of(folder, name) == rows_of(other, name), name


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A study of two models with two learning rates and two seeds, and its table."""
    folder = tmp_path_factory.mktemp("whole")
    study.run(cells(GRID | SEEDS | RATES, SMALL), folder / "study", folder / "table")
    return folder


def test_a_study_and_its_table_grow(whole, tmp_path):
    """By a seed, then by a learning rate and a model."""
    folder, table = tmp_path / "study", tmp_path / "table"
    for flags, models in ((GRID, SMALL[:1]), (GRID | SEEDS, SMALL[:1]), (GRID | SEEDS | RATES, SMALL)):
        study.run(cells(flags, models), folder, table)
    assert_same_rows(table, whole / "table")
    assert content(table / "configs.json") == content(whole / "table" / "configs.json")
    assert content(folder / "study.json") == content(whole / "study" / "study.json")
    first, second = cells(GRID, SMALL)
    for name in (first, second):
        assert_same_rows(folder / "cells" / name, whole / "study" / "cells" / name)
    grids = {
        str(file.parent.relative_to(folder / "cells")): content(file)["population"]
        for file in folder.glob("cells/**/config.json")
    }
    assert grids == {
        first: {"learning_rates": [0.01], "seeds": [0]},
        f"{first}/grown/1": {"learning_rates": [0.01], "seeds": [1]},
        f"{first}/grown/2": {"learning_rates": [0.1], "seeds": [0, 1]},
        second: {"learning_rates": [0.1, 0.01], "seeds": [0, 1]},
    }


def test_a_table_grows_in_another_workdir(whole, tmp_path):
    """Only the members that it lacks are trained there."""
    table = tmp_path / "table"
    study.run(cells(GRID, SMALL[:1]), tmp_path / "first", table)
    study.run(cells(GRID | SEEDS | RATES, SMALL[:1]), tmp_path / "second", table)
    (name,) = cells(GRID, SMALL[:1])
    assert rows_of(table) == [row for row in rows_of(whole / "table") if row["cell"] == name]
    here = rows_of(tmp_path / "second" / "cells" / name)
    assert {(row["learning_rate"], row["seed"]) for row in here} == {(0.1, 0), (0.1, 1), (0.01, 1)}


def test_fewer_members_or_models_train_and_lose_nothing(whole, monkeypatch):
    monkeypatch.setattr(train, "compile_all", lambda *args: pytest.fail("trained again"))
    before = bytes_of(whole / "table"), bytes_of(whole / "study" / "cells")
    planned = (whole / "study" / "study.json").read_bytes()
    for table in (whole / "table", ""):
        rows, failed = study.run(cells(GRID, SMALL[:1]), whole / "study", table)
        assert len(rows) == 8 and failed == []
    assert (bytes_of(whole / "table"), bytes_of(whole / "study" / "cells")) == before
    assert (whole / "study" / "study.json").read_bytes() == planned


def test_a_plan_of_a_study_that_grows(whole, capsys):
    study.plan(cells(GRID | {"population.seeds": (0, 1, 2)}, SMALL), whole / "study")
    listed = capsys.readouterr().out.splitlines()
    assert all(line.split("itself")[1].split() == ["grows", "by", "2"] for line in listed[1:3]), listed
    assert listed[3].startswith("2 cells, 0 done")


STUDY, REPORT = {"train.steps": 4}, study.report


@pytest.fixture
def copied(ran, monkeypatch):
    """Replaces running a cell by copying its files from `ran`, and a report by a note; nothing compiles."""
    calls = []

    def run(cell, folder, progress, have):
        calls.append(train.cell_name(cell))
        progress.start(calls[-1], steps=4)
        shutil.copytree(ran[0] / "cells" / calls[-1], folder, dirs_exist_ok=True)
        progress.done("")
        return [row for row in ran[1] if row["cell"] == calls[-1]]

    monkeypatch.setattr(train, "run", run)
    monkeypatch.setattr(study, "report", lambda folder, table: calls.append("report"))
    return calls


def broken(name, error):
    """train.run, which fails for one cell."""
    run = train.run

    def failing(cell, folder, progress, have):
        if train.cell_name(cell) == name:
            raise error
        return run(cell, folder, progress, have)

    return failing


def test_a_failing_cell_is_written_down_and_the_others_run(ran, copied, tmp_path, monkeypatch, capsys):
    first, second = cells(STUDY)
    file = tmp_path / "cells" / first / "error.json"
    with monkeypatch.context() as patch:
        patch.setattr(train, "run", broken(first, RuntimeError("out of\nmemory")))
        rows, failed = study.run(cells(STUDY), tmp_path)
    assert failed == [first] and copied == [second, "report"] and {row["cell"] for row in rows} == {second}
    assert f"{first}: failed: RuntimeError: out of memory" in capsys.readouterr().out
    written = json.loads(file.read_text())
    assert (written["cell"], written["error"]) == (first, "RuntimeError: out of memory")
    assert written["traceback"].startswith("Traceback") and "in failing" in written["traceback"]
    assert study.run(cells(STUDY), tmp_path)[1] == [] and copied[2:] == [first, second, "report"]
    assert not file.exists()


def test_an_interruption_ends_the_study(copied, tmp_path, monkeypatch):
    first, _ = cells(STUDY)
    monkeypatch.setattr(train, "run", broken(first, KeyboardInterrupt()))
    with pytest.raises(KeyboardInterrupt):
        study.run(cells(STUDY), tmp_path)
    assert copied == [] and not (tmp_path / "cells" / first / "error.json").exists()


def test_a_cell_that_another_process_runs_is_left_to_it(copied, tmp_path, capsys):
    first, second = cells(STUDY)
    lock = tmp_path / "cells" / first / ".lock"
    lock.parent.mkdir(parents=True)
    holder = [sys.executable, "-c", HOLD, str(lock)]
    with subprocess.Popen(holder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline() == "held\n"
        rows, failed = study.run(cells(STUDY), tmp_path)
        assert failed == [] and copied == [second, "report"] and {row["cell"] for row in rows} == {second}
        assert f"{first}: left to the process that is running it" in capsys.readouterr().out
        other.kill()  # and its lock is gone with it
    study.run(cells(STUDY), tmp_path)
    assert copied[2:] == [first, second, "report"]


HOLD = """
import fcntl, sys
file = open(sys.argv[1], "a")
fcntl.flock(file, fcntl.LOCK_EX)
print("held", flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("count", [1, 2, 3, 5, 7])
def test_shards_are_disjoint_and_make_the_whole(count):
    every = {f"cell {i}": i for i in range(5)}
    shards = [study.part(every, (number, count)) for number in range(1, count + 1)]
    assert sum(map(len, shards)) == 5 and {name: i for shard in shards for name, i in shard.items()} == every
    assert max(map(len, shards)) - min(map(len, shards)) <= 1


def test_shards_on_one_workdir(copied, tmp_path):
    first, second = cells(STUDY)
    study.run(cells(STUDY), tmp_path, shard=(2, 2))
    REPORT(tmp_path, None)  # of what there is
    assert "qlstm" in (tmp_path / "report.md").read_text()
    study.run(cells(STUDY), tmp_path, shard=(1, 2))
    assert copied == [second, "report", first, "report"]
    assert study.run(cells(STUDY), tmp_path, shard=(3, 3)) == ([], [])


def test_one_of_two_studies_that_start_at_once_is_refused(tmp_path, monkeypatch):
    """Both have looked and found the workdir free; the other one's claim comes first."""
    claim, other = workdir.claim, {"other": {}}

    def claim_second(folder, name, content):
        claim(folder, name, lambda _: {"cells": other})
        claim(folder, name, content)

    monkeypatch.setattr(workdir, "claim", claim_second)
    with pytest.raises(WorkdirError, match="another study"):
        study.run(cells(STUDY), tmp_path / "study")
    assert {path.name for path in (tmp_path / "study").iterdir()} == {"study.json", ".lock"}
    assert json.loads((tmp_path / "study" / "study.json").read_text()) == {"cells": other}


def test_claims_at_once_leave_one_whole_file(tmp_path):
    add = lambda i: lambda before: before | {str(i): list(range(2000))}
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda i: workdir.claim(tmp_path, "study.json", add(i)), range(8)))
    whole = {str(i): list(range(2000)) for i in range(8)}
    assert json.loads((tmp_path / "study.json").read_text()) == whole
    assert {path.name for path in tmp_path.iterdir()} == {"study.json", ".lock"}


def test_the_invalid_cell_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"model.heads: .* \(cell bit_parity-custom-deltanet-\w+\)"):
        study.run(cells({"model.heads": 3}, models=("lstm", "deltanet")), tmp_path / "study")


def test_a_plan_writes_nothing(ran, tmp_path, capsys):
    folder, rows = ran
    before = bytes_of(folder)
    study.plan(cells(STUDY), folder)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[1:3]] == list(cells(STUDY))
    assert all(line.split()[-2:] == ["itself", "done"] for line in lines[1:3]), lines
    assert lines[1].split()[1:4] == [f"{rows[0]['params']:,}", str(rows[0]["state_size"]), "1"]
    assert bytes_of(folder) == before
    study.plan(cells(STUDY), tmp_path / "new", shard=(2, 2))
    listed = capsys.readouterr().out.splitlines()
    assert "qlstm" in listed[1] and "to do" in listed[1] and listed[2].startswith("1 cells, 0 done")
    assert not (tmp_path / "new").exists()
