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
)
from rnnbench.ops.linear_scan import scan_along

IMPLS = ("chunked", "sequential")
# impl, names, chunk. On a CPU a chunk's states should stay in the cache.
DEFAULTS = {"cpu": ("chunked", IMPLS, 4), "accelerator": ("chunked", IMPLS, 64)}


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
    between chunks and recomputes those inside. impl: "chunked" (default; `jax.lax.associative_scan` inside a
    chunk) or "sequential" (`jax.lax.scan` inside). chunk: a power of two, default by platform. ValueError for
    an unknown impl or another chunk.

    Source: Gu & Dao 2023, arXiv 2312.00752; negative eigenvalues: Grazzi et al. 2024, arXiv 2411.12537.
    """
    impl, default_chunk = choose("selective_scan", DEFAULTS, impl)
    length = u.shape[1]
    chunk = chunk_length("selective_scan", chunk, default_chunk, length)
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
    inner = "associative" if impl == "chunked" else "sequential"

    def body(h, inputs):
        u, delta, B, C, reset = inputs  # time first: [C, B, D] and [C, B, N]
        decay = jnp.exp(delta[:, :, None] * A[None, None])
        if negative_eigenvalues:
            decay = 2 * decay - 1
        if reset is not None:
            decay = cleared(decay, reset)
        h = scan_along(decay, (delta * u)[:, :, None] * B[..., None], h, 0, inner)
        return h[-1], jnp.sum(h * C[..., None], axis=2)

    def time_first(x):
        return jnp.swapaxes(split_time(x, chunk)[:, 0], 1, 2)

    xs = *(time_first(x.astype(dtype)) for x in (u, delta, B, C)), jax.tree.map(time_first, reset)
    state, y = scan_chunks(body, state, xs)
    y = join_time(jnp.swapaxes(y, 1, 2)[:, None], length)
    if D is not None:
        y = y + D.astype(dtype)[None, None] * u.astype(dtype)
    state = jnp.swapaxes(state, 1, 2)
    return y.astype(u.dtype), state if axis_name is None else over_time.of_last(state, axis_name)
