"""What the README promises, trained in full: by the command line, with the compiler's usual optimisation."""

import os
import statistics
import subprocess
import sys
from pathlib import Path

import pytest

from rnnbench.store.rows import case_name, read_jsonl

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[1]


def launch(workdir, config, *flags):
    """The final rows of a run; in the environment of a user, not of the tests."""
    environment = {name: value for name, value in os.environ.items() if name != "XLA_FLAGS"}
    command = [sys.executable, "launch.py", f"--config={config}", f"--workdir={workdir}", *flags]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return [row for row in read_jsonl(workdir / "results.jsonl") if row["final"]]


@pytest.mark.parametrize("preset", ["lstm", "mamba_neg"])
def test_parity_holds_far_beyond_the_training_length(preset, tmp_path):
    rows = launch(tmp_path / "run", f"configs/bit_parity.py:{preset},quickstart")
    found = {case_name(row["case"]): row[row["headline"]] for row in rows}
    assert list(found) == ["length=32", "length=64", "length=128", "length=256"]
    assert min(found.values()) >= 0.99, found


def test_parity_of_deltanet_with_negative_eigenvalues_holds_for_most_seeds(tmp_path):
    """Which seeds hold differs between machines, see results/quickstart."""
    seeds = "--config.population.seeds=(0,1,2)"
    rows = launch(tmp_path / "run", "configs/bit_parity.py:deltanet_neg,quickstart", seeds)
    found = lambda length: [row[row["headline"]] for row in rows if row["case"]["length"] == length]
    assert min(found(32)) >= 0.99
    assert statistics.median(found(256)) >= 0.99, found(256)


def test_mqar_at_eight_unique_pairs(tmp_path):
    grid = ["--config.population.learning_rates=(0.003,)", "--config.population.seeds=(0,)"]
    stop = "--config.train.stop_accuracy=0.99"
    rows = launch(tmp_path / "run", "configs/mqar.py:deltanet,small", *grid, stop)
    found = {case_name(row["case"]): row[row["headline"]] for row in rows}
    assert found["length=64,pairs=8"] >= 0.99, found
