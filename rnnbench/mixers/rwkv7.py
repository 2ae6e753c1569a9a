"""RWKV-7's time mixing (preset `rwkv7`)."""

from typing import Annotated

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from rnnbench.mixers.common import (
    LowRank,
    check_heads,
    linear,
    merge_heads,
    require,
    split_heads,
    token_shift,
)
from rnnbench.mixers.deltanet import normalise
from rnnbench.mixers.preset import Preset
from rnnbench.ops.delta_rule import generalised_delta_rule

MIXED = ("r", "w", "k", "v", "a", "g")  # the inputs, each with a mixture μ of its own


class RWKV7(nnx.Module):
    """S_t = (diag(ω_t) − (a_t ⊙ κ_t) κ_tᵀ) S_{t-1} + k_t v_tᵀ,
    y_t = W_o ( g_t ⊙ [ LN(S_tᵀ r_t) + (r_tᵀ (ρ ⊙ k_t)) v_t ]_heads ).

    x^i_t = x_t + μ_i ⊙ (x_{t-1} − x_t) for i = r, w, k, v, a, g. [r, k̂, v] = W_i x^i; a = σ(lora(x^a));
    ω = exp(−e^(−1/2) σ(lora(tanh, x^w))), above 0.545; g = lora(σ, x^g), without bias. κ = ξ ⊙ k̂ / ‖ξ ⊙ k̂‖
    per head, k = k̂ ⊙ (1 + (a − 1) ⊙ ζ). LN is over one head, with scale and bias per channel.
    In the op, which decays first, a ⊙ κ is u, κ/ω is e, and k the write key.
    The paper also mixes v with that of the first layer; this is left out, since a layer sees only its input.
    Start: vectors as in the public code for its first layer; kernels LeCun normal, as everywhere here, where
    the public code has zeros among them. `rank` 0 gives the public code's ranks.

    Parameters: `mix` [6, D] (μ), `r.kernel`, `k.kernel`, `v.kernel` [D, D], `w`, `a`, `g` (see LowRank),
    `xi`, `zeta` [D], `bonus` [H, K] (ρ), `scale`, `bias` [D] (of LN), `output.kernel` [D, D].
    State: {"memory": [B, H, K, K], "last": [B, D]}, float32.
    Source: Peng et al. 2025, arXiv 2503.14456; github.com/BlinkDL/RWKV-LM.
    """

    def __init__(
        self,
        dim: int,
        *,
        rngs: nnx.Rngs,
        heads: int = 4,
        rank: Annotated[int, "rank of the projections to ω, a and g; 0 = grows with the root of dim"] = 0,
        dtype: jnp.dtype = jnp.float32,
    ):
        check_heads(dim, heads)
        require(rank >= 0, "rank", f"{rank}: 0 or a positive rank")
        self.heads, self.head_dim, self.dtype = heads, dim // heads, dtype
        ranks = [rank or max(32, 32 * round(each * dim**0.5 / 32)) for each in (2.5, 2.5, 5)]
        channel = np.arange(dim) / dim
        powers = np.array([0.2, 0.9, 0.7, 0.7, 0.9, 0.2])[:, None]
        self.mix = nnx.Param(jnp.asarray(1 - channel**powers, jnp.float32))
        self.r, self.k, self.v = (linear(dim, dim, rngs=rngs, dtype=dtype) for _ in range(3))
        lora = lambda rank, **options: LowRank(dim, rank, dim, rngs=rngs, dtype=dtype, **options)
        self.w = lora(ranks[0], activation=jnp.tanh, bias=True)
        self.a = lora(ranks[1], bias=True)
        self.g = lora(ranks[2], activation=jax.nn.sigmoid)
        slope = np.arange(dim) / max(dim - 1, 1)
        across = (
            2 * (np.arange(dim) % self.head_dim) / max(self.head_dim - 1, 1) - 1
        )  # from −1 to 1 in a head
        zigzag = across * np.abs(across)
        self.w.up.bias[...] = jnp.asarray(-5.5 + 6 * slope + 2.5 * zigzag, jnp.float32)
        self.a.up.bias[...] = jnp.asarray(-0.39 + 0.4 * slope + 0.3 * zigzag, jnp.float32)
        self.xi = nnx.Param(jnp.asarray(0.76 - 0.1 * slope, jnp.float32))
        self.zeta = nnx.Param(jnp.full(dim, 1.02, jnp.float32))
        self.bonus = nnx.Param(jnp.full((heads, self.head_dim), -0.04, jnp.float32))
        self.scale, self.bias = (nnx.Param(jnp.full(dim, value, jnp.float32)) for value in (1, 0))
        self.output = linear(dim, dim, rngs=rngs, dtype=dtype)

    def init_state(self, batch: int, max_length: int) -> dict:
        memory = jnp.zeros((batch, self.heads, self.head_dim, self.head_dim), jnp.float32)
        return {"memory": memory, "last": jnp.zeros((batch, self.heads * self.head_dim), jnp.float32)}

    def __call__(self, x: jax.Array, state: dict | None = None, reset=None, axis_name: str | None = None):
        state = state or {}
        previous, last = token_shift(x, state.get("last"), reset, axis_name)
        mix = self.mix[...].astype(x.dtype)
        mixed = {name: x + mix[i][None, None] * (previous - x) for i, name in enumerate(MIXED)}
        exact = lambda y: split_heads(y.astype(jnp.float32), self.heads)
        vector = lambda parameter: parameter[...].reshape(1, 1, self.heads, self.head_dim)
        r, k, v = (exact(getattr(self, name)(mixed[name])) for name in "rkv")
        a = jax.nn.sigmoid(exact(self.a(mixed["a"])))
        log_decay = -np.exp(-0.5) * jax.nn.sigmoid(exact(self.w(mixed["w"])))
        erased = normalise(vector(self.xi) * k)
        k = k * (1 + (a - 1) * vector(self.zeta))
        y, memory = generalised_delta_rule(
            r, a * erased, erased * jnp.exp(-log_decay), v, log_decay, state.get("memory"), write_key=k,
            reset=reset, axis_name=axis_name,
        )  # fmt: skip
        y = jax.nn.standardize(y, axis=-1, epsilon=64e-5) * vector(self.scale) + vector(self.bias)
        y = merge_heads(y + jnp.sum(r * vector(self.bonus) * k, axis=-1, keepdims=True) * v)
        return self.output(y.astype(self.dtype) * self.g(mixed["g"])), {"memory": memory, "last": last}


PRESETS = {
    "rwkv7": Preset(RWKV7, order=37, spectrum="(-1, 1]", structure="diagonal + rank 1", selective=True)
}
