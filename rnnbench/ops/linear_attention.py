"""Linear attention with a matrix state and an optional decay."""

import jax
import jax.numpy as jnp


def linear_attention(q, k, v, log_decay=None, state=None, *, impl=None, chunk=None, axis_name=None):
    """S_t = diag(exp g_t) S_{t-1} + k_t v_tᵀ,  y_t = S_tᵀ q_t."""
    dtype = jnp.promote_types(v.dtype, jnp.float32)
    batch, _, heads, key_dim = q.shape
    if state is None:
        state = jnp.zeros((batch, heads, key_dim, v.shape[-1]), dtype)
    if log_decay is None:
        log_decay = jnp.zeros(q.shape[:3], dtype)
    if log_decay.ndim == 3:
        log_decay = log_decay[..., None]

    def step(S, x):
        q, k, v, g = x
        S = jnp.exp(g)[..., None] * S + k[..., None] * v[..., None, :]
        return S, jnp.sum(S * q[..., None], axis=-2)

    xs = tuple(jnp.moveaxis(x, 1, 0).astype(dtype) for x in (q, k, v, log_decay))
    state, y = jax.lax.scan(step, state, xs)
    return jnp.moveaxis(y, 0, 1).astype(v.dtype), state
