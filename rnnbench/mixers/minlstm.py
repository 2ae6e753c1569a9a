"""minLSTM: an LSTM whose gates see only the input and add up to one (preset `minlstm`)."""

from typing import Annotated

import jax
import jax.numpy as jnp
from flax import nnx

from rnnbench.mixers.common import linear
from rnnbench.mixers.mingru import positive
from rnnbench.mixers.preset import Preset
from rnnbench.ops.linear_scan import linear_scan


class MinLSTM(nnx.Module):
    """y_t = h_t = f'_t ⊙ h_{t-1} + i'_t ⊙ g(h̃_t),  f' = f / (f + i),  i' = i / (f + i).

    i_t, f_t = σ(·), h̃_t of the three parts, in this order, of  W x_t + b; g as in minGRU: the function of
    the paper's log-space form, computed without logarithms of the state. f' = σ(log f − log i) and
    i' = 1 − f' = σ(log i − log f).
    Start: W as all projections here, b = 0 but for f, where it is `forget_bias`.

    Parameters: `input.kernel` [D, 3·D], `input.bias` [3·D].
    State: {"h": [B, D] float32}.
    Source: Feng et al. 2024, arXiv 2410.01201, appendix B.
    """

    def __init__(
        self,
        dim: int,
        *,
        rngs: nnx.Rngs,
        forget_bias: Annotated[float, "initial bias of the forget gate; higher = longer memory"] = 0.0,
        dtype: jnp.dtype = jnp.float32,
    ):
        self.dim, self.dtype = dim, dtype
        self.input = linear(dim, 3 * dim, rngs=rngs, dtype=dtype, bias=True)
        self.input.bias[...] = jnp.zeros(3 * dim, jnp.float32).at[dim : 2 * dim].set(forget_bias)

    def init_state(self, batch: int, max_length: int) -> dict:
        return {"h": jnp.zeros((batch, self.dim), jnp.float32)}

    def __call__(
        self,
        x: jax.Array,
        state: dict | None = None,
        reset: jax.Array | None = None,
        axis_name: str | None = None,
    ):
        i, f, candidate = jnp.split(self.input(x).astype(jnp.float32), 3, axis=-1)
        balance = jax.nn.log_sigmoid(f) - jax.nn.log_sigmoid(i)
        write = jax.nn.sigmoid(-balance) * positive(candidate)
        before = None if state is None else state["h"]
        h, last = linear_scan(jax.nn.sigmoid(balance), write, before, reset=reset, axis_name=axis_name)
        return h.astype(self.dtype), {"h": last}


PRESETS = {"minlstm": Preset(MinLSTM, order=42, spectrum="[0, 1]", structure="diagonal", selective=True)}
