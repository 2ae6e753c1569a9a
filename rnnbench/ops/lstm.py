"""The LSTM recurrence, with a gradient that does as little as possible inside the loop."""

import jax
import jax.numpy as jnp

from rnnbench.ops.chunks import choose, cleared
from rnnbench.ops.pipeline import pipelined

DEFAULTS = {"accelerator": ("sequential", ("sequential",))}


def lstm(recurrent_kernel, x, state, *, reset=None, impl=None, axis_name=None):
    """c_t = σ(f) ⊙ c_{t-1} + σ(i) ⊙ tanh(z),  y_t = h_t = σ(o) ⊙ tanh(c_t),  (i, f, o, z) = x_t + h_{t-1} U.

    U = recurrent_kernel: [D, 4·D], its columns and those of x in the order i, f, o, z; x: [B, T, 4·D], the
    projected input; state: {"h", "c"} [B, D], float32; reset: [B, T] or None. Returns y [B, T, D] in x's
    dtype and the final state. The product h U is in x's dtype, gates and state in float32. ValueError for an
    unknown impl.

    The same as `recurrent` with an LSTM cell, but the gates are kept, the gradient's loop computes only
    their gradient, which is that of x, and dU = Σ_t h_{t-1}ᵀ dx_t is one product after the loop.

    Source: Hochreiter & Schmidhuber 1997.
    """
    choose("lstm", DEFAULTS, impl)
    if axis_name is not None:
        alone = lambda inputs, state: lstm(recurrent_kernel, inputs[0], state, reset=inputs[1], impl=impl)
        return pipelined(alone, (x, reset), state, axis_name)
    state = {name: state[name].astype(jnp.float32) for name in ("h", "c")}
    x, reset = jax.tree.map(lambda leaf: jnp.swapaxes(leaf, 0, 1), (x, reset))
    y, h, c = _lstm(recurrent_kernel.astype(x.dtype), x, reset, state["h"], state["c"])
    return jnp.swapaxes(y, 0, 1).astype(x.dtype), {"h": h, "c": c}


@jax.custom_vjp
def _lstm(U, x, reset, h, c):
    """Time first: x [T, B, 4·D] -> every h [T, B, D] in float32, last h, last c."""
    return _forward(U, x, reset, h, c)[0]


def _forward(U, x, reset, h_0, c_0):
    def step(carry, inputs):
        x_t, reset_t = inputs
        h, previous_c = _cleared(carry, reset_t)
        gates, z = jnp.split((x_t + h.astype(x_t.dtype) @ U).astype(jnp.float32), [3 * h.shape[-1]], axis=-1)
        # One sigmoid: of three, XLA on a CPU computes each again for c and for h, and needs twice the time.
        i, f, o = jnp.split(jax.nn.sigmoid(gates), 3, axis=-1)
        z = jnp.tanh(z)
        c = f * previous_c + i * z
        h = o * jnp.tanh(c)
        return (h, c), (h, previous_c, i, f, o, z)

    (h, c), (y, *kept) = jax.lax.scan(step, (h_0, c_0), (x, reset))
    return (y, h, c), (U, reset, h_0, y, kept)


def _backward(residuals, cotangents):
    U, reset, h_0, y, kept = residuals
    dy, dh, dc = cotangents

    def step(carry, inputs):
        dh, dc = carry
        dy, reset_t, previous_c, i, f, o, z = inputs
        tanh_c = jnp.tanh(f * previous_c + i * z)
        dh = dh + dy
        dc = dc + dh * o * (1 - tanh_c**2)
        gates = [
            dc * z * i * (1 - i),
            dc * previous_c * f * (1 - f),
            dh * tanh_c * o * (1 - o),
            dc * i * (1 - z**2),
        ]
        dx = jnp.concatenate(gates, axis=-1).astype(U.dtype)
        return _cleared(((dx @ U.T).astype(jnp.float32), dc * f), reset_t), dx

    (dh, dc), dx = jax.lax.scan(step, (dh, dc), (dy, reset, *kept), reverse=True)
    (previous_h,) = _cleared((jnp.concatenate([h_0[None], y[:-1]]).astype(U.dtype),), reset)
    # Rows first: contracting two axes at once makes XLA on a CPU copy both operands transposed.
    dU = previous_h.reshape(-1, U.shape[0]).T @ dx.reshape(-1, U.shape[1])
    return dU, dx, None, dh, dc


def _cleared(values, reset):
    return values if reset is None else tuple(cleared(value, reset) for value in values)


_lstm.defvjp(_forward, _backward)
