"""Causal softmax attention, the mixer of the Transformer (preset `gpt`)."""

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from rnnbench.errors import ConfigError
from rnnbench.mixers.common import QKV, linear, merge_heads, turn
from rnnbench.mixers.preset import Preset
from rnnbench.ops import over_time
from rnnbench.ops.attention import softmax_attention

POSITIONS = ("rope", "alibi", "none")


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
        y, cache = attend_with_cache(q, {"k": k, "v": v}, state, reset, axis_name, slopes)
        return self.output(merge_heads(y)), state_out | cache


def tokens_before(state: dict | None):
    """The number of tokens in a cache, or in a state that grows: the position of the next one."""
    if state is None:
        return 0
    return state["position"] if "position" in state else state["k"].shape[1]


def attend_with_cache(q, new: dict, state: dict | None, reset, axis_name=None, slopes=None):
    """(y, cache): causal attention over the keys of `state` and the `new` ones, and what is kept of both.

    new: the arguments of `softmax_attention` that have an entry per key, by name, as `state` has them.
    """
    offset, start = tokens_before(state), None if state is None else state.get("start")
    start = first_keys(reset, offset, start, *q.shape[:2], axis_name)
    past = None if state is None else {name: state[name] for name in new}
    y = softmax_attention(q, **new, slopes=slopes, start=start, past=past, offset=offset, axis_name=axis_name)
    # Over devices, XLA leaves this gathering out where nobody asks for the cache.
    cache = new if axis_name is None else jax.lax.all_gather(new, axis_name, axis=1, tiled=True)
    tokens = cache["k"].shape[1]
    if past is not None:
        cache = {name: extend(past[name], x, offset) for name, x in cache.items()}
    if start is not None:
        last = start[:, -1] if axis_name is None else over_time.of_last(start[:, -1], axis_name)
        cache = cache | {"start": last}
    if state is not None and "position" in state:
        cache["position"] = offset + tokens
        # A write past the end is moved back over valid keys, so that the cache is no longer correct.
        y = jnp.where(cache["position"] <= cache["k"].shape[1], y, jnp.nan)
    return y, cache


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


PRESETS = {"gpt": Preset(Attention, order=1, structure="attention", positions="rope", conv_size=0)}
