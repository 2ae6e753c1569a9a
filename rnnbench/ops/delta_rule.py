"""The delta rule, with or without decay: a memory that overwrites the value stored under a key."""

import functools

import jax
import jax.numpy as jnp
from jax.ad_checkpoint import checkpoint_name

from rnnbench.ops import over_time
from rnnbench.ops.chunks import (
    accumulator_dtype,
    causal_scores,
    choose_by_state,
    chunk_length,
    decay_since_start,
    decay_until_end,
    join_blocks,
    prepare_heads,
    scan_heads,
)
from rnnbench.ops.products import matmul, matmul_columns, matmul_rows
from rnnbench.ops.steps import scan_steps

IMPLS = ("chunked", "sequential")
# impl, names, chunk, how many chunks are processed together. On an H200 all 32 chunks of T 2048 at once
# took 3.5 ms forward and gradient, two groups of 16 took 5.1 (B 8, H 8, K 64; float32 and bfloat16 alike).
# On two CPU cores chunks of 16 take 0.75 to 1.03 of the time of 32 (K from 16 to 64; with and without decay).
DEFAULTS = {"cpu": ("chunked", IMPLS, 16, 1), "accelerator": ("chunked", IMPLS, 64, 64)}
# What the gradient does not recompute: the inverse [C, C] and the written values [C, V] of every chunk.
KEPT = ("inverse", "W")


def delta_rule(
    q, k, v, beta, log_decay=None, state=None, *, reset=None, impl=None, chunk=None, axis_name=None
):
    """S_t = (I − β_t k_t k_tᵀ) diag(exp g_t) S_{t-1} + β_t k_t v_tᵀ,  y_t = S_tᵀ q_t.

    q, k: [B, T, H, K]; v: [B, T, H, V]; beta: [B, T, H]; log_decay g ≤ 0: None (no decay), [B, T, H] or
    [B, T, H, K]; state: [B, H, K, V] or None (zeros); reset: [B, T] bool or None, the state is cleared before
    token t wherever reset[b, t]. Returns y [B, T, H, V] in v's dtype and the final state in float32. Stable
    for β ‖k‖² in [0, 2]: normalise k before; nothing is scaled or normalised here.

    impl: "chunked" (WY form, matmuls inside a chunk, states only between chunks) or "sequential" (one step at
    a time); by default chunked, but sequential for small states on a CPU (`chunks.choose_by_state`). chunk: a
    power of two, default by platform. ValueError for an unknown impl, another chunk or another shape of
    log_decay.

    Source: Yang et al. 2024, arXiv 2406.06484; with decay: Yang et al. 2024, arXiv 2412.06464.
    """
    dtype = accumulator_dtype(q, k, v)
    beta, k = beta.astype(dtype)[..., None], k.astype(dtype)
    # β is multiplied into k and v here: its gradient is then one sum over all of time, outside the loop.
    steps = q, k, beta * k, beta * v.astype(dtype), None
    y, state = _run("delta_rule", *steps, log_decay, state, reset, impl, chunk, axis_name)
    return y.astype(v.dtype), state


