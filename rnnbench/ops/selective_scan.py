"""Mamba's selective state space recurrence."""

import functools

import jax
import jax.numpy as jnp
from jax.sharding import AxisType

from rnnbench.ops import over_time
from rnnbench.ops.chunks import (
    accumulator_dtype,
    choose,
    chunk_length,
    cleared,
    join_time,
    scan_chunks,
    split_time,
    splits_automatically,
    total,
)
from rnnbench.ops.linear_scan import scan_along

IMPLS = ("chunked", "segments", "sequential")
CHUNKS = dict.fromkeys(IMPLS, 64) | {"pallas": 4}
# impl, names, chunk of each, steps per iteration of a loop. On a CPU what is computed side by side should be
# in the cache; on a GPU a step takes as long as starting its kernels, unless all are in one (results/gpu).
DEFAULTS = {
    "cpu": (
        "sequential",
        ("pallas", *IMPLS),
        CHUNKS | {"chunked": 4, "segments": 16, "sequential": 16},
        1,
    ),
    "gpu": ("pallas", ("pallas", *IMPLS), CHUNKS, 4),
    "accelerator": ("segments", IMPLS, CHUNKS, 4),
}
SIDE_BY_SIDE = 8  # segments at most
WRITTEN_OUT = 8  # steps of the kernel at most: Triton compiles more for minutes


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

    impl: "chunked" (`jax.lax.associative_scan` inside a chunk of time), "sequential" (`jax.lax.scan` inside,
    with a gradient written by hand; default on a CPU), "segments" (the same in up to 8 chunks at once, and
    `associative_scan` for the states between them; default on other accelerators) or "pallas" (one kernel;
    default on NVIDIA's GPUs from Ampere on, if no mesh splits the batch and chunk is None; where `jit` alone
    splits it, "segments" does not gather it). Only the states of these chunks exist at once, in the backward
    pass as well: it keeps the states between them and recomputes those inside. The kernel's chunks are of 4
    steps, so that it keeps a quarter of all states, and as much again while it computes the gradient.
    chunk: a power of two, default by platform; at most 8 with "pallas", whose steps it writes out. ValueError
    for an unknown impl or another chunk.

    Source: Gu & Dao 2023, arXiv 2312.00752; negative eigenvalues: Grazzi et al. 2024, arXiv 2411.12537.
    """
    given, (impl, default_chunks, unroll) = impl, choose("selective_scan", DEFAULTS, impl)
    if impl == "pallas" and given is None and not (chunk is None and _kernel_can_run(u)):
        impl = "segments"
    length = u.shape[1]
    chunk = chunk_length("selective_scan", chunk, default_chunks[impl], length)
    if impl == "pallas" and chunk > WRITTEN_OUT:
        raise ValueError(f"selective_scan: chunk must be at most {WRITTEN_OUT} with pallas, got {chunk}")
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
    wide_u, delta, B, C = (x.astype(dtype) for x in (u, delta, B, C))
    if impl == "pallas":
        from rnnbench.ops import selective_scan_pallas as kernel  # takes half a second, and no CPU needs it

        y, state = kernel.selective_scan(wide_u, delta, A, B, C, state, reset, negative_eigenvalues, chunk)
    else:
        group = SIDE_BY_SIDE if impl == "segments" else 1
        parallel = impl == "chunked"
        inputs = delta, delta * wide_u, B, C, reset
        y, state = _in_chunks(A, inputs, state, negative_eigenvalues, parallel, chunk, group, unroll)
    if D is not None:
        y = y + D.astype(dtype)[None, None] * wide_u
    state = jnp.swapaxes(state, 1, 2)
    return y.astype(u.dtype), state if axis_name is None else over_time.of_last(state, axis_name)


def _kernel_can_run(x):
    """Whether Triton compiles for the device, and the call stays on it: no mesh splits the batch.

    The compiler cannot split a kernel, as it splits a batch over an automatic or explicit mesh axis, and the
    kernel says nothing of what varies over a manual one.
    """
    aval, mesh = jax.typeof(x), jax.sharding.get_abstract_mesh()
    explicit = AxisType.Explicit in (*mesh.axis_types, *aval.sharding.mesh.axis_types)
    varying = getattr(getattr(aval, "mat", None), "varying", ())
    return not explicit and not varying and not splits_automatically() and _compute_capability() >= 8


def _compute_capability():
    """9.0, for example, of the GPU that a computation goes to; 0 of other devices, and without Triton in jax.

    jax deprecates Pallas' Triton backend since 0.11.
    """
    try:
        from jax.experimental.pallas.triton import CompilerParams  # noqa: F401
    except ImportError:
        return 0.0
    device = jax.config.jax_default_device or jax.local_devices()[0]
    version = str(getattr(device, "compute_capability", ""))
    return float(version) if version.replace(".", "", 1).isdecimal() else 0.0


def _in_chunks(A, inputs, state, negative, parallel, chunk, group, unroll):
    """(y [B, T, D], final state [B, N, D]) of at most `group` chunks at once; `parallel`: a scan in each."""
    length = inputs[0].shape[1]
    chunks = -(-length // chunk)
    size = chunk if parallel else -(-length // chunks)  # 40 steps: two pieces of 20, without padding
    group = -(-chunks // -(-chunks // group))

    def in_parallel(h, inputs):
        decay, added, C = _transition(A[None, None], jax.tree.map(_joined, inputs), negative)
        h = scan_along(decay, added, h, 0, "associative")
        return h[-1], jnp.sum(h * C, axis=2)[:, None]

    def in_steps(h, inputs):
        return _scan_segments(negative, unroll, h, A[None], inputs)

    def time_first(x):
        """[groups, size, segments of the group, B, ...]"""
        return jnp.moveaxis(split_time(x, size, group), 3, 1)

    state, y = scan_chunks(in_parallel if parallel else in_steps, state, jax.tree.map(time_first, inputs))
    return join_time(jnp.moveaxis(y, 1, 3), length), state


def _transition(A, inputs, negative):
    """The transition Ā, Δ u B and C, each [..., B, N, D] or with 1 in place of D; A: [..., 1, N, D]."""
    delta, delta_u, B, C, reset = inputs  # [..., B, D] and [..., B, N]
    decay = jnp.exp(delta[..., None, :] * A)
    decay = 2 * decay - 1 if negative else decay
    decay = decay if reset is None else cleared(decay, reset)
    return decay, delta_u[..., None, :] * B[..., None], C[..., None]


@functools.partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def _scan_segments(negative, unroll, state, A, inputs):
    """(final state, y [T, S, B, D]) of S segments that follow each other, side by side and step by step.

    inputs: [T, S, B, ...]; A: [1, N, D]. A first pass gives each segment's product of transitions P and its
    state from zeros e; h_s = P_s h_{s-1} + e_s are the states between them. The gradient by these follows
    from the same recurrence backwards.
    """
    return _segments_forward(negative, unroll, state, A, inputs)[0]


def _segments_forward(negative, unroll, state, A, inputs):
    length, segments, *_ = inputs[0].shape
    inputs, starts, product = jax.tree.map(_joined, inputs), state, None
    if segments > 1:

        def step(carry, inputs):
            decay, added, _ = _transition(A, inputs, negative)
            return (decay * carry[0], decay * carry[1] + added), None

        ones = jnp.ones((segments, *state.shape), state.dtype)
        first = _joined(ones, 0), _joined(0 * ones, 0)
        (product, own), _ = jax.lax.scan(step, first, inputs, unroll=unroll)
        starts = _between(product, own, state)
    (ends, y), kept = _scan_forward(negative, unroll, starts, A, inputs)
    return (ends[-state.shape[0] :], y.reshape(length, segments, -1, y.shape[-1])), (A, inputs, kept, product)


def _segments_backward(negative, unroll, residuals, cotangents):
    A, inputs, kept, product = residuals
    dh, dy = cotangents
    segments, batch = dy.shape[1:3]
    dy = _joined(dy)
    if segments > 1:

        def step(dh, inputs):
            dy, inputs = inputs
            decay, _, C = _transition(A, inputs, negative)
            return decay * (dh + C * dy[:, None]), None

        own, _ = jax.lax.scan(step, jnp.zeros_like(product), (dy, inputs), reverse=True, unroll=unroll)
        dh = _between(product, own, dh, reverse=True)
    dh, dA, d_inputs = _scan_backward(negative, unroll, (A, inputs, kept), (dh, dy))
    return dh[:batch], dA, jax.tree.map(lambda x: x.reshape(x.shape[0], segments, batch, -1), d_inputs)


_scan_segments.defvjp(_segments_forward, _segments_backward)


def _between(product, own, state, reverse=False):
    """[S·B, ...], what is before each segment of s ↦ P_i s + e_i, one after the other from `state`."""
    in_order = lambda x: x[::-1] if reverse else x
    product, own = (in_order(x.reshape(-1, *state.shape)) for x in (product, own))
    after = scan_along(product, own, state, 0, "associative")
    before = jnp.concatenate([state[None], after[:-1]])
    return _joined(in_order(before), 0)


def _joined(x, axis=1):
    """`axis` and the one after it as one."""
    return x.reshape(*x.shape[:axis], -1, *x.shape[axis + 2 :])


def _scan_forward(negative, unroll, state, A, inputs):
    """((final state, y), the state before each step) of inputs [T, B, ...]."""

    def step(h, inputs):
        decay, added, C = _transition(A, inputs, negative)
        after = decay * h + added
        return after, (total(after * C, 1), h)

    state, (y, kept) = jax.lax.scan(step, state, inputs, unroll=unroll)
    return (state, y), kept


def _scan_backward(negative, unroll, residuals, cotangents):
    """d is the gradient by what follows it; dh by the state after the step at hand, going backwards."""
    A, inputs, kept = residuals
    dh, dy = cotangents

    def step(carry, x):
        (dh, dA), (inputs, h, dy) = carry, x
        decay, added, C = _transition(A, inputs, negative)
        delta, delta_u, B, _, reset = inputs
        delta, delta_u, dy, B = delta[:, None], delta_u[:, None], dy[:, None], B[..., None]
        dh = dh + C * dy
        dC = total((decay * h + added) * dy, 2)
        dB, d_delta_u = total(dh * delta_u, 2), total(dh * B, 1)
        earlier = decay * dh
        # The slope of the transition in Δ A: exp(Δ A) is Ā; 2 exp(Δ A) is Ā + 1.
        d_exponent = (earlier + dh if negative else earlier) * h
        d_exponent = d_exponent if reset is None else cleared(d_exponent, reset)
        d_delta = total(d_exponent * A, 1)
        return (earlier, dA + d_exponent * delta), (d_delta, d_delta_u, dB, dC)

    # dA keeps the batch axis until the end: a sum over it at every step would take longer than all the rest.
    first = dh, jnp.zeros_like(dh)
    (dh, dA), d_inputs = jax.lax.scan(step, first, (inputs, kept, dy), reverse=True, unroll=unroll)
    return dh, jnp.sum(dA, axis=0, keepdims=True), (*d_inputs, None)
