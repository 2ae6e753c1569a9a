"""Causal softmax attention with its time split over a mesh axis: the keys and values go round a ring.

Each of p devices holds [B, T/p, ...], in order. Inside, token t goes to device t mod p, so that every device
has queries and keys from the whole sequence: query i of a device then sees exactly the keys before i of every
device, and key i itself of those that come no later in the stripes. So all devices do the same work at every
stop of the ring, on the lower triangle of blocks only. Each device keeps its queries, and
a running maximum, denominator and output for each; p times, it takes in the keys it has and passes them on.
The gradient goes round in the same way, with the gradients of the keys beside the keys.

Sources: Liu et al. 2023, arXiv 2310.01889 (ring); Brandon et al. 2023, arXiv 2311.09431 (stripes); Milakov &
Gimelshein 2018, arXiv 1805.02867 (running softmax); Dao et al. 2022, arXiv 2205.14135 (gradient).
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from rnnbench.ops import over_time

# Scores exist for one block of queries and one of keys at a time: a 16th of what a device has, within limits.
# Small blocks waste less on the diagonal and large ones spend less on the loop.
LEAST, MOST, BLOCKS = 64, 512, 16
NEVER = np.iinfo(np.int32).max  # the position of padding, which no query reaches
HIDDEN = -1e30  # the score of a key that is not seen; its gradients stay finite


def ring_attention(q, k, v, axis_name, *, log_forget=None, start=None, past=None, offset=0):
    """y_t = Σ_{start_t ≤ s ≤ t} softmax_s(q_t·k_s/√K + Σ_{s<l≤t} g_l) v_s,  over the keys of all devices.

    q, k: [B, T/p, H, K], v: [B, T/p, H, V], this device's part. log_forget g ≤ 0: [B, T/p, H], float32, or
    None; start: [B, T/p], at most the query's own position, or None (zeros). past: {"k", "v", and
    "log_forget" if there are gates} [B, L, ...], the same on all devices, of which the first `offset` are
    keys before the first query and the others are ignored; None without any. Positions count from the first
    key. Returns y [B, T/p, H, V] in v's dtype; softmax and sums are in float32.
    """
    length, dtype = q.shape[1], v.dtype
    at = over_time.positions(offset, length, axis_name)[None]
    queries, keys = {"q": q, "at": at}, {"k": k, "v": v, "at": at}
    if start is not None:
        queries["start"] = start
    if log_forget is not None:
        sums = _sums_over_devices(log_forget, axis_name)
        queries |= sums
        keys |= sums
    queries, keys = _striped(queries, axis_name), _striped(keys, axis_name)
    count = queries["q"].shape[1]
    size = min(count, max(LEAST, min(MOST, -(-count // BLOCKS))))
    queries, keys = _in_blocks(queries, size), _in_blocks(keys, size)
    blocks_before = 0
    if past is not None:
        earlier = _in_blocks(_share(_before(past, offset), axis_name), size)
        blocks_before = earlier["k"].shape[0]
        keys = {name: jnp.concatenate([earlier[name], x]) for name, x in keys.items()}
    y = jnp.moveaxis(_ring(queries, keys, axis_name, blocks_before), (2, 0), (3, 1))
    y = y.reshape(y.shape[0], -1, *y.shape[3:])[:, :count].astype(dtype)
    return _unstriped(y, length, axis_name)


# --- where tokens are ---------------------------------------------------------------------------------------


def _striped(tree, axis_name):
    """{name: [B, T/p, ...]} with tokens r, p + r, 2p + r … of every device on device r, in their order."""
    parts = jax.lax.axis_size(axis_name)

    def exchange(x):
        x = x.reshape(x.shape[0], -1, parts, *x.shape[2:])
        return jnp.squeeze(jax.lax.all_to_all(x, axis_name, 2, 1, tiled=True), 2)

    return {name: exchange(x) for name, x in _padded(tree, parts).items()}


def _unstriped(x, length, axis_name):
    """The inverse of `_striped` for one array, without the padding."""
    x = jax.lax.all_to_all(x[:, :, None], axis_name, 1, 2, tiled=True)
    return x.reshape(x.shape[0], -1, *x.shape[3:])[:, :length]


def _padded(tree, multiple):
    """Time [B, T, ...] up to a multiple, with zeros at the position NEVER."""

    def pad(x, fill):
        widths = [(0, 0), (0, -x.shape[1] % multiple)] + [(0, 0)] * (x.ndim - 2)
        return jnp.pad(x, widths, constant_values=fill)

    return {name: pad(x, NEVER if name == "at" else 0) for name, x in tree.items()}


def _in_blocks(tree, size):
    """{name: [B, T, ...]} -> [blocks, B, size], or [blocks, B, H, size, ...] of what there is per head."""

    def cut(x):
        x = jnp.moveaxis(x.reshape(x.shape[0], -1, size, *x.shape[2:]), 1, 0)
        return x if x.ndim == 3 else jnp.swapaxes(x, 2, 3)

    return {name: cut(x) for name, x in _padded(tree, size).items()}


def _before(past, offset):
    """The keys of the past as those of the queries: with positions and sums, which end at zero."""
    at = jnp.arange(past["k"].shape[1], dtype=jnp.int32)
    keys = {"k": past["k"], "v": past["v"], "at": jnp.where(at < offset, at, NEVER)[None]}
    if "log_forget" in past:
        whole, rest = running_sum(jnp.where((at < offset)[None, :, None], past["log_forget"], 0))
        keys |= {"whole": whole - whole[:, -1:], "rest": rest - rest[:, -1:]}
    return keys


def _share(tree, axis_name):
    """This device's part of what all devices have: the work on it does not depend on the position."""
    parts = jax.lax.axis_size(axis_name)

    def part(x):
        size = x.shape[1] // parts
        return jax.lax.dynamic_slice_in_dim(x, jax.lax.axis_index(axis_name) * size, size, axis=1)

    return {name: part(x) for name, x in _padded(tree, parts).items()}


