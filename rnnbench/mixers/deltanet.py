"""DeltaNet (presets `deltanet` and, with negative eigenvalues, `deltanet_neg`)."""

from typing import Annotated

import jax
import jax.numpy as jnp
from flax import nnx

from rnnbench.mixers.common import QKV, head_norm, linear, merge_heads
from rnnbench.mixers.preset import Preset
from rnnbench.ops.delta_rule import delta_rule


class DeltaNet(nnx.Module):
    """S_t = (I − β_t k_t k_tᵀ) S_{t-1} + β_t k_t v_tᵀ,  y_t = W_o [ RMSNorm(S_tᵀ q_t) ]_heads.

    q̂, k̂, v = QKV(x), with a short convolution if `conv_size` > 0; q = SiLU(q̂)/‖SiLU(q̂)‖ and likewise k,
    where the SiLU is that of the convolution if there is one (v has a SiLU only with a convolution).
    β_t = σ(w_β x_t + b_β), one per head, or 2σ(·) with `negative_eigenvalues`: as ‖k‖ = 1 the
    eigenvalue of the step along k is 1 − β, in (0, 1) or in (−1, 1). b_β starts at `beta_bias`.

    Parameters: `qkv` (see QKV), `beta.kernel` [D, H], `beta.bias` [H], `norm.scale` [K], `output.kernel`
    [D, D].
    State: {"memory": [B, H, K, K] float32}, and "conv" with a convolution.
    Source: Yang et al. 2024, arXiv 2406.06484; negative eigenvalues: Grazzi et al. 2024, arXiv 2411.12537.
    """

    def __init__(
        self,
        dim: int,
        *,
        rngs: nnx.Rngs,
        heads: int = 4,
        conv_size: int = 0,
        negative_eigenvalues: Annotated[
            bool, "β in (0, 2), so that eigenvalues reach -1; False: β in (0, 1)"
        ] = False,
        beta_bias: Annotated[float, "initial bias of β before its sigmoid; higher = stronger writing"] = 0.0,
        dtype: jnp.dtype = jnp.float32,
    ):
        self.qkv = QKV(dim, heads, conv_size, rngs=rngs, dtype=dtype)
        self.heads, self.head_dim, self.dtype = heads, dim // heads, dtype
        self.negative_eigenvalues = negative_eigenvalues
        self.beta = linear(dim, heads, rngs=rngs, dtype=dtype, bias=True)
        self.beta.bias[...] = jnp.full(heads, beta_bias)
        self.norm = head_norm(self.head_dim, rngs=rngs, dtype=dtype)
        self.output = linear(dim, dim, rngs=rngs, dtype=dtype)

    def init_state(self, batch: int, max_length: int) -> dict:
        memory = jnp.zeros((batch, self.heads, self.head_dim, self.head_dim), jnp.float32)
        return {"memory": memory} | self.qkv.init_state(batch)

    def write_strength(self, x: jax.Array) -> jax.Array:
        """β [B, T, H] in float32."""
        strength = jax.nn.sigmoid(self.beta(x).astype(jnp.float32))
        return 2 * strength if self.negative_eigenvalues else strength

    def __call__(
        self,
        x: jax.Array,
        state: dict | None = None,
        reset: jax.Array | None = None,
        axis_name: str | None = None,
    ):
        (q, k, v), state_out = self.qkv(x, state, reset, axis_name)
        if self.qkv.conv is None:
            q, k = jax.nn.silu(q), jax.nn.silu(k)
        memory = None if state is None else state["memory"]
        # Keys stay in float32: rounding them in bfloat16 would push 1 − β‖k‖² below −1 at β = 2.
        q, k, v = normalise(q), normalise(k), v.astype(jnp.float32)
        beta = self.write_strength(x)
        y, state_out["memory"] = delta_rule(q, k, v, beta, state=memory, reset=reset, axis_name=axis_name)
        return self.output(merge_heads(self.norm(y))), state_out


def normalise(x: jax.Array) -> jax.Array:
    """x / ‖x‖ over the last axis, in float32."""
    x = x.astype(jnp.float32)
    return x * jax.lax.rsqrt(jnp.sum(x * x, axis=-1, keepdims=True) + 1e-6)


PRESETS = {
    "deltanet": Preset(DeltaNet, order=6, spectrum="[0, 1]", structure="diagonal + rank 1", selective=True),
    "deltanet_neg": Preset(
        DeltaNet,
        order=8,
        spectrum="[-1, 1]",
        structure="diagonal + rank 1",
        selective=True,
        negative_eigenvalues=True,
    ),
}
