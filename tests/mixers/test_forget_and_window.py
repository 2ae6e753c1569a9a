"""The forget gates and the window of blocked attention, against one softmax over all keys in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import assert_trees_close

from rnnbench.mixers.attention import BLOCK, causal_attention


def whole(q, k, v, log_forget, offset, window, start):
    """Σ_{s<l≤t} g_l from running sums, which in float64 lose nothing that float32 has."""
    query, key = offset + jnp.arange(q.shape[1])[:, None], jnp.arange(k.shape[1])[None]
    since_start = jnp.moveaxis(jnp.cumsum(log_forget, axis=1), 1, 2)
    scores = jnp.einsum("bthk,bshk->bhts", q, k) / np.sqrt(q.shape[-1])
    scores += since_start[:, :, offset : offset + q.shape[1], None] - since_start[:, :, None]
    seen = (key <= query) & (key > query - window)
    seen = seen[None] & (key[None] >= start[:, :, None])
    scores = jnp.where(seen[:, None], scores, -jnp.inf)
    return jnp.einsum("bhts,bshk->bthk", jax.nn.softmax(scores, axis=-1), v)


@pytest.mark.parametrize("traced", [False, True])
@pytest.mark.parametrize(
    ("length", "offset", "window"), [(7, 3, 4), (2 * BLOCK + 5, 0, 30), (BLOCK + 9, 11, 500)]
)
def test_outputs_and_gradients(length, offset, window, traced):
    rng = np.random.default_rng(length)
    keys = length + offset + (6 if traced else 0)
    q, k, v, w = (rng.normal(size=(2, n, 2, 4)) for n in (length, keys, keys, length))
    log_forget = np.log(rng.uniform(0.3, 1, size=(2, keys, 2)))
    start = np.stack([np.zeros(length, int), offset + np.arange(length) // 5 * 5])

    def loss(attention, offset):
        def weighted(q, k, v, log_forget):
            y = attention(q, k, v, log_forget=log_forget, offset=offset, window=window, start=start)
            return jnp.sum(y * w), y

        return jax.value_and_grad(weighted, argnums=(0, 1, 2, 3), has_aux=True)

    with jax.enable_x64(True):
        (_, y), gradients = loss(whole, offset)(*(jnp.asarray(x) for x in (q, k, v, log_forget)))
    w, start, inputs = (
        w.astype(np.float32),
        start.astype(np.int32),
        jax.tree.map(np.float32, (q, k, v, log_forget)),
    )
    if traced:
        run = jax.jit(lambda offset, *x: loss(causal_attention, offset)(*x))
        (_, actual), actual_gradients = run(offset, *inputs)
    else:
        (_, actual), actual_gradients = jax.jit(loss(causal_attention, offset))(*inputs)
    assert_trees_close((actual, actual_gradients), (y, gradients))


@pytest.mark.parametrize("gate", [-6.0, -1e-4])
def test_long_sums_of_gates_keep_the_differences_between_near_keys(gate):
    """After 2,000 tokens the running sum is −12,000, where float32 resolves a thousandth."""
    rng, length = np.random.default_rng(0), 2000
    q, k, v = (rng.normal(size=(1, length, 1, 4)) for _ in range(3))
    log_forget = gate * rng.uniform(0, 2, size=(1, length, 1)) * (rng.uniform(size=(1, length, 1)) < 0.5)
    options = {"offset": 0, "window": length, "start": np.zeros((1, length), int)}
    with jax.enable_x64(True):
        expected = np.asarray(whole(*(jnp.asarray(x) for x in (q, k, v, log_forget)), **options))
    inputs = [x.astype(np.float32) for x in (q, k, v)]
    y = jax.jit(causal_attention)(*inputs, 0, log_forget=log_forget.astype(np.float32))
    np.testing.assert_allclose(y, expected, atol=2e-4)
