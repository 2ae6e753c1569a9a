"""The simple recurrent network of Elman (preset `elman`)."""

import jax
import jax.numpy as jnp
from flax import nnx

from rnnbench.mixers.common import linear
from rnnbench.mixers.preset import Preset
from rnnbench.ops.recurrent import recurrent


class Elman(nnx.Module):
    """y_t = h_t = tanh(W x_t + b + h_{t-1} U).

    Start: U orthogonal, so that neither the state nor its gradient shrinks where tanh is near linear; b = 0.

    Parameters: `input.kernel` [D, D], `input.bias` [D], `recurrent_kernel` [D, D].
    State: {"h": [B, D] float32}.
    Source: Elman 1990, "Finding structure in time"; orthogonal start: Le et al. 2015, arXiv 1504.00941 (the
    identity), Saxe et al. 2013, arXiv 1312.6120.
    """

    def __init__(self, dim: int, *, rngs: nnx.Rngs, dtype: jnp.dtype = jnp.float32):
        self.dim, self.dtype = dim, dtype
        self.input = linear(dim, dim, rngs=rngs, dtype=dtype, bias=True)
        self.recurrent_kernel = nnx.Param(
            nnx.initializers.orthogonal()(rngs.params(), (dim, dim), jnp.float32)
        )

    def init_state(self, batch: int, max_length: int) -> dict:
        return {"h": jnp.zeros((batch, self.dim), jnp.float32)}

    def __call__(self, x: jax.Array, state: dict | None = None, reset=None, axis_name: str | None = None):
        state = self.init_state(x.shape[0], 0) if state is None else state
        U = self.recurrent_kernel[...]
        h, last = recurrent(cell, U, self.input(x), state["h"], reset=reset, axis_name=axis_name)
        return h.astype(self.dtype), {"h": last}


def cell(U, h, x):
    """h_t, h_t; the product is in the dtype of x, the state in float32."""
    h = jnp.tanh((x + h.astype(x.dtype) @ U.astype(x.dtype)).astype(jnp.float32))
    return h, h


PRESETS = {"elman": Preset(Elman, order=45, structure="nonlinear", selective=True)}
