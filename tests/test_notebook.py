"""The Python API: the member that is loaded is the one whose row was written, and streams as it runs."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
from helpers import tiny

import rnnbench
from rnnbench.config import InputError
from rnnbench.config.build import put
from rnnbench.sizes import num_params
from rnnbench.store.rows import read_jsonl, write_jsonl
from rnnbench.train import run as train
from rnnbench.train.evaluate import case_key

SETTINGS = {
    "train.steps": 12,
    "train.chunk": 6,
    "eval.every": 6,
    "population.seeds": (0, 1),
    "population.learning_rates": (0.03, 0.001),
}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Two learning rates, two seeds, evaluated and saved after 6 and after 12 steps, on four devices."""
    folder = tmp_path_factory.mktemp("run")
    config = tiny("lstm", {})
    for key, value in SETTINGS.items():
        put(config, key, value)
    config.mesh.seed, config.mesh.data = 4, 1
    train.run(config, folder)
    return folder


def accuracy(loaded, case):
    """Accuracy over the same sequences as in the run's evaluation."""
    right = asked = 0
    size, key = loaded.config.train.batch_size, case_key(loaded.config.eval.seed, case)
    for i in range(loaded.config.eval.batches):
        keys = jax.random.split(jax.random.fold_in(key, i), size)
        batch = jax.vmap(lambda key: loaded.task.sample(key, case))(keys)
        logits, _ = loaded.model(batch.inputs)
        right += int(((logits.argmax(-1) == batch.targets) & batch.mask).sum())
        asked += int(batch.mask.sum())
    return right / asked


@pytest.mark.parametrize("seed, rate, step", [(0, 0.03, None), (1, 0.001, None), (1, 0.03, 6)])
def test_a_loaded_member_has_the_accuracy_of_its_row(run, seed, rate, step):
    loaded = rnnbench.load(run, seed=seed, learning_rate=rate, step=step)
    assert loaded.member == {"seed": seed, "learning_rate": rate} and loaded.step == (step or 12)
    wanted = loaded.member | {"step": loaded.step, "case": {"length": 24}}
    rows = read_jsonl(run / "results.jsonl")
    (row,) = [row for row in rows if all(row[key] == value for key, value in wanted.items())]
    assert accuracy(loaded, row["case"]) == pytest.approx(row["accuracy"], abs=1e-3)


def test_the_devices_of_the_run_need_not_be_here(run, tmp_path):
    copy = shutil.copytree(run, tmp_path / "copy")
    config = json.loads((copy / "config.json").read_text())
    config["mesh"] |= {"seed": 4, "data": 32, "time": 16}
    (copy / "config.json").write_text(json.dumps(config))
    assert rnnbench.load(copy, seed=0, learning_rate=0.03).step == 12


def test_the_default_is_the_reports_learning_rate_and_the_best_seed(run, tmp_path):
    (tmp_path / "config.json").write_text((run / "config.json").read_text())
    (tmp_path / "checkpoints").symlink_to(run / "checkpoints")
    scores = {(0.03, 0): 0.9, (0.03, 1): 0.4, (0.001, 0): 0.7, (0.001, 1): 0.8}
    rows = read_jsonl(run / "results.jsonl")
    for row in rows:
        good = scores[row["learning_rate"], row["seed"]] if row["step"] == 12 else 0.0
        row[row["headline"]] = good if row["selection"] else 1 - good
    write_jsonl(tmp_path / "results.jsonl", rows)
    chosen = lambda **wanted: tuple(rnnbench.load(tmp_path, **wanted).member.values())
    assert chosen() == (1, 0.001)  # the median decides on the rate, 0.75 against 0.65
    assert chosen(learning_rate=0.03) == (0, 0.03)
    assert chosen(seed=0) == (0, 0.001)


def test_a_member_that_was_added_is_found(run, tmp_path):
    folder = shutil.copytree(run, tmp_path / "run")
    config = tiny("lstm", {})
    for key, value in (SETTINGS | {"population.seeds": (0, 1, 2)}).items():
        put(config, key, value)
    train.run(config, folder)
    for seed, step in ((2, None), (2, 6), (1, None)):
        loaded = rnnbench.load(folder, seed=seed, learning_rate=0.03, step=step)
        rows = read_jsonl(folder / "results.jsonl")
        wanted = loaded.member | {"step": step or 12, "case": {"length": 24}}
        (row,) = [row for row in rows if all(row[key] == value for key, value in wanted.items())]
        assert accuracy(loaded, row["case"]) == pytest.approx(row["accuracy"], abs=1e-3)
    assert loaded.config.population.seeds == (0, 1)  # as the checkpoint's
    with pytest.raises(InputError, match=r"lr=0.001,seed=2"):
        rnnbench.load(folder, seed=7)