# --- sums of gates ------------------------------------------------------------------------------------------


def running_sum(x):
    """Σ_{s≤t} x_s [B, T, ...] as (whole, rest): an integer, and what is left, between −½ and ½.

    Differences between near sums keep their digits however long the sums are. The gradient is that of rest.
    """
    return jax.lax.associative_scan(_add, _add((jnp.zeros_like(x), x), None), axis=1)


def _add(one, other):
    whole, rest = one if other is None else (one[0] + other[0], one[1] + other[1])
    more = jax.lax.stop_gradient(jnp.round(rest))
    return whole + more, rest - more


def _sums_over_devices(log_forget, axis_name):
    """The running sums of this device's gates, with those of all devices before it."""
    whole, rest = running_sum(log_forget)
    of_devices = jax.lax.all_gather((whole[:, -1], rest[:, -1]), axis_name)
    earlier = jnp.arange(jax.lax.axis_size(axis_name)) < jax.lax.axis_index(axis_name)
    before = [jnp.sum(jnp.where(earlier[:, None, None], x, 0), axis=0)[:, None] for x in of_devices]
    whole, rest = _add(before, (whole, rest))
    return {"whole": whole, "rest": rest}


# --- the ring -----------------------------------------------------------------------------------------------


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def _ring(queries, keys, axis_name, blocks_before):
    """y [blocks, B, H, size, V], float32, of queries and keys in blocks, `blocks_before` of them past."""
    return _ring_forward(queries, keys, axis_name, blocks_before)[0]


def _ring_forward(queries, keys, axis_name, blocks_before):
    pairs = _pairs(queries["q"].shape[0], blocks_before)
    lacking = jnp.zeros(queries["q"].shape[:-1], jnp.float32)
    y = jnp.zeros((*lacking.shape, keys["v"].shape[-1]), jnp.float32)
    softmax = over_time.varying({"largest": lacking + HIDDEN, "total": lacking, "y": y}, axis_name)

    def visit(carry, _):
        keys, softmax = carry

        def take_in(softmax, pair):
            query, key, so_far = _at(queries, pair[0]), _at(keys, pair[1]), _at(softmax, pair[0])
            scores = _scores(query, key)
            largest = jnp.maximum(so_far["largest"], scores.max(axis=-1))
            weights, shrink = jnp.exp(scores - largest[..., None]), jnp.exp(so_far["largest"] - largest)
            total = so_far["total"] * shrink + weights.sum(axis=-1)
            added = _product("bhts,bhsv->bhtv", weights.astype(key["v"].dtype), key["v"])
            y = so_far["y"] * shrink[..., None] + added
            return _put(softmax, pair[0], {"largest": largest, "total": total, "y": y}), None

        softmax, _ = jax.lax.scan(take_in, softmax, pairs)
        return (_pass_on(keys, axis_name), softmax), None

    (_, softmax), _ = jax.lax.scan(visit, (keys, softmax), length=jax.lax.axis_size(axis_name))
    y = softmax["y"] / softmax["total"][..., None]
    return y, (queries, keys, y, softmax["largest"] + jnp.log(softmax["total"]))


