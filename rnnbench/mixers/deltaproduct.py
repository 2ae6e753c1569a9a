"""DeltaProduct, several steps of the delta rule per token (presets `deltaproduct2` and `deltaproduct3`)."""

from typing import Annotated

import jax
import jax.numpy as jnp
from flax import nnx

from rnnbench.mixers.common import Decay, GatedNorm, linear, require
from rnnbench.mixers.preset import Preset
from rnnbench.mixers.unit_qkv import UnitQKV
from rnnbench.ops.delta_rule import generalised_delta_rule


class DeltaProduct(nnx.Module):
    """S ← (I − β_i k_i k_iᵀ) S + β_i k_i v_iᵀ for i = 1 … n,
    with n = `steps` at each token, then y_t = W_o ( [ RMSNorm(Sᵀ q_t) ]_heads ⊙ SiLU(z_t) ).

    q, and n keys and values per token: see UnitQKV. [z_t, b_t, a_t] = W_gate x_t, of widths D, n·H and H (no
    a without `decay`). β_i = 2σ(b_i): a step can reflect, and two of them rotate. With `decay`, S is
    multiplied by α_t before the first step, as in Gated DeltaNet and with its start values. V = K; in the
    public code V = 2·K.

    Parameters: `qkv` (see UnitQKV), `gate.kernel` [D, D + n·H] or [D, D + (n + 1)·H], `decay` (see Decay) if
    there is one, `norm.scale` [K], `output.kernel` [D, D].
    State: {"memory": [B, H, K, K] float32}, and "conv" with a convolution.
    Source: Siems et al. 2025, arXiv 2502.10297; github.com/fla-org/flash-linear-attention.
    """

    def __init__(
        self,
        dim: int,
        *,
        rngs: nnx.Rngs,
        heads: int = 4,
        conv_size: int = 4,
        steps: Annotated[int, "steps of the delta rule per token, 2 or more"] = 2,
        decay: Annotated[bool, "whether the memory decays before the first step"] = False,
        dtype: jnp.dtype = jnp.float32,
    ):
        require(steps >= 2, "steps", f"{steps}: at least 2; one step is deltanet_neg or gated_deltanet_neg")
        self.qkv = UnitQKV(dim, heads, conv_size, rngs=rngs, dtype=dtype, steps=steps)
        self.gate = linear(dim, dim + (steps + decay) * heads, rngs=rngs, dtype=dtype)
        self.decay = Decay(heads, rngs=rngs, A_min=1e-3) if decay else None
        self.norm = GatedNorm(self.qkv.head_dim, dtype=dtype)
        self.output = linear(dim, dim, rngs=rngs, dtype=dtype)
        self.heads, self.cuts, self.dtype = heads, (dim, dim + steps * heads), dtype

    def init_state(self, batch: int, max_length: int) -> dict:
        return self.qkv.init_state(batch)

    def __call__(self, x: jax.Array, state: dict | None = None, reset=None, axis_name: str | None = None):
        state = state or {}
        (q, k, v), state_out = self.qkv(x, state, reset, axis_name)
        z, b, a = jnp.split(self.gate(x), self.cuts, axis=-1)
        beta = 2 * jax.nn.sigmoid(b.astype(jnp.float32)).reshape(*k.shape[:-1], 1)
        log_decay = self.decay(a)[0] if self.decay else None
        y, state_out["memory"] = generalised_delta_rule(
            q, k, beta * k, beta * v, log_decay, state.get("memory"), reset=reset, axis_name=axis_name
        )
        return self.output(self.norm(y, z)), state_out


FORM = {"spectrum": "complex", "selective": True}
PRESETS = {
    "deltaproduct2": Preset(DeltaProduct, order=35, structure="diagonal + rank 2", **FORM),
    "deltaproduct3": Preset(DeltaProduct, order=36, structure="diagonal + rank 3", steps=3, **FORM),
}
