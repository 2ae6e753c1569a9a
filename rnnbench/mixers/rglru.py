"""Griffin's recurrent block around the real-gated linear recurrent unit (preset `rglru`)."""

from typing import Annotated

import jax
import jax.numpy as jnp
from flax import nnx

from rnnbench.mixers.common import check_heads, linear, require, split_heads
from rnnbench.mixers.preset import Preset
from rnnbench.mixers.short_conv import ShortConv
from rnnbench.ops.linear_scan import linear_scan

C = 8.0


class RGLRU(nnx.Module):
    """h_t = a_t ⊙ h_{t-1} + √(1 − a_t²) ⊙ (i_t ⊙ u_t),  y_t = W_o (GELU(W_g x_t + b_g) ⊙ h_t) + b_o.

    u = Conv(W_u x + b_u), causal, depthwise, of width `conv_size`, without activation; r_t, i_t = σ(·) of
    the two parts of  W_ri u_t + b_ri, W_ri block-diagonal with a block per head; a_t = a^(c r_t), a = σ(Λ),
    c = 8. There is no exception for a first token, whose √ is 1 in the public code.
    Start: a^c uniform in [r_min, r_max] as in the paper; as in the public code (google-deepmind/
    recurrentgemma) the kernel of the convolution a tenth as large as ShortConv's, and W_ri normal with the
    deviation 1/√D of an undivided matrix. GELU in its tanh form.

    Parameters: `input` (kernel [D, 2·D], bias; u, then the gate branch), `conv` (see ShortConv),
    `gates_kernel` [D, 2·D/H] (rows: input channels, head by head), `gates_bias` [2·D] (head by head, r then
    i), `a_logit` [D] (Λ), `output` (kernel [D, D], bias).
    State: {"h": [B, D] float32}, and "conv" with a convolution.
    Source: De et al. 2024, Griffin, arXiv 2402.19427.
    """

    def __init__(
        self,
        dim: int,
        *,
        rngs: nnx.Rngs,
        heads: int = 4,
        conv_size: int = 4,
        r_min: Annotated[float, "smallest initial a^8, the decay at r = 1"] = 0.9,
        r_max: Annotated[float, "largest initial a^8, the decay at r = 1, below 1"] = 0.999,
        dtype: jnp.dtype = jnp.float32,
    ):
        check_heads(dim, heads)
        require(0 < r_min < 1, "r_min", f"{r_min} is not in (0, 1)")
        require(r_min <= r_max < 1, "r_max", f"{r_max} is not in [r_min, 1) with r_min {r_min}")
        self.dim, self.heads, self.dtype = dim, heads, dtype
        self.input = linear(dim, 2 * dim, rngs=rngs, dtype=dtype, bias=True)
        conv = {"rngs": rngs, "dtype": dtype, "use_bias": True, "activation": False}
        self.conv = ShortConv(dim, conv_size, **conv) if conv_size else None
        if self.conv:
            self.conv.kernel[...] *= 0.1
        shape = heads, dim // heads, 2 * dim // heads
        gates = nnx.initializers.lecun_normal()(rngs.params(), shape, jnp.float32)
        self.gates_kernel = nnx.Param(gates.reshape(dim, -1))
        self.gates_bias = nnx.Param(jnp.zeros(2 * dim, jnp.float32))
        power = jax.random.uniform(rngs.params(), (dim,), jnp.float32, r_min, r_max)
        self.a_logit = nnx.Param(jnp.log(power) / C - jnp.log(-jnp.expm1(jnp.log(power) / C)))
        self.output = linear(dim, dim, rngs=rngs, dtype=dtype, bias=True)

    def init_state(self, batch: int, max_length: int) -> dict:
        state = {"h": jnp.zeros((batch, self.dim), jnp.float32)}
        return state | ({"conv": self.conv.init_state(batch)} if self.conv else {})

    def gates(self, u: jax.Array) -> tuple[jax.Array, jax.Array]:
        """σ(r), σ(i) [B, T, D] in float32, each head's from its own channels."""
        kernel = self.gates_kernel[...].astype(self.dtype).reshape(self.heads, self.dim // self.heads, -1)
        both = jnp.einsum("bthk,hkg->bthg", split_heads(u, self.heads), kernel).astype(jnp.float32)
        both = jax.nn.sigmoid(both + self.gates_bias[...].reshape(1, 1, self.heads, -1))
        return tuple(gate.reshape(u.shape) for gate in jnp.split(both, 2, axis=-1))

    def __call__(
        self,
        x: jax.Array,
        state: dict | None = None,
        reset: jax.Array | None = None,
        axis_name: str | None = None,
    ):
        state, state_out = state or {}, {}
        u, branch = jnp.split(self.input(x), 2, axis=-1)
        if self.conv:
            u, state_out["conv"] = self.conv(u, state.get("conv"), reset, axis_name)
        r, i = self.gates(u)
        log_a = C * r * jax.nn.log_sigmoid(self.a_logit[...])[None, None]
        # The last term keeps the gradient of the root finite where r underflows.
        write = jnp.sqrt(-jnp.expm1(2 * log_a) + 1e-12) * i * u.astype(jnp.float32)
        h, state_out["h"] = linear_scan(
            jnp.exp(log_a), write, state.get("h"), reset=reset, axis_name=axis_name
        )
        return self.output(jax.nn.gelu(branch) * h.astype(self.dtype)), state_out


PRESETS = {
    "rglru": Preset(RGLRU, order=43, spectrum="[0, 1]", structure="diagonal", selective=True, conv_size=4)
}
