"""Time split over a mesh axis: inside `jax.shard_map` each of p devices holds [B, T/p, ...], in order.

The linear recurrences are affine in the state: a device's part maps the state S before it to M·S + S₀, where
S₀ is its final state from zeros and M the product of its transitions. So each device summarises its part as
(M, S₀), the states at the starts follow from these summaries, and each device runs its part from there.
Forward and gradient are those of the op and of `ppermute`: no other code deals with a split time axis.
"""

import jax
import jax.numpy as jnp

from rnnbench.ops.products import matmul


def shift(tree, axis_name, by=1):
    """The value of the device `by` places earlier; zeros on the first `by` devices."""
    size = jax.lax.axis_size(axis_name)
    return jax.lax.ppermute(tree, axis_name, [(i, i + by) for i in range(size - by)])


def varying(tree, axis_name):
    """Marks values as device-varying, as `shard_map(check_vma=True)` requires of a scan's initial carry if
    the final carry varies. Does nothing without that check."""

    def cast(x):
        try:
            return jax.lax.pcast(x, axis_name, to="varying")
        except ValueError:  # they are already marked
            return x

    return jax.tree.map(cast, tree)


def is_first(axis_name):
    return jax.lax.axis_index(axis_name) == 0


def of_last(tree, axis_name):
    """The value of the last device, on every device."""
    last = jax.lax.axis_index(axis_name) == jax.lax.axis_size(axis_name) - 1
    return jax.lax.psum(jax.tree.map(lambda x: jnp.where(last, x, jnp.zeros_like(x)), tree), axis_name)


def positions(offset, length, axis_name):
    """The positions of this device's `length` tokens, if those of all devices start at `offset`."""
    part = 0 if axis_name is None else jax.lax.axis_index(axis_name)
    return offset + part * length + jnp.arange(length, dtype=jnp.int32)


def segment_starts(reset, positions, before, axis_name=None):
    """[B, T]: the position of the last reset up to each token, `before` [B] where there was none.

    reset: [B, T], bool, or None; positions: [T], those of these tokens, at least 0 as `before` is.
    """
    if reset is None:
        return jnp.broadcast_to(before[:, None], (*before.shape, *positions.shape))
    last = jax.lax.cummax(jnp.where(reset, positions[None], 0), axis=1)
    if axis_name is not None:
        of_devices = jax.lax.all_gather(last[:, -1], axis_name)
        earlier = jnp.arange(of_devices.shape[0]) < jax.lax.axis_index(axis_name)
        before = jnp.maximum(before, jnp.max(jnp.where(earlier[:, None], of_devices, 0), axis=0))
    return jnp.maximum(last, before[:, None])


def state_at_start(transition, written, state, axis_name, times=jnp.multiply):
    """S_i = M_{i-1}·S_{i-1} + S₀_{i-1} with S_0 = `state`: the state before the part of device i.

    transition M and written S₀ are those of each device's own part, `times(M, S)` and `times(M, M')` their
    products. One exchange with the neighbour, then ⌈log₂ p⌉ of doubling distance (Hillis & Steele 1986).
    """
    size = jax.lax.axis_size(axis_name)
    transition, written = shift((transition, written), axis_name)
    # The first device's M is now zero: a constant map to the state before the whole sequence.
    written = jnp.where(is_first(axis_name), state, written)
    distance = 1
    while distance < size:
        earlier_transition, earlier_written = shift((transition, written), axis_name, distance)
        written = times(transition, earlier_written) + written
        transition = times(transition, earlier_transition)
        distance *= 2
    return written


def start_of_scan(op, a, b, state, axis_name):
    """The state before this device's part of `linear_scan`: M = Π a_t. `op`: the scan on one device."""
    transition = jnp.prod(a, axis=1) if a.shape[1] == b.shape[1] else a[:, 0] ** b.shape[1]
    _, written = op(a, b, jnp.zeros_like(state))
    return state_at_start(jnp.broadcast_to(transition, state.shape), written, state, axis_name)


