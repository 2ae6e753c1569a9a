"""Linear attention with a matrix state and an optional decay."""

import functools

import jax
import jax.numpy as jnp

from rnnbench.ops import over_time
from rnnbench.ops.chunks import (
    causal_scores,
    choose_by_state,
    chunk_length,
    decay_since_start,
    decay_until_end,
    prepare_heads,
    scan_heads,
)
from rnnbench.ops.products import matmul, matmul_rows
from rnnbench.ops.steps import scan_steps

IMPLS = ("chunked", "sequential")
# impl, names, chunk, how many chunks are processed together (the same as for the delta rule, see there).
DEFAULTS = {"cpu": ("chunked", IMPLS, 32, 1), "accelerator": ("chunked", IMPLS, 64, 64)}


def linear_attention(
    q, k, v, log_decay=None, state=None, *, reset=None, impl=None, chunk=None, axis_name=None
):
    """S_t = diag(exp g_t) S_{t-1} + k_t v_tᵀ,  y_t = S_tᵀ q_t.

    q, k: [B, T, H, K]; v: [B, T, H, V]; log_decay g ≤ 0: None (no decay), [B, T, H] or [B, T, H, K]; state:
    [B, H, K, V] or None (zeros); reset: [B, T] or None. Returns y [B, T, H, V] in v's dtype and the final
    state in float32. Nothing is scaled or normalised: append a column of ones to v for a normaliser.

    impl: "chunked" (matmuls inside a chunk, states only between chunks) or "sequential" (one step at a time);
    by default chunked, but sequential for small states on a CPU (`chunks.choose_by_state`). chunk: a power of
    two, default by platform. ValueError for an unknown impl, another chunk or another shape of log_decay.

    Source: Katharopoulos et al. 2020, arXiv 2006.16236; with decay: Yang et al. 2023, arXiv 2312.06635.
    """
    dtype = v.dtype
    q, k, v, log_decay, state = prepare_heads("linear_attention", q, k, v, log_decay, state, reset)
    impl, default_chunk, group = choose_by_state("linear_attention", DEFAULTS, impl, chunk, k, v, log_decay)
    chunk = chunk_length("linear_attention", chunk, default_chunk, q.shape[1])
    if axis_name is not None:
        q, k, v, log_decay, state = over_time.varying((q, k, v, log_decay, state), axis_name)
        alone = functools.partial(linear_attention, impl=impl, chunk=chunk)
        state = over_time.start_of_linear_attention(alone, k, v, log_decay, state, axis_name)
    if impl == "sequential":
        state, y = scan_steps(state, q, k, v, log_decay=log_decay)
    else:
        y, state = scan_heads(_chunks, state, (q, k, v, log_decay), chunk, group)
    return y.astype(dtype), state if axis_name is None else over_time.of_last(state, axis_name)


def _chunks(state, inputs):
    q, k, v, log_decay = inputs  # [group, B, H, C, ·]
    y = matmul(causal_scores(q, k, log_decay), v)
    decay = None
    if log_decay is not None:
        q = q * decay_since_start(log_decay)
        k = k * decay_until_end(log_decay)
        decay = jnp.exp(jnp.sum(log_decay, axis=-2))[..., None]
    added = matmul_rows(k, v)

    def next_chunk(state, inputs):
        decay, added = inputs
        return (state if decay is None else decay * state) + added, state

    state, starts = jax.lax.scan(next_chunk, state, (decay, added))
    return state, y + matmul(q, starts)