def test_a_run_that_is_growing(run, tmp_path):
    """The better learning rate is at an earlier step than the other one; each has checkpoints of its own."""
    config = tiny("lstm", {})
    for key, value in (SETTINGS | {"population.learning_rates": (0.001,)}).items():
        put(config, key, value)
    train.run(config, tmp_path)
    put(config, "population.learning_rates", (0.001, 0.03))
    train.run(config, tmp_path)
    rows = read_jsonl(tmp_path / "results.jsonl")
    rows = [row for row in rows if row["learning_rate"] == 0.001 or row["step"] == 6]
    for row in rows:
        row[row["headline"]] = 0.9 if row["learning_rate"] == 0.03 else 0.1
    write_jsonl(tmp_path / "results.jsonl", rows)
    assert rnnbench.load(tmp_path).member["learning_rate"] == 0.03
    shutil.rmtree(tmp_path / "checkpoints" / "6")
    assert rnnbench.load(tmp_path, seed=0, learning_rate=0.03, step=6).step == 6
    shutil.rmtree(tmp_path / "grown")
    assert rnnbench.load(tmp_path).member["learning_rate"] == 0.001


@pytest.mark.parametrize(
    "file, text, words",
    [
        ("config.json", "{", "config.json is damaged"),
        ("config.json", "{}", "config.json is not the config of a run"),
        ("results.jsonl", '{"step": 12}\n', "results.jsonl:1: not a row of such a file"),
    ],
)
def test_damaged_files(run, tmp_path, file, text, words):
    copy = shutil.copytree(run, tmp_path / "copy")
    (copy / file).write_text(text)
    with pytest.raises(InputError, match=words):
        rnnbench.load(copy)


def test_streaming_equals_the_whole_sequence_and_compiles_once(run):
    model = rnnbench.load(run).model
    tokens = jax.random.randint(jax.random.key(0), (3, 20), 0, 2)
    whole, _ = model(tokens)
    step, state = rnnbench.stream(model, batch=3, max_length=20)
    streamed = []
    for t in range(20):
        logits, state = step(tokens[:, t], state)
        streamed.append(logits)
    np.testing.assert_allclose(np.stack(streamed, axis=1), whole, atol=1e-5)
    assert step.func._cache_size() == 1


def test_streaming_begins_again_at_a_reset(run):
    model = rnnbench.load(run).model
    tokens = jax.random.randint(jax.random.key(0), (2, 6), 0, 2)
    step, state = rnnbench.stream(model, batch=2, max_length=10)
    for t in range(6):
        logits, state = step(tokens[:, t], state, np.array([t == 4, False]))
    alone, _ = model(tokens[:1, 4:])
    whole, _ = model(tokens[1:])
    np.testing.assert_allclose(logits, np.concatenate([alone[:, -1], whole[:, -1]]), atol=1e-5)


@pytest.mark.parametrize(
    "wanted, message",
    [
        ({"seed": 7}, r"no such member; there are: lr=0.03,seed=0  lr=0.03,seed=1  lr=0.001,seed=0"),
        ({"step": 5}, r"there is no checkpoint of step 5, only of \[6, 12\]"),
    ],
)
def test_what_is_not_there(run, wanted, message):
    with pytest.raises(InputError, match=message):
        rnnbench.load(run, **wanted)


def test_a_folder_without_a_run(run, tmp_path):
    with pytest.raises(InputError, match="no run here"):
        rnnbench.load(tmp_path)
    with pytest.raises(InputError, match="cannot be reached"):
        rnnbench.load(tmp_path / ("x" * 300))
    (tmp_path / "cells").mkdir()
    (tmp_path / "cells" / "mine").symlink_to(run)
    with pytest.raises(InputError, match=r"it is a study, name one of its cells in .*/cells: mine"):
        rnnbench.load(tmp_path)
    (tmp_path / "config.json").write_text((run / "config.json").read_text())
    with pytest.raises(InputError, match="there is no checkpoint here"):
        rnnbench.load(tmp_path)


def test_results_are_a_data_frame(run):
    frame = rnnbench.results(run)
    assert len(frame) == 16 and frame.attrs["problems"] == []
    last = frame[frame.final & (frame.length == 24)]
    assert len(last) == 4 and set(last.learning_rate) == {0.03, 0.001} and set(last.case) == {"length=24"}
    assert frame.accuracy.between(0, 1).all()


def test_a_member_is_printed_in_a_line(run):
    loaded = rnnbench.load(run, seed=1, learning_rate=0.03)
    who = "a trained member: bit_parity, lstm, lr=0.03,seed=1, step 12"
    assert str(loaded) == repr(loaded) == f"<{who}, {num_params(loaded.params):,} parameters>"


def test_the_api_is_listed():
    assert {"load", "results", "stream"} <= set(dir(rnnbench))


def test_importing_the_package_loads_no_jax():
    code = "import sys, rnnbench; print('jax' in sys.modules, rnnbench.__all__)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=Path(__file__).parents[1]
    )
    assert done.stdout == "False ['load', 'results', 'stream']\n", done.stderr
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = rnnbench.nothing
