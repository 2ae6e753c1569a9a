"""Causal softmax attention, the mixer of the Transformer (preset `gpt`)."""

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from rnnbench.errors import ConfigError
from rnnbench.mixers.common import QKV, linear, merge_heads, turn
from rnnbench.mixers.preset import Preset
from rnnbench.ops import over_time
from rnnbench.ops.ring_attention import ring_attention

POSITIONS = ("rope", "alibi", "none")
# Scores are computed for this many queries at a time (64 was among the fastest on CPU), or for a 16th of a
# long sequence, because every block is compiled separately.
BLOCK, MOST_BLOCKS = 64, 16


class Attention(nnx.Module):
    """y_t = W_o [ Σ_{s≤t} p_ts v_s ]_heads,  p_t = softmax_{s≤t}(q_t·k_s / √K + bias(t − s)), per head.

    q, k, v = QKV(x), with a short convolution if `conv_size` > 0. `positions`:
    "rope"   q_t and k_s rotated by t·10000^(−i/(K/2)), pair i of the head's two halves (Su et al. 2021)
    "alibi"  bias(t − s) = −2^(−8h/H)·(t − s) for head h = 1…H (Press et al. 2021)
    "none"   no bias (learned positions are added to the embedding by the backbone)
    The softmax is in float32, and over s from the last `reset` up to t on.

    Parameters: `qkv` (see QKV), `output.kernel` [D, D].
    State: from `init_state`, a cache of static shape {"k", "v" [B, L, H, K], "position" int32, the number of
    tokens seen, "start" [B] int32, the position of the last reset}: writing beyond L makes the output NaN.
    From a call without state, {"k", "v"} of only the tokens seen, which grows with each call, and "start" if
    there was a reset. With a convolution both have "conv" too. Keys are stored as they are compared (rotated,
    for rope).
    Source: Vaswani et al. 2017, arXiv 1706.03762; rope 2104.09864; alibi 2108.12409.
    """

    def __init__(
        self, dim: int, *, rngs: nnx.Rngs, heads: int = 4, positions: str = "rope", conv_size: int = 0,
        dtype: jnp.dtype = jnp.float32,
    ):  # fmt: skip
        if positions not in POSITIONS:
            raise ConfigError("model.positions", f"{positions!r} is unknown to attention; one of {POSITIONS}")
        self.qkv = QKV(dim, heads, conv_size, rngs=rngs, dtype=dtype)
        self.heads, self.head_dim, self.positions, self.dtype = heads, dim // heads, positions, dtype
        if positions == "rope" and self.head_dim % 2:
            raise ConfigError(
                "model.heads", f"rope rotates pairs: dim {dim} / {heads} heads = {self.head_dim} is odd"
            )
        self.output = linear(dim, dim, rngs=rngs, dtype=dtype)

    def init_state(self, batch: int, max_length: int) -> dict:
        shape = (batch, max_length, self.heads, self.head_dim)
        cache = {"k": jnp.zeros(shape, self.dtype), "v": jnp.zeros(shape, self.dtype)}
        cache |= {"position": jnp.zeros((), jnp.int32), "start": jnp.zeros(batch, jnp.int32)}
        return cache | self.qkv.init_state(batch)

    def __call__(self, x: jax.Array, state: dict | None = None, reset=None, axis_name: str | None = None):
        (q, k, v), state_out = self.qkv(x, state, reset, axis_name)
        if self.positions == "rope":
            first = over_time.positions(tokens_before(state), x.shape[1], axis_name)[0]
            q, k = rotate(q, first), rotate(k, first)
        slopes = (
            2.0 ** (-8.0 * np.arange(1, self.heads + 1) / self.heads) if self.positions == "alibi" else None
        )
        y, cache = attend_with_cache(q, {"k": k, "v": v}, state, reset, slopes, axis_name)
        return self.output(merge_heads(y)), state_out | cache


def tokens_before(state: dict | None):
    """The number of tokens in a cache, or in a state that grows: the position of the next one."""
    if state is None:
        return 0
    return state["position"] if "position" in state else state["k"].shape[1]


