"""The LSTM layer (preset `lstm`)."""

from typing import Annotated

import jax
import jax.numpy as jnp
from flax import nnx

from rnnbench.mixers.common import linear
from rnnbench.mixers.preset import Preset
from rnnbench.ops.lstm import lstm


class LSTM(nnx.Module):
    """c_t = f_t ⊙ c_{t-1} + i_t ⊙ z_t,  y_t = h_t = o_t ⊙ tanh(c_t).

    i_t, f_t, o_t = σ(·), z_t = tanh(·) of the four parts, in this order, of  W x_t + b + U h_{t-1}.
    The bias of f starts at `forget_bias`, so that memory lasts from the start (Gers et al. 2000; Jozefowicz
    et al. 2015). U is a full matrix, orthogonal per gate at the start. W x_t + b is one product for all t.

    Parameters: `input.kernel` [D, 4·D], `input.bias` [4·D], `recurrent_kernel` [D, 4·D].
    State: {"h", "c": [B, D] float32}.
    Source: Hochreiter & Schmidhuber 1997.
    """

    def __init__(
        self,
        dim: int,
        *,
        rngs: nnx.Rngs,
        forget_bias: Annotated[float, "initial bias of the forget gate; higher = longer memory"] = 1.0,
        dtype: jnp.dtype = jnp.float32,
    ):
        self.dim, self.dtype = dim, dtype
        self.input = linear(dim, 4 * dim, rngs=rngs, dtype=dtype, bias=True)
        self.input.bias[...] = forget_gate_bias(dim, forget_bias)
        orthogonal = nnx.initializers.orthogonal()
        per_gate = [orthogonal(key, (dim, dim), jnp.float32) for key in jax.random.split(rngs.params(), 4)]
        self.recurrent_kernel = nnx.Param(jnp.concatenate(per_gate, axis=1))

    def init_state(self, batch: int, max_length: int) -> dict:
        zero = jnp.zeros((batch, self.dim), jnp.float32)
        return {"h": zero, "c": zero}

    def __call__(self, x: jax.Array, state: dict | None = None, reset=None, axis_name: str | None = None):
        state = self.init_state(x.shape[0], 0) if state is None else state
        # Time first, as the recurrence needs it: transposing x costs a quarter of transposing its projection.
        x = jnp.swapaxes(self.input(jnp.swapaxes(x, 0, 1)), 0, 1)
        return lstm(self.recurrent_kernel[...], x, state, reset=reset, axis_name=axis_name)


def forget_gate_bias(dim: int, value: float) -> jax.Array:
    """Biases of the gates i, f, o, z: `value` for f, zero for the others."""
    return jnp.zeros((4, dim), jnp.float32).at[1].set(value).reshape(-1)


PRESETS = {"lstm": Preset(LSTM, order=3, structure="nonlinear", selective=True)}
