"""Every task and every preset, a few steps in the task's first protocol: valid rows for each of its cases."""

import importlib

import pytest
from helpers import covering

from rnnbench.config.build import changed, label
from rnnbench.config.keys import flat
from rnnbench.mixers import PRESETS
from rnnbench.tasks import TASKS
from rnnbench.train import population
from rnnbench.train import run as train

SIZES = {
    "train.steps": 3,
    "train.chunk": 3,
    "train.batch_size": 4,
    "eval.batches": 1,
    "model.dim": 16,
    "population.learning_rates": (1e-3,),
    "population.seeds": (0,),
}


@pytest.mark.slow
@pytest.mark.parametrize("task, preset", covering(TASKS, PRESETS))
def test_trains_and_is_evaluated(task, preset, tmp_path):
    file = importlib.import_module(f"configs.{task}")
    config = file.get_config(f"{preset},{next(iter(file.PROTOCOLS))}")
    # One length beyond training: each is compiled.
    short = {key: value[:1] for key, value in flat(config).items() if key in ("eval.lengths", "eval.pairs")}
    layers = {} if PRESETS[preset].pattern else {"model.layers": 1}
    config = label(changed(config, SIZES | short | layers | {"mesh.seed": 1, "mesh.data": 1}))
    rows = train.run(config, tmp_path)
    cases = population.prepare(config).task.cases()
    assert [row["case"] for row in rows] == list(cases)
    for row in rows:
        assert row["protocol"] == "custom" and row["overrides"]["train.steps"] == 3
        assert 0 <= row["accuracy"] <= 1 and 0 < row["loss"] < 20 and not row["diverged"]
        assert row[row["headline"]] is not None and row["final"] and row["params"] > 0
