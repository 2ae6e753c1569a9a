"""Queries, keys and values of the gated delta rules."""

import jax
import jax.numpy as jnp
from flax import nnx

from rnnbench.mixers.common import check_heads, linear
from rnnbench.mixers.deltanet import normalise
from rnnbench.mixers.short_conv import ShortConv


class UnitQKV(nnx.Module):
    """q_t = q̂_t/‖q̂_t‖, k_t = k̂_t/‖k̂_t‖, v_t with [q̂, k̂, v] = ShortConv(W_qkv x), per head, in float32.

    Without a convolution (`conv_size` 0) a SiLU takes its place. K = V = dim / heads. With several `steps`
    per token there are as many keys and values. q is not divided by √K, as a norm follows what it reads.

    Parameters: `linear.kernel` [D, (1 + 2·steps)·D], `conv` (see ShortConv) if there is one.
    State: {"memory": [B, H, K, K] float32, the memory of the rule}, and "conv" with a convolution.
    """

    def __init__(
        self, dim: int, heads: int, conv_size: int, *, rngs: nnx.Rngs, dtype: jnp.dtype, steps: int = 1
    ):
        check_heads(dim, heads)
        self.dim, self.heads, self.head_dim, self.steps = dim, heads, dim // heads, steps
        width = (1 + 2 * steps) * dim
        self.linear = linear(dim, width, rngs=rngs, dtype=dtype)
        self.conv = ShortConv(width, conv_size, rngs=rngs, dtype=dtype) if conv_size else None

    def init_state(self, batch: int) -> dict:
        memory = jnp.zeros((batch, self.heads, self.head_dim, self.head_dim), jnp.float32)
        return {"memory": memory} | ({"conv": self.conv.init_state(batch)} if self.conv else {})

    def __call__(self, x: jax.Array, state: dict, reset=None, axis_name: str | None = None):
        """(q [B, T, H, K], k and v [B, T, H, K] or [B, T, H, steps, K]), and the state of the convolution."""
        x, state_out = self.linear(x), {}
        if self.conv:
            x, state_out["conv"] = self.conv(x, state.get("conv"), reset, axis_name)
        else:
            x = jax.nn.silu(x)
        q, k, v = jnp.split(x.astype(jnp.float32), [self.dim, (1 + self.steps) * self.dim], axis=-1)
        q = q.reshape(*q.shape[:2], self.heads, self.head_dim)
        steps = (self.steps,) if self.steps > 1 else ()
        k, v = (each.reshape(*q.shape[:3], *steps, self.head_dim) for each in (k, v))
        return (normalise(q), normalise(k), v), state_out
