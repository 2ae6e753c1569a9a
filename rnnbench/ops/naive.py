"""The specification of every op: one literal loop over time in float64.

Each function has the arguments and results of the op of the same name; the state is required. `reset` [B, T]
clears the state before a token. With `xp=np` (values) the loop is Python's; with `xp=jnp` (gradients of the
same lines, by autodiff under x64) `lax.scan`.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np


def linear_scan(a, b, state, reset=None, xp=np):
    def step(h, inputs):
        a, b = inputs
        h = a * h + b
        return h, h

    return loop(step, state, (xp.broadcast_to(a, b.shape), b), reset, xp)


def max_plus(a, b, state, reset=None, xp=np):
    def step(m, inputs):
        a, b = inputs
        m = xp.maximum(a + m, b)
        return m, m

    return loop(step, state, (a, b), reset, xp)


def selective_scan(u, delta, A, B, C, D, state, negative_eigenvalues=False, reset=None, xp=np):
    def step(h, inputs):
        u, delta, B, C = inputs
        decay = xp.exp(xp.einsum("bd,dn->bdn", delta, A))
        if negative_eigenvalues:
            decay = 2 * decay - 1
        h = decay * h + xp.einsum("bd,bn,bd->bdn", delta, B, u)
        return h, xp.einsum("bdn,bn->bd", h, C) + xp.einsum("d,bd->bd", D, u)

    return loop(step, state, (u, delta, B, C), reset, xp)


def linear_attention(q, k, v, log_decay, state, reset=None, xp=np):
    def step(S, inputs):
        q, k, v, log_decay = inputs
        S = decayed(S, log_decay, xp) + xp.einsum("bhk,bhv->bhkv", k, v)
        return S, xp.einsum("bhkv,bhk->bhv", S, q)

    return loop(step, state, (q, k, v, log_decay), reset, xp)


def delta_rule(q, k, v, beta, log_decay, state, reset=None, xp=np):
    def step(S, inputs):
        q, k, v, beta, log_decay = inputs
        S = decayed(S, log_decay, xp)
        erased = S - xp.einsum("bh,bhk,bhj,bhjv->bhkv", beta, k, k, S)
        S = erased + xp.einsum("bh,bhk,bhv->bhkv", beta, k, v)
        return S, xp.einsum("bhkv,bhk->bhv", S, q)

    return loop(step, state, (q, k, v, beta, log_decay), reset, xp)


def generalised_delta_rule(q, u, e, w, log_decay, state, reset=None, xp=np):
    if u.ndim == 4:
        u, e, w = u[..., None, :], e[..., None, :], w[..., None, :]

    def step(S, inputs):
        q, u, e, w, log_decay = inputs
        S = decayed(S, log_decay, xp)
        for i in range(u.shape[2]):
            erased = xp.einsum("bhk,bhj,bhjv->bhkv", u[:, :, i], e[:, :, i], S)
            S = S - erased + xp.einsum("bhk,bhv->bhkv", u[:, :, i], w[:, :, i])
        return S, xp.einsum("bhkv,bhk->bhv", S, q)

    return loop(step, state, (q, u, e, w, log_decay), reset, xp)


def block_scan(A, b, state, reset=None, xp=np):
    def step(h, inputs):
        A, b = inputs
        h = xp.einsum("bhij,bhj...->bhi...", A, h) + b
        return h, h

    return loop(step, state, (A, b), reset, xp)


def lstm(U, x, h, c, reset=None, xp=np):
    def step(state, x):
        h, c = state
        i, f, o, z = xp.split(x + h @ U, 4, axis=-1)
        c = c / (1 + xp.exp(-f)) + xp.tanh(z) / (1 + xp.exp(-i))
        h = xp.tanh(c) / (1 + xp.exp(-o))
        return (h, c), h

    y, (h, c) = loop(step, (h, c), x, reset, xp)
    return y, h, c


def gru(U, x, h, reset=None, xp=np):
    U_zr, U_h = U[:, : 2 * len(U)], U[:, 2 * len(U) :]

    def step(h, x):
        zr = 1 / (1 + xp.exp(-(x[:, : 2 * len(U)] + h @ U_zr)))
        z, r = xp.split(zr, 2, axis=-1)
        h = z * h + (1 - z) * xp.tanh(x[:, 2 * len(U) :] + (r * h) @ U_h)
        return h, h

    return loop(step, h, x, reset, xp)


def recurrent(cell, params, x, state, reset=None):
    """Unlike the others it keeps the inputs' precision and is differentiable: `cell` is written in JAX."""
    y = []
    for t in range(jax.tree.leaves(x)[0].shape[1]):
        if reset is not None:
            state = cleared(state, reset[:, t], jnp)
        state, y_t = cell(params, state, jax.tree.map(lambda leaf, t=t: leaf[:, t], x))
        y.append(y_t)
    return jax.tree.map(lambda *leaves: jnp.stack(leaves, axis=1), *y), state


def decayed(S, log_decay, xp):
    if log_decay is None:
        return S
    decay = xp.exp(log_decay)
    return S * (decay[..., None, None] if decay.ndim == 2 else decay[..., None])


def loop(step, state, xs, reset, xp):
    """(y, final_state) of `state, y_t = step(state, x_t)` for x_t = x[:, t]; state zero where reset[:, t]."""

    def fresh_step(state, inputs):
        x, reset = inputs
        return step(state if reset is None else cleared(state, reset, xp), x)

    if xp is jnp:
        state, y = jax.lax.scan(fresh_step, state, jax.tree.map(lambda x: jnp.swapaxes(x, 0, 1), (xs, reset)))
        return jnp.swapaxes(y, 0, 1), state
    y = []
    for t in range(jax.tree.leaves(xs)[0].shape[1]):
        state, y_t = fresh_step(state, jax.tree.map(lambda x, t=t: x[:, t], (xs, reset)))
        y.append(y_t)
    return np.stack(y, axis=1), state


def cleared(state, reset, xp):
    """Every leaf [B, ...] of the state, zero for the sequences b with reset[b]."""
    return jax.tree.map(lambda x: xp.where(reset.reshape(-1, *(1,) * (x.ndim - 1)), 0, x), state)


def values(op, *arrays, **options):
    """(y, state) of an op of this file in float64 or complex128."""
    return op(*jax.tree.map(widened, arrays), **options)


def gradients(op, weights, *arrays, reset=None, **options):
    """Gradients of `weighted_sum(op(...), weights)` with respect to every array, by autodiff in float64."""
    with jax.enable_x64(True):
        arrays, weights = jax.tree.map(lambda x: jnp.asarray(widened(x)), (arrays, weights))
        return jax.tree.map(np.asarray, _gradient(op, len(arrays), **options)(*arrays, weights, reset))


@functools.cache
def _gradient(op, count, **options):
    def loss(*inputs):
        *arrays, weights, reset = inputs
        return weighted_sum(op(*arrays, reset=reset, xp=jnp, **options), weights)

    return jax.jit(jax.grad(loss, argnums=tuple(range(count))))


def weighted_sum(outputs, weights):
    """A scalar in which every output value has a different weight: Re Σ w y over y and state."""
    return sum(jnp.sum((x * w).real) for x, w in zip(outputs, weights, strict=True))


def widened(x):
    return np.asarray(x, np.complex128 if np.iscomplexobj(x) else np.float64)