def _ring_backward(axis_name, blocks_before, residuals, dy):
    """p = exp(s − log Σ exp s) again;  ds = p ⊙ (dy vᵀ − dy·y).

    Of the sums of gates, that of a query moves all its scores alike, which leaves the softmax as it is.
    """
    queries, keys, y, log_total = residuals
    pairs, scale = _pairs(queries["q"].shape[0], blocks_before), queries["q"].shape[-1] ** -0.5
    rows = {"dy": dy, "inner": jnp.sum(dy * y, axis=-1), "log_total": log_total}
    zeros = lambda x: over_time.varying(jnp.zeros_like(x, jnp.float32), axis_name)
    dq = zeros(queries["q"])
    dkeys = {name: zeros(keys[name]) for name in ("k", "v", "rest") if name in keys}

    def visit(carry, _):
        keys, dkeys, dq = carry

        def take_in(carry, pair):
            dq, dkeys = carry
            query, key, row = _at(queries, pair[0]), _at(keys, pair[1]), _at(rows, pair[0])
            weights = jnp.exp(_scores(query, key) - row["log_total"][..., None])
            dy = row["dy"].astype(key["v"].dtype)
            dscores = weights * (_product("bhtv,bhsv->bhts", dy, key["v"]) - row["inner"][..., None])
            added = {"v": _product("bhts,bhtv->bhsv", weights.astype(dy.dtype), dy)}
            if "rest" in key:
                added["rest"] = -dscores.sum(axis=-2)
            dscores = (dscores * scale).astype(query["q"].dtype)
            added["k"] = _product("bhts,bhtk->bhsk", dscores, query["q"])
            dq = _put(dq, pair[0], _at(dq, pair[0]) + _product("bhts,bhsk->bhtk", dscores, key["k"]))
            dkeys = _put(dkeys, pair[1], jax.tree.map(jnp.add, _at(dkeys, pair[1]), added))
            return (dq, dkeys), None

        (dq, dkeys), _ = jax.lax.scan(take_in, (dq, dkeys), pairs)
        return (*_pass_on((keys, dkeys), axis_name), dq), None

    (_, dkeys, dq), _ = jax.lax.scan(visit, (keys, dkeys, dq), length=jax.lax.axis_size(axis_name))
    gradient = lambda given, found: {
        name: found[name].astype(x.dtype) if name in found else None for name, x in given.items()
    }
    return gradient(queries, {"q": dq}), gradient(keys, dkeys)


_ring.defvjp(_ring_forward, _ring_backward)


def _pairs(blocks, blocks_before):
    """Which blocks of queries and of keys meet at every stop: those of the past, then up to the diagonal."""
    pairs = [(i, j) for i in range(blocks) for j in range(blocks_before + i + 1)]
    return np.array(pairs, np.int32)


def _scores(query, key):
    scores = _product("bhtk,bhsk->bhts", query["q"], key["k"]) * query["q"].shape[-1] ** -0.5
    if "rest" in key:
        for name in ("whole", "rest"):
            scores += query[name][..., None] - key[name][..., None, :]
    seen = key["at"][:, None] <= query["at"][..., None]
    if "start" in query:
        seen &= key["at"][:, None] >= query["start"][..., None]
    return jnp.where(seen[:, None], scores, HIDDEN)


def _pass_on(tree, axis_name):
    size = jax.lax.axis_size(axis_name)
    return jax.lax.ppermute(tree, axis_name, [(i, (i + 1) % size) for i in range(size)])


def _at(tree, i):
    return jax.tree.map(lambda x: jax.lax.dynamic_index_in_dim(x, i, keepdims=False), tree)


def _put(tree, i, block):
    return jax.tree.map(lambda x, new: jax.lax.dynamic_update_index_in_dim(x, new, i, 0), tree, block)


def _product(equation, x, y):
    return jnp.einsum(equation, x, y, preferred_element_type=jnp.float32)
