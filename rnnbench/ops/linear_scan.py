"""Elementwise linear recurrence, the core of LRU, qLSTM and (inside its chunks) Mamba."""

import jax
import jax.numpy as jnp


def linear_scan(a, b, state=None, *, impl=None, axis_name=None):
    """h_t = a_t ⊙ h_{t-1} + b_t, real or complex; y is every h_t."""
    dtype = jnp.promote_types(jnp.result_type(a, b), jnp.float32)
    state = jnp.zeros_like(b[:, 0], dtype) if state is None else state.astype(dtype)
    a = jnp.broadcast_to(a, b.shape)

    def step(h, ab):
        h = ab[0] * h + ab[1]
        return h, h

    state, y = jax.lax.scan(step, state, (jnp.moveaxis(a, 1, 0), jnp.moveaxis(b, 1, 0)))
    y = jnp.moveaxis(y, 0, 1)
    complex_from_real = jnp.iscomplexobj(y) and not jnp.iscomplexobj(b)
    return y if complex_from_real else y.astype(b.dtype), state
