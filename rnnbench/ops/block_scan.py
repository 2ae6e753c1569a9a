"""Linear recurrence with dense blocks, each a full matrix that may differ at every step."""

import functools

import jax
import jax.numpy as jnp

from rnnbench.ops import over_time
from rnnbench.ops.chunks import accumulator_dtype, choose, chunk_length, cleared
from rnnbench.ops.products import matmul

IMPLS = ("chunked", "sequential")
# impl, names, chunk. On a CPU the K³ of a product of transitions costs more than it saves: 3.8 ms sequential,
# 16 in chunks of 8, 40 in chunks of 16 (forward, gradient; B8 T256, 16 blocks of 4).
DEFAULTS = {"cpu": ("sequential", IMPLS, 8), "accelerator": ("chunked", IMPLS, 64)}


def block_scan(A, b, state=None, *, reset=None, impl=None, chunk=None, axis_name=None):
    """h_t = A_t h_{t-1} + b_t,  y_t = h_t, with H blocks of size K.

    A: [B, T, H, K, K]; b: [B, T, H, K], or [B, T, H, K, V] for V columns side by side; state: [B, H, K] or
    [B, H, K, V], or None (zeros); reset: [B, T] bool or None, the state is cleared before token t wherever
    reset[b, t]. Returns y of the shape and dtype of b and the final state in float32.

    impl: "chunked" (`jax.lax.associative_scan` over the products of transitions inside a chunk, states only
    between chunks; default on accelerators) or "sequential" (`jax.lax.scan`; default on CPU). The gradient of
    either is the same recurrence run backwards, dh_t = dy_t + A_{t+1}ᵀ dh_{t+1} with dA_t = dh_t h_{t-1}ᵀ and
    db_t = dh_t (reverse mode only). chunk: a power of two, default by platform. ValueError for an unknown
    impl, another chunk or shapes that do not fit.

    Source: Blelloch 1990, "Prefix sums and their applications"; dense blocks: Fan et al. 2023, arXiv
    2311.01927, and Walker et al. 2025, arXiv 2505.17761.
    """
    impl, default_chunk = choose("block_scan", DEFAULTS, impl)
    chunk = chunk_length("block_scan", chunk, default_chunk, b.shape[1])
    if A.shape != (*b.shape[:4], b.shape[3]):
        raise ValueError(f"block_scan: A must be [B, T, H, K, K] for b [B, T, H, K]; {A.shape}, {b.shape}")
    shape, result, dtype = b.shape, b.dtype, accumulator_dtype(A, b)
    state = jnp.zeros_like(b[:, 0], dtype) if state is None else state.astype(dtype)
    A, b = A.astype(dtype), b.astype(dtype).reshape(*shape[:4], -1)
    state = state.reshape(b[:, 0].shape)
    if reset is not None:
        A = cleared(A, reset)
    if axis_name is not None:
        A, b, state = over_time.varying((A, b, state), axis_name)
        alone = functools.partial(block_scan, impl=impl, chunk=chunk)
        state = over_time.start_of_block_scan(alone, A, b, state, axis_name)
    h = _scan(A, b, state, impl, chunk)
    last = h[:, -1] if axis_name is None else over_time.of_last(h[:, -1], axis_name)
    return h.reshape(shape).astype(result), last.reshape(shape[0], *shape[2:])


@functools.partial(jax.custom_vjp, nondiff_argnums=(3, 4))
def _scan(A, b, state, impl, chunk):
    """Every h_t [B, T, H, K, V]."""
    return _run(A, b, state, impl, chunk)


def _forward(A, b, state, impl, chunk):
    h = _run(A, b, state, impl, chunk)
    return h, (A, h, state)


def _backward(impl, chunk, residuals, dh):
    A, h, state = residuals
    back = jnp.flip(jnp.swapaxes(A, -1, -2), axis=1)  # A_Tᵀ first
    # The first transition of the way back meets a zero state: any will do.
    shifted = jnp.concatenate([jnp.zeros_like(back[:, :1]), back[:, :-1]], axis=1)
    dh = jnp.flip(_run(shifted, jnp.flip(dh, axis=1), jnp.zeros_like(state), impl, chunk), axis=1)
    before = jnp.concatenate([state[:, None], h[:, :-1]], axis=1)
    return _times(dh, jnp.swapaxes(before, -1, -2)), dh, _times(back[:, -1], dh[:, 0])


_scan.defvjp(_forward, _backward)


def _run(A, b, state, impl, chunk):
    if impl == "sequential":
        return _sequential(A, b, state)
    length = b.shape[1]
    A, b = (_split(x, chunk) for x in (A, b))

    def then(earlier, later):
        return _times(later[0], earlier[0]), _times(later[0], earlier[1]) + later[1]

    # Of each chunk: the products of its transitions up to every step, and its states from a zero start.
    products, written = jax.lax.associative_scan(then, (A, b), axis=2)

    def next_chunk(state, inputs):
        product, written = inputs
        return _times(product, state) + written, state

    ends = jax.tree.map(lambda x: jnp.moveaxis(x[:, :, -1], 1, 0), (products, written))
    _, starts = jax.lax.scan(next_chunk, state, ends)
    h = _times(products, jnp.moveaxis(starts, 0, 1)[:, :, None]) + written
    return h.reshape(h.shape[0], -1, *h.shape[3:])[:, :length]


def _split(x, chunk):
    """[B, T, ...] -> [B, chunks, chunk, ...], padded with zeros at the end."""
    x = jnp.pad(x, [(0, 0), (0, -x.shape[1] % chunk)] + [(0, 0)] * (x.ndim - 2))
    return x.reshape(x.shape[0], -1, chunk, *x.shape[2:])


def _sequential(A, b, state):
    def step(state, inputs):
        A, b = inputs
        state = _times(A, state) + b
        return state, state

    _, h = jax.lax.scan(step, state, (jnp.moveaxis(A, 1, 0), jnp.moveaxis(b, 1, 0)))
    return jnp.moveaxis(h, 0, 1)


def _times(x, y):
    """x y for matrices on the last two axes; small ones without a library call, which would take longer."""
    if x.shape[-1] > 8:
        return matmul(x, y)
    return sum(x[..., :, i : i + 1] * y[..., i : i + 1, :] for i in range(x.shape[-1]))