def attend_with_cache(q, new: dict, state: dict | None, reset, slopes=None, axis_name=None):
    """(y, cache): causal attention over the keys of `state` and the `new` ones, and what is kept of both.

    new: the arguments of `causal_attention` that have an entry per key, by name, as `state` has them.
    """
    offset, start = tokens_before(state), None if state is None else state.get("start")
    start = first_keys(reset, offset, start, *q.shape[:2], axis_name)
    # Over devices, XLA leaves this gathering out where nobody asks for the cache.
    cache = new if axis_name is None else jax.lax.all_gather(new, axis_name, axis=1, tiled=True)
    tokens = cache["k"].shape[1]
    if state is not None:
        cache = {name: extend(state[name], x, offset) for name, x in cache.items()}
    if axis_name is None:
        y = causal_attention(q, offset=offset, slopes=slopes, start=start, **cache)
    else:
        past = None if state is None else {name: state[name] for name in new}
        y = attend_over_time(q, new, past, offset, slopes, start, axis_name)
    if start is not None:
        last = start[:, -1] if axis_name is None else over_time.of_last(start[:, -1], axis_name)
        cache = cache | {"start": last}
    if state is not None and "position" in state:
        cache["position"] = offset + tokens
        # A write past the end is moved back over valid keys, so that the cache is no longer correct.
        y = jnp.where(cache["position"] <= cache["k"].shape[1], y, jnp.nan)
    return y, cache


def attend_over_time(q, new: dict, past: dict | None, offset, slopes, start, axis_name) -> jax.Array:
    """As `causal_attention`, for this device's part of the queries and the new keys; all of the past."""
    if slopes is not None:  # a bias that falls by the slope with every token is a constant forget gate
        forget = lambda keys: -jnp.broadcast_to(jnp.asarray(slopes, jnp.float32), keys.shape[:3])
        new = new | {"log_forget": forget(new["k"])}
        past = past and past | {"log_forget": forget(past["k"])}
    return ring_attention(q, **new, axis_name=axis_name, start=start, past=past, offset=offset)


def rotate(x: jax.Array, offset) -> jax.Array:
    """RoPE on x [B, T, H, K], whose first token is at position `offset`."""
    half = x.shape[-1] // 2
    frequency = 10000.0 ** (-jnp.arange(half, dtype=jnp.float32) / half)
    angle = (offset + jnp.arange(x.shape[1]))[None, :, None, None] * frequency[None, None, None]
    return turn(x.astype(jnp.float32), angle).astype(x.dtype)


def first_keys(reset, offset, before, batch, length, axis_name=None):
    """The first position that each of the tokens [B, T] from `offset` on may attend to; None if all may be.

    That of the last reset up to the token, or `before` [B] (None: 0), that of the last reset before them.
    """
    if reset is None and before is None:
        return None
    before = jnp.zeros(batch, jnp.int32) if before is None else before
    return over_time.segment_starts(reset, over_time.positions(offset, length, axis_name), before, axis_name)


def extend(past: jax.Array, new: jax.Array, offset) -> jax.Array:
    """`new` [B, T, H, K] written at `offset` into a cache, or appended if `past` ends exactly there."""
    if isinstance(offset, int):
        return jnp.concatenate([past, new.astype(past.dtype)], axis=1)
    if new.shape[1] > past.shape[1]:  # cannot be written at all; the caller turns the output into NaN
        new = new[:, : past.shape[1]]
    return jax.lax.dynamic_update_slice_in_dim(past, new.astype(past.dtype), offset, axis=1)


