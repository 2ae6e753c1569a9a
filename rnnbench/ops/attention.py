"""Causal softmax attention, on one device or with its time split over a mesh axis.

Each of p devices then holds [B, T/p, ...], in order. Inside, token t of every device goes to device t mod p,
so that all have queries and keys from the whole sequence: query i of a device sees the keys before i of every
device, and key i of those whose stripe comes no later. As the keys go round the ring (blocked_attention.py),
all devices do the same work at every stop, on the lower triangle of blocks only.

Source: Brandon et al. 2023, arXiv 2311.09431 (stripes).
"""

import jax
import jax.numpy as jnp

from rnnbench.ops import over_time
from rnnbench.ops.blocked_attention import NEVER, blocked_attention, padded

CHUNK = 16  # of a running sum


def softmax_attention(
    q, k, v, *, log_forget=None, slopes=None, start=None, past=None, offset=0, axis_name=None
):
    """y_t = Σ_{start_t ≤ s ≤ t} softmax_s(q_t·k_s/√K + Σ_{s<l≤t} g_l) v_s.

    q, k: [B, T, H, K], v: [B, T, H, V]. log_forget g ≤ 0: [B, T, H], float32, or slopes [H] instead, with
    g = −slope everywhere, or neither; start: [B, T], at most the query's own position, or None (zeros). past:
    {"k", "v", and "log_forget" if there is one} [B, L, ...], of which the first `offset` (int or traced
    int32) are keys before the first query and the others are ignored; None without any. Positions count from
    the first key. axis_name: all but `past`, which all devices have, are this device's part. Returns y
    [B, T, H, V] in v's dtype; softmax and sums are in float32.
    """
    if slopes is not None:
        constant = lambda k: jnp.broadcast_to(-jnp.asarray(slopes, jnp.float32), (1, *k.shape[1:3]))
        log_forget, past = constant(k), past and past | {"log_forget": constant(past["k"])}
    length, dtype = q.shape[1], v.dtype
    at = over_time.positions(offset, length, axis_name)[None]
    queries, keys = {"q": q, "at": at}, {"k": k, "v": v, "at": at}
    if start is not None:
        queries["start"] = start
    if log_forget is not None:
        sums = _of_batch(_sums(log_forget, axis_name), k)
        queries |= sums
        keys |= sums
    earlier = None if past is None else _before(past, offset)
    if axis_name is None:
        return blocked_attention(queries, keys, earlier).astype(dtype)
    queries, keys = _striped(queries, axis_name), _striped(keys, axis_name)
    earlier = None if past is None else _share(earlier, axis_name)
    y = blocked_attention(queries, keys, earlier, axis_name=axis_name)
    return _unstriped(y.astype(dtype), length, axis_name)


# --- where tokens are ---------------------------------------------------------------------------------------


def _striped(tree, axis_name):
    """{name: [B, T/p, ...]} with tokens r, p + r, 2p + r … of every device on device r, in their order."""
    parts = jax.lax.axis_size(axis_name)

    def exchange(x):
        x = x.reshape(x.shape[0], -1, parts, *x.shape[2:])
        return jnp.squeeze(jax.lax.all_to_all(x, axis_name, 2, 1, tiled=True), 2)

    return {name: exchange(x) for name, x in padded(tree, parts).items()}


def _unstriped(x, length, axis_name):
    """The inverse of `_striped` for one array, without the padding."""
    x = jax.lax.all_to_all(x[:, :, None], axis_name, 1, 2, tiled=True)
    return x.reshape(x.shape[0], -1, *x.shape[3:])[:, :length]


def _before(past, offset):
    """The keys of the past as those of the queries: with positions and sums, which end at zero."""
    at = jnp.arange(past["k"].shape[1], dtype=jnp.int32)
    keys = {"k": past["k"], "v": past["v"], "at": jnp.where(at < offset, at, NEVER)[None]}
    if "log_forget" in past:
        whole, rest = running_sum(jnp.where((at < offset)[None, :, None], past["log_forget"], 0))
        keys |= _of_batch({"whole": whole - whole[:, -1:], "rest": rest - rest[:, -1:]}, past["k"])
    return keys


def _share(tree, axis_name):
    """This device's part of what all devices have: the work on it does not depend on the position."""
    parts = jax.lax.axis_size(axis_name)

    def part(x):
        size = x.shape[1] // parts
        return jax.lax.dynamic_slice_in_dim(x, jax.lax.axis_index(axis_name) * size, size, axis=1)

    return {name: part(x) for name, x in padded(tree, parts).items()}


# --- sums of gates ------------------------------------------------------------------------------------------


def running_sum(x):
    """Σ_{s≤t} x_s [B, T, H] as (whole, rest): an integer, and what is left, between −½ and ½.

    Differences between near sums keep their digits however long the sums are. The gradient is that of rest.
    """
    return _running_sum(*_carried(jnp.zeros_like(x), x))


def _running_sum(whole, rest):
    """Sums within chunks by products with a triangle, and of the chunks before by the same again."""
    length = whole.shape[1]
    chunk = min(length, CHUNK)
    pad = lambda x: jnp.pad(x, [(0, 0), (0, -length % chunk), (0, 0)])
    triangle = jnp.tril(jnp.ones((chunk, chunk), jnp.float32))
    within = [
        jnp.einsum(
            "ij,bnjh->bnih", triangle, pad(x).reshape(x.shape[0], -1, chunk, x.shape[2]), precision="highest"
        )
        for x in (whole, rest)
    ]
    if length > chunk:
        sums = _running_sum(*_carried(*(x[:, :-1, -1] for x in within)))
        before = [jnp.pad(x, [(0, 0), (1, 0), (0, 0)])[:, :, None] for x in sums]
        within = [x + earlier for x, earlier in zip(within, before)]
    return _carried(*(x.reshape(x.shape[0], -1, x.shape[3])[:, :length] for x in within))


def _carried(whole, rest):
    more = jax.lax.stop_gradient(jnp.round(rest))
    return whole + more, rest - more


def _sums(log_forget, axis_name):
    """The running sums of the gates, with those of all devices before this one."""
    whole, rest = running_sum(log_forget)
    if axis_name is None:
        return {"whole": whole, "rest": rest}
    of_devices = jax.lax.all_gather((whole[:, -1], rest[:, -1]), axis_name)
    earlier = jnp.arange(jax.lax.axis_size(axis_name)) < jax.lax.axis_index(axis_name)
    before = [jnp.sum(jnp.where(earlier[:, None, None], x, 0), axis=0)[:, None] for x in of_devices]
    whole, rest = _carried(whole + before[0], rest + before[1])
    return {"whole": whole, "rest": rest}


def _of_batch(tree, k):
    return {name: jnp.broadcast_to(x, k.shape[:3]) for name, x in tree.items()}
