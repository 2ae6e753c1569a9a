"""Any nonlinear cell, one step at a time."""

import jax
import jax.numpy as jnp


def recurrent(cell, params, x, state, *, unroll=1, impl=None, axis_name=None):
    """state_t, y_t = cell(params, state_{t-1}, x_t).

    x: pytree of [B, T, ...]; state: pytree of [B, ...], required (the cell alone knows its shape and its
    start value); y: pytree of [B, T, ...]. Returns (y, final_state).
    """
    if axis_name is not None:
        raise NotImplementedError("recurrent: axis_name (sequence sharding) is reserved and not available yet")
    if impl not in (None, "sequential"):
        raise ValueError(f"recurrent: impl={impl!r} is unknown; a nonlinear cell has only 'sequential'")
    time_major = jax.tree.map(lambda leaf: jnp.moveaxis(leaf, 1, 0), x)
    state, y = jax.lax.scan(lambda s, x_t: cell(params, s, x_t), state, time_major, unroll=unroll)
    return jax.tree.map(lambda leaf: jnp.moveaxis(leaf, 0, 1), y), state
