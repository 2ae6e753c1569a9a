"""results/parity_leak: the shrinkage read from the weights is that of the models."""

import importlib.util
import itertools
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from rnnbench.config.build import experiment
from rnnbench.train import population

pytestmark = pytest.mark.fast


@pytest.fixture(scope="module")
def leak():
    path = Path(__file__).parents[2] / "results" / "parity_leak" / "leak.py"
    spec = importlib.util.spec_from_file_location("leak", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("preset, memory", [("deltanet_neg", "memory"), ("mamba_neg", "h")])
def test_the_mean_of_parity_times_state_shrinks_by_the_matrix_read_from_the_weights(leak, preset, memory):
    """E[p_t S_t] = M E[p_{t-1} S_{t-1}] for t > 1, over all sequences of bits: the means are exact."""
    sizes = {"model.dim": 16, "model.layers": 1, "model.heads": 2, "model.conv_size": 0}
    setup = population.prepare(experiment("bit_parity", f"{preset},x", {"x": sizes}))
    model = setup.make(jax.random.key(0))
    # Kernels of twice the size, so that the transitions of the two tokens differ as after training.
    grow = lambda path, leaf: 2 * leaf if "kernel" in jax.tree_util.keystr(path) else leaf
    nnx.update(model, jax.tree_util.tree_map_with_path(grow, nnx.state(model, nnx.Param)))
    tokens = jnp.array(list(itertools.product((0, 1), repeat=4)))
    means = []
    for length in (1, 3, 4):
        sign = (-1.0) ** np.asarray(tokens[:, :length].sum(1))
        state = np.asarray(model(tokens[:, :length])[1]["layers"][0][memory], float)
        means.append(np.tensordot(sign, state, 1) / len(tokens))
    M = leak.shrinkage(model)
    step = (lambda C: M * C) if preset == "mamba_neg" else (lambda C: np.einsum("hij,hjk->hik", M, C))
    rounding = 3e-7 * np.abs(state).max()  # of the states' own float32
    assert np.abs(means[2]).max() > 30 * rounding
    np.testing.assert_allclose(means[2], step(means[1]), atol=rounding)
    np.testing.assert_allclose(means[1], step(step(means[0])), atol=rounding)


def test_how_far_right_answers_reach(leak):
    count = np.full(3000, 64)
    right = np.where(np.arange(3000) < 1000, 64, 32)
    assert 850 <= leak.reach(right, count) <= 1000
    assert leak.reach(count, count) == 3000
    assert leak.reach(count // 2, count) == 0
