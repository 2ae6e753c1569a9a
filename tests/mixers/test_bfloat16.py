"""Gradients in bfloat16: sums over all positions are in float32, so that they do not stop growing."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from rnnbench.mixers import PRESETS
from rnnbench.mixers.common import linear
from rnnbench.mixers.short_conv import ShortConv
from rnnbench.ops.lookup import lookup

BATCH, LENGTH, DIM = 4, 2048, 16


def gradients(preset, dtype):
    """{path: gradient} of a sum over the outputs, which all positions push the same way."""
    mixer = PRESETS[preset].build(DIM, rngs=nnx.Rngs(0), dtype=dtype)
    x = jax.random.normal(jax.random.key(1), (BATCH, LENGTH, DIM))
    graphdef, params = nnx.split(mixer)
    weights = jax.random.normal(jax.random.key(2), (1, 1, DIM))
    y = lambda params: nnx.merge(graphdef, params)(x.astype(dtype))[0].astype(jnp.float32)
    loss = lambda params: jnp.sum(weights * y(params))
    found = nnx.to_flat_state(jax.jit(jax.grad(loss))(params))
    return {".".join(map(str, path)): np.asarray(leaf[...]) for path, leaf in found}


@pytest.mark.parametrize("preset", ["elman", "slstm"])
def test_the_recurrent_kernel_of_a_loop(preset):
    exact, found = gradients(preset, jnp.float32), gradients(preset, jnp.bfloat16)
    for path, expected in exact.items():
        error = np.linalg.norm(found[path] - expected) / np.linalg.norm(expected)
        assert error < 0.03, (path, error)


def test_biases_and_convolutions():
    """Of ones: the gradient of a bias, and of a convolution's last row, is the number of positions."""
    options = {"rngs": nnx.Rngs(0), "dtype": jnp.bfloat16}
    layers = {
        "linear": linear(DIM, DIM, bias=True, **options),
        "conv": ShortConv(DIM, 4, use_bias=True, activation=False, **options),
    }
    x = jnp.ones((8 * BATCH, LENGTH // 2, DIM), jnp.bfloat16)
    positions = x.size / DIM
    for name, layer in layers.items():
        graphdef, params = nnx.split(layer)

        def loss(params, x, graphdef=graphdef):
            y = nnx.merge(graphdef, params)(x)
            y = y[0] if isinstance(y, tuple) else y
            assert y.dtype == jnp.bfloat16
            return y.astype(jnp.float32).sum()

        found = jax.jit(jax.grad(loss))(params, x)
        np.testing.assert_allclose(found["bias"][...], positions, err_msg=name)
        np.testing.assert_allclose(found["kernel"][...][-1], positions, err_msg=name)


def test_rows_of_an_embedding():
    tokens = jax.random.randint(jax.random.key(0), (BATCH, LENGTH), 0, 2)
    table = jnp.zeros((3, DIM), jnp.bfloat16)
    x, pull = jax.vjp(lambda table: lookup(table, tokens), table)
    counts = np.bincount(np.ravel(tokens), minlength=3)[:, None]
    (found,) = pull(jnp.ones_like(x))
    np.testing.assert_allclose(found.astype(np.float32), np.broadcast_to(counts, table.shape), rtol=0.01)
