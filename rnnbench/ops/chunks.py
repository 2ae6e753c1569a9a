"""Shared by the chunked ops: choosing an implementation, cutting time into chunks, decays inside a chunk."""

import jax
import jax.numpy as jnp
from jax.sharding import AxisType

from rnnbench.ops.products import matmul, matmul_columns

# A log-decay whose exp is exactly 0, in sums too, while every difference and gradient stays finite.
LOG_ZERO = -1e4


def cleared(x, reset, value=0):
    """x with `value` wherever `reset` is true; the axes of reset are the first of x, or x has 1 there."""
    return jnp.where(reset.reshape(*reset.shape, *(1,) * (x.ndim - reset.ndim)), value, x)


def accumulator_dtype(*arrays):
    """At least float32; complex64 for complex inputs."""
    return jnp.promote_types(jnp.result_type(*arrays), jnp.float32)


def choose(op, defaults, impl):
    """The row of `defaults` for this platform, with `impl` checked: (impl, *rest of the row)."""
    default_impl, impls, *rest = defaults.get(jax.default_backend(), defaults["accelerator"])
    if impl is not None and impl not in impls:
        raise ValueError(f"{op}: impl must be one of {', '.join(impls)}, got {impl!r}")
    return impl or default_impl, *rest


def choose_by_state(op, defaults, impl, chunk, k, v, log_decay):
    """As `choose`, for a matrix state per head; k, v and log_decay as `prepare_heads` returns them.

    If impl and chunk are left open, a small state goes step by step on a CPU: K·V up to 128 without decay, up
    to 256 with a decay per head, and up to 1,024 with one per channel, which costs most in chunks.
    docs/speed.md has the measurements.
    """
    default_impl, *rest = choose(op, defaults, impl)
    if impl is None and chunk is None and jax.default_backend() == "cpu":
        small = 128 if log_decay is None else 256 if log_decay.shape[-1] == 1 else 1024
        default_impl = "sequential" if k.shape[-1] * v.shape[-1] <= small else default_impl
    return default_impl, *rest


def chunk_length(op, chunk, default, length):
    """`chunk`, or `default` if that is None; at most the smallest power of two that holds the sequence.

    On a CPU the default is halved, down to 8, until a sequence is padded by at most a quarter. So 40 tokens
    are three chunks of 16 and not two of 32. A step of parity `small` took 0.57 (gated_deltanet) to 0.85
    (linear_transformer) of the time, both in turn on two busy cores.
    """
    least = 1 << (length - 1).bit_length()
    if chunk is None:
        chunk = min(default, least)
        while jax.default_backend() == "cpu" and chunk > 8 and 4 * (-length % chunk) > length:
            chunk //= 2
    if chunk < 1 or chunk & (chunk - 1):
        raise ValueError(f"{op}: chunk must be a power of two, got {chunk}")
    return min(chunk, least)


def split_time(x, chunk, group=1):
    """[B, T, ...] -> [groups, group, B, chunk, ...], padded with zeros, which leave every state unchanged."""
    batch, length, *rest = x.shape
    padding = -length % (chunk * group)
    x = jnp.pad(x, [(0, 0), (0, padding)] + [(0, 0)] * len(rest))
    x = x.reshape(batch, -1, group, chunk, *rest)
    return jnp.moveaxis(x, 0, 2)


def join_time(x, length):
    """The inverse of `split_time`, with the padding removed."""
    x = jnp.moveaxis(x, 2, 0)
    return x.reshape(x.shape[0], -1, *x.shape[4:])[:, :length]


def scan_chunks(body, state, xs, kept=()):
    """`lax.scan` whose backward pass keeps the states between the bodies and the values that a body gave one
    of the `kept` names (`checkpoint_name`), and recomputes everything else inside them.
    """
    if jax.tree.leaves(xs)[0].shape[0] > 1:
        policy = jax.checkpoint_policies.save_only_these_names(*kept)
        body = jax.checkpoint(body, prevent_cse=False, policy=policy)
    return jax.lax.scan(body, state, xs)


