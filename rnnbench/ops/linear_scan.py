"""Elementwise linear recurrence: the core of LRU and qLSTM and, inside its chunks, of Mamba."""

import functools

import jax
import jax.numpy as jnp

from rnnbench.ops import over_time
from rnnbench.ops.chunks import accumulator_dtype, choose, cleared

IMPLS = ("associative", "sequential")
# On a CPU the tree only adds memory traffic: 7.1 ms compared with 4.3 (forward, gradient; B32 T256 D128).
DEFAULTS = {"cpu": ("sequential", IMPLS), "accelerator": ("associative", IMPLS)}


def linear_scan(a, b, state=None, *, reset=None, impl=None, axis_name=None):
    """h_t = a_t ⊙ h_{t-1} + b_t, real or complex; y_t = h_t.

    b: [B, T, ...]. a: the same shape, or 1 on any axis along which it is constant (a time-invariant LRU
    passes [1, 1, D], and neither a nor its gradient is ever expanded over the batch). state: [B, ...] or None
    (zeros). reset: [B, T] or None; a reset expands a over batch and time. Returns y [B, T, ...] in b's dtype
    (complex if a or state is) and the final state in float32 or complex64.

    impl: "associative" (`jax.lax.associative_scan`, log T deep; default on accelerators) or "sequential"
    (`jax.lax.scan`; default on CPU). The gradient of either is the same recurrence run backwards:
    dh_t = dy_t + a_{t+1} ⊙ dh_{t+1}, da_t = dh_t ⊙ h_{t-1}, db_t = dh_t (reverse mode only).
    ValueError for shapes that do not fit or an unknown impl.

    Source: Blelloch 1990, "Prefix sums and their applications"; Martin & Cundy 2018, arXiv 1709.04057.
    """
    (impl,) = choose("linear_scan", DEFAULTS, impl)
    if a.ndim != b.ndim or any(m not in (1, n) for m, n in zip(a.shape, b.shape, strict=True)):
        raise ValueError(f"linear_scan: a {a.shape} must equal b {b.shape} or be 1 where it is constant")
    dtype = accumulator_dtype(a, b) if state is None else accumulator_dtype(a, b, state)
    state = jnp.zeros_like(b[:, 0], dtype) if state is None else state.astype(dtype)
    a, b, dtype = a.astype(dtype), b.astype(dtype), b.dtype
    if reset is not None:
        a = cleared(a, reset)
    if axis_name is not None:
        a, b, state = over_time.varying((a, b, state), axis_name)
        state = over_time.start_of_scan(functools.partial(linear_scan, impl=impl), a, b, state, axis_name)
    h = scan_along(a, b, state, 1, impl)
    last = h[:, -1] if axis_name is None else over_time.of_last(h[:, -1], axis_name)
    became_complex = jnp.iscomplexobj(h) and not jnp.issubdtype(dtype, jnp.complexfloating)
    return h if became_complex else h.astype(dtype), last


@functools.partial(jax.custom_vjp, nondiff_argnums=(3, 4))
def scan_along(a, b, state, axis, impl):
    """Every h_t, time on `axis`; one dtype throughout, `state` without the time axis."""
    return _run(a, b, state, axis, impl, reverse=False)


def _forward(a, b, state, axis, impl):
    h = _run(a, b, state, axis, impl, reverse=False)
    return h, (a, h, state)


def _backward(axis, impl, residuals, dh):
    # JAX transposes complex cotangents without conjugation, so these lines are valid for complex a, b too.
    a, h, state = residuals
    length = h.shape[axis]
    first_a = jax.lax.index_in_dim(a, 0, axis, keepdims=False)
    next_a = a
    if a.shape[axis] > 1:
        # The last coefficient multiplies a zero state, so any finite value works.
        next_a = jnp.concatenate([_slice(a, 1, length, axis), jnp.expand_dims(first_a, axis)], axis)
    dh = _run(next_a, dh, jnp.zeros_like(state), axis, impl, reverse=True)
    previous_h = jnp.concatenate([jnp.expand_dims(state, axis), _slice(h, 0, length - 1, axis)], axis)
    constant_axes = tuple(i for i in range(h.ndim) if a.shape[i] != h.shape[i])
    da = jnp.sum(dh * previous_h, axis=constant_axes, keepdims=True)
    return da, dh, first_a * jax.lax.index_in_dim(dh, 0, axis, keepdims=False)


scan_along.defvjp(_forward, _backward)


def _slice(x, start, stop, axis):
    return jax.lax.slice_in_dim(x, start, stop, axis=axis)


def _run(a, b, state, axis, impl, reverse):
    if impl == "associative":
        return _associative(a, b, state, axis, reverse)
    constant = a.shape[axis] == 1
    a, b = jnp.moveaxis(a, axis, 0), jnp.moveaxis(b, axis, 0)

    def step(h, inputs):
        b_t, a_t = inputs
        h = (a[0] if constant else a_t) * h + b_t
        return h, h

    _, h = jax.lax.scan(step, state, (b, None if constant else a), reverse=reverse)
    return jnp.moveaxis(h, 0, axis)


def _associative(a, b, state, axis, reverse):
    length = b.shape[axis]
    a = jnp.broadcast_to(a, (*a.shape[:axis], length, *a.shape[axis + 1 :]))
    first = (slice(None),) * axis + (length - 1 if reverse else 0,)
    b = b.at[first].add(a[first] * state)

    def then(earlier, later):
        return earlier[0] * later[0], earlier[1] * later[0] + later[1]

    return jax.lax.associative_scan(then, (a, b), axis=axis, reverse=reverse)[1]
