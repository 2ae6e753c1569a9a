"""The delta rule, with or without decay: a memory that overwrites the value stored under a key."""

import functools

import jax
import jax.numpy as jnp
from jax.ad_checkpoint import checkpoint_name

from rnnbench.ops import over_time
from rnnbench.ops.chunks import (
    causal_scores,
    choose,
    chunk_length,
    decay_since_start,
    decay_until_end,
    join_blocks,
    matmul,
    prepare_heads,
    scan_heads,
)

IMPLS = ("chunked", "sequential")
# impl, names, chunk, how many chunks are processed together. On an H200 all 32 chunks of T 2048 at once
# took 3.5 ms forward and gradient, two groups of 16 took 5.1 (B 8, H 8, K 64; float32 and bfloat16 alike).
DEFAULTS = {"cpu": ("chunked", IMPLS, 32, 1), "accelerator": ("chunked", IMPLS, 64, 64)}
# What the gradient does not recompute: the inverse [C, C] and the written values [C, V] of every chunk.
KEPT = ("inverse", "W")


def delta_rule(
    q, k, v, beta, log_decay=None, state=None, *, reset=None, impl=None, chunk=None, axis_name=None
):
    """S_t = (I − β_t k_t k_tᵀ) diag(exp g_t) S_{t-1} + β_t k_t v_tᵀ,  y_t = S_tᵀ q_t.

    q, k: [B, T, H, K]; v: [B, T, H, V]; beta: [B, T, H]; log_decay g ≤ 0: None (no decay), [B, T, H] or
    [B, T, H, K]; state: [B, H, K, V] or None (zeros). Returns y [B, T, H, V] in v's dtype and the final
    state in float32. Stable for β ‖k‖² in [0, 2]: normalise k before; nothing is scaled or normalised here.

    impl: "chunked" (default; WY form, matmuls inside a chunk, states only between chunks) or "sequential"
    (one step at a time; its gradient keeps every state). chunk: a power of two, default by platform.
    ValueError for an unknown impl, another chunk or another shape of log_decay.

    Source: Yang et al. 2024, arXiv 2406.06484; with decay: Yang et al. 2024, arXiv 2412.06464.
    """
    impl, default_chunk, group = choose("delta_rule", DEFAULTS, impl)
    chunk = chunk_length("delta_rule", default_chunk if chunk is None else chunk, q.shape[1])
    dtype = v.dtype
    q, k, v, log_decay, state = prepare_heads("delta_rule", q, k, v, log_decay, state, reset)
    beta = beta.astype(v.dtype)[..., None]
    if axis_name is not None:
        q, k, v, beta, log_decay, state = over_time.varying((q, k, v, beta, log_decay, state), axis_name)
        alone = functools.partial(delta_rule, impl=impl, chunk=chunk)
        state = over_time.start_of_delta_rule(alone, k, v, beta[..., 0], log_decay, state, axis_name)
    if impl == "sequential":
        y, state = _sequential(q, k, v, beta, log_decay, state)
    else:
        # β is multiplied into k and v here: its gradient is then one sum over all of time, outside the loop.
        y, state = scan_heads(_chunks, state, (q, k, beta * k, beta * v, log_decay), chunk, group, KEPT)
    return y.astype(dtype), state if axis_name is None else over_time.of_last(state, axis_name)


def _chunks(state, inputs):
    """S_t = diag(exp g_t) S_{t-1} + k_t w_tᵀ with w_t = β_t (v_t − (diag(exp g_t) S_{t-1})ᵀ k_t).

    Within a chunk that starts from S: (I + L) W = diag(β) (V − K' S), where L is strictly lower triangular,
    L_ij = β_i k_iᵀ exp(Σ_{j<t≤i} g_t) k_j, and K' are the keys decayed since the start. So
    W = U − P S, and U, P do not depend on S.
    """
    q, k, written_k, written_v, log_decay = inputs  # [group, B, H, C, ·]; written: times β
    inverse = unit_lower_inverse(jnp.tril(causal_scores(written_k, k, log_decay), -1))
    scores = causal_scores(q, k, log_decay)
    decay, k_until_end = None, k
    if log_decay is not None:
        since_start = decay_since_start(log_decay)
        q, written_k = q * since_start, written_k * since_start
        k_until_end = k * decay_until_end(log_decay)
        decay = jnp.exp(jnp.sum(log_decay, axis=-2))[..., None]
    U, P = matmul(inverse, written_v), matmul(inverse, written_k)

    def next_chunk(state, inputs):
        U, P, k, decay = inputs
        W = U - matmul(P, state)
        decayed = state if decay is None else decay * state
        return decayed + matmul(jnp.swapaxes(k, -1, -2), W), (W, state)

    state, (W, starts) = jax.lax.scan(next_chunk, state, (U, P, k_until_end, decay))
    W = checkpoint_name(W, "W")
    return state, matmul(q, starts) + matmul(scores, W)


@jax.custom_vjp
def unit_lower_inverse(L):
    """(I + L)⁻¹ of a strictly lower triangular L [..., C, C], C a power of two.

    By [[A, 0], [B, D]]⁻¹ = [[A⁻¹, 0], [−D⁻¹ B A⁻¹, D⁻¹]], both blocks of a level at once. The shorter product
    (I − L)(I + L²)(I + L⁴)… cancels catastrophically when keys repeat.
    """
    return _inverse(L)


def _inverse(L):
    size = L.shape[-1]
    if size <= 2:  # L² = 0
        return jax.lax.expand_dims(jnp.eye(size, dtype=L.dtype), range(L.ndim - 2)) - L
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
    transposed = jnp.swapaxes(inverse, -1, -2)
    return (-jnp.tril(matmul(matmul(transposed, cotangent), transposed), -1),)


unit_lower_inverse.defvjp(_inverse_forward, _inverse_backward)


def _sequential(q, k, v, beta, log_decay, state):
    def step(state, inputs):
        q, k, v, beta, log_decay = inputs
        if log_decay is not None:
            state = jnp.exp(log_decay)[..., None] * state
        w = beta * (v - jnp.sum(state * k[..., None], axis=-2))
        state = state + k[..., None] * w[..., None, :]
        return state, jnp.sum(state * q[..., None], axis=-2)

    xs = jax.tree.map(lambda x: jnp.moveaxis(x, 1, 0), (q, k, v, beta, log_decay))
    state, y = jax.lax.scan(step, state, xs)
    return jnp.moveaxis(y, 0, 1), state