def scan_heads(body, state, xs, chunk, max_group, kept=()):
    """Runs a matrix-state recurrence over time in chunks.

    xs: pytree of [B, T, H, ·]. `body(state, xs) -> (state, y)` gets a group of up to `max_group` chunks,
    [group, B, H, C, ·], which it processes in parallel wherever it does not need the state; kept as in
    `scan_chunks`.
    """
    length = jax.tree.leaves(xs)[0].shape[1]
    chunks = -(-length // chunk)
    groups = -(-chunks // max_group)
    group = -(-chunks // groups)
    xs = jax.tree.map(lambda x: jnp.swapaxes(split_time(x, chunk, group), 3, 4), xs)
    state, y = scan_chunks(body, state, xs, kept)
    return join_time(jnp.swapaxes(y, 3, 4), length), state


def splits_automatically():
    """Whether a mesh is set that has several devices on an axis along which the compiler splits arrays."""
    mesh = jax.sharding.get_abstract_mesh()
    return any(n > 1 for n, kind in zip(mesh.axis_sizes, mesh.axis_types) if kind == AxisType.Auto)


def total(x, axis):
    """The sum over an axis.

    XLA for CPUs hands a plain sum to YNNPACK, whose call takes longer than a small sum does. It keeps a sum
    that rounds every partial sum to the precision that it already has. So the gradient of the delta rule took
    a third of the time (K = V = 8). Elsewhere it is a plain sum, and where the compiler may split it over
    devices: it knows no such sum of several.
    """
    if jax.default_backend() != "cpu" or splits_automatically():
        return jnp.sum(x, axis)
    info = jnp.finfo(x.dtype)
    add = lambda a, b: jax.lax.reduce_precision(a + b, info.nexp, info.nmant)
    return jax.lax.reduce(x, jnp.zeros((), x.dtype), add, (axis % x.ndim,))


def decay_since_start(log_decay):
    """exp of the sum of log-decays up to and including each step; log_decay [..., C, K or 1]."""
    return jnp.exp(jnp.cumsum(log_decay, axis=-2))


def decay_until_end(log_decay):
    """exp of the sum of log-decays after each step: summed separately, since differences of sums cancel."""
    later = jnp.concatenate([log_decay[..., 1:, :], jnp.zeros_like(log_decay[..., :1, :])], axis=-2)
    return jnp.exp(jax.lax.cumsum(later, axis=later.ndim - 2, reverse=True))


def join_blocks(upper_left, lower_left, lower_right):
    """[[upper_left, 0], [lower_left, lower_right]]."""
    upper = jnp.concatenate([upper_left, jnp.zeros_like(lower_left)], axis=-1)
    return jnp.concatenate([upper, jnp.concatenate([lower_left, lower_right], axis=-1)], axis=-2)


def causal_scores(q, k, log_decay=None):
    """A_ij = Σ_c q_ic k_jc exp(Σ_{j<t≤i} g_tc) for j ≤ i, else 0.

    q, k: [group, ..., C, K]; log_decay: [group, ..., C, K or 1] or None; A: [group, ..., C, C]. With a decay
    per channel, the block below the diagonal factors at its corner into decays since the middle (of q) and
    until it (of k), both ≤ 1; the two blocks on the diagonal are the same problem at half the size, down to
    blocks of 8. So nothing overflows for any decay, and no [C, C, K] array is formed.
    """
    if log_decay is None:
        return jnp.tril(matmul_columns(q, k))
    if log_decay.shape[-1] == 1:
        decay = _decay_between(log_decay)[..., 0]
        return jnp.tril(matmul_columns(q, k) * decay)
    if (size := q.shape[-2]) <= 8:
        decay = _decay_between(log_decay)
        return jnp.tril(jnp.sum(q[..., :, None, :] * k[..., None, :, :] * decay, axis=-1))
    if size % 2:
        padded = (jnp.pad(x, [*[(0, 0)] * (x.ndim - 2), (0, 1), (0, 0)]) for x in (q, k, log_decay))
        return causal_scores(*padded)[..., :size, :size]
    q_halves, k_halves, g_halves = (jnp.split(x, 2, axis=-2) for x in (q, k, log_decay))
    # Side by side on the first axis, not a new one: XLA 0.10 for CPUs crashes on sums over arrays of rank 8.
    both = causal_scores(*(jnp.concatenate(halves) for halves in (q_halves, k_halves, g_halves)))
    first, second = jnp.split(both, 2)
    q_since_middle = q_halves[1] * decay_since_start(g_halves[1])
    k_until_middle = k_halves[0] * decay_until_end(g_halves[0])
    return join_blocks(first, matmul_columns(q_since_middle, k_until_middle), second)


def _decay_between(log_decay):
    """exp(Σ_{j<t≤i} g_t) for j < i, else 1; [..., C, ·] -> [..., C, C, ·]."""
    size = log_decay.shape[-2]
    after = jnp.tril(jnp.ones((size, size), bool), -1).reshape(size, size, 1)
    # Summed from the step after j on, since differences of long sums cancel; masked before exp.
    steps = jnp.where(jax.lax.expand_dims(after, range(log_decay.ndim - 2)), log_decay[..., :, None, :], 0)
    if log_decay.shape[-1] > 1:
        return jnp.exp(jnp.cumsum(steps, axis=-3))
    # On two CPU cores the product makes forward and gradient of the delta rule take 0.8 of the time (T 256).
    return jnp.exp(matmul(jnp.tril(jnp.ones((size, size), steps.dtype)), steps[..., 0]))[..., None]


def prepare_heads(op, q, k, v, log_decay, state, reset=None):
    """All inputs in the accumulator's dtype, state never None, log_decay None or [B, T, H, K or 1].

    A reset becomes a decay to zero.
    """
    dtype = accumulator_dtype(q, k, v)
    batch, _, heads, key_dim = q.shape
    if state is None:
        state = jnp.zeros((batch, heads, key_dim, v.shape[-1]), jnp.float32)
    if log_decay is not None:
        if log_decay.shape not in (q.shape, q.shape[:-1]):
            raise ValueError(f"{op}: log_decay must be [B, T, H] or [B, T, H, K], got {log_decay.shape}")
        # No −∞, whose product with the 0 of a mask is no number.
        log_decay = jnp.maximum(log_decay.astype(dtype), LOG_ZERO).reshape(*q.shape[:-1], -1)
    if reset is not None:
        log_decay = jnp.zeros((*q.shape[:-1], 1), dtype) if log_decay is None else log_decay
        log_decay = cleared(log_decay, reset, LOG_ZERO)
    return *(x.astype(dtype) for x in (q, k, v)), log_decay, state.astype(dtype)
