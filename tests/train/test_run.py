"""A run from a config to its files: rows, resuming after a kill, stopping early, divergence."""

import json
import os
import pickle
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import jax
import numpy as np
import pytest
from helpers import assert_trees_close, tiny
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams import metadata

from rnnbench.config.build import put
from rnnbench.store.rows import Row, read_jsonl
from rnnbench.train import run as train
from rnnbench.train.checkpoint import Checkpoints
from rnnbench.train.population import compile_all, prepare, state_shapes

pytestmark = pytest.mark.usefixtures("compiled_once")

METRICS = {"loss", "accuracy", "last_accuracy", "last_quarter_accuracy", "sequence_accuracy"}
SECONDS = {"train_seconds", "compile_seconds", "eval_seconds"}
CHANGING = SECONDS | {"tokens_per_second", "versions", "device"}
MEMBERS = [(0.01, 0), (0.01, 1), (0.003, 0), (0.003, 1)]


def population_config(**settings):
    """2 x 2 members on 2 x 2 devices, dropout on; 8 steps, evaluated after 4 and 8."""
    config = tiny("lstm", {"train.steps": 8, "train.chunk": 3, "eval.every": 4, "model.dropout": 0.1})
    config.population.learning_rates, config.population.seeds = (0.01, 0.003), (0, 1)
    config.mesh.seed, config.mesh.data = 2, 2
    for key, value in settings.items():
        put(config, key.replace("__", "."), value)
    return config


def rows_of(folder, name="results.jsonl"):
    return [{k: v for k, v in row.items() if k not in CHANGING} for row in read_jsonl(folder / name)]


def assert_same_files(folder, other):
    for name in ("results.jsonl", "metrics.jsonl", "positions.jsonl"):
        assert rows_of(folder, name) == rows_of(other, name), name


def final_state(folder, config):
    checkpoints = Checkpoints(folder / "checkpoints")
    state, _, step = checkpoints.restore(state_shapes(prepare(config)))
    checkpoints.close()
    members = state.members.replace(key=jax.random.key_data(state.members.key))
    return step, jax.tree.map(np.asarray, members)


