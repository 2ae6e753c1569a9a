"""Any nonlinear cell, one step at a time: without a gradient of its own."""

import jax
import jax.numpy as jnp

from rnnbench.ops.chunks import choose, cleared
from rnnbench.ops.pipeline import pipelined

DEFAULTS = {"accelerator": ("sequential", ("sequential",))}


def recurrent(cell, params, x, state, *, reset=None, unroll=1, impl=None, axis_name=None):
    """state_t, y_t = cell(params, state_{t-1}, x_t).

    x: pytree of [B, T, ...], y: pytree of [B, T, ...], state: pytree of [B, ...], required, since only the
    cell knows its shape and initial value. The cell must return the state in the dtypes it was given.
    reset: [B, T] or None; a cleared state is zero in all leaves. unroll: steps per iteration of the loop.
    Returns (y, final_state). ValueError for an unknown impl.

    Compute whatever does not depend on the state (input projections) before the call, as one matmul over T.
    Give the parameters in float32 and cast them in the cell: their gradient is a sum over T in their dtype.
    A nonlinear recurrence has no parallel form, so `jax.lax.scan` is the only impl.
    """
    choose("recurrent", DEFAULTS, impl)
    if axis_name is not None:
        options = {"unroll": unroll, "impl": impl}
        alone = lambda inputs, state: recurrent(cell, params, inputs[0], state, reset=inputs[1], **options)
        return pipelined(alone, (x, reset), state, axis_name)

    def step(state, inputs):
        x_t, reset_t = inputs
        if reset_t is not None:
            state = jax.tree.map(lambda leaf: cleared(leaf, reset_t), state)
        return cell(params, state, x_t)

    time_first = jax.tree.map(lambda leaf: jnp.swapaxes(leaf, 0, 1), (x, reset))
    state, y = jax.lax.scan(step, state, time_first, unroll=unroll)
    return jax.tree.map(lambda leaf: jnp.swapaxes(leaf, 0, 1), y), state
