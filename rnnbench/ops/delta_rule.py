"""The (gated) delta rule."""

import jax
import jax.numpy as jnp


def delta_rule(q, k, v, beta, log_decay=None, state=None, *, impl=None, chunk=None, axis_name=None):
    """S_t = (I − β_t k_t k_tᵀ) diag(exp g_t) S_{t-1} + β_t k_t v_tᵀ,  y_t = S_tᵀ q_t."""
    dtype = jnp.promote_types(v.dtype, jnp.float32)
    batch, _, heads, key_dim = q.shape
    if state is None:
        state = jnp.zeros((batch, heads, key_dim, v.shape[-1]), dtype)
    if log_decay is None:
        log_decay = jnp.zeros(q.shape[:3], dtype)
    if log_decay.ndim == 3:
        log_decay = log_decay[..., None]

    def step(S, x):
        q, k, v, beta, g = x
        S = jnp.exp(g)[..., None] * S
        w = beta[..., None] * (v - jnp.sum(S * k[..., None], axis=-2))
        S = S + k[..., None] * w[..., None, :]
        return S, jnp.sum(S * q[..., None], axis=-2)

    xs = tuple(jnp.moveaxis(x, 1, 0).astype(dtype) for x in (q, k, v, beta, log_decay))
    state, y = jax.lax.scan(step, state, xs)
    return jnp.moveaxis(y, 0, 1).astype(v.dtype), state
