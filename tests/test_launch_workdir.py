"""The workdir of a launched run: its files and rows, what is refused, and that refusals change nothing."""

import json
import re
import shutil

import pytest
from launched import PARITY, TINY, compiled, launch, refusal

from rnnbench.config.schema import KEYS
from rnnbench.parallel.cores import cores
from rnnbench.store import workdir
from rnnbench.store.rows import Row


def contents(folder):
    return {path.relative_to(folder): path.is_file() and path.read_bytes() for path in folder.rglob("*")}


def from_cache(done):
    """The programs that a launch did not have to compile."""
    return set(re.findall(r"Persistent compilation cache hit for 'jit_(\w+)'", done.stderr))


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A run of ten steps: its workdir, and what the command printed."""
    folder = tmp_path_factory.mktemp("finished") / "run"
    done = launch(*TINY, f"--workdir={folder}", f"--compilation_cache={folder.parent / 'compiled'}")
    assert done.returncode == 0, done.stderr
    assert "train_chunk" in compiled(done)  # else the refusals' tests would miss it
    assert not from_cache(done)
    return folder, done.stdout


def test_a_run_leaves_exactly_these_files(finished):
    folder, printed = finished
    assert {path.name for path in folder.iterdir()} == {
        "config.json",
        "results.jsonl",
        "positions.jsonl",
        "metrics.jsonl",
        "tensorboard",
        "checkpoints",
        ".lock",
    }
    assert sorted(path.name for path in (folder / "tensorboard").iterdir()) == [
        "lr=0.001,seed=0",
        "lr=0.001,seed=1",
    ]
    assert "10" in [path.name for path in (folder / "checkpoints").iterdir()]
    saved = json.loads((folder / "config.json").read_text())
    assert set(saved) == {key.split(".")[0] for key in KEYS}
    assert saved["train"]["steps"] == 10 and saved["protocol"] == "custom"
    assert "bit_parity-custom-lstm" in printed and "length=16" in printed


def test_two_members_have_a_core_each(finished):
    rows = (finished[0] / "results.jsonl").read_text().splitlines()
    assert {json.loads(row)["device"] for row in rows} == {f"{min(cores(), 2)} x cpu"}


def test_a_second_start_of_a_config_skips_compilation(finished, tmp_path):
    folder = finished[0].parent / "compiled"
    stored = {path.name.removeprefix("jit_").rsplit("-", 2)[0] for path in folder.glob("*-cache")}
    assert "train_chunk" in stored
    again = launch(*TINY, f"--workdir={tmp_path / 'again'}", f"--compilation_cache={folder}")
    assert from_cache(again) >= stored


IDENTITY = {"cell", "seed", "learning_rate", "step"}


def test_rows_have_exactly_these_fields(finished):
    folder, _ = finished

    def rows(name):
        return [json.loads(line) for line in (folder / name).read_text().splitlines()]

    results = rows("results.jsonl")
    assert len(results) == 2 * 2  # seeds × cases
    for row in results:
        assert set(row) == Row.__required_keys__
        assert (row["step"], row["final"], row["task"], row["model"]) == (10, True, "bit_parity", "lstm")
        assert row["protocol"] == "custom" and row["overrides"]["train.steps"] == 10
        assert row["overrides"]["eval.lengths"] == [16] and "population.seeds" not in row["overrides"]
        assert row["sequences"] == 8 and 0 <= row["accuracy"] <= 1 and row["chance"] == 0.5
        assert row["state_size"] == 2 * 16 and row["selection"] == (row["case"] == {"length": 8})
    assert [row["case"] for row in results if row["seed"] == 0] == [{"length": 8}, {"length": 16}]
    positions = rows("positions.jsonl")
    assert {frozenset(row) for row in positions} == {frozenset(IDENTITY | {"case", "starts", "accuracy"})}
    assert len(positions) == len(results)
    metrics = rows("metrics.jsonl")
    fields = IDENTITY | {"loss", "accuracy", "grad_norm", "tokens_per_second"}
    assert {frozenset(row) for row in metrics} == {frozenset(fields)}
    assert [(row["step"], row["seed"]) for row in metrics] == [(5, 0), (5, 1), (10, 0), (10, 1)]


def test_a_finished_run_says_so_and_changes_nothing(finished):
    folder, _ = finished
    before = contents(folder)
    done = launch(*TINY, f"--workdir={folder}", "--config.mesh.members=map", "--config.checkpoint.every=3")
    assert done.returncode == 0 and not compiled(done)
    assert re.fullmatch(r"bit_parity-custom-lstm-\w+: already finished: length=8: .*\n", done.stdout)
    assert contents(folder) == before


@pytest.fixture
def copied(finished, tmp_path):
    return shutil.copytree(finished[0], tmp_path / "run")


def refused_there(folder, *flags):
    """The refusal's line; the folder is untouched."""
    before = contents(folder)
    line = refusal(*flags, f"--workdir={folder}")
    assert line.startswith("--workdir: ") and str(folder) in line and contents(folder) == before, line
    return line


def test_workdir_of_another_config(finished):
    line = refused_there(
        finished[0], *TINY, "--config.train.steps=11", "--config.model.options.forget_bias=0.5"
    )
    assert "model.options.forget_bias, train.steps" in line
    assert "model.name" in refused_there(finished[0], TINY[0].replace("lstm", "lru"), *TINY[1:])


def test_a_study_and_a_run_share_no_workdir(finished, tmp_path):
    assert "single run" in refused_there(finished[0], "--config=configs/quickstart.py")
    (tmp_path / "study.json").write_text('{"cells": {"other": {}}}')
    assert "holds a study" in refused_there(tmp_path, *TINY)
    assert "another study" in refused_there(tmp_path, "--config=configs/quickstart.py")


def test_rows_without_a_run_are_left_alone(finished, tmp_path):
    """Such as a folder of results/."""
    shutil.copy(finished[0] / "results.jsonl", tmp_path)
    assert "holds results.jsonl but no config.json" in refused_there(tmp_path, *TINY)


def test_a_workdir_in_use(copied):
    with workdir.locked(copied / ".lock"):
        assert "in use by another command" in refused_there(copied, *TINY)


def test_a_corrupt_checkpoint(copied):
    (copied / "results.jsonl").unlink()  # else the run is finished and its checkpoint not needed
    array = max((copied / "checkpoints" / "10").rglob("*"), key=lambda path: path.stat().st_size)
    array.write_bytes(array.read_bytes()[: array.stat().st_size // 2])
    assert "delete this folder" in refused_there(copied, *TINY)


@pytest.mark.parametrize("name", ["config.json", "results.jsonl", "metrics.jsonl"])
def test_damaged_files(name, copied):
    (copied / name).write_text("{\n")
    assert "damaged" in refused_there(copied, *TINY)


def test_unwritable_workdirs(tmp_path):
    """/proc refuses folders even to root, whose access rights say otherwise."""
    (tmp_path / "file").write_text("x")
    run, study = f"{PARITY}:lstm", "--config=configs/quickstart.py"
    below, long = tmp_path / "file" / "run", tmp_path / ("x" * 300)
    for config, folder in ((run, below), (run, long), (run, "/proc/run"), (study, "/proc/run")):
        line = refusal(config, f"--workdir={folder}")
        assert line.startswith("--workdir: ") and line.endswith("choose another folder"), line
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    assert (tmp_path / "file").read_text() == "x"
