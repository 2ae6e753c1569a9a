"""Blocked causal attention against one softmax over all keys in float64: outputs and all gradients."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from equations import assert_equal_over_devices
from helpers import assert_trees_close

from rnnbench.mixers.attention import BLOCK, causal_attention


def whole(q, k, v, offset, slopes):
    distance = offset + jnp.arange(q.shape[1])[:, None] - jnp.arange(k.shape[1])[None]
    scores = jnp.einsum("bthk,bshk->bhts", q, k) / np.sqrt(q.shape[-1])
    scores = scores - (slopes[:, None, None] * distance[None])[None]
    scores = jnp.where((distance >= 0)[None, None], scores, -jnp.inf)
    return jnp.einsum("bhts,bshk->bthk", jax.nn.softmax(scores, axis=-1), v)


@pytest.mark.parametrize("alibi", [False, True])
@pytest.mark.parametrize("traced", [False, True])
@pytest.mark.parametrize(
    ("length", "offset"), [(1, 0), (7, 3), (BLOCK, 0), (2 * BLOCK + 5, 0), (BLOCK + 9, 11)]
)
def test_outputs_and_gradients(length, offset, traced, alibi):
    rng = np.random.default_rng(length)
    slopes = np.array([1.0, 0.25]) if alibi else np.zeros(2)
    keys = length + offset + (6 if traced else 0)  # a preallocated cache has room to spare
    q, k, v, w = (rng.normal(size=(2, n, 2, 4)) for n in (length, keys, keys, length))

    def loss(attention, offset):
        def weighted(q, k, v):
            y = attention(q, k, v, offset, slopes)
            return jnp.sum(y * w), y

        return jax.value_and_grad(weighted, argnums=(0, 1, 2), has_aux=True)

    with jax.enable_x64(True):
        (_, y), gradients = loss(whole, offset)(*(jnp.asarray(x) for x in (q, k, v)))
    w, inputs = w.astype(np.float32), [x.astype(np.float32) for x in (q, k, v)]
    if traced:
        run = jax.jit(lambda offset, *x: loss(causal_attention, offset)(*x))
        (_, actual), actual_gradients = run(offset, *inputs)
    else:
        (_, actual), actual_gradients = jax.jit(loss(causal_attention, offset))(*inputs)
    assert_trees_close((actual, actual_gradients), (y, gradients))


def test_mapped_over_members():
    members = jax.random.normal(jax.random.key(0), (3, 2, BLOCK + 3, 2, 4))
    attention = jax.jit(lambda x: jax.grad(lambda x: jnp.sum(causal_attention(x, x, x, 0) ** 2))(x))
    assert_trees_close(jax.vmap(attention)(members)[1], attention(members[1]))


OVER_DEVICES = [
    ("window", {"window": 6, "conv_size": 3}),  # 5 keys from the 2 devices before
    *(pytest.param(*case, marks=pytest.mark.slow) for case in (
        ("window", {}), ("fox", {"conv_size": 3}), ("gpt", {}), ("gpt", {"positions": "alibi"}),
    )),
]  # fmt: skip


@pytest.mark.parametrize("name, options", OVER_DEVICES)
def test_equal_over_devices(name, options):
    assert_equal_over_devices(name, 8, heads=2, **options)
