"""Gated DeltaNet (presets `gated_deltanet` and, with negative eigenvalues, `gated_deltanet_neg`)."""

from typing import Annotated

import jax
import jax.numpy as jnp
from flax import nnx

from rnnbench.mixers.common import Decay, GatedNorm, linear
from rnnbench.mixers.preset import Preset
from rnnbench.mixers.unit_qkv import UnitQKV
from rnnbench.ops.delta_rule import delta_rule


class GatedDeltaNet(nnx.Module):
    """S_t = α_t (I − β_t k_t k_tᵀ) S_{t-1} + β_t k_t v_tᵀ,
    y_t = W_o ( [ RMSNorm(S_tᵀ q_t) ]_heads ⊙ SiLU(z_t) ).

    q, k, v: see UnitQKV. [z_t, b_t, a_t] = W_gate x_t, of widths D, H, H. β_t = σ(b_t), or 2σ(b_t) with
    `negative_eigenvalues`. α_t = exp(−exp(A_log) softplus(a_t + dt_bias)), one per head (see Decay).
    Start of the decay as in the public code: exp(A_log) uniform in (0, 16), softplus(dt_bias) log-uniform in
    [0.001, 0.1]. There V = 2·K; here V = K, the state of DeltaNet.

    Parameters: `qkv` (see UnitQKV), `gate.kernel` [D, D + 2·H], `decay` (see Decay), `norm.scale` [K],
    `output.kernel` [D, D].
    State: {"memory": [B, H, K, K] float32}, and "conv" with a convolution.
    Source: Yang et al. 2024, arXiv 2412.06464; github.com/NVlabs/GatedDeltaNet.
    """

    def __init__(
        self,
        dim: int,
        *,
        rngs: nnx.Rngs,
        heads: int = 4,
        conv_size: int = 4,
        negative_eigenvalues: Annotated[
            bool, "β in (0, 2), so that eigenvalues reach -1; False: β in (0, 1)"
        ] = False,
        dtype: jnp.dtype = jnp.float32,
    ):
        self.qkv = UnitQKV(dim, heads, conv_size, rngs=rngs, dtype=dtype)
        self.gate = linear(dim, dim + 2 * heads, rngs=rngs, dtype=dtype)
        self.decay = Decay(heads, rngs=rngs, A_min=1e-3)
        self.norm = GatedNorm(self.qkv.head_dim, dtype=dtype)
        self.output = linear(dim, dim, rngs=rngs, dtype=dtype)
        self.dim, self.heads, self.top, self.dtype = dim, heads, 1 + negative_eigenvalues, dtype

    def init_state(self, batch: int, max_length: int) -> dict:
        return self.qkv.init_state(batch)

    def __call__(self, x: jax.Array, state: dict | None = None, reset=None, axis_name: str | None = None):
        state = state or {}
        (q, k, v), state_out = self.qkv(x, state, reset, axis_name)
        z, b, a = jnp.split(self.gate(x), [self.dim, self.dim + self.heads], axis=-1)
        beta, (log_decay, _) = self.top * jax.nn.sigmoid(b.astype(jnp.float32)), self.decay(a)
        y, state_out["memory"] = delta_rule(
            q, k, v, beta, log_decay, state.get("memory"), reset=reset, axis_name=axis_name
        )
        return self.output(self.norm(y, z)), state_out


FORM = {"structure": "diagonal + rank 1", "selective": True}
PRESETS = {
    "gated_deltanet": Preset(GatedDeltaNet, order=30, spectrum="[0, 1]", **FORM),
    "gated_deltanet_neg": Preset(
        GatedDeltaNet, order=31, spectrum="[-1, 1]", negative_eigenvalues=True, **FORM
    ),
}
