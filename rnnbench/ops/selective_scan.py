"""Mamba's selective state space recurrence."""

import functools

import jax
import jax.numpy as jnp

from rnnbench.ops import over_time
from rnnbench.ops.chunks import (
    accumulator_dtype,
    choose,
    chunk_length,
    cleared,
    join_time,
    scan_chunks,
    split_time,
    total,
)
from rnnbench.ops.linear_scan import scan_along

IMPLS = ("chunked", "sequential")
# impl, names, chunk of each. On a CPU the states that are computed in parallel should stay in the cache.
DEFAULTS = {
    "cpu": ("sequential", IMPLS, {"chunked": 4, "sequential": 16}),
    "accelerator": ("chunked", IMPLS, {"chunked": 64, "sequential": 64}),
}


def selective_scan(
    u,
    delta,
    A,
    B,
    C,
    D=None,
    state=None,
    *,
    reset=None,
    negative_eigenvalues=False,
    impl=None,
    chunk=None,
    axis_name=None,
):
    """h_t = Ā_t ⊙ h_{t-1} + Δ_t B_t u_t,  y_t = h_t C_t + D ⊙ u_t,  Ā_t = exp(Δ_t A).

    u, delta: [B, T, D] (delta > 0, softplus already applied); A: [D, N], negative; B, C: [B, T, N]; D: [D] or
    None; state: [B, D, N] or None (zeros); reset: [B, T] or None. Returns y [B, T, D] in u's dtype and the
    final state in float32.
    negative_eigenvalues: Ā_t = 2 exp(Δ_t A) − 1, whose eigenvalues reach down to −1.

    Only the states of one chunk of time exist at once, in the backward pass as well: it keeps the states
    between chunks and recomputes those inside. impl: "chunked" (`jax.lax.associative_scan` inside a chunk;
    default on accelerators) or "sequential" (`jax.lax.scan` inside, with a gradient written by hand; default
    on a CPU). chunk: a power of two, default by platform. ValueError for an unknown impl or another chunk.

    Source: Gu & Dao 2023, arXiv 2312.00752; negative eigenvalues: Grazzi et al. 2024, arXiv 2411.12537.
    """
    impl, default_chunks = choose("selective_scan", DEFAULTS, impl)
    length = u.shape[1]
    chunk = chunk_length("selective_scan", chunk, default_chunks[impl], length)
    dtype = accumulator_dtype(u, delta, A)
    if state is None:
        state = jnp.zeros((u.shape[0], *A.shape), jnp.float32)
    if axis_name is not None:
        u, delta, A, B, C, D, state = over_time.varying((u, delta, A, B, C, D, state), axis_name)
        alone = functools.partial(
            selective_scan, reset=reset, negative_eigenvalues=negative_eigenvalues, impl=impl, chunk=chunk
        )
        # exp(A Σ Δ_t) is the product of the transitions only if they are nothing but exp(Δ_t A).
        plain = reset is None and not negative_eigenvalues
        state = over_time.start_of_selective_scan(
            alone, u, delta, A, B, C, state.astype(dtype), plain, axis_name
        )
    # D last: it is the longest axis, and the sums over N then add whole vectors along it.
    state, A = jnp.swapaxes(state, 1, 2).astype(dtype), A.T.astype(dtype)

    def parallel(h, inputs):
        decay, added, C = _transition(A[None, None], inputs, negative_eigenvalues)
        h = scan_along(decay, added, h, 0, "associative")
        return h[-1], jnp.sum(h * C, axis=2)

    def in_steps(h, inputs):
        return _scan(negative_eigenvalues, h, A[None], inputs)

    def time_first(x):
        return jnp.swapaxes(split_time(x, chunk)[:, 0], 1, 2)

    delta, B, C = (x.astype(dtype) for x in (delta, B, C))
    xs = jax.tree.map(time_first, (delta, delta * u.astype(dtype), B, C, reset))
    state, y = scan_chunks(parallel if impl == "chunked" else in_steps, state, xs)
    y = join_time(jnp.swapaxes(y, 1, 2)[:, None], length)
    if D is not None:
        y = y + D.astype(dtype)[None, None] * u.astype(dtype)
    state = jnp.swapaxes(state, 1, 2)
    return y.astype(u.dtype), state if axis_name is None else over_time.of_last(state, axis_name)


def _transition(A, inputs, negative):
    """The transition Ā, Δ u B and C, each [..., B, N, D] or with 1 in place of D; A: [..., 1, N, D]."""
    delta, delta_u, B, C, reset = inputs  # [..., B, D] and [..., B, N]
    decay = jnp.exp(delta[..., None, :] * A)
    decay = 2 * decay - 1 if negative else decay
    decay = decay if reset is None else cleared(decay, reset)
    return decay, delta_u[..., None, :] * B[..., None], C[..., None]


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _scan(negative, state, A, inputs):
    """(final state, y [T, B, D]) of a chunk, step by step; the inputs have time first, A is [1, N, D]."""
    return _scan_forward(negative, state, A, inputs)[0]


def _scan_forward(negative, state, A, inputs):
    def step(h, inputs):
        decay, added, C = _transition(A, inputs, negative)
        after = decay * h + added
        return after, (total(after * C, 1), (h, decay))

    state, (y, kept) = jax.lax.scan(step, state, inputs)
    return (state, y), (A, inputs, kept)


def _scan_backward(negative, residuals, cotangents):
    """d is the gradient by what follows it; dh by the state after the step at hand, going backwards."""
    A, inputs, kept = residuals
    dh, dy = cotangents

    def step(carry, x):
        (dh, dA), ((delta, delta_u, B, C, reset), (h, decay), dy) = carry, x
        delta, delta_u, dy, B, C = delta[:, None], delta_u[:, None], dy[:, None], B[..., None], C[..., None]
        dh = dh + C * dy
        dC = total((decay * h + delta_u * B) * dy, 2)
        dB, d_delta_u = total(dh * delta_u, 2), total(dh * B, 1)
        earlier = decay * dh
        # The slope of the transition in Δ A: exp(Δ A) is Ā; 2 exp(Δ A) is Ā + 1.
        d_exponent = (earlier + dh if negative else earlier) * h
        d_exponent = d_exponent if reset is None else cleared(d_exponent, reset)
        d_delta = total(d_exponent * A, 1)
        return (earlier, dA + d_exponent * delta), (d_delta, d_delta_u, dB, dC)

    # dA keeps the batch axis until the end: a sum over it at every step would take longer than all the rest.
    (dh, dA), d_inputs = jax.lax.scan(step, (dh, jnp.zeros_like(dh)), (inputs, kept, dy), reverse=True)
    return dh, jnp.sum(dA, axis=0, keepdims=True), (*d_inputs, None)


_scan.defvjp(_scan_forward, _scan_backward)
