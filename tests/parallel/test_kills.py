"""A run killed at random moments, again and again, ends as an undisturbed one."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from test_hosts import FILES, rows

from rnnbench.store.rows import read_jsonl

pytestmark = pytest.mark.slow
KILLS = 20
FLAGS = [
    "--config=configs/bit_parity.py:deltanet",
    "--config.model.dim=8",
    "--config.model.layers=1",
    "--config.model.heads=1",
    "--config.task.train_lengths=3,8",
    "--config.eval.lengths=16",
    "--config.eval.batches=1",
    "--config.eval.every=20",
    "--config.train.batch_size=8",
    "--config.train.steps=200",
    "--config.train.chunk=5",
    "--config.checkpoint.every=10",
    "--config.population.seeds=0,1",
]


def scalars(folder):
    """What TensorBoard shows: {member: {tag: [(step, value), ...]}}."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found = {}
    for run in sorted((folder / "tensorboard").iterdir()):
        events = EventAccumulator(str(run), size_guidance={"scalars": 0}).Reload()
        found[run.name] = {
            tag: [(event.step, event.value) for event in events.Scalars(tag)]
            for tag in events.Tags()["scalars"]
            if "second" not in tag
        }
    return found


@pytest.mark.parametrize("seed", [0])
def test_a_run_killed_at_any_moment_ends_as_an_undisturbed_one(seed, tmp_path):
    root = Path(__file__).parents[2]
    settings = {"JAX_PLATFORMS": "cpu", "JAX_NUM_CPU_DEVICES": "1"}
    done = subprocess.run(
        [
            sys.executable,
            "tests/killed.py",
            str(KILLS),
            str(seed),
            str(tmp_path),
            *FLAGS,
            f"--compilation_cache={tmp_path / 'cache'}",
        ],
        cwd=root,
        env=os.environ | settings,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr + done.stdout
    found = json.loads(done.stdout)
    assert len(found["kills"]) >= KILLS
    # Before the first checkpoint, and between many of the others.
    assert len({step for _, step in found["kills"]}) >= 4 and min(step for _, step in found["kills"]) == -1
    for i in range(found["whole"]):
        for name in FILES:
            assert rows(tmp_path / f"killed{i}", name) == rows(tmp_path / "undisturbed", name), (i, name)
        assert [row["final"] for row in read_jsonl(tmp_path / f"killed{i}" / "results.jsonl")][-1]
        assert scalars(tmp_path / f"killed{i}") == scalars(tmp_path / "undisturbed")
