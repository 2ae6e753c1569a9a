"""Mamba's selective state space recurrence."""

import jax
import jax.numpy as jnp


def selective_scan(
    u, delta, A, B, C, D=None, state=None, *, negative_eigenvalues=False, impl=None, chunk=None, axis_name=None
):
    """h_t = Ā_t ⊙ h_{t-1} + Δ_t B_t u_t;  y_t = h_t C_t + D u_t  with Ā_t = exp(Δ_t A)."""
    dtype = jnp.promote_types(u.dtype, jnp.float32)
    if state is None:
        state = jnp.zeros((u.shape[0], *A.shape), dtype)
    time_major = [jnp.moveaxis(x, 1, 0).astype(dtype) for x in (u, delta, B, C)]

    def step(h, x):
        u, delta, B, C = x
        decay = jnp.exp(delta[:, :, None] * A[None])
        if negative_eigenvalues:
            decay = 2 * decay - 1
        h = decay * h + (delta * u)[:, :, None] * B[:, None, :]
        return h, jnp.sum(h * C[:, None, :], axis=-1)

    state, y = jax.lax.scan(step, state, tuple(time_major))
    y = jnp.moveaxis(y, 0, 1)
    if D is not None:
        y = y + D[None, None] * u
    return y.astype(u.dtype), state
