"""Mamba-3 with one input and one output per head (presets `mamba3` and, without rotation, `mamba3_real`)."""

from typing import Annotated

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from rnnbench.mixers.common import (
    check_heads,
    head_norm,
    inverse_softplus_of_log_uniform,
    linear,
    merge_heads,
    require,
    split_heads,
    sum_of_turns,
    token_shift,
    turn,
)
from rnnbench.mixers.preset import Preset
from rnnbench.ops.linear_attention import linear_attention


class Mamba3(nnx.Module):
    """S_t = α_t R_tᵀ (S_{t-1} + (1 − λ_t) Δ_t B_{t-1} u_{t-1}ᵀ) + λ_t Δ_t B_t u_tᵀ,
    y_t = W_o [ (S_tᵀ C_t + d u_t) ⊙ SiLU(z_t) ]_heads: the trapezoidal rule, which is Mamba-2's for λ_t = 1.

    [z_t, u_t, B̂_t, Ĉ_t, a_t, r_t, l_t, θ̂_t] = W_in x_t, of widths E = expand·dim, E, N, N, H, H, H, n; B_t =
    RMSNorm(B̂_t) + `B_bias` and likewise C_t, per head; Δ_t = softplus(a_t + dt_bias), λ_t = σ(l_t),
    α_t = exp(−Δ_t max(softplus(r_t), 1e-4)), all per head and in float32. R_t turns channels i and n + i of
    the N states by π tanh(θ̂_t,i) Δ_t, for i < n = ⌊rotated·N/2⌋; the other channels stay.
    Start as in the public code: biases 1, d = 1, softplus(dt_bias) log-uniform in [0.001, 0.1]. There
    N : P = 128 : 64 for P = E/H, so `state_dim` 0 means N = 2·P, or D if that is less; neighbours are pairs,
    the same up to the order of the channels; and since the paper another function has replaced the softplus
    of r.

    Parameters: `input.kernel` [D, 2·E + 2·N + 3·H + n], `dt_bias` [H], `B_norm.scale`, `C_norm.scale` [N],
    `B_bias`, `C_bias` [H, N], `skip` [H] (d), `output.kernel` [E, D].
    State: {"memory": [B, H, N, P], "B": [B, H, N], "u": [B, H, P]} float32, B and u of the last token.
    Source: Lahoti et al. 2026, arXiv 2603.15569; github.com/state-spaces/mamba.
    """

    def __init__(
        self, dim: int, *, rngs: nnx.Rngs, heads: int = 4,
        expand: Annotated[int, "inner channels per channel of model.dim"] = 2,
        state_dim: Annotated[int, "states per inner channel; 0 = the smaller of 2P and model.dim"] = 0,
        rotated: Annotated[float, "share of the states that the transition rotates; 0: none"] = 0.5,
        dtype: jnp.dtype = jnp.float32,
    ):  # fmt: skip
        check_heads(dim, heads)
        require(expand >= 1, "expand", f"{expand}: at least 1")
        require(state_dim >= 0, "state_dim", f"{state_dim}: 0 or a positive number of states")
        require(0 <= rotated <= 1, "rotated", f"{rotated} is not in [0, 1]")
        inner = expand * dim
        self.heads, self.head_dim, self.dtype = heads, inner // heads, dtype
        self.state_dim = n = state_dim or min(2 * self.head_dim, dim)
        widths = [inner, inner, n, n, heads, heads, heads, int(rotated * n / 2)]
        self.cuts = tuple(np.cumsum(widths[:-1]).tolist())
        self.input = linear(dim, sum(widths), rngs=rngs, dtype=dtype)
        self.dt_bias = nnx.Param(inverse_softplus_of_log_uniform(rngs.params(), heads, 1e-3, 1e-1))
        self.B_norm, self.C_norm = (head_norm(n, rngs=rngs, dtype=jnp.float32) for _ in "BC")
        self.B_bias, self.C_bias = (nnx.Param(jnp.ones((heads, n), jnp.float32)) for _ in "BC")
        self.skip = nnx.Param(jnp.ones(heads, jnp.float32))
        self.output = linear(inner, dim, rngs=rngs, dtype=dtype)

    def init_state(self, batch: int, max_length: int) -> dict:
        shapes = {"memory": (self.state_dim, self.head_dim), "B": (self.state_dim,), "u": (self.head_dim,)}
        return {name: jnp.zeros((batch, self.heads, *shape), jnp.float32) for name, shape in shapes.items()}

    def __call__(self, x: jax.Array, state: dict | None = None, reset=None, axis_name: str | None = None):
        state = self.init_state(x.shape[0], 0) if state is None else state
        z, *rest = jnp.split(self.input(x), self.cuts, axis=-1)
        u, B, C, a, rate, mix, angle = (each.astype(jnp.float32) for each in rest)
        delta, share = jax.nn.softplus(a + self.dt_bias[...][None, None]), jax.nn.sigmoid(mix)
        log_decay = -delta * jnp.maximum(jax.nn.softplus(rate), 1e-4)
        B = self.B_norm(B)[:, :, None] + self.B_bias[...][None, None]
        C = self.C_norm(C)[:, :, None] + self.C_bias[...][None, None]
        u = split_heads(u, self.heads)

        # With B and C turned by all R since the state given, no R is left in the recurrence of S.
        phase = sum_of_turns(jnp.tanh(angle)[:, :, None] / 2 * delta[..., None], axis_name)
        B, C = turn(B, 2 * jnp.pi * phase), turn(C, 2 * jnp.pi * phase)
        # Z_t = S_t − λ_t Δ_t B_t u_tᵀ obeys, with the token before as the one that is written,
        # Z_t = α_t Z_{t-1} + α_t (λ_{t-1} Δ_{t-1} + (1 − λ_t) Δ_t) B_{t-1} u_{t-1}ᵀ.
        own = share * delta
        B_before, B_last = token_shift(B, state["B"], reset, axis_name)
        u_before, u_last = token_shift(u, state["u"], reset, axis_name)
        own_before, own_last = token_shift(own, None, reset, axis_name)
        write = jnp.exp(log_decay) * (own_before + (1 - share) * delta)
        y, memory = linear_attention(
            C, B_before, write[..., None] * u_before, log_decay, state["memory"],
            reset=reset, axis_name=axis_name,
        )  # fmt: skip
        y = y + (own * jnp.sum(B * C, axis=-1) + self.skip[...][None, None])[..., None] * u
        memory = memory + (own_last[..., None] * B_last)[..., None] * u_last[:, :, None]

        back = -2 * jnp.pi * token_shift(phase, None, None, axis_name)[1]
        state_out = {"memory": turn(memory, back[..., None], -2), "B": turn(B_last, back), "u": u_last}
        return self.output(merge_heads(y).astype(self.dtype) * jax.nn.silu(z)), state_out


SELECTIVE = {"structure": "diagonal", "selective": True}
PRESETS = {
    "mamba3": Preset(Mamba3, order=24, spectrum="complex", **SELECTIVE),
    "mamba3_real": Preset(Mamba3, order=25, spectrum="[0, 1]", rotated=0.0, **SELECTIVE),
}
