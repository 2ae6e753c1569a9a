"""sLSTM, the scalar memory of xLSTM (preset `slstm`)."""

from typing import Annotated

import jax
import jax.numpy as jnp
from flax import nnx

from rnnbench.mixers.common import check_heads, linear, merge_heads, require, split_heads
from rnnbench.mixers.preset import Preset
from rnnbench.mixers.short_conv import ShortConv
from rnnbench.ops.recurrent import recurrent


class SLSTM(nnx.Module):
    """c_t = f'_t c_{t-1} + i'_t tanh(z̃_t),  n_t = f'_t n_{t-1} + i'_t,  h_t = σ(õ_t) c_t / n_t.

    m_t = max(log f_t + m_{t-1}, ĩ_t),  i'_t = exp(ĩ_t − m_t),  f'_t = exp(log f_t + m_{t-1} − m_t): the gates
    i = exp(ĩ) and f = σ(f̃) in a common scale m that cancels in c / n. Before the first token n = 0 stands
    for m = −∞. (ĩ, f̃, z̃, õ)_t = (W_g u_t + b_g, W_x x_t + b_x) + h_{t-1} R, R block-diagonal with a block per
    head; u = ShortConv(x), or x if `conv_size` is 0. y_t = [ LayerNorm(h_t) ]_heads, one scale for all heads.
    Start as in the public code (NX-AI/xlstm), except that W is dense as in the paper: R = 0, b = 0 but for
    f, where it falls from 5 to −7 along the channels j of a head as 5 − 12 (j / (K − 1))^p, p = 0.3. There p
    grows over the layers from 0.3 to 1.6; for two, model.pattern=("slstm","slstm forget_power=1.6").

    Parameters: `gates` (kernel [D, 2·D], bias; i, f), `input` (kernel [D, 2·D], bias; z, o),
    `recurrent_kernel` [D, 4·D/H] (rows: channels, head by head; columns: i, f, z, o), `norm.scale` [D/H], and
    `conv` if there is one.
    State: {"h", "c", "n", "m": [B, D] float32}, and "conv" with a convolution.
    Source: Beck et al. 2024, arXiv 2405.04517.
    """

    def __init__(
        self,
        dim: int,
        *,
        rngs: nnx.Rngs,
        heads: int = 4,
        conv_size: int = 4,
        forget_power: Annotated[float, "how the initial bias of f falls along a head, below 1 at once"] = 0.3,
        dtype: jnp.dtype = jnp.float32,
    ):
        check_heads(dim, heads)
        require(forget_power > 0, "forget_power", f"{forget_power}: must be above 0")
        self.dim, self.heads, self.head_dim, self.dtype = dim, heads, dim // heads, dtype
        self.conv = ShortConv(dim, conv_size, rngs=rngs, dtype=dtype) if conv_size else None
        self.gates = linear(dim, 2 * dim, rngs=rngs, dtype=dtype, bias=True)
        channel = jnp.arange(self.head_dim, dtype=jnp.float32) / max(self.head_dim - 1, 1)
        forget = 5 - 12 * channel**forget_power
        self.gates.bias[...] = jnp.concatenate([jnp.zeros(dim, jnp.float32), jnp.tile(forget, heads)])
        self.input = linear(dim, 2 * dim, rngs=rngs, dtype=dtype, bias=True)
        self.recurrent_kernel = nnx.Param(jnp.zeros((dim, 4 * self.head_dim), jnp.float32))
        self.norm = nnx.LayerNorm(self.head_dim, use_bias=False, epsilon=1e-5, dtype=dtype, rngs=rngs)

    def init_state(self, batch: int, max_length: int) -> dict:
        state = {name: jnp.zeros((batch, self.dim), jnp.float32) for name in "hcnm"}
        return state | ({"conv": self.conv.init_state(batch)} if self.conv else {})

    def __call__(self, x: jax.Array, state: dict | None = None, reset=None, axis_name: str | None = None):
        state, state_out = self.init_state(x.shape[0], 0) if state is None else state, {}
        u = x
        if self.conv:
            u, state_out["conv"] = self.conv(x, state["conv"], reset, axis_name)
        gates = jnp.concatenate([self.gates(u), self.input(x)], axis=-1)
        R = self.recurrent_kernel[...].reshape(self.heads, self.head_dim, -1)
        memory = {name: state[name] for name in "hcnm"}
        h, memory = recurrent(cell, R, gates, memory, reset=reset, axis_name=axis_name)
        return merge_heads(self.norm(split_heads(h, self.heads))), memory | state_out


def cell(R, state, x):
    """(state, h); the product h R is in the dtype of x, gates and state in float32."""
    h, c, n, m = (state[name] for name in "hcnm")
    recurrent = jnp.einsum("bhk,hkg->bhg", split_heads(h.astype(x.dtype), R.shape[0]), R.astype(x.dtype))
    of_gates = jnp.split(recurrent, 4, axis=-1)
    recurrent = jnp.concatenate([merge_heads(gate) for gate in of_gates], axis=-1)
    i, f, z, o = jnp.split((x + recurrent).astype(jnp.float32), 4, axis=-1)
    # Of an empty memory nothing is kept: its scale is that of the first token, so that both factors are 1.
    kept = jnp.where(n == 0, i, jax.nn.log_sigmoid(f) + m)
    m = jnp.maximum(kept, i)
    keep, write = jnp.exp(kept - m), jnp.exp(i - m)
    c, n = keep * c + write * jnp.tanh(z), keep * n + write
    h = jax.nn.sigmoid(o) * c / n
    return {"h": h, "c": c, "n": n, "m": m}, h


PRESETS = {"slstm": Preset(SLSTM, order=46, structure="nonlinear", selective=True, conv_size=4)}