def generalised_delta_rule(
    q, u, e, w, log_decay=None, state=None, *, write_key=None, reset=None, impl=None, chunk=None,
    axis_name=None,
):  # fmt: skip
    """S_t = (I − u_t e_tᵀ) diag(exp g_t) S_{t-1} + u_t w_tᵀ,  y_t = S_tᵀ q_t.

    What is stored under the erase key e is removed, and w written, under the write key u; `delta_rule` is
    u = k, e = β k, w = β v. With a `write_key` k, w is written under k instead, as + k_t w_tᵀ. With n steps
    per token, the decay is followed by S ← (I − u_i e_iᵀ) S + u_i w_iᵀ for i = 1 … n, and y is read after the
    last of them.

    q: [B, T, H, K]; u, e: [B, T, H, K] and w: [B, T, H, V], or with n steps [B, T, H, n, K] and
    [B, T, H, n, V]; write_key: None or [B, T, H, K], for one step; log_decay, state and reset as in
    `delta_rule`. Returns y [B, T, H, V] in w's dtype and the final state in float32. Stable if the eigenvalue
    1 − eᵀu of each step is in [−1, 1] and u is not much longer than e.

    impl, chunk: as in `delta_rule`, the chunk in tokens, by default fewer with several steps per token.
    ValueError as there, and for shapes that do not fit.

    Source: e = k: Yang et al. 2024, arXiv 2412.06464; several steps: Siems et al. 2025, arXiv 2502.10297;
    e other than u: Peng et al. 2025, arXiv 2503.14456.
    """
    fits = u.shape == e.shape and u.shape[:-1] == w.shape[:-1] and q.shape == (*u.shape[:3], u.shape[-1])
    fits = fits and (write_key is None or (write_key.shape == u.shape and u.ndim == 4))
    if not fits or u.ndim not in (4, 5):
        named = {"q": q, "u": u, "e": e, "w": w, "write_key": write_key}
        shapes = ", ".join(f"{name} {x.shape}" for name, x in named.items() if x is not None)
        raise ValueError(f"generalised_delta_rule: shapes that do not fit: {shapes}")
    steps = q, u, e, w, write_key
    y, state = _run("generalised_delta_rule", *steps, log_decay, state, reset, impl, chunk, axis_name)
    return y.astype(w.dtype), state


def _run(op, q, u, e, w, k, log_decay, state, reset, impl, chunk, axis_name):
    """(y, final state), both at least float32."""
    q, u, w, log_decay, state = prepare_heads(op, q, u, w, log_decay, state, reset)
    impl, default_chunk, group = choose_by_state(op, DEFAULTS, impl, chunk, u, w, log_decay)
    if u.ndim == 5:  # about as many steps in a chunk as with one step per token
        default_chunk = max(1, default_chunk >> (u.shape[3] - 1).bit_length())
    chunk = chunk_length(op, chunk, default_chunk, q.shape[1])
    e, k = e.astype(u.dtype), None if k is None else k.astype(u.dtype)
    if axis_name is not None:
        q, u, e, w, k, log_decay, state = over_time.varying((q, u, e, w, k, log_decay, state), axis_name)
        alone = functools.partial(generalised_delta_rule, q, write_key=k, impl=impl, chunk=chunk)
        state = over_time.start_of_delta_rule(alone, u, e, w, log_decay, state, axis_name)
    u, e, w = (x.reshape(*q.shape[:3], -1) for x in (u, e, w))
    if impl == "sequential":
        state, y = scan_steps(state, q, u, w, e, k, log_decay)
    else:
        y, state = scan_heads(_chunks, state, (q, u, e, w, k, log_decay), chunk, group, KEPT)
    return y, state if axis_name is None else over_time.of_last(state, axis_name)


