"""Mamba's selective state space layer (presets `mamba` and, with negative eigenvalues, `mamba_neg`)."""

import math
from typing import Annotated

import jax
import jax.numpy as jnp
from flax import nnx

from rnnbench.mixers.common import inverse_softplus_of_log_uniform, linear, require
from rnnbench.mixers.preset import Preset
from rnnbench.mixers.short_conv import ShortConv
from rnnbench.ops.selective_scan import selective_scan


class Mamba(nnx.Module):
    """h_t = Ā_t ⊙ h_{t-1} + Δ_t B_t u_t,  y_t = W_o ( (h_t C_t + d ⊙ u_t) ⊙ SiLU(z_t) ).

    [û_t, z_t] = W_in x_t, both of width E = expand·dim; u = ShortConv(û) (with bias), or SiLU(û) if
    `conv_size` is 0; [r_t, B_t, C_t] = W_x u_t of widths `dt_rank` (0 = ⌈dim/16⌉), N, N (N = `state_dim`);
    Δ_t = softplus(W_Δ r_t + dt_bias); A = −exp(A_log); Ā_t = exp(Δ_t A), in (0, 1), or 2·exp(Δ_t A) − 1, in
    (−1, 1), with `negative_eigenvalues`. A, d and Δ in float32.
    Start: A_log = log(1…N) for every channel, d = 1, dt_bias such that softplus(dt_bias) is log-uniform in
    [dt_min, dt_max].

    Parameters: `input.kernel` [D, 2·E], `conv` (see ShortConv), `select.kernel` [E, R + 2·N], `dt.kernel`
    [R, E], `dt_bias` [E], `A_log` [E, N], `skip` [E] (d), `output.kernel` [E, D].
    State: {"h": [B, E, N] float32}, and "conv" with a convolution.
    Source: Gu & Dao 2023, arXiv 2312.00752; negative eigenvalues: Grazzi et al. 2024, arXiv 2411.12537.
    """

    def __init__(
        self,
        dim: int,
        *,
        rngs: nnx.Rngs,
        conv_size: int = 4,
        expand: Annotated[int, "inner channels per channel of model.dim"] = 2,
        state_dim: Annotated[int, "states per inner channel"] = 16,
        dt_rank: Annotated[
            int, "rank of the projection to the step sizes; 0 = model.dim / 16, rounded up"
        ] = 0,
        dt_min: Annotated[float, "smallest initial step size"] = 1e-3,
        dt_max: Annotated[float, "largest initial step size"] = 1e-1,
        negative_eigenvalues: Annotated[
            bool, "eigenvalues in (-1, 1): 2 exp(ΔA) - 1; False: exp(ΔA) in (0, 1)"
        ] = False,
        dtype: jnp.dtype = jnp.float32,
    ):
        require(expand >= 1, "expand", f"{expand}: at least 1")
        require(state_dim >= 1, "state_dim", f"{state_dim}: at least 1")
        require(dt_rank >= 0, "dt_rank", f"{dt_rank}: 0 (= dim/16, rounded up) or a positive rank")
        require(dt_min > 0, "dt_min", f"{dt_min}: must be above 0")
        require(dt_min <= dt_max, "dt_max", f"{dt_max} is below dt_min {dt_min}")
        self.inner, self.state_dim, self.rank = expand * dim, state_dim, dt_rank or math.ceil(dim / 16)
        self.negative_eigenvalues, self.dtype = negative_eigenvalues, dtype
        self.input = linear(dim, 2 * self.inner, rngs=rngs, dtype=dtype)
        conv = ShortConv(self.inner, conv_size, rngs=rngs, dtype=dtype, use_bias=True) if conv_size else None
        self.conv = conv
        self.select = linear(self.inner, self.rank + 2 * state_dim, rngs=rngs, dtype=dtype)
        self.dt = linear(self.rank, self.inner, rngs=rngs, dtype=jnp.float32)
        self.dt_bias = nnx.Param(inverse_softplus_of_log_uniform(rngs.params(), self.inner, dt_min, dt_max))
        self.A_log = nnx.Param(
            jnp.tile(jnp.log(jnp.arange(1, state_dim + 1, dtype=jnp.float32)), (self.inner, 1))
        )
        self.skip = nnx.Param(jnp.ones(self.inner, jnp.float32))
        self.output = linear(self.inner, dim, rngs=rngs, dtype=dtype)

    def init_state(self, batch: int, max_length: int) -> dict:
        state = {"h": jnp.zeros((batch, self.inner, self.state_dim), jnp.float32)}
        return state | ({"conv": self.conv.init_state(batch)} if self.conv else {})

    def __call__(
        self,
        x: jax.Array,
        state: dict | None = None,
        reset: jax.Array | None = None,
        axis_name: str | None = None,
    ):
        state, state_out = state or {}, {}
        u, z = jnp.split(self.input(x), 2, axis=-1)
        if self.conv:
            u, state_out["conv"] = self.conv(u, state.get("conv"), reset, axis_name)
        else:
            u = jax.nn.silu(u)
        r, B, C = jnp.split(self.select(u), [self.rank, self.rank + self.state_dim], axis=-1)
        delta = jax.nn.softplus(self.dt(r) + self.dt_bias[...][None, None])
        y, state_out["h"] = selective_scan(
            u, delta, -jnp.exp(self.A_log[...]), B, C, self.skip[...], state.get("h"),
            reset=reset, negative_eigenvalues=self.negative_eigenvalues, axis_name=axis_name,
        )  # fmt: skip
        return self.output(y * jax.nn.silu(z)), state_out


PRESETS = {
    "mamba": Preset(Mamba, order=7, spectrum="[0, 1]", structure="diagonal", selective=True),
    "mamba_neg": Preset(
        Mamba, order=9, spectrum="[-1, 1]", structure="diagonal", selective=True, negative_eigenvalues=True
    ),
}
