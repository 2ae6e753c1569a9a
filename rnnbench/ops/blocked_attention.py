"""Causal softmax attention in blocks of queries and keys, with a running maximum, denominator and output.

Memory goes with the number of tokens, since scores exist for one pair of blocks at a time. The keys may be
shared out over the devices of a mesh axis: each device then keeps its queries and, as often as there are
devices, takes in the keys it has and passes them on. The gradient goes round in the same way, with the
gradients of the keys beside the keys.

Sources: Milakov & Gimelshein 2018, arXiv 1805.02867 (running softmax); Dao et al. 2022, arXiv 2205.14135
(gradient); Liu et al. 2023, arXiv 2310.01889 (ring).
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from rnnbench.ops import over_time
from rnnbench.ops.products import transpose

# Least and most tokens of a block, which is else a 16th (a 4th) of all: small ones waste less on the diagonal
# and at the edge of a window, and stay in a CPU's cache; large ones spend less on the loop.
DEFAULTS = {"cpu": (64, 512, 16), "accelerator": (256, 1024, 4)}
NEVER = np.iinfo(np.int32).max  # the position of padding, which no query reaches
HIDDEN = -1e30  # the score of a key that is not seen; its gradients stay finite


def blocked_attention(queries, keys, earlier=None, *, window=None, axis_name=None):
    """y_t = Σ_s softmax_s(q_t·k_s/√K + G_t − G_s) v_s over the keys s with start_t ≤ at_s ≤ at_t.

    queries: {"q": [B, T, H, K], "at": [1, T] int32, their positions, "start": [B, T] int32 (may be left out),
    "whole" and "rest": [B, T, H] with G = whole + rest (may be left out)}; keys: {"k": [B, T, H, K], "v":
    [B, T, H, V], "at", and "whole" and "rest" if the queries have them}; earlier: keys before those, or None.
    Key i of `keys` may be seen by the queries from i on, on all devices; with a window, which also moves
    `start` up, key i of the window − 1 earlier ones by those up to i. Returns y [B, T, H, V] in float32.
    """
    count = queries["q"].shape[1]
    if window is not None:
        oldest = queries["at"] - window + 1
        queries = queries | {"start": jnp.maximum(oldest, queries.get("start", oldest))}
    least, most, blocks = DEFAULTS.get(jax.default_backend(), DEFAULTS["accelerator"])
    if earlier is not None and count <= least:  # one block of queries, which meets blocks of any size
        keys = {name: jnp.concatenate([earlier[name], x], axis=1) for name, x in keys.items()}
        queries, keys = _in_blocks(queries, count), _in_blocks(keys, min(keys["k"].shape[1], least * most))
        pairs = [(0, j) for j in range(keys["k"].shape[0])]
    else:
        widest = most if window is None else min(most, max(least, window))
        size = min(count, max(least, min(widest, -(-count // blocks))))
        queries, keys, before = _in_blocks(queries, size), _in_blocks(keys, size), 0
        if earlier is not None:
            earlier = _in_blocks(earlier, size)
            before = earlier["k"].shape[0]
            keys = {name: jnp.concatenate([earlier[name], x]) for name, x in keys.items()}
        lowest = lambda i: 0 if window is None else i
        pairs = [(i, j) for i in range(queries["q"].shape[0]) for j in range(lowest(i), before + i + 1)]
    y = jnp.moveaxis(_attend(queries, keys, np.array(pairs, np.int32), axis_name), (2, 0), (3, 1))
    return y.reshape(y.shape[0], -1, *y.shape[3:])[:, :count]


def padded(tree, multiple):
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

    return {name: cut(x) for name, x in padded(tree, size).items()}


@functools.partial(jax.custom_vjp, nondiff_argnums=(3,))
def _attend(queries, keys, pairs, axis_name):
    """y [blocks, B, H, size, V], float32, of queries and keys in blocks that meet in these pairs [·, 2]."""
    return _attend_forward(queries, keys, pairs, axis_name)[0]


def _attend_forward(queries, keys, pairs, axis_name):
    lacking = jnp.zeros(queries["q"].shape[:-1], jnp.float32)
    y = jnp.zeros((*lacking.shape, keys["v"].shape[-1]), jnp.float32)
    softmax = _of_device({"largest": lacking + HIDDEN, "total": lacking, "y": y}, axis_name)

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

    (_, softmax), _ = jax.lax.scan(visit, (keys, softmax), length=_stops(axis_name))
    y = softmax["y"] / softmax["total"][..., None]
    return y, (queries, keys, pairs, y, softmax["largest"] + jnp.log(softmax["total"]))


def _attend_backward(axis_name, residuals, dy):
    """p = exp(s − log Σ exp s) again;  ds = p ⊙ (dy vᵀ − dy·y).

    Of the sums of gates, that of a query moves all its scores alike, which leaves the softmax as it is.
    """
    queries, keys, pairs, y, log_total = residuals
    scale = queries["q"].shape[-1] ** -0.5
    inner, dy = jnp.sum(dy * y, axis=-1), dy.astype(keys["v"].dtype)
    rows = {"dy": dy, "inner": inner, "log_total": log_total}
    # What is summed over queries has them last, for the sake of CPUs (see `products.matmul_rows`).
    rows |= {"dy_last": transpose(dy), "q_last": transpose(queries["q"])}
    zeros = lambda x: _of_device(jnp.zeros(x.shape, jnp.float32), axis_name)
    dq = zeros(queries["q"])
    dkeys = {name: zeros(transpose(keys[name])) for name in ("k", "v")}
    if "rest" in keys:
        dkeys["rest"] = zeros(keys["rest"])

    def visit(carry, _):
        keys, dkeys, dq = carry

        def take_in(carry, pair):
            dq, dkeys = carry
            query, key, row = _at(queries, pair[0]), _at(keys, pair[1]), _at(rows, pair[0])
            weights = jnp.exp(_scores(query, key) - row["log_total"][..., None])
            dweights = _product("bhtv,bhsv->bhts", row["dy"], key["v"])
            dscores = weights * (dweights - row["inner"][..., None])
            added = {"v": _product("bhvt,bhts->bhvs", row["dy_last"], weights.astype(dy.dtype))}
            if "rest" in key:
                added["rest"] = -dscores.sum(axis=-2)
            dscores = (dscores * scale).astype(query["q"].dtype)
            added["k"] = _product("bhkt,bhts->bhks", row["q_last"], dscores)
            dq = _put(dq, pair[0], _at(dq, pair[0]) + _product("bhts,bhsk->bhtk", dscores, key["k"]))
            dkeys = _put(dkeys, pair[1], jax.tree.map(jnp.add, _at(dkeys, pair[1]), added))
            return (dq, dkeys), None

        (dq, dkeys), _ = jax.lax.scan(take_in, (dq, dkeys), pairs)
        return (*_pass_on((keys, dkeys), axis_name), dq), None

    (_, dkeys, dq), _ = jax.lax.scan(visit, (keys, dkeys, dq), length=_stops(axis_name))
    dkeys |= {name: transpose(dkeys[name]) for name in ("k", "v")}
    gradient = lambda given, found: {
        name: found[name].astype(x.dtype) if name in found else None for name, x in given.items()
    }
    return gradient(queries, {"q": dq}), gradient(keys, dkeys), None


_attend.defvjp(_attend_forward, _attend_backward)


def _scores(query, key):
    scores = _product("bhtk,bhsk->bhts", query["q"], key["k"]) * query["q"].shape[-1] ** -0.5
    if "rest" in key:
        for name in ("whole", "rest"):
            scores += query[name][..., None] - key[name][..., None, :]
    seen = key["at"][:, None] <= query["at"][..., None]
    if "start" in query:
        seen &= key["at"][:, None] >= query["start"][..., None]
    return jnp.where(seen[:, None], scores, HIDDEN)


def _stops(axis_name):
    return 1 if axis_name is None else jax.lax.axis_size(axis_name)


def _of_device(tree, axis_name):
    return tree if axis_name is None else over_time.varying(tree, axis_name)


def _pass_on(tree, axis_name):
    if axis_name is None:
        return tree
    size = jax.lax.axis_size(axis_name)
    return jax.lax.ppermute(tree, axis_name, [(i, (i + 1) % size) for i in range(size)])


def _at(tree, i):
    return jax.tree.map(lambda x: jax.lax.dynamic_index_in_dim(x, i, keepdims=False), tree)


def _put(tree, i, block):
    return jax.tree.map(lambda x, new: jax.lax.dynamic_update_index_in_dim(x, new, i, 0), tree, block)


def _product(equation, x, y):
    return jnp.einsum(equation, x, y, preferred_element_type=jnp.float32)
