"""The quasi-LSTM: an LSTM whose gates see only the input (preset `qlstm`)."""

from typing import Annotated

import jax
import jax.numpy as jnp
from flax import nnx

from rnnbench.mixers.common import check_heads, head_norm, linear, merge_heads, split_heads
from rnnbench.mixers.lstm import forget_gate_bias
from rnnbench.mixers.preset import Preset
from rnnbench.mixers.short_conv import ShortConv
from rnnbench.ops.linear_scan import linear_scan


class QLSTM(nnx.Module):
    """c_t = f_t ⊙ c_{t-1} + i_t ⊙ z_t,  h_t = o_t ⊙ tanh(c_t),  y_t = W_o [ RMSNorm(h_t) ]_heads.

    i_t, f_t, o_t = σ(·), z_t = tanh(·) of the four parts, in this order, of  W x_t + b: no h_{t-1}, so the
    recurrence is linear with its spectrum f in (0, 1), and runs as a scan. The bias of f starts at
    `forget_bias` and places that spectrum (0 → f = ½, 1 → .73, 4 → .98). The norm is over each head's
    channels. With `conv_size` > 0, x is first ShortConv(x): the gates then see a window, as in the QRNN.

    Parameters: `input.kernel` [D, 4·D], `input.bias` [4·D], `norm.scale` [D/H], `output.kernel` [D, D], and
    `conv` if there is one.
    State: {"c": [B, D] float32}, and "conv" with a convolution.
    Source: QRNN, Bradbury et al. 2016, arXiv 1611.01576; Martin & Cundy 2017, arXiv 1709.04057.
    """

    def __init__(
        self,
        dim: int,
        *,
        rngs: nnx.Rngs,
        heads: int = 4,
        conv_size: int = 0,
        forget_bias: Annotated[float, "initial bias of the forget gate; 0: f = 0.5, 1: 0.73, 4: 0.98"] = 1.0,
        dtype: jnp.dtype = jnp.float32,
    ):
        check_heads(dim, heads)
        self.dim, self.heads, self.dtype = dim, heads, dtype
        self.conv = ShortConv(dim, conv_size, rngs=rngs, dtype=dtype) if conv_size else None
        self.input = linear(dim, 4 * dim, rngs=rngs, dtype=dtype, bias=True)
        self.input.bias[...] = forget_gate_bias(dim, forget_bias)
        self.norm = head_norm(dim // heads, rngs=rngs, dtype=dtype)
        self.output = linear(dim, dim, rngs=rngs, dtype=dtype)

    def init_state(self, batch: int, max_length: int) -> dict:
        state = {"c": jnp.zeros((batch, self.dim), jnp.float32)}
        return state | ({"conv": self.conv.init_state(batch)} if self.conv else {})

    def __call__(
        self,
        x: jax.Array,
        state: dict | None = None,
        reset: jax.Array | None = None,
        axis_name: str | None = None,
    ):
        state, state_out = state or {}, {}
        if self.conv:
            x, state_out["conv"] = self.conv(x, state.get("conv"), reset, axis_name)
        i, f, o, z = jnp.split(self.input(x).astype(jnp.float32), 4, axis=-1)
        write = jax.nn.sigmoid(i) * jnp.tanh(z)
        c, state_out["c"] = linear_scan(
            jax.nn.sigmoid(f), write, state.get("c"), reset=reset, axis_name=axis_name
        )
        h = jax.nn.sigmoid(o) * jnp.tanh(c)
        return self.output(merge_heads(self.norm(split_heads(h, self.heads)))), state_out


# Without a convolution in every protocol, so that its gates see the current token only.
PRESETS = {
    "qlstm": Preset(QLSTM, order=4, spectrum="[0, 1]", structure="diagonal", selective=True, conv_size=0)
}
