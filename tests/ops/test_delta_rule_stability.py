"""The chunked delta rule where it is delicate: keys that repeat, as a task with two tokens makes them."""

import jax
import numpy as np
import pytest
from helpers import assert_trees_close

from rnnbench.ops import naive
from rnnbench.ops.delta_rule import delta_rule, generalised_delta_rule, unit_lower_inverse

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


def naive_delta_rule(q, k, v, beta, state, **options):
    return naive.delta_rule(q, k, v, beta, None, state, **options)


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


@pytest.mark.parametrize("steps, chunk", [(1, 16), (2, 16), (3, 1), (3, 8)])
def test_repeated_keys_in_several_steps_and_with_an_erase_key_apart(steps, chunk):
    """Eigenvalues 0 and −1 along a key that repeats; the erase key has a part across the write key."""
    rng, length = np.random.default_rng(1), 60
    q, state = (rng.normal(size=s).astype(np.float32) for s in ((1, length, 2, 8), (1, 2, 8, 8)))
    w = rng.normal(size=(1, length, 2, steps, 8)).astype(np.float32)
    weights = tuple(rng.normal(size=x.shape).astype(np.float32) for x in (q, state))
    across = rng.normal(size=(2, 1, 8))

    def loss(*inputs):
        outputs = generalised_delta_rule(*inputs, impl="chunked", chunk=chunk)
        return naive.weighted_sum(outputs, weights), outputs

    run = jax.jit(jax.value_and_grad(loss, argnums=range(6), has_aux=True))
    for kind in ("identical", "nearly identical", "two tokens"):
        u = np.swapaxes(repeated_keys(kind, length * steps).reshape(1, length, steps, 2, 8), 2, 3)
        for eigenvalue in (0, -1):
            apart = across - u * np.sum(u * across, axis=-1, keepdims=True)
            e = ((1 - eigenvalue) * u + 0.1 * apart).astype(np.float32)
            inputs = q, u, e, w, None, state
            (_, outputs), gradients = run(*inputs)
            for actual, expected in (
                (outputs, naive.values(naive.generalised_delta_rule, *inputs)),
                (gradients, naive.gradients(naive.generalised_delta_rule, weights, *inputs)),
            ):
                scale = lambda x, y: x / max(1.0, np.max(np.abs(y)))
                actual, expected = jax.tree.map(scale, (actual, expected), (expected, expected))
                assert_trees_close(actual, expected, atol=5e-5)


def test_inverse_of_all_betas_equal():
    for size in (*CHUNKS, 3, 24, 20):  # not powers of two with three or five steps per token
        for beta in (1, 1.9, 2):
            L = np.tril(np.full((1, size, size), beta, np.float32), -1)
            expected = np.linalg.inv(np.eye(size)[None] + L.astype(np.float64))
            assert_trees_close(jax.jit(unit_lower_inverse)(L), expected, rtol=0, atol=1e-4)
