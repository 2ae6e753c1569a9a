"""Blocked attention on one device and on many: one softmax over all keys in float64, with gradients."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import assert_trees_close
from jax.sharding import AxisType
from jax.sharding import PartitionSpec as P

from rnnbench.ops.attention import running_sum, softmax_attention
from rnnbench.ops.blocked_attention import blocked_attention

BATCH, HEADS, KEY_DIM = 2, 2, 4
SLOPES = np.array([1.0, 0.25])


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


def blocked(q, k, v, start, log_forget, past, offset, axis_name=None):
    options = {"start": start, "log_forget": log_forget, "past": past, "offset": offset}
    return softmax_attention(q, k, v, axis_name=axis_name, **options)


def over_devices(devices):
    """`blocked` on whole arrays, with its time split."""
    mesh = jax.make_mesh((devices,), ("time",), axis_types=(AxisType.Auto,), devices=jax.devices()[:devices])
    by_time = P(None, "time")
    specs = (*(by_time,) * 5, P(), P())
    run = functools.partial(blocked, axis_name="time")
    # On two devices shard_map checks which values vary; the trainer's does not.
    return jax.shard_map(run, mesh=mesh, in_specs=specs, out_specs=by_time, check_vma=devices == 2)


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

    (_, y), found = jax.value_and_grad(loss, argnums=(0, 1, 2, 3, 4), has_aux=True)(q, k, v, log_forget, past)
    return y, found


def assert_equal(attention, spec, given, offset):
    weights = np.random.default_rng(0).normal(size=given[0].shape)
    with jax.enable_x64(True):
        expected = gradients(spec, *jax.tree.map(jnp.asarray, (weights, *given)), offset)
        expected = jax.tree.map(np.asarray, expected)
    as_32 = lambda x: x.astype(np.float32 if x.dtype == np.float64 else np.int32)
    found = jax.jit(functools.partial(gradients, attention))(*jax.tree.map(as_32, (weights, *given)), offset)
    assert_trees_close(found, expected, rtol=1e-4, atol=2e-5)


slow = lambda *case: pytest.param(*case, marks=pytest.mark.slow)
CASES = [  # devices, length, cache, offset, gates, resets
    (8, 168, 11, 7, True, True),  # 21 tokens a device are padded to 24 for 8 stripes
    (None, 150, 40, 33, True, True),
    (None, 1, 90, 11, False, True),
    slow(None, 333, 0, 0, False, False),
    slow(None, 64, 5, 3, True, False),
    slow(8, 16, 0, 0, False, False),
    slow(1, 150, 0, 0, True, False),
    slow(2, 300, 90, 90, False, True),
    slow(5, 700, 3, 0, True, False),
]


@pytest.mark.parametrize("devices,length,cache,offset,gates,resets", CASES)
def test_outputs_and_all_gradients(devices, length, cache, offset, gates, resets):
    attention = over_devices(devices) if devices else blocked
    assert_equal(attention, whole, inputs(length, cache, offset, gates, resets), offset)


@pytest.mark.parametrize("length,window", [(150, 30), slow(7, 4), slow(200, 300), slow(330, 65)])
def test_a_window(length, window):
    """The window − 1 keys before the first query come first; some of them are before a start."""
    offset = window - 1
    at = np.arange(offset + length, dtype=np.int32)[None]

    def spec(q, k, v, start, *rest):
        return whole(q, k, v, jnp.maximum(start, at[:, offset:] - offset), *rest)

    def attention(q, k, v, start, log_forget, past, _):
        queries, keys = {"q": q, "at": at[:, offset:], "start": start}, {"k": k, "v": v, "at": at[:, offset:]}
        return blocked_attention(queries, keys, past | {"at": at[:, :offset]}, window=window)

    assert_equal(attention, spec, inputs(length, offset, offset, False, True), offset)


def test_slopes_are_constant_gates():
    q, k, v, *_, past = jax.tree.map(np.float32, inputs(72, 9, 5, False, False))
    gates = lambda x: np.broadcast_to(-SLOPES.astype(np.float32), x.shape[:3])
    gated = past | {"log_forget": gates(past["k"])}
    sloping = jax.jit(lambda *x: softmax_attention(*x, slopes=SLOPES, past=past, offset=5))
    assert_trees_close(sloping(q, k, v), jax.jit(blocked)(q, k, v, None, gates(q), gated, 5))


def test_mapped_over_members():
    members = jax.random.normal(jax.random.key(0), (3, 2, 70, 2, 4))
    attention = jax.jit(lambda x: jax.grad(lambda x: jnp.sum(softmax_attention(x, x, x) ** 2))(x))
    assert_trees_close(jax.vmap(attention)(members)[1], attention(members[1]))


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