def _chunks(state, inputs):
    """S_t = diag(exp g_t) S_{t-1} + u_t ŵ_tᵀ with ŵ_t = w_t − (diag(exp g_t) S_{t-1})ᵀ e_t.

    Within a chunk that starts from S: (I + L) Ŵ = W − E' S, where L is strictly lower triangular,
    L_ij = e_iᵀ exp(Σ_{j<t≤i} g_t) u_j, and E' are the erase keys decayed since the start. So Ŵ = A − P S, and
    A, P do not depend on S. i and j count steps, of which a token has n, the first with its decay.

    With write keys k, W goes under them, and what is left for u is Ŵ = −(I + L)⁻¹ (M W + E' S), where M is L
    with k in place of u.
    """
    q, u, e, w, k, log_decay = inputs  # [group, B, H, C, ·]; u, e, w: the n steps of a token side by side
    n = u.shape[-1] // q.shape[-1]
    u, e, w = (x.reshape(*x.shape[:-2], -1, x.shape[-1] // n) for x in (u, e, w))
    inverse = unit_lower_inverse(jnp.tril(causal_scores(e, u, _at_first_of(n, log_decay)), -1))
    # q reads after the last step of its token: the decays since a step are those since the step's token.
    scores = [causal_scores(q, u[..., i::n, :], log_decay) for i in range(n)]
    scores = scores[0] if n == 1 else jnp.stack(scores, axis=-1).reshape(*q.shape[:-1], -1)
    read = added = None
    if k is not None:
        read = matmul(causal_scores(q, k, log_decay), w)
        k_until_end = k if log_decay is None else k * decay_until_end(log_decay)
        added = matmul_rows(k_until_end, w)
        w = -matmul(jnp.tril(causal_scores(e, k, log_decay), -1), w)
    decay, u_until_end = None, u
    if log_decay is not None:
        since_start = decay_since_start(log_decay)
        q, e = q * since_start, e * _repeat(n, since_start)
        u_until_end = u * _repeat(n, decay_until_end(log_decay))
        decay = jnp.exp(jnp.sum(log_decay, axis=-2))[..., None]
    A, P = matmul(inverse, w), matmul(inverse, e)

    def next_chunk(state, inputs):
        A, P, u, decay, added = inputs
        W = A - matmul(P, state)
        state_out = (state if decay is None else decay * state) + matmul_rows(u, W)
        return state_out if added is None else state_out + added, (W, state)

    state, (W, starts) = jax.lax.scan(next_chunk, state, (A, P, u_until_end, decay, added))
    W = checkpoint_name(W, "W")
    y = matmul(q, starts) + matmul(scores, W)
    return state, y if read is None else y + read


def _at_first_of(n, log_decay):
    """The log-decays of the tokens [..., C, ·] at the first of their n steps, zero at the others."""
    if log_decay is None or n == 1:
        return log_decay
    padded = jnp.pad(log_decay[..., None, :], [(0, 0)] * (log_decay.ndim - 1) + [(0, n - 1), (0, 0)])
    return padded.reshape(*log_decay.shape[:-2], -1, log_decay.shape[-1])


def _repeat(n, x):
    return x if n == 1 else jnp.repeat(x, n, axis=-2)


@jax.custom_vjp
def unit_lower_inverse(L):
    """(I + L)⁻¹ of a strictly lower triangular L [..., C, C].

    By [[A, 0], [B, D]]⁻¹ = [[A⁻¹, 0], [−D⁻¹ B A⁻¹, D⁻¹]], both blocks of a level at once. The shorter product
    (I − L)(I + L²)(I + L⁴)… cancels catastrophically when keys repeat.
    """
    return _inverse(L)


def _inverse(L):
    size = L.shape[-1]
    if size <= 2:  # L² = 0
        return jax.lax.expand_dims(jnp.eye(size, dtype=L.dtype), range(L.ndim - 2)) - L
    if size % 2:
        return _inverse(jnp.pad(L, [(0, 0)] * (L.ndim - 2) + [(0, 1), (0, 1)]))[..., :-1, :-1]
    half = size // 2
    A, D = _inverse(jnp.stack([L[..., :half, :half], L[..., half:, half:]]))
    times = matmul if half > 4 else _small_product
    return join_blocks(A, -times(D, times(L[..., half:, :half], A)), D)


def _small_product(x, y):
    """x y as a sum of outer products: on a CPU a library call would take longer than the product."""
    return sum(x[..., :, i : i + 1] * y[..., i : i + 1, :] for i in range(x.shape[-1]))


def _inverse_forward(L):
    inverse = checkpoint_name(_inverse(L), "inverse")
    return inverse, inverse


def _inverse_backward(inverse, cotangent):
    return (-jnp.tril(matmul_rows(inverse, matmul_columns(cotangent, inverse)), -1),)


unit_lower_inverse.defvjp(_inverse_forward, _inverse_backward)
