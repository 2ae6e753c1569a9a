"""Causal softmax attention, the mixer of the Transformer (preset `gpt`)."""

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from rnnbench.errors import ConfigError
from rnnbench.mixers.common import QKV, linear, merge_heads, turn
from rnnbench.mixers.preset import Preset
from rnnbench.ops import over_time

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

    def __call__(self, x: jax.Array, state: dict | None = None, reset: jax.Array | None = None):
        (q, k, v), state_out = self.qkv(x, state, reset)
        offset, start = 0, None
        if state is not None:
            offset = state["position"] if "position" in state else state["k"].shape[1]
            start = state.get("start")
        start = first_keys(reset, offset, start, *x.shape[:2])
        if self.positions == "rope":
            q, k = rotate(q, offset), rotate(k, offset)
        if state is not None:
            k, v = extend(state["k"], k, offset), extend(state["v"], v, offset)
        slopes = (
            2.0 ** (-8.0 * np.arange(1, self.heads + 1) / self.heads) if self.positions == "alibi" else None
        )
        y = causal_attention(q, k, v, offset, slopes, start)
        state_out |= {"k": k, "v": v} | ({} if start is None else {"start": start[:, -1]})
        if state is not None and "position" in state:
            state_out["position"] = offset + x.shape[1]
            # A write past the end is moved back over valid keys, so that the cache is no longer correct.
            y = jnp.where(state_out["position"] <= k.shape[1], y, jnp.nan)
        return self.output(merge_heads(y)), state_out


def rotate(x: jax.Array, offset) -> jax.Array:
    """RoPE on x [B, T, H, K], whose first token is at position `offset`."""
    half = x.shape[-1] // 2
    frequency = 10000.0 ** (-jnp.arange(half, dtype=jnp.float32) / half)
    angle = (offset + jnp.arange(x.shape[1]))[None, :, None, None] * frequency[None, None, None]
    return turn(x.astype(jnp.float32), angle).astype(x.dtype)


def first_keys(reset, offset, before, batch, length):
    """The first position that each of the tokens [B, T] from `offset` on may attend to; None if all may be.

    That of the last reset up to the token, or `before` [B] (None: 0), that of the last reset before them.
    """
    if reset is None and before is None:
        return None
    before = jnp.zeros(batch, jnp.int32) if before is None else before
    return over_time.segment_starts(reset, over_time.positions(offset, length, None), before)


def extend(past: jax.Array, new: jax.Array, offset) -> jax.Array:
    """`new` [B, T, H, K] written at `offset` into a cache, or appended if `past` ends exactly there."""
    if isinstance(offset, int):
        return jnp.concatenate([past, new.astype(past.dtype)], axis=1)
    if new.shape[1] > past.shape[1]:  # cannot be written at all; the caller turns the output into NaN
        new = new[:, : past.shape[1]]
    return jax.lax.dynamic_update_slice_in_dim(past, new.astype(past.dtype), offset, axis=1)


def causal_attention(q, k, v, offset, slopes=None, start=None) -> jax.Array:
    """y_t = Σ_{start_t ≤ s ≤ offset+t} softmax_s(q_t·k_s/√K − slope·(offset + t − s)) v_s.

    q: [B, T, H, K], k, v: [B, S, H, K]; offset: position of the first query, int or traced int32;
    slopes: [H] or None; start: [B, T] or None (zeros), at most the query's own position. Keys beyond it and
    before the start never affect the result. Memory is limited to the scores of one block of queries; if the
    offset is known, future keys are skipped.
    """
    length, heads = q.shape[1:3]
    size = max(BLOCK, -(-length // MOST_BLOCKS))
    slopes = jnp.zeros(heads, jnp.float32) if slopes is None else jnp.asarray(slopes, jnp.float32)

    def one_head(inputs):
        q, k, v, slope = inputs
        blocks = []
        for begin in range(0, length, size):
            stop = min(begin + size, length)
            seen = offset + stop if isinstance(offset, int) else k.shape[1]
            since = None if start is None else start[:, begin:stop]
            blocks.append(attend(q[:, begin:stop], k[:, :seen], v[:, :seen], offset + begin, since, slope))
        return jnp.concatenate(blocks, axis=1)

    # Processing one head at a time keeps a CPU's scores in cache. Not over the batch, which may be sharded.
    one_by_one = jax.default_backend() == "cpu" and length > size
    q, k, v = (jnp.moveaxis(x, 2, 0) for x in (q, k, v))
    y = (jax.lax.map if one_by_one else lambda f, xs: jax.vmap(f)(xs))(one_head, (q, k, v, slopes))
    return jnp.moveaxis(y, 0, 2)


@jax.custom_vjp
def attend(q, k, v, first, start, slope) -> jax.Array:
    """One head: all queries [B, T, K], the first at position `first`, against all keys [B, S, K] before them.

    Those from `start` [B, T] on, or from 0 if that is None.
    """
    return _attend_forward(q, k, v, first, start, slope)[0]


def _scores(q, k, first, start, slope):
    distance = (first + jnp.arange(q.shape[1]))[:, None] - jnp.arange(k.shape[1])[None]
    scores = _product("btk,bsk->bts", q, k) * q.shape[-1] ** -0.5 - (slope * distance)[None]
    seen = distance[None] >= 0
    if start is not None:
        seen &= jnp.arange(k.shape[1])[None, None] >= start[..., None]
    return jnp.where(seen, scores, -1e30)


def _attend_forward(q, k, v, first, start, slope):
    scores = _scores(q, k, first, start, slope)
    largest = scores.max(axis=-1, keepdims=True)
    weights = jnp.exp(scores - largest)
    total = weights.sum(axis=-1, keepdims=True)
    # Divided after the sum over keys, which saves a pass over [B, T, S].
    y = (_product("bts,bsk->btk", weights.astype(v.dtype), v) / total).astype(v.dtype)
    return y, (q, k, v, first, start, slope, y, largest + jnp.log(total))


def _attend_backward(residuals, dy):
    """Recomputes p = exp(s − log Σ exp s);  ds = p ⊙ (dy vᵀ − dy·y)  (Dao et al. 2022, arXiv 2205.14135)."""
    q, k, v, first, start, slope, y, log_total = residuals
    weights = jnp.exp(_scores(q, k, first, start, slope) - log_total)
    inner = jnp.sum(dy.astype(jnp.float32) * y, axis=-1, keepdims=True)
    dscores = weights * (_product("btk,bsk->bts", dy, v) - inner) * q.shape[-1] ** -0.5
    dscores, weights = dscores.astype(q.dtype), weights.astype(v.dtype)
    dq = _product("bts,bsk->btk", dscores, k)
    # The long axes last: XLA on a CPU is four times slower at "bts,btk->bsk".
    dk, dv = (_product("bkt,bts->bks", jnp.swapaxes(x, 1, 2), w) for x, w in ((q, dscores), (dy, weights)))
    dk, dv = jnp.swapaxes(dk, 1, 2), jnp.swapaxes(dv, 1, 2)
    return dq.astype(q.dtype), dk.astype(k.dtype), dv.astype(v.dtype), None, None, None


attend.defvjp(_attend_forward, _attend_backward)


def _product(equation, x, y):
    return jnp.einsum(equation, x, y, preferred_element_type=jnp.float32)


PRESETS = {"gpt": Preset(Attention, order=1, structure="attention", positions="rope", conv_size=0)}
