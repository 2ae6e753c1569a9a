"""HGRN2, a gated linear RNN with a matrix state (preset `hgrn2`)."""

from typing import Annotated

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from rnnbench.mixers.common import check_heads, head_norm, linear, merge_heads, require, split_heads
from rnnbench.mixers.preset import Preset
from rnnbench.ops.linear_attention import linear_attention


class HGRN2(nnx.Module):
    """S_t = diag(f_t) S_{t-1} + (1 − f_t) v_tᵀ,  y_t = W_o RMSNorm( [ S_tᵀ SiLU(q_t) ]_heads ).

    [q_t, f̂_t, v_t] = W_in x_t; f_t = γ + (1 − γ) σ(f̂_t), in float32, whose complement is the key. The norm is
    over all channels. K = dim/heads.
    γ = σ(`bound`), the lower bound of the forget gate, is learned per channel. The paper lets it rise with
    the layer, by the cumulative sum of one softmax over all layers. A mixer does not know its layer, so here
    each layer learns its own, which starts at `lower_bound`: by default where the paper's middle layer does.

    Parameters: `input.kernel` [D, 3·D], `bound` [D], `norm.scale` [D], `output.kernel` [D, D].
    State: {"memory": [B, H, K, K] float32}.
    Source: Qin et al. 2024, arXiv 2404.07904; github.com/fla-org/flash-linear-attention.
    """

    def __init__(
        self,
        dim: int,
        *,
        rngs: nnx.Rngs,
        heads: int = 4,
        lower_bound: Annotated[float, "initial lower bound of the forget gate, in (0, 1)"] = 0.5,
        dtype: jnp.dtype = jnp.float32,
    ):
        check_heads(dim, heads)
        require(0 < lower_bound < 1, "lower_bound", f"{lower_bound} is not in (0, 1)")
        self.heads, self.head_dim, self.dtype = heads, dim // heads, dtype
        self.input = linear(dim, 3 * dim, rngs=rngs, dtype=dtype)
        logit = np.log(lower_bound / (1 - lower_bound))
        self.bound = nnx.Param(jnp.full(dim, logit, jnp.float32))
        self.norm = head_norm(dim, rngs=rngs, dtype=dtype)
        self.output = linear(dim, dim, rngs=rngs, dtype=dtype)

    def init_state(self, batch: int, max_length: int) -> dict:
        return {"memory": jnp.zeros((batch, self.heads, self.head_dim, self.head_dim), jnp.float32)}

    def __call__(self, x: jax.Array, state: dict | None = None, reset=None, axis_name: str | None = None):
        q, f, v = jnp.split(self.input(x), 3, axis=-1)
        f, bound = f.astype(jnp.float32), self.bound[...][None, None]
        # In this form neither log f nor 1 − f loses digits, however near f is to 0 or 1.
        log_f = jnp.logaddexp(jax.nn.log_sigmoid(bound), jax.nn.log_sigmoid(-bound) + jax.nn.log_sigmoid(f))
        k = jax.nn.sigmoid(-bound) * jax.nn.sigmoid(-f)
        q, k, v, log_f = (split_heads(each, self.heads) for each in (jax.nn.silu(q), k, v, log_f))
        memory = None if state is None else state["memory"]
        y, memory = linear_attention(q, k, v, log_f, memory, reset=reset, axis_name=axis_name)
        return self.output(self.norm(merge_heads(y))), {"memory": memory}


PRESETS = {"hgrn2": Preset(HGRN2, order=22, spectrum="[0, 1]", structure="diagonal", selective=True)}
