"""Multi-scale retention, the mixer of RetNet (preset `retnet`)."""

from typing import Annotated

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from rnnbench.errors import ConfigError
from rnnbench.mixers.common import GatedNorm, check_heads, linear, require, split_heads, turn
from rnnbench.mixers.preset import Preset
from rnnbench.ops import over_time
from rnnbench.ops.linear_attention import linear_attention


class RetNet(nnx.Module):
    """S_t = γ Rᵀ S_{t-1} + k_t v_tᵀ,  y_t = W_o ( [ RMSNorm(S_tᵀ q_t) ]_heads ⊙ SiLU(z_t) ).

    [q_t, k_t, v_t, z_t] = W_in x_t, q and k of K = dim/heads channels per head, v and z of V = expand_v·K.
    γ = 1 − 2^(−5−h) for head h = 0…H−1, fixed. R turns pair i of the two halves of the keys by
    10000^(−i/(K/2)) radians: the same scores as with q and k in rotary positions, without positions in the
    state. The paper's factor 1/√K of the keys is left out, since the norm cancels it; RMSNorm takes the place
    of its group norm, as in its public code.

    Parameters: `input.kernel` [D, 2·D + 2·H·V], `norm.scale` [V], `output.kernel` [H·V, D].
    State: {"memory": [B, H, K, V] float32}.
    Source: Sun et al. 2023, arXiv 2307.08621.
    """

    def __init__(
        self,
        dim: int,
        *,
        rngs: nnx.Rngs,
        heads: int = 4,
        expand_v: Annotated[int, "value channels per key channel"] = 2,
        dtype: jnp.dtype = jnp.float32,
    ):
        check_heads(dim, heads)
        require(expand_v >= 1, "expand_v", f"{expand_v}: at least 1")
        self.heads, self.key_dim, self.dtype = heads, dim // heads, dtype
        if self.key_dim % 2:
            raise ConfigError(
                "model.heads", f"keys turn in pairs: dim {dim} / {heads} heads = {self.key_dim} is odd"
            )
        self.value_dim = expand_v * self.key_dim
        values = heads * self.value_dim
        self.cuts = (dim, 2 * dim, 2 * dim + values)
        self.input = linear(dim, 2 * dim + 2 * values, rngs=rngs, dtype=dtype)
        self.norm = GatedNorm(self.value_dim, dtype=dtype)
        self.output = linear(values, dim, rngs=rngs, dtype=dtype)

    def init_state(self, batch: int, max_length: int) -> dict:
        return {"memory": jnp.zeros((batch, self.heads, self.key_dim, self.value_dim), jnp.float32)}

    def __call__(self, x: jax.Array, state: dict | None = None, reset=None, axis_name: str | None = None):
        *qkv, z = jnp.split(self.input(x), self.cuts, axis=-1)
        q, k, v = (split_heads(each, self.heads).astype(jnp.float32) for each in qkv)
        # With q_t and k_t turned by R to the t, counted from the state given, no R is left in the recurrence.
        half = self.key_dim // 2
        frequency = 10000.0 ** (-np.arange(half, dtype=np.float32) / half)
        count = over_time.positions(1, x.shape[1], axis_name)
        angle = (count[:, None] * frequency[None])[None, :, None]
        log_decay = np.log1p(-(2.0 ** (-5 - np.arange(self.heads)))).astype(np.float32)
        y, memory = linear_attention(
            turn(q, angle), turn(k, angle), v, jnp.broadcast_to(log_decay, (*x.shape[:2], self.heads)),
            None if state is None else state["memory"], reset=reset, axis_name=axis_name,
        )  # fmt: skip
        length = x.shape[1] * (1 if axis_name is None else jax.lax.axis_size(axis_name))
        memory = turn(memory, -length * frequency[None, None, :, None], -2)
        return self.output(self.norm(y, z)), {"memory": memory}


PRESETS = {"retnet": Preset(RetNet, order=20, spectrum="complex", structure="diagonal", selective=False)}
