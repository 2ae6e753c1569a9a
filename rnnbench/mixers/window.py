"""Softmax attention to the last tokens only (preset `window`)."""

from typing import Annotated

import jax
import jax.numpy as jnp
from flax import nnx

from rnnbench.errors import ConfigError
from rnnbench.mixers.attention import rotate
from rnnbench.mixers.common import QKV, linear, merge_heads, require
from rnnbench.mixers.preset import Preset
from rnnbench.ops import over_time
from rnnbench.ops.blocked_attention import blocked_attention


class WindowAttention(nnx.Module):
    """y_t = W_o [ Σ_{t−w<s≤t} p_ts v_s ]_heads,  p_t = softmax_{t−w<s≤t}(q_t·k_s / √K), per head.

    w = `window`: each token sees itself and the w − 1 before it, from the last `reset` on. q, k, v = QKV(x),
    with a short convolution if `conv_size` > 0; q and k turned by rope (see Attention). The softmax is in
    float32. Griffin's window is 1,024 tokens; the default fits the lengths of the tasks here.

    Parameters: `qkv` (see QKV), `output.kernel` [D, D].
    State: {"k", "v" [B, w − 1, H, K]: the last keys, before rope, and values; "seen" [B] int32: how many of
    them there are, at the end}, and "conv" with a convolution.
    Source: Beltagy et al. 2020, arXiv 2004.05150; Griffin: 2402.19427; rope: 2104.09864.
    """

    def __init__(
        self,
        dim: int,
        *,
        rngs: nnx.Rngs,
        heads: int = 4,
        conv_size: int = 0,
        window: Annotated[int, "tokens that a token sees, itself included"] = 64,
        dtype: jnp.dtype = jnp.float32,
    ):
        require(window >= 2, "window", f"{window}: at least 2")
        self.qkv = QKV(dim, heads, conv_size, rngs=rngs, dtype=dtype)
        self.heads, self.head_dim, self.window, self.dtype = heads, dim // heads, window, dtype
        if self.head_dim % 2:
            raise ConfigError(
                "model.heads", f"rope rotates pairs: dim {dim} / {heads} heads = {self.head_dim} is odd"
            )
        self.output = linear(dim, dim, rngs=rngs, dtype=dtype)

    def init_state(self, batch: int, max_length: int) -> dict:
        shape = (batch, self.window - 1, self.heads, self.head_dim)
        last = {"k": jnp.zeros(shape, self.dtype), "v": jnp.zeros(shape, self.dtype)}
        return last | {"seen": jnp.zeros(batch, jnp.int32)} | self.qkv.init_state(batch)

    def __call__(self, x: jax.Array, state: dict | None = None, reset=None, axis_name: str | None = None):
        batch, length, _ = x.shape
        (q, k, v), state_out = self.qkv(x, state, reset, axis_name)
        before = self.init_state(batch, 0) if state is None else state
        last = {"k": before["k"], "v": before["v"]}
        if axis_name is not None:
            last = {name: over_time.tail_before(x, last[name], axis_name) for name, x in (("k", k), ("v", v))}
        # Positions from the first key here on: rope needs differences only.
        offset = self.window - 1
        positions = over_time.positions(offset, length, axis_name)
        start = over_time.segment_starts(reset, positions, offset - before["seen"], axis_name)
        start = start - (positions[0] - offset)
        at = jnp.arange(offset + length, dtype=jnp.int32)[None]
        y = blocked_attention(
            {"q": rotate(q, offset), "at": at[:, offset:], "start": start},
            {"k": rotate(k, offset), "v": v, "at": at[:, offset:]},
            {"k": rotate(last["k"], 0), "v": last["v"], "at": at[:, :offset]},
            window=self.window,
        )
        seen = jnp.minimum(offset + length - start[:, -1], offset)
        keep = lambda old, new: jnp.concatenate([old, new], axis=1)[:, length:]
        after = {"k": keep(last["k"], k), "v": keep(last["v"], v), "seen": seen}
        after = after if axis_name is None else over_time.of_last(after, axis_name)
        return self.output(merge_heads(y.astype(self.dtype))), state_out | after


PRESETS = {"window": Preset(WindowAttention, order=48, structure="attention", conv_size=0)}
