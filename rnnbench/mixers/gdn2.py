"""Gated DeltaNet-2, which erases and writes by separate gates (preset `gdn2`)."""

from typing import Annotated

import jax
import jax.numpy as jnp
from flax import nnx

from rnnbench.mixers.common import Decay, GatedNorm, LowRank, linear, split_heads
from rnnbench.mixers.preset import Preset
from rnnbench.mixers.unit_qkv import UnitQKV
from rnnbench.ops.delta_rule import generalised_delta_rule


class GatedDeltaNet2(nnx.Module):
    """S_t = (I − k_t (b_t ⊙ k_t)ᵀ) diag(α_t) S_{t-1} + k_t (w_t ⊙ v_t)ᵀ,
    y_t = W_o ( [ RMSNorm(S_tᵀ q_t) ]_heads ⊙ σ(z_t) ).

    [b_t, w_t] = σ(W_edit x_t): one erase gate b per key channel (2σ(·) with `negative_eigenvalues`), one
    write gate w per value channel; b = w = β is KDA. The rest, with its start values, is that of KDA: q, k, v
    of UnitQKV, and α_t per key channel and z_t by products of rank K.

    Parameters: `qkv` (see UnitQKV), `edit.kernel` [D, 2·D], `rate`, `decay`, `gate`, `norm.scale`,
    `output.kernel` as in KDA.
    State: {"memory": [B, H, K, K] float32}, and "conv" with a convolution.
    Source: NVIDIA 2026, "Gated DeltaNet-2: Decoupling Erase and Write in Linear Attention", arXiv 2605.22791;
    github.com/fla-org/flash-linear-attention.
    """

    def __init__(
        self,
        dim: int,
        *,
        rngs: nnx.Rngs,
        heads: int = 4,
        conv_size: int = 4,
        negative_eigenvalues: Annotated[
            bool, "erase gate in (0, 2), so that eigenvalues reach -1; False: in (0, 1)"
        ] = False,
        dtype: jnp.dtype = jnp.float32,
    ):
        self.qkv = UnitQKV(dim, heads, conv_size, rngs=rngs, dtype=dtype)
        rank = self.qkv.head_dim
        self.edit = linear(dim, 2 * dim, rngs=rngs, dtype=dtype)
        self.rate = LowRank(dim, rank, dim, rngs=rngs, dtype=dtype)
        self.decay = Decay(heads, rank, rngs=rngs)
        self.gate = LowRank(dim, rank, dim, rngs=rngs, dtype=dtype, bias=True)
        self.norm = GatedNorm(rank, dtype=dtype, activation=jax.nn.sigmoid)
        self.output = linear(dim, dim, rngs=rngs, dtype=dtype)
        self.heads, self.top, self.dtype = heads, 1 + negative_eigenvalues, dtype

    def init_state(self, batch: int, max_length: int) -> dict:
        return self.qkv.init_state(batch)

    def __call__(self, x: jax.Array, state: dict | None = None, reset=None, axis_name: str | None = None):
        state = state or {}
        (q, k, v), state_out = self.qkv(x, state, reset, axis_name)
        edit = jax.nn.sigmoid(self.edit(x).astype(jnp.float32))
        b, w = (split_heads(each, self.heads) for each in jnp.split(edit, 2, axis=-1))
        log_decay, _ = self.decay(self.rate(x))
        y, state_out["memory"] = generalised_delta_rule(
            q, k, self.top * b * k, w * v, log_decay, state.get("memory"), reset=reset, axis_name=axis_name
        )
        return self.output(self.norm(y, self.gate(x))), state_out


PRESETS = {
    "gdn2": Preset(GatedDeltaNet2, order=34, spectrum="[0, 1]", structure="diagonal + rank 1", selective=True)
}
