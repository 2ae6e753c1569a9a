"""The chunked delta rule where it is delicate: keys that repeat, as a task with two tokens makes them."""

import jax
import numpy as np
import pytest
from helpers import assert_trees_close

from rnnbench.ops import naive
from rnnbench.ops.delta_rule import delta_rule, unit_lower_inverse

CHUNKS = (1, 2, 4, 8, 16, 32, 64, 128)
LENGTH = 128


def repeated_keys(kind, length, key_dim=8):
    """[1, T, 2, K] unit keys: one, two taking turns at random, or one plus a little noise."""
    rng = np.random.default_rng(0)
    keys = rng.normal(size=(2, 2, key_dim))
    if kind == "identical":
        k = np.broadcast_to(keys[0], (length, 2, key_dim))
    elif kind == "two tokens":
        k = keys[rng.integers(2, size=length)]
    else:
        k = keys[0] + 10 ** rng.uniform(-6, -2, (length, 1, 1)) * rng.normal(size=(length, 2, key_dim))
    return (k / np.linalg.norm(k, axis=-1, keepdims=True))[None].astype(np.float32)


def naive_delta_rule(q, k, v, beta, state, xp=np):
    return naive.delta_rule(q, k, v, beta, None, state, xp=xp)


@pytest.mark.parametrize("chunk", CHUNKS)
def test_repeated_keys(chunk):
    rng = np.random.default_rng(1)
    shape = (1, LENGTH, 2, 8)
    q, v = (rng.normal(size=shape).astype(np.float32) for _ in range(2))
    state = rng.normal(size=(1, 2, 8, 8)).astype(np.float32)
    weights = tuple(rng.normal(size=s).astype(np.float32) for s in (shape, state.shape))

    def loss(q, k, v, beta, state):
        outputs = delta_rule(q, k, v, beta, None, state, impl="chunked", chunk=chunk)
        return naive.weighted_sum(outputs, weights), outputs

    run = jax.jit(jax.value_and_grad(loss, argnums=range(5), has_aux=True))
    for kind in ("identical", "nearly identical", "two tokens"):
        for beta in (1, 1.9, 2):
            inputs = q, repeated_keys(kind, LENGTH), v, np.full(shape[:3], beta, np.float32), state
            (_, outputs), gradients = run(*inputs)
            for actual, expected in (
                (outputs, naive.values(naive_delta_rule, *inputs)),
                (gradients, naive.gradients(naive_delta_rule, weights, *inputs)),
            ):
                scale = lambda x, y: x / max(1.0, np.max(np.abs(y)))
                actual, expected = jax.tree.map(scale, (actual, expected), (expected, expected))
                assert_trees_close(actual, expected, atol=2e-6 * max(chunk, 16))  # rounding grows with it


def test_inverse_of_all_betas_equal():
    for size in CHUNKS:
        for beta in (1, 1.9, 2):
            L = np.tril(np.full((1, size, size), beta, np.float32), -1)
            expected = np.linalg.inv(np.eye(size)[None] + L.astype(np.float64))
            assert_trees_close(jax.jit(unit_lower_inverse)(L), expected, rtol=0, atol=1e-4)