def bytes_of(folder):
    return {p: (p.read_bytes(), p.stat().st_mtime_ns) for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "undisturbed"
    return folder, train.run(population_config(), folder)


@pytest.fixture(scope="module")
def killed(tmp_path_factory, compiled_once):
    """The workdir of the same run, killed after its first checkpoint; a test works on a copy of it."""
    folder = tmp_path_factory.mktemp("runs") / "killed"
    config = folder.with_suffix(".pickle")
    config.write_bytes(pickle.dumps(population_config()))
    command = [
        sys.executable,
        str(Path(__file__).parents[1] / "interrupted.py"),
        config,
        folder,
        compiled_once,
    ]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([".", "tests"])}
    done = subprocess.run(
        command, env=environment, cwd=Path(__file__).parents[2], capture_output=True, text=True
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert {row["step"] for row in rows_of(folder, "metrics.jsonl")} == {3, 4}
    assert rows_of(folder) == []  # saved before it is evaluated
    return folder


def test_the_files_of_a_run(undisturbed):
    folder, rows = undisturbed
    files = {"config.json", "results.jsonl", "positions.jsonl", "metrics.jsonl"}
    assert {path.name for path in folder.iterdir()} == files | {"tensorboard", "checkpoints"}
    config = json.loads((folder / "config.json").read_text())
    assert (config["model"]["name"], config["train"]["steps"]) == ("lstm", 8)
    assert [row for row in read_jsonl(folder / "results.jsonl") if row["final"]] == rows


def test_a_row_per_member_case_and_evaluation(undisturbed):
    rows = read_jsonl(undisturbed[0] / "results.jsonl")
    where = [(row["step"], row["learning_rate"], row["seed"], row["case"]["length"]) for row in rows]
    assert sorted(where) == sorted(
        (step, *m, length) for step in (4, 8) for m in MEMBERS for length in (12, 24)
    )
    assert all(row["final"] == (row["step"] == 8) for row in rows)
    assert all(row["selection"] == (row["case"] == {"length": 12}) for row in rows)
    positions = read_jsonl(undisturbed[0] / "positions.jsonl")
    assert len(positions) == len(rows)
    assert all(len(row["accuracy"]) == len(row["starts"]) == row["case"]["length"] for row in positions)
    for row, by_position in zip(rows, positions, strict=True):
        assert all(row[key] == by_position[key] for key in ("cell", "seed", "learning_rate", "step", "case"))
        assert np.mean(by_position["accuracy"]) == pytest.approx(row["accuracy"])


def test_a_row_has_its_fields_and_types(undisturbed):
    for row in read_jsonl(undisturbed[0] / "results.jsonl"):
        assert set(row) == Row.__required_keys__
        assert all(
            type(row[name]) is float for name in [*METRICS, "chance", "scaled_accuracy", "learning_rate"]
        )
        assert all(type(row[name]) is int for name in ("seed", "step", "sequences", "params", "state_size"))
        assert all(type(row[name]) is bool for name in ("final", "selection", "diverged"))
        assert row["cell"] == "bit_parity-tiny-lstm"
        assert (row["task"], row["protocol"], row["model"]) == ("bit_parity", "tiny", "lstm")
        assert (row["overrides"], row["headline"], row["chance"]) == ({}, "last_quarter_accuracy", 0.5)
        assert (row["sequences"], row["state_size"]) == (16, 32)
        assert row["scaled_accuracy"] == pytest.approx(2 * row["last_quarter_accuracy"] - 1)
        assert {"jax", "rnnbench", "python"} <= set(row["versions"])
        assert row["train_seconds"] > 0 and row["eval_seconds"] > 0 and row["compile_seconds"] > 0


def test_a_metrics_row_per_member_and_chunk(undisturbed):
    rows = read_jsonl(undisturbed[0] / "metrics.jsonl")
    where = [(row["step"], row["learning_rate"], row["seed"]) for row in rows]
    assert where == [(step, *member) for step in (3, 4, 6, 8) for member in MEMBERS]
    names = ["cell", "seed", "learning_rate", "step", "loss", "accuracy", "grad_norm", "tokens_per_second"]
    assert all(list(row) == names and row["tokens_per_second"] > 0 for row in rows)
    assert len({row["loss"] for row in rows}) == len(rows)


def test_a_dispatch_that_returns_at_the_end_is_timed_right(tmp_path, monkeypatch):
    def compiled(setup, state):
        chunk, evaluators = compile_all(setup, state)

        def slow(*arguments):
            done = jax.block_until_ready(chunk(*arguments))
            time.sleep(0.3)
            return done

        return slow, evaluators

    monkeypatch.setattr("rnnbench.train.run.compile_all", compiled)
    train.run(tiny("lstm", {"train.steps": 8, "train.chunk": 2, "eval.every": 4}), tmp_path)
    speeds = [row["tokens_per_second"] for row in read_jsonl(tmp_path / "metrics.jsonl")]
    assert len(speeds) >= 4 and max(speeds) < 10 * min(speeds)  # else a chunk has next to no time


def test_tensorboard_has_scalars_hparams_and_the_plot(undisturbed):
    runs = sorted((undisturbed[0] / "tensorboard").iterdir())
    assert [run.name for run in runs] == sorted(f"lr={rate},seed={seed}" for rate, seed in MEMBERS)
    events = EventAccumulator(str(runs[0])).Reload()
    assert [event.step for event in events.Scalars("training/loss")] == [3, 4, 6, 8]
    assert [event.step for event in events.Scalars("various/length=24/accuracy")] == [4, 8]
    assert [event.step for event in events.Images("accuracy_vs_length")] == [8]
    rows = read_jsonl(undisturbed[0] / "results.jsonl")
    rate, seed = (float(part.split("=")[1]) for part in runs[0].name.split(","))
    mine = [row for row in rows if row["final"] and (row["learning_rate"], row["seed"]) == (rate, seed)]
    (headline,) = [event.value for event in events.Scalars("headline")][-1:]
    assert headline == pytest.approx(next(row["last_quarter_accuracy"] for row in mine if row["selection"]))
    content = events.SummaryMetadata(metadata.SESSION_START_INFO_TAG).plugin_data.content
    hparams = metadata.parse_session_start_info_plugin_data(content).hparams
    assert hparams["Learning rate"].number_value == rate
    assert hparams["Model"].string_value == "lstm"


def test_killed_and_resumed_equals_undisturbed(undisturbed, killed, tmp_path):
    folder = shutil.copytree(killed, tmp_path / "resumed")
    rows = train.run(population_config(), folder)
    assert_same_files(folder, undisturbed[0])
    assert len(rows) == 8 and all(row["final"] for row in rows)
    step, members = final_state(folder, population_config())
    assert step == 8
    assert_trees_close(members, final_state(undisturbed[0], population_config())[1], rtol=0, atol=0)


def test_a_kill_between_rows_and_checkpoint_doubles_no_row(undisturbed, tmp_path):
    folder = shutil.copytree(undisturbed[0], tmp_path / "run")
    shutil.rmtree(folder / "checkpoints" / "8")
    train.run(population_config(), folder)
    assert_same_files(folder, undisturbed[0])


def test_a_kill_before_the_first_checkpoint_starts_over(undisturbed, tmp_path):
    folder = shutil.copytree(undisturbed[0], tmp_path / "run")
    shutil.rmtree(folder / "checkpoints")
    train.run(population_config(), folder)
    assert_same_files(folder, undisturbed[0])


def test_an_evaluation_that_fails_costs_no_training(undisturbed, tmp_path, monkeypatch):
    """The second evaluation, at the end, fails. A rerun makes it and trains nothing."""
    metrics, calls = train.evaluate.metrics, []

    def fails_at_the_end(*values):
        calls.append(values)
        if len(calls) > 8:
            raise MemoryError("out of memory")
        return metrics(*values)

    folder = tmp_path / "run"
    with monkeypatch.context() as patch:
        patch.setattr(train.evaluate, "metrics", fails_at_the_end)
        with pytest.raises(MemoryError):
            train.run(population_config(), folder)
    assert (folder / "checkpoints" / "8").is_dir()
    monkeypatch.setattr(train._Session, "_advance", lambda self: pytest.fail("trained again"))
    rows = train.run(population_config(), folder)
    assert_same_files(folder, undisturbed[0])
    assert all(row["train_seconds"] > 0 for row in rows)


def test_told_to_stop_in_an_evaluation(undisturbed, tmp_path, monkeypatch):
    """Looks are at the start, after the chunks to steps 3 and 4, and then between two cases at step 4."""
    looks, folder = iter([False, False, False, True]), tmp_path / "run"
    with monkeypatch.context() as patch:
        patch.setattr(train, "preempted", lambda: next(looks))
        with pytest.raises(train.Preempted, match="is saved at step 4 of 8"):
            train.run(population_config(), folder)
    assert rows_of(folder) == [] and (folder / "checkpoints" / "4").is_dir()
    train.run(population_config(), folder)
    assert_same_files(folder, undisturbed[0])


def test_other_devices_and_checkpoints_may_resume(undisturbed, killed, tmp_path):
    folder = shutil.copytree(killed, tmp_path / "resumed")
    elsewhere = population_config(mesh__seed=1, mesh__data=1, checkpoint__every=1, checkpoint__keep=5)
    train.run(elsewhere, folder)
    found, expected = (rows_of(f, "metrics.jsonl") for f in (folder, undisturbed[0]))
    for row, other in zip(found, expected, strict=True):
        assert row["loss"] == pytest.approx(other["loss"], rel=1e-4)


def test_a_finished_run_does_nothing(undisturbed, monkeypatch):
    folder, rows = undisturbed
    before = bytes_of(folder)
    monkeypatch.setattr(train, "compile_all", lambda *args: pytest.fail("compiled again"))
    assert train.run(population_config(), folder) == rows
    assert bytes_of(folder) == before


def single(**settings):
    """Two members on one device; one program for the tests below."""
    one_device = {"mesh__seed": 1, "mesh__data": 1, "population__seeds": (0,), "optim__clip": 0.0}
    return population_config(**{**one_device, "optim__warmup": 0.0, **settings})


def test_a_diverged_member_is_reported_and_harms_nobody(tmp_path):
    rows = train.run(single(population__learning_rates=(0.01, 1e30)), tmp_path / "run")
    healthy = train.run(single(population__learning_rates=(0.01, 0.003)), tmp_path / "healthy")
    values = METRICS | {"scaled_accuracy"}
    for row in rows:
        assert row["diverged"] == (row["learning_rate"] == 1e30)
        assert {row[name] is None for name in values} == {row["diverged"]}
    for row, other in zip(rows[::2], healthy[::2]):  # the member with learning rate 0.01
        assert all(row[name] == other[name] for name in Row.__required_keys__ - CHANGING), row["case"]
    for name in ("results.jsonl", "metrics.jsonl", "positions.jsonl"):
        text = (tmp_path / "run" / name).read_text()
        assert "NaN" not in text and "Infinity" not in text
    last = read_jsonl(tmp_path / "run" / "metrics.jsonl")[-1]
    assert (last["learning_rate"], last["loss"], last["grad_norm"]) == (1e30, None, None)


def test_stop_accuracy_ends_early_with_final_rows(tmp_path):
    folder = tmp_path / "run"
    rows = train.run(single(train__stop_accuracy=0.01), folder)
    assert len(rows) == 4
    assert all(row["final"] and row["step"] == 4 for row in rows)
    before = bytes_of(folder)
    assert train.run(single(train__stop_accuracy=0.01), folder) == rows
    assert bytes_of(folder) == before


def test_a_diverged_member_does_not_hold_up_the_stop(tmp_path):
    config = single(population__learning_rates=(0.01, 1e30), train__stop_accuracy=0.01)
    assert {row["step"] for row in train.run(config, tmp_path / "run")} == {4}


def test_checkpoints_and_evaluations_keep_their_own_time(tmp_path):
    folder = tmp_path / "run"
    train.run(single(eval__every=0, checkpoint__every=3, checkpoint__keep=10), folder)
    assert {row["step"] for row in rows_of(folder)} == {8}
    assert sorted(int(path.name) for path in (folder / "checkpoints").iterdir() if path.is_dir()) == [3, 6, 8]
