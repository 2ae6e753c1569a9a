"""A mixer as a user of the package writes it; tests name it by its dotted path."""

import jax
import jax.numpy as jnp
from flax import nnx


class RunningSum(nnx.Module):
    """y_t = gain · W Σ_{s≤t} x_s."""

    def __init__(self, dim, *, rngs, gain=1.0):
        self.dim, self.gain = dim, gain
        self.linear = nnx.Linear(dim, dim, use_bias=False, rngs=rngs)

    def init_state(self, batch, max_length):
        return jnp.zeros((batch, self.dim))

    def __call__(self, x: jax.Array, state=None):
        total = jnp.cumsum(x, axis=1) + (0 if state is None else state[:, None])
        return self.gain * self.linear(total), total[:, -1]
