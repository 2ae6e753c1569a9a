"""minGRU: a GRU whose gates see only the input (preset `mingru`)."""

from typing import Annotated

import jax
import jax.numpy as jnp
from flax import nnx

from rnnbench.mixers.common import linear
from rnnbench.mixers.preset import Preset
from rnnbench.ops.linear_scan import linear_scan


class MinGRU(nnx.Module):
    """y_t = h_t = (1 − z_t) ⊙ h_{t-1} + z_t ⊙ g(h̃_t),  z_t = σ(·), h̃_t of the two parts of  W x_t + b.

    g(x) = x + ½ for x ≥ 0, else σ(x): positive, so that h is. This is the function of the paper's log-space
    form, in which its experiments ran; its plain form has h̃ in place of g(h̃). No logarithm is taken here: a
    scan that multiplies numbers in (0, 1) neither overflows nor cancels.
    Start: W as all projections here, b = 0 but for z, where it is −`forget_bias`, so that 1 − z starts near
    σ(forget_bias).

    Parameters: `input.kernel` [D, 2·D], `input.bias` [2·D] (z, then h̃).
    State: {"h": [B, D] float32}.
    Source: Feng et al. 2024, arXiv 2410.01201, appendix B.
    """

    def __init__(
        self,
        dim: int,
        *,
        rngs: nnx.Rngs,
        forget_bias: Annotated[float, "initial bias of 1 - z, the forget gate; higher = longer memory"] = 0.0,
        dtype: jnp.dtype = jnp.float32,
    ):
        self.dim, self.dtype = dim, dtype
        self.input = linear(dim, 2 * dim, rngs=rngs, dtype=dtype, bias=True)
        self.input.bias[...] = jnp.zeros(2 * dim, jnp.float32).at[:dim].set(-forget_bias)

    def init_state(self, batch: int, max_length: int) -> dict:
        return {"h": jnp.zeros((batch, self.dim), jnp.float32)}

    def __call__(
        self,
        x: jax.Array,
        state: dict | None = None,
        reset: jax.Array | None = None,
        axis_name: str | None = None,
    ):
        update, candidate = jnp.split(self.input(x).astype(jnp.float32), 2, axis=-1)
        write = jax.nn.sigmoid(update) * positive(candidate)
        before = None if state is None else state["h"]
        h, last = linear_scan(jax.nn.sigmoid(-update), write, before, reset=reset, axis_name=axis_name)
        return h.astype(self.dtype), {"h": last}


def positive(x: jax.Array) -> jax.Array:
    """g(x) = x + ½ for x ≥ 0, else σ(x): continuous, increasing, positive."""
    return jnp.where(x >= 0, x + 0.5, jax.nn.sigmoid(x))


PRESETS = {"mingru": Preset(MinGRU, order=41, spectrum="[0, 1]", structure="diagonal", selective=True)}