def start_of_selective_scan(op, u, delta, A, B, C, state, plain, axis_name):
    """The state [B, D, N] before this device's part of `selective_scan`: M = Π Ā_t.

    That is exp(A Σ Δ_t) if `plain`, so without negative eigenvalues and resets. `op(u, delta, A, B, C,
    state=...)`: the scan on one device.
    """
    _, written = op(u, delta, A, B, C, state=jnp.zeros_like(state))
    if plain:
        total = jnp.sum(delta.astype(state.dtype), axis=1)
        transition = jnp.exp(total[..., None] * A.astype(state.dtype)[None])
    else:
        _, transition = op(jnp.zeros_like(u), delta, A, B, C, state=jnp.ones_like(state))
    return state_at_start(transition, written, state, axis_name)


def start_of_linear_attention(op, k, v, log_decay, state, axis_name):
    """The state [B, H, K, V] before this device's part of `linear_attention`: M = diag(exp Σ g_t).

    log_decay: [B, T, H, K or 1] or None; `op(q, k, v, log_decay, state)`: linear attention on one device.
    """
    _, written = op(k, k, v, _as_given(log_decay), jnp.zeros_like(state))
    transition = jnp.ones_like(state)
    if log_decay is not None:
        transition *= jnp.exp(jnp.sum(log_decay, axis=1))[..., None]
    return state_at_start(transition, written, state, axis_name)


def start_of_delta_rule(op, u, e, w, log_decay, state, axis_name):
    """The state [B, H, K, V] before this device's part of the delta rule, general or not.

    M = Π (I − u_t e_tᵀ) diag(exp g_t). log_decay: [B, T, H, K or 1] or None; `op(u, e, w, log_decay, state)`:
    the rule on one device.
    """
    run = lambda w, start: op(u, e, w, _as_given(log_decay), start)
    return state_at_start(*_summary(run, w, state), state, axis_name, times=matmul)


def start_of_block_scan(op, A, b, state, axis_name):
    """The state [B, H, K, V] before this device's part of `block_scan`: M = Π A_t.

    `op(A, b, state)`: the scan on one device.
    """
    run = lambda b, start: op(A, b, start)
    return state_at_start(*_summary(run, b, state), state, axis_name, times=matmul)


def _summary(run, written, state):
    """(M, S₀) of a recurrence whose columns share a dense M: M is its final state from the identity with
    nothing written. So K additional columns, whose state starts at I, give both in one run.

    `run(written, state)`: the recurrence on one device, written [..., V], state [B, H, K, V].
    """
    batch, heads, key_dim, value_dim = state.shape
    identity = jnp.broadcast_to(jnp.eye(key_dim, dtype=state.dtype), (batch, heads, key_dim, key_dim))
    start = jnp.concatenate([jnp.zeros_like(state), identity], axis=-1)
    nothing = jnp.zeros((*written.shape[:-1], key_dim), written.dtype)
    _, summary = run(jnp.concatenate([written, nothing], axis=-1), start)
    written, transition = jnp.split(summary, [value_dim], axis=-1)
    return transition, written


def _as_given(log_decay):
    """The log-decay in the form of the ops: one per head has no last axis of 1."""
    return log_decay if log_decay is None or log_decay.shape[-1] > 1 else log_decay[..., 0]


def tail_before(x, tail, axis_name):
    """The last w inputs before this device's part x [B, T/p, ...]; `tail` [B, w, ...]: before the whole.

    If the parts are shorter than w, the inputs come from several devices, with one exchange for each.
    """
    width, before = tail.shape[1], tail
    for _ in range(-(-width // x.shape[1])):
        held = jnp.concatenate([before, x], axis=1)[:, x.shape[1] :]
        before = jnp.where(is_first(axis_name), tail, shift(held, axis_name))
    return before
