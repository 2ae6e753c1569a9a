"""The gated recurrent unit (preset `gru`)."""

from typing import Annotated

import jax
import jax.numpy as jnp
from flax import nnx

from rnnbench.mixers.common import linear
from rnnbench.mixers.preset import Preset
from rnnbench.ops.gru import gru


class GRU(nnx.Module):
    """y_t = h_t = z_t ⊙ h_{t-1} + (1 − z_t) ⊙ tanh(x̃_t + (r_t ⊙ h_{t-1}) U_h).

    z_t, r_t = σ(·) of the two parts of  (z̃_t, r̃_t) + h_{t-1} U_zr;  (z̃, r̃, x̃) = W x + b, one product for all
    t. r acts before the product with U_h, as in the paper; torch.nn.GRU applies it after.
    Start: U orthogonal per gate, b = 0 but for z, where it is `forget_bias`.

    Parameters: `input.kernel` [D, 3·D], `input.bias` [3·D], `recurrent_kernel` [D, 3·D] (z, r, h).
    State: {"h": [B, D] float32}.
    Source: Cho et al. 2014, arXiv 1406.1078.
    """

    def __init__(
        self,
        dim: int,
        *,
        rngs: nnx.Rngs,
        forget_bias: Annotated[
            float, "initial bias of z, which keeps the state; higher = longer memory"
        ] = 0.0,
        dtype: jnp.dtype = jnp.float32,
    ):
        self.dim, self.dtype = dim, dtype
        self.input = linear(dim, 3 * dim, rngs=rngs, dtype=dtype, bias=True)
        self.input.bias[...] = jnp.zeros(3 * dim, jnp.float32).at[:dim].set(forget_bias)
        orthogonal = nnx.initializers.orthogonal()
        per_gate = [orthogonal(key, (dim, dim), jnp.float32) for key in jax.random.split(rngs.params(), 3)]
        self.recurrent_kernel = nnx.Param(jnp.concatenate(per_gate, axis=1))

    def init_state(self, batch: int, max_length: int) -> dict:
        return {"h": jnp.zeros((batch, self.dim), jnp.float32)}

    def __call__(self, x: jax.Array, state: dict | None = None, reset=None, axis_name: str | None = None):
        state = self.init_state(x.shape[0], 0) if state is None else state
        # Time first, as in the LSTM.
        x = jnp.swapaxes(self.input(jnp.swapaxes(x, 0, 1)), 0, 1)
        h, last = gru(self.recurrent_kernel[...], x, state["h"], reset=reset, axis_name=axis_name)
        return h, {"h": last}


PRESETS = {"gru": Preset(GRU, order=44, structure="nonlinear", selective=True)}
