"""Gated linear attention (preset `gla`)."""

from typing import Annotated

import jax
import jax.numpy as jnp
from flax import nnx

from rnnbench.mixers.common import GatedNorm, LowRank, check_heads, linear, require, split_heads
from rnnbench.mixers.preset import Preset
from rnnbench.ops.linear_attention import linear_attention


class GLA(nnx.Module):
    """S_t = diag(α_t) S_{t-1} + k_t v_tᵀ,  y_t = W_o ( [ RMSNorm(S_tᵀ q_t) ]_heads ⊙ SiLU(z_t) ).

    [q_t, k_t, v_t, z_t] = W_in x_t, per head q and k of K = V/2 channels and v, z of V = dim/heads.
    α_t = σ(W_2 W_1 x_t + b)^(1/τ), per head and key channel, with W_2 W_1 of rank `gate_rank` and
    τ = `temperature`, in float32. b starts at 0. RMSNorm takes the place of the paper's layer norm, and z has
    no bias, as in its public code.

    Parameters: `input.kernel` [D, 2·H·K + 2·D], `decay` (see LowRank), `norm.scale` [V], `output.kernel`
    [D, D].
    State: {"memory": [B, H, K, V] float32}.
    Source: Yang et al. 2023, arXiv 2312.06635; github.com/fla-org/flash-linear-attention.
    """

    def __init__(
        self,
        dim: int,
        *,
        rngs: nnx.Rngs,
        heads: int = 4,
        gate_rank: Annotated[int, "rank of the projection to the decays"] = 16,
        temperature: Annotated[float, "root that is taken of the decays; higher = longer memory"] = 16.0,
        dtype: jnp.dtype = jnp.float32,
    ):
        check_heads(dim, heads)
        require(gate_rank >= 1, "gate_rank", f"{gate_rank}: at least 1")
        require(temperature > 0, "temperature", f"{temperature}: must be above 0")
        self.heads, self.value_dim, self.dtype = heads, dim // heads, dtype
        self.key_dim, self.temperature = max(1, self.value_dim // 2), temperature
        keys = heads * self.key_dim
        self.cuts = (keys, 2 * keys, 2 * keys + dim)
        self.input = linear(dim, 2 * keys + 2 * dim, rngs=rngs, dtype=dtype)
        self.decay = LowRank(dim, gate_rank, keys, rngs=rngs, dtype=dtype, bias=True)
        self.norm = GatedNorm(self.value_dim, dtype=dtype)
        self.output = linear(dim, dim, rngs=rngs, dtype=dtype)

    def init_state(self, batch: int, max_length: int) -> dict:
        return {"memory": jnp.zeros((batch, self.heads, self.key_dim, self.value_dim), jnp.float32)}

    def __call__(self, x: jax.Array, state: dict | None = None, reset=None, axis_name: str | None = None):
        *qkv, z = jnp.split(self.input(x), self.cuts, axis=-1)
        log_decay = jax.nn.log_sigmoid(self.decay(x).astype(jnp.float32)) / self.temperature
        q, k, v, log_decay = (split_heads(each, self.heads) for each in (*qkv, log_decay))
        memory = None if state is None else state["memory"]
        y, memory = linear_attention(q, k, v, log_decay, memory, reset=reset, axis_name=axis_name)
        return self.output(self.norm(y, z)), {"memory": memory}


PRESETS = {"gla": Preset(GLA, order=21, spectrum="[0, 1]", structure="diagonal", selective=True)}
