"""Mamba-2, a selective state space layer with one decay per head (preset `mamba2`)."""

from typing import Annotated

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from rnnbench.mixers.common import Decay, check_heads, head_norm, linear, merge_heads, require, split_heads
from rnnbench.mixers.preset import Preset
from rnnbench.mixers.short_conv import ShortConv
from rnnbench.ops.linear_attention import linear_attention


class Mamba2(nnx.Module):
    """S_t = exp(g_t) S_{t-1} + B_t (Δ_t u_t)ᵀ,  y_t = W_o RMSNorm( [ S_tᵀ C_t + d u_t ]_heads ⊙ SiLU(z_t) ).

    [z_t, û_t, B̂_t, Ĉ_t, a_t] = W_in x_t, of widths E = expand·dim, E, N, N, H (N = `state_dim`); [u, B, C] =
    ShortConv([û, B̂, Ĉ]), with bias, or their SiLU if `conv_size` is 0. Each head has its own Δ_t, its own
    g_t = −exp(A_log) Δ_t (see Decay) and P = E/H channels of u; B_t and C_t serve all heads. The norm is over
    all E channels. Decay and state in float32.
    Start as in the public code: see Decay; d = 1. There N : P = 128 : 64, so `state_dim` 0 means N = 2·P, or
    D if that is less.

    Parameters: `input.kernel` [D, 2·E + 2·N + H], `conv` (see ShortConv), `decay` (see Decay), `skip` [H]
    (d), `norm.scale` [E], `output.kernel` [E, D].
    State: {"memory": [B, H, N, P] float32}, and "conv" with a convolution.
    Source: Dao & Gu 2024, arXiv 2405.21060; github.com/state-spaces/mamba.
    """

    def __init__(
        self,
        dim: int,
        *,
        rngs: nnx.Rngs,
        heads: int = 4,
        conv_size: int = 4,
        expand: Annotated[int, "inner channels per channel of model.dim"] = 2,
        state_dim: Annotated[int, "states per inner channel; 0 = the smaller of 2P and model.dim"] = 0,
        dtype: jnp.dtype = jnp.float32,
    ):
        check_heads(dim, heads)
        require(expand >= 1, "expand", f"{expand}: at least 1")
        require(state_dim >= 0, "state_dim", f"{state_dim}: 0 or a positive number of states")
        inner = expand * dim
        self.heads, self.head_dim, self.dtype = heads, inner // heads, dtype
        self.state_dim = n = state_dim or min(2 * self.head_dim, dim)
        self.cuts = tuple(np.cumsum([inner, inner + 2 * n]).tolist())
        self.input = linear(dim, 2 * inner + 2 * n + heads, rngs=rngs, dtype=dtype)
        convolved = inner + 2 * n
        conv = ShortConv(convolved, conv_size, rngs=rngs, dtype=dtype, use_bias=True) if conv_size else None
        self.conv = conv
        self.decay = Decay(heads, rngs=rngs)
        self.skip = nnx.Param(jnp.ones(heads, jnp.float32))
        self.norm = head_norm(inner, rngs=rngs, dtype=dtype)
        self.output = linear(inner, dim, rngs=rngs, dtype=dtype)

    def init_state(self, batch: int, max_length: int) -> dict:
        memory = jnp.zeros((batch, self.heads, self.state_dim, self.head_dim), jnp.float32)
        return {"memory": memory} | ({"conv": self.conv.init_state(batch)} if self.conv else {})

    def __call__(self, x: jax.Array, state: dict | None = None, reset=None, axis_name: str | None = None):
        state, state_out = state or {}, {}
        z, u, a = jnp.split(self.input(x), self.cuts, axis=-1)
        if self.conv:
            u, state_out["conv"] = self.conv(u, state.get("conv"), reset, axis_name)
        else:
            u = jax.nn.silu(u)
        u, B, C = jnp.split(u, [z.shape[-1], z.shape[-1] + self.state_dim], axis=-1)
        log_decay, delta = self.decay(a)
        u = split_heads(u, self.heads).astype(jnp.float32)
        k, q = (jnp.repeat(each[:, :, None], self.heads, axis=2) for each in (B, C))
        y, state_out["memory"] = linear_attention(
            q, k, delta[..., None] * u, log_decay, state.get("memory"), reset=reset, axis_name=axis_name
        )
        y = merge_heads(y + self.skip[...][None, None, :, None] * u)
        return self.output(self.norm(y * jax.nn.silu(z))), state_out


PRESETS = {"mamba2": Preset(Mamba2, order=23, spectrum="[0, 1]", structure="diagonal", selective=True)}
