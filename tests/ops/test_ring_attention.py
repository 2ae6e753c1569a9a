"""Ring attention on p devices against one softmax over all keys in float64: outputs and all gradients."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import assert_trees_close
from jax.sharding import AxisType
from jax.sharding import PartitionSpec as P

from rnnbench.ops.ring_attention import ring_attention, running_sum

BATCH, HEADS, KEY_DIM = 2, 2, 4


def whole(q, k, v, start, log_forget, past, offset):
    """y_t, all of the past and the new keys at once; from running sums, which float64 can do."""
    if past is not None:
        before = lambda name, new: jnp.concatenate([past[name][:, :offset], new], axis=1)
        k, v = before("k", k), before("v", v)
        log_forget = None if log_forget is None else before("log_forget", log_forget)
    query, key = offset + jnp.arange(q.shape[1])[:, None], jnp.arange(k.shape[1])[None]
    scores = jnp.einsum("bthk,bshk->bhts", q, k) / np.sqrt(q.shape[-1])
    if log_forget is not None:
        sums = jnp.moveaxis(jnp.cumsum(log_forget, axis=1), 1, 2)
        scores += sums[:, :, offset:, None] - sums[:, :, None]
    seen = (key <= query)[None]
    if start is not None:
        seen &= key[None] >= start[:, :, None]
    scores = jnp.where(seen[:, None], scores, -jnp.inf)
    return jnp.einsum("bhts,bshv->bthv", jax.nn.softmax(scores, axis=-1), v)


def over_devices(devices, check_vma=False):
    """`ring_attention` on whole arrays."""
    mesh = jax.make_mesh((devices,), ("time",), axis_types=(AxisType.Auto,), devices=jax.devices()[:devices])
    by_time = P(None, "time")

    def run(q, k, v, start, log_forget, past, offset):
        def on_one(q, k, v, start, log_forget, past):
            options = {"start": start, "log_forget": log_forget, "past": past, "offset": offset}
            return ring_attention(q, k, v, "time", **options)

        specs = (by_time,) * 5 + (P(),)
        split = jax.shard_map(on_one, mesh=mesh, in_specs=specs, out_specs=by_time, check_vma=check_vma)
        return split(q, k, v, start, log_forget, past)

    return run


def inputs(length, cache, offset, gates, resets):
    """q, k, v, start, log_forget and the past, a cache with room for `cache` keys and `offset` in it."""
    rng = np.random.default_rng(length)
    arrays = lambda n: [rng.normal(size=(BATCH, n, HEADS, KEY_DIM)) for _ in range(3)]
    q, k, v = arrays(length)
    forget = lambda n: np.log(rng.uniform(0.3, 1, size=(BATCH, n, HEADS))) if gates else None
    at = offset + np.arange(length)
    start = np.stack([at // 5 * 5, np.maximum(offset - 2, at // 7 * 7)]) if resets else None
    past = None
    if cache:
        past = dict(zip("kv", arrays(cache))) | ({"log_forget": forget(cache)} if gates else {})
    return q, k, v, start, forget(length), past


def gradients(attention, weights, q, k, v, start, log_forget, past, offset):
    def loss(q, k, v, log_forget, past):
        y = attention(q, k, v, start, log_forget, past, offset)
        return jnp.sum(y * weights), y

    wanted = jax.value_and_grad(loss, argnums=(0, 1, 2, 3, 4), has_aux=True, allow_int=True)
    (_, y), found = wanted(q, k, v, log_forget, past)
    return y, found


slow = lambda *case: pytest.param(*case, marks=pytest.mark.slow)
CASES = [  # devices, length, cache, offset, gates, resets; 21 tokens a device are padded to 24 for 8 stripes
    (8, 168, 11, 7, True, True),
    slow(8, 16, 0, 0, False, False),
    slow(1, 150, 0, 0, True, False),
    slow(2, 300, 90, 90, False, True),
    slow(5, 700, 3, 0, True, False),
]


@pytest.mark.parametrize("devices,length,cache,offset,gates,resets", CASES)
def test_outputs_and_all_gradients(devices, length, cache, offset, gates, resets):
    given = inputs(length, cache, offset, gates, resets)
    weights = np.random.default_rng(0).normal(size=given[0].shape)
    with jax.enable_x64(True):
        expected = gradients(whole, *jax.tree.map(jnp.asarray, (weights, *given)), offset)
        expected = jax.tree.map(np.asarray, expected)
    as_32 = lambda x: x.astype(np.float32 if x.dtype == np.float64 else np.int32)
    weights, *given = jax.tree.map(as_32, (weights, *given))
    run = jax.jit(functools.partial(gradients, over_devices(devices, check_vma=devices == 2)))
    assert_trees_close(run(weights, *given, offset), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("gate", [-6.0, -1e-4])
def test_long_sums_of_gates_keep_the_differences_between_near_tokens(gate):
    """After 200,000 tokens the sum is −1,200,000, where float32 resolves an eighth."""
    gates = gate * np.random.default_rng(0).uniform(0, 2, size=(1, 200_000, 1)).astype(np.float32)
    whole, rest = jax.jit(running_sum)(gates)
    assert (np.round(whole) == whole).all() and (np.abs(rest) <= 0.5).all()
    exact = np.cumsum(gates[0, :, 0].astype(np.float64))
    for distance in (1, 30):
        found = sum(np.asarray(x[0, distance:, 0] - x[0, :-distance, 0], np.float64) for x in (whole, rest))
        np.testing.assert_allclose(found, exact[distance:] - exact[:-distance], atol=2e-5)