def causal_attention(q, k, v, offset, slopes=None, start=None, log_forget=None, window=None) -> jax.Array:
    """y_t = Σ_{start_t ≤ s ≤ i} softmax_s(q_t·k_s/√K − slope·(i − s) + Σ_{s<l≤i} g_l) v_s,  i = offset + t.

    q: [B, T, H, K], k, v: [B, S, H, K]; offset: position of the first query, int or traced int32;
    slopes: [H] or None; start: [B, T] or None (zeros), at most the query's own position; log_forget g ≤ 0:
    [B, S, H], float32, or None; window: the keys from i − window + 1 on only, or None (all). Keys
    beyond the query's position and before its start never affect the result. Memory is limited to the scores
    of one block of queries; if the offset is known, keys that none of its queries sees are skipped.
    """
    length, heads = q.shape[1:3]
    size = max(BLOCK, -(-length // MOST_BLOCKS))
    slopes = jnp.zeros(heads, jnp.float32) if slopes is None else jnp.asarray(slopes, jnp.float32)
    if window is not None:
        oldest = (offset + jnp.arange(length) - window + 1)[None]
        start = oldest if start is None else jnp.maximum(start, oldest)

    def one_head(inputs):
        q, k, v, slope, log_forget = inputs
        blocks = []
        for begin in range(0, length, size):
            stop, first = min(begin + size, length), offset + begin
            low, high = 0, k.shape[1]
            if isinstance(offset, int):
                low, high = max(0, first - window + 1) if window else 0, offset + stop
            since = None if start is None else start[:, begin:stop] - low
            bias = None if log_forget is None else decay_to(first - low, log_forget[:, low:high])
            keys = k[:, low:high], v[:, low:high]
            blocks.append(attend(q[:, begin:stop], *keys, first - low, since, slope, bias))
        return jnp.concatenate(blocks, axis=1)

    # Processing one head at a time keeps a CPU's scores in cache. Not over the batch, which may be sharded.
    one_by_one = jax.default_backend() == "cpu" and length > size
    q, k, v, log_forget = jax.tree.map(lambda x: jnp.moveaxis(x, 2, 0), (q, k, v, log_forget))
    inputs = q, k, v, slopes, log_forget
    y = (jax.lax.map if one_by_one else lambda f, xs: jax.vmap(f)(xs))(one_head, inputs)
    return jnp.moveaxis(y, 0, 2)


def decay_to(first, log_forget) -> jax.Array:
    """Σ_{s<l≤first} g_l for the keys s up to `first`, −Σ_{first<l≤s} g_l for those after it; [B, S].

    It differs from Σ_{s<l≤t} g_l by a sum that is the same for all keys of the query t, so that the softmax
    is that of the latter. Sums over the whole past would lose the small differences between near keys.
    """
    after = (jnp.arange(log_forget.shape[1]) > first)[None]
    until = jnp.where(after, 0, log_forget)[:, 1:]
    until = jnp.concatenate([until, jnp.zeros_like(log_forget[:, :1])], axis=1)
    return jax.lax.cumsum(until, 1, reverse=True) - jax.lax.cumsum(jnp.where(after, log_forget, 0), 1)


@jax.custom_vjp
def attend(q, k, v, first, start, slope, bias) -> jax.Array:
    """One head: all queries [B, T, K], the first at position `first`, against all keys [B, S, K] before them.

    Those from `start` [B, T] on, or from 0 if that is None. bias: [B, S], added to the scores, or None.
    """
    return _attend_forward(q, k, v, first, start, slope, bias)[0]


def _scores(q, k, first, start, slope, bias):
    distance = (first + jnp.arange(q.shape[1]))[:, None] - jnp.arange(k.shape[1])[None]
    scores = _product("btk,bsk->bts", q, k) * q.shape[-1] ** -0.5 - (slope * distance)[None]
    if bias is not None:
        scores += bias[:, None]
    seen = distance[None] >= 0
    if start is not None:
        seen &= jnp.arange(k.shape[1])[None, None] >= start[..., None]
    return jnp.where(seen, scores, -1e30)


def _attend_forward(q, k, v, first, start, slope, bias):
    scores = _scores(q, k, first, start, slope, bias)
    largest = scores.max(axis=-1, keepdims=True)
    weights = jnp.exp(scores - largest)
    total = weights.sum(axis=-1, keepdims=True)
    # Divided after the sum over keys, which saves a pass over [B, T, S].
    y = (_product("bts,bsk->btk", weights.astype(v.dtype), v) / total).astype(v.dtype)
    return y, (q, k, v, first, start, slope, bias, y, largest + jnp.log(total))


def _attend_backward(residuals, dy):
    """Recomputes p = exp(s − log Σ exp s);  ds = p ⊙ (dy vᵀ − dy·y)  (Dao et al. 2022, arXiv 2205.14135)."""
    q, k, v, first, start, slope, bias, y, log_total = residuals
    weights = jnp.exp(_scores(q, k, first, start, slope, bias) - log_total)
    inner = jnp.sum(dy.astype(jnp.float32) * y, axis=-1, keepdims=True)
    dscores = weights * (_product("btk,bsk->bts", dy, v) - inner)
    dbias = None if bias is None else dscores.sum(axis=1)
    dscores, weights = (dscores * q.shape[-1] ** -0.5).astype(q.dtype), weights.astype(v.dtype)
    dq = _product("bts,bsk->btk", dscores, k)
    # The long axes last: XLA on a CPU is four times slower at "bts,btk->bsk".
    dk, dv = (_product("bkt,bts->bks", jnp.swapaxes(x, 1, 2), w) for x, w in ((q, dscores), (dy, weights)))
    dk, dv = jnp.swapaxes(dk, 1, 2), jnp.swapaxes(dv, 1, 2)
    return dq.astype(q.dtype), dk.astype(k.dtype), dv.astype(v.dtype), None, None, None, dbias


attend.defvjp(_attend_forward, _attend_backward)


def _product(equation, x, y):
    return jnp.einsum(equation, x, y, preferred_element_type=jnp.float32)


PRESETS = {"gpt": Preset(Attention, order=1, structure="attention", positions="rope", conv_size=0)}
