"""Linear attention, the mixer of the Linear Transformer (preset `linear_transformer`)."""

import jax
import jax.numpy as jnp
from flax import nnx

from rnnbench.mixers.common import QKV, linear, merge_heads
from rnnbench.mixers.preset import Preset
from rnnbench.ops.linear_attention import linear_attention


class LinearAttention(nnx.Module):
    """S_t = S_{t-1} + φ(k_t) v_tᵀ,  z_t = z_{t-1} + φ(k_t),  y_t = W_o [ S_tᵀφ(q_t) / z_tᵀφ(q_t) ]_heads.

    q, k, v = QKV(x), with a short convolution if `conv_size` > 0; φ(x) = elu(x) + 1, so that the normaliser
    z_tᵀφ(q_t) is positive. z is stored as the last column of S: a one is appended to v.

    Parameters: `qkv` (see QKV), `output.kernel` [D, D].
    State: {"memory": [B, H, K, K + 1] float32}, and "conv" with a convolution.
    Source: Katharopoulos et al. 2020, arXiv 2006.16236.
    """

    def __init__(
        self, dim: int, *, rngs: nnx.Rngs, heads: int = 4, conv_size: int = 0, dtype: jnp.dtype = jnp.float32
    ):
        self.qkv = QKV(dim, heads, conv_size, rngs=rngs, dtype=dtype)
        self.heads, self.head_dim, self.dtype = heads, dim // heads, dtype
        self.output = linear(dim, dim, rngs=rngs, dtype=dtype)

    def init_state(self, batch: int, max_length: int) -> dict:
        memory = jnp.zeros((batch, self.heads, self.head_dim, self.head_dim + 1), jnp.float32)
        return {"memory": memory} | self.qkv.init_state(batch)

    def __call__(
        self,
        x: jax.Array,
        state: dict | None = None,
        reset: jax.Array | None = None,
        axis_name: str | None = None,
    ):
        (q, k, v), state_out = self.qkv(x, state, reset, axis_name)
        v = jnp.concatenate([v, jnp.ones_like(v[..., :1])], axis=-1)
        memory = None if state is None else state["memory"]
        q, k = jax.nn.elu(q) + 1, jax.nn.elu(k) + 1
        y, state_out["memory"] = linear_attention(q, k, v, state=memory, reset=reset, axis_name=axis_name)
        # elu + 1 is positive in theory, but can be zero in floating point.
        y = y[..., :-1] / (y[..., -1:] + 1e-6)
        return self.output(merge_heads(y)), state_out


PRESETS = {
    "linear_transformer": Preset(
        LinearAttention, order=2, spectrum="[0, 1]", structure="diagonal", selective=False
    )
}
