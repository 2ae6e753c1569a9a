"""A study: its cells, running them once, its report, and what it refuses."""

import json
import shutil

import pytest
from helpers import tiny

from rnnbench import grid, study, train
from rnnbench.config import ConfigError, put
from rnnbench.metrics import read_jsonl
from rnnbench.workdir import WorkdirError

MODELS = ("lstm", "qlstm")


def cells(flags, models=MODELS, tasks=("bit_parity",)):
    """The cells of a study whose config file is tiny's, changed by flags."""
    pristine = tiny("deltanet", {})
    put(pristine, "study.models", models)
    put(pristine, "study.tasks", tasks)
    config = pristine.copy_and_resolve_references()
    for key, value in flags.items():
        put(config, key, value)
    return grid.cells(config, pristine, lambda task: lambda argument: tiny(argument.split(",")[0], {}, task))


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
    found = cells({"train.steps": 4, "population.seeds": (0, 1), "study.models": ("gpt", "lru")})
    assert [cell.model.name for cell in found.values()] == ["gpt", "lru"]
    for cell in found.values():
        assert (cell.train.steps, cell.population.seeds, cell.protocol) == (4, (0, 1), "custom")
        assert cell.overrides == (("train.steps", 4),)


def test_a_flag_holds_for_the_presets_that_have_it():
    """Heads and convolutions: a mixer without them keeps its own way, as it does in a protocol."""
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


@pytest.mark.parametrize(
    "flags", [{"train.steps": 5}, {"study.models": ("lstm", "gpt")}, {"population.seeds": (1,)}]
)
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


@pytest.mark.parametrize(
    "models,flags,key",
    [
        (("lstm", "gru"), {}, "study.models"),
        (
            ("lstm", "deltanet_neg"),
            {"model.options.negative_eigenvalues": True},
            "model.options.negative_eigenvalues",
        ),
    ],
)
def test_a_cell_that_cannot_be(models, flags, key):
    with pytest.raises(ConfigError) as error:
        cells(flags, models=models)
    assert error.value.key == key


def test_a_study_of_no_task():
    with pytest.raises(ConfigError) as error:
        cells({}, tasks=())
    assert error.value.key == "study.tasks"


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
    before = bytes_of(tmp_path)
    with pytest.raises(ConfigError, match=r"--config.study.table: .*population\.seeds"):
        study.run(cells({"train.steps": 4, "population.seeds": (1,)}), tmp_path / "third", table)
    assert bytes_of(tmp_path) == before
