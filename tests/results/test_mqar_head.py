"""results/mqar_head/aligned.py: which head starts aligned with the embeddings, and which one is shared."""

import importlib.util
from pathlib import Path

import jax
import numpy as np
import pytest
from flax import nnx

from configs import mqar
from rnnbench.config.build import changed

FILE = Path(__file__).parents[2] / "results" / "mqar_head" / "aligned.py"
SIZES = {"model.dim": 8, "model.layers": 1, "task.num_keys": 40, "task.num_values": 5}


@pytest.fixture(scope="module")
def aligned():
    spec = importlib.util.spec_from_file_location("aligned", FILE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.fast
def test_heads_start_and_share_as_told(aligned):
    config = changed(mqar.get_config("lstm,small"), SIZES)
    x = jax.random.normal(jax.random.key(1), (1, 2, 8))
    logits, parameters = {}, {}
    for head in aligned.HEADS:
        model = aligned.setup_of(head, 0, config).make(jax.random.key(0))
        logits[head] = np.asarray(model._logits(x))
        parameters[head] = len(jax.tree.leaves(nnx.state(model, nnx.Param)))
    shared = {head for head in aligned.HEADS if parameters[head] == parameters["tied"]}
    assert shared == {"tied", "rolled"}
    np.testing.assert_allclose(logits["copied"], logits["tied"], rtol=1e-5)
    np.testing.assert_allclose(logits["rolled"], np.roll(logits["tied"], -1, axis=-1), rtol=1e-5)
    assert np.abs(logits["separate"] - logits["tied"]).min() > 1e-4
