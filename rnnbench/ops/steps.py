"""A matrix state step by step, with a gradient written by hand."""

import jax
import jax.numpy as jnp

from rnnbench.ops.chunks import join_time, scan_chunks, split_time, total


def scan_steps(state, q, u, w, e=None, k=None, log_decay=None):
    """S ← diag(exp g_t) S, then S ← S + u (w − Sᵀe)ᵀ for each of the token's n steps, then y_t = Sᵀ q_t.

    Without e it is S ← S + u wᵀ. With k, for one step, it is S ← S + k wᵀ − u (Sᵀe)ᵀ.

    q, k: [B, T, H, K]; u, e: [B, T, H, n·K] and w: [B, T, H, n·V], a token's steps side by side; log_decay g:
    [B, T, H, K or 1]; state: [B, H, K, V]. Returns the final state and y [B, T, H, V].

    The gradient holds the states inside a single piece of at most 32 tokens, and computes them again.
    """
    length = q.shape[1]
    inputs = q, u, w, e, k, log_decay
    cut = jax.tree.map(lambda x: split_time(x, -(-length // -(-length // 32))), inputs)

    def piece(state, inputs):
        state, y = _scan(state, jax.tree.map(lambda x: jnp.moveaxis(x[0], 1, 0), inputs))
        return state, jnp.moveaxis(y, 0, 1)[None]

    state, y = scan_chunks(piece, state, cut)
    return state, join_time(y, length)


@jax.custom_vjp
def _scan(state, inputs):
    """`inputs` have time first; y does too."""
    return jax.lax.scan(lambda state, inputs: _token(state, inputs)[:2], state, inputs)


def _token(state, inputs):
    """(S_t, y_t, what the token's steps added under u: n arrays [B, H, V])."""
    q, u, w, e, k, log_decay = inputs
    us, ws, es = _steps(q, u, w, e)
    state = state if log_decay is None else jnp.exp(log_decay)[..., None] * state
    added = []
    for u, w, e in zip(us, ws, es, strict=True):
        new = w if k is None else jnp.zeros_like(w)
        added.append(new if e is None else new - total(state * e[..., None], -2))
        state = state if k is None else state + _outer(k, w)
        state = state + _outer(u, added[-1])
    return state, total(state * q[..., None], -2), added


def _scan_forward(state, inputs):
    def step(state, inputs):
        after, y, added = _token(state, inputs)
        return after, (y, (state, added))

    state, (y, kept) = jax.lax.scan(step, state, inputs)
    return (state, y), (inputs, kept)


def _scan_backward(residuals, cotangents):
    """d is the gradient by what follows it; dS by the state after the step at hand, going backwards."""
    inputs, kept = residuals
    dS, dy = cotangents

    def step(dS, x):
        (q, u, w, e, k, log_decay), (before, added), dy = x
        us, ws, es = _steps(q, u, w, e)
        state = before if log_decay is None else jnp.exp(log_decay)[..., None] * before
        states = [state]  # before each of the token's steps, then after the last
        for u, w, W in zip(us, ws, added, strict=True):
            state = state if k is None else state + _outer(k, w)
            state = state + _outer(u, W)
            states.append(state)
        dq = total(states[-1] * dy[..., None, :], -1)
        dS = dS + _outer(q, dy)
        dus, dws, des, dk = [], [], [], None
        for u, w, e, W, state in reversed(list(zip(us, ws, es, added, states[:-1], strict=True))):
            dW = total(dS * u[..., None], -2)
            dus.append(total(dS * W[..., None, :], -1))
            dws.append(dW)
            if k is not None:
                dk = total(dS * w[..., None, :], -1)
                dws[-1] = total(dS * k[..., None], -2)
            if e is not None:
                des.append(-total(state * dW[..., None, :], -1))
                dS = dS - _outer(e, dW)
        du, dw, de = (jnp.concatenate(x[::-1], axis=-1) if x else None for x in (dus, dws, des))
        dg = None
        if log_decay is not None:
            dS = jnp.exp(log_decay)[..., None] * dS
            dg = total(dS * before, -1)
            dg = dg if log_decay.shape[-1] > 1 else total(dg, -1)[..., None]
        return dS, (dq, du, dw, de, dk, dg)

    return jax.lax.scan(step, dS, (inputs, kept, dy), reverse=True)


_scan.defvjp(_scan_forward, _scan_backward)


def _steps(q, u, w, e):
    """u, w and e of each of the n steps, n-tuples; e: None for each if it is None."""
    n = u.shape[-1] // q.shape[-1]
    return *(jnp.split(x, n, axis=-1) for x in (u, w)), [None] * n if e is None else jnp.split(e, n, axis=-1)


def _outer(x, y):
    return x[..., None] * y[..., None, :]
