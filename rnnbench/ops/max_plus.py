"""The linear recurrence of the (max, +) semiring: the stabiliser of mLSTM's exponential gates."""

import functools

import jax
import jax.numpy as jnp

from rnnbench.ops import over_time
from rnnbench.ops.chunks import accumulator_dtype, choose, cleared
from rnnbench.ops.linear_scan import DEFAULTS, scan_along

LOWEST = -1e30  # loses against everything, and its gradients stay finite


def max_plus(a, b, state=None, *, reset=None, impl=None, axis_name=None):
    """m_t = max(a_t + m_{t-1}, b_t); y_t = m_t.

    a, b: [B, T, ...]; state: [B, ...] or None (zeros, not −∞); reset: [B, T] or None. Returns y in b's dtype
    and the final state in float32.

    impl as for `linear_scan`. The gradient follows the larger term back, and is a linear scan in reverse:
    dm_t = dy_t + s_{t+1} dm_{t+1} with s_t = 1 where a_t + m_{t-1} > b_t and 0 elsewhere; da_t = s_t dm_t,
    db_t = (1 − s_t) dm_t (reverse mode only). ValueError for shapes that do not fit or an unknown impl.

    Source: Beck et al. 2024, arXiv 2405.04517, equation 15.
    """
    (impl,) = choose("max_plus", DEFAULTS, impl)
    if a.shape != b.shape:
        raise ValueError(f"max_plus: a {a.shape} must be of the shape of b {b.shape}")
    dtype = accumulator_dtype(a, b)
    state = jnp.zeros_like(b[:, 0], dtype) if state is None else state.astype(dtype)
    a, b, dtype = a.astype(dtype), b.astype(dtype), b.dtype
    if reset is not None:  # a_t + 0 joins b_t, and what was before can only lose
        b = jnp.maximum(b, cleared(a, ~reset, LOWEST))
        a = cleared(a, reset, LOWEST)
    if axis_name is not None:
        a, b, state = over_time.varying((a, b, state), axis_name)
        state = _start(a, b, state, impl, axis_name)
    m = _scan(a, b, state, impl)
    last = m[:, -1] if axis_name is None else over_time.of_last(m[:, -1], axis_name)
    return m.astype(dtype), last


def _start(a, b, state, impl, axis_name):
    """The state before this device's part: each part maps m to max(Σ a + m, what it gives from −∞)."""
    written = _scan(a, b, jnp.full_like(state, LOWEST), impl)[:, -1]
    parts = jax.lax.all_gather((jnp.sum(a, axis=1), written), axis_name, axis=1)
    after = _scan(*parts, state, impl)
    starts = jnp.concatenate([state[:, None], after[:, :-1]], axis=1)
    return jax.lax.dynamic_index_in_dim(starts, jax.lax.axis_index(axis_name), axis=1, keepdims=False)


@functools.partial(jax.custom_vjp, nondiff_argnums=(3,))
def _scan(a, b, state, impl):
    """Every m_t; one dtype throughout."""
    if impl == "associative":

        def then(earlier, later):
            return earlier[0] + later[0], jnp.maximum(earlier[1] + later[0], later[1])

        b = b.at[:, 0].max(a[:, 0] + state)
        return jax.lax.associative_scan(then, (a, b), axis=1)[1]

    def step(m, inputs):
        a, b = inputs
        m = jnp.maximum(a + m, b)
        return m, m

    time_first = jax.tree.map(lambda x: jnp.moveaxis(x, 1, 0), (a, b))
    return jnp.moveaxis(jax.lax.scan(step, state, time_first)[1], 0, 1)


def _forward(a, b, state, impl):
    m = _scan(a, b, state, impl)
    previous = jnp.concatenate([state[:, None], m[:, :-1]], axis=1)
    return m, (a + previous > b).astype(m.dtype)


def _backward(impl, follows, dm):
    next_follows = jnp.concatenate([follows[:, 1:], jnp.zeros_like(follows[:, :1])], axis=1)
    backwards = (jnp.flip(x, axis=1) for x in (next_follows, dm))
    dm = jnp.flip(scan_along(*backwards, jnp.zeros_like(dm[:, 0]), 1, impl), axis=1)
    return follows * dm, (1 - follows) * dm, follows[:, 0] * dm[:, 0]


_scan.defvjp(_forward, _backward)
