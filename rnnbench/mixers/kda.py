"""Kimi Delta Attention (presets `kda` and, with negative eigenvalues, `kda_neg`)."""

from typing import Annotated

import jax
import jax.numpy as jnp
from flax import nnx

from rnnbench.mixers.common import Decay, GatedNorm, LowRank, linear
from rnnbench.mixers.preset import Preset
from rnnbench.mixers.unit_qkv import UnitQKV
from rnnbench.ops.delta_rule import delta_rule


class KDA(nnx.Module):
    """S_t = (I − β_t k_t k_tᵀ) diag(α_t) S_{t-1} + β_t k_t v_tᵀ,
    y_t = W_o ( [ RMSNorm(S_tᵀ q_t) ]_heads ⊙ σ(z_t) ).

    q, k, v: see UnitQKV. β_t = σ(W_β x_t), one per head, or 2σ(·) with `negative_eigenvalues`.
    α_t = exp(−exp(A_log) softplus(a_t + dt_bias)), one per key channel (see Decay), with a_t = W_2 W_1 x_t;
    z_t = W_4 W_3 x_t + b. Both products have the rank K.
    Start of the decay as in the public code: exp(A_log) uniform in (1, 16), one per head, and
    softplus(dt_bias) log-uniform in [0.001, 0.1]; b = 0.

    Parameters: `qkv` (see UnitQKV), `beta.kernel` [D, H], `rate` (W_1, W_2, see LowRank), `decay` (see
    Decay), `gate` (W_3, W_4, b), `norm.scale` [K], `output.kernel` [D, D].
    State: {"memory": [B, H, K, K] float32}, and "conv" with a convolution.
    Source: Kimi Team 2025, arXiv 2510.26692; github.com/fla-org/flash-linear-attention.
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
        rank = self.qkv.head_dim
        self.beta = linear(dim, heads, rngs=rngs, dtype=dtype)
        self.rate = LowRank(dim, rank, dim, rngs=rngs, dtype=dtype)
        self.decay = Decay(heads, rank, rngs=rngs)
        self.gate = LowRank(dim, rank, dim, rngs=rngs, dtype=dtype, bias=True)
        self.norm = GatedNorm(rank, dtype=dtype, activation=jax.nn.sigmoid)
        self.output = linear(dim, dim, rngs=rngs, dtype=dtype)
        self.top, self.dtype = 1 + negative_eigenvalues, dtype

    def init_state(self, batch: int, max_length: int) -> dict:
        return self.qkv.init_state(batch)

    def __call__(self, x: jax.Array, state: dict | None = None, reset=None, axis_name: str | None = None):
        state = state or {}
        (q, k, v), state_out = self.qkv(x, state, reset, axis_name)
        beta = self.top * jax.nn.sigmoid(self.beta(x).astype(jnp.float32))
        log_decay, _ = self.decay(self.rate(x))
        y, state_out["memory"] = delta_rule(
            q, k, v, beta, log_decay, state.get("memory"), reset=reset, axis_name=axis_name
        )
        return self.output(self.norm(y, self.gate(x))), state_out


FORM = {"structure": "diagonal + rank 1", "selective": True}
PRESETS = {
    "kda": Preset(KDA, order=32, spectrum="[0, 1]", **FORM),
    "kda_neg": Preset(KDA, order=33, spectrum="[-1, 1]", negative_eigenvalues=True, **FORM),
}
