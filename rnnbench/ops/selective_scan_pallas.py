"""The selective scan as one Pallas kernel forward and one backward, for GPUs (Pallas' Triton backend).

A program is one warp: it takes 8 channels of one sequence through all steps. The N states of a channel are
N/4 arrays [4, 8] in registers, one element per thread, so a sum over N is N/4 − 1 additions and two shuffles,
and a sum over the channels three shuffles. Some steps at a time are written out, their loads before their
arithmetic. For a gradient the forward pass keeps the state before each such chunk; the backward pass
recomputes the states inside it and leaves dB and dC as one part per program, which are summed outside.
"""

import functools
import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl
from jax.experimental.pallas import triton

PARTS, CHANNELS = 4, 8  # threads along the states and along the channels of a warp
LOG2E = math.log2(math.e)  # exp(x) = exp2(x log2(e)): one instruction


class Kernel(NamedTuple):
    """What is fixed when a kernel is compiled."""

    negative: bool
    chunk: int
    interpret: bool


def selective_scan(u, delta, A, B, C, state, reset, negative, chunk):
    """(y [B, T, D], final state [B, N, D]) of `ops.selective_scan` without D ⊙ u.

    u, delta: [B, T, D]; A: [N, D]; B, C: [B, T, N]; state: [B, N, D], all of one dtype; reset: [B, T] or
    None. chunk: steps that are written out. On a CPU the kernels are interpreted, for tests.
    """
    length, width, states = *u.shape[1:], A.shape[0]
    steps, channels, parts = -length % chunk, -width % CHANNELS, -states % PARTS
    keep = None if reset is None else 1 - jnp.pad(reset.astype(bool), ((0, 0), (0, steps))).astype(u.dtype)

    def padded(x, *padding):
        """With zeros: a step of delta = 0 changes no state, and a state with A = B = 0 stays as it is."""
        padding = [(0, 0)] * (x.ndim - 2) + [(0, n) for n in padding]
        return jnp.pad(x, padding) if any(map(any, padding)) else x

    kernel = Kernel(negative, chunk, jax.default_backend() == "cpu")
    y, state = _scan(
        kernel,
        *(padded(x, steps, channels) for x in (u, delta)),
        padded(A, parts, channels),
        *(padded(x, steps, parts) for x in (B, C)),
        keep,
        padded(state, parts, channels),
    )
    return y[:, :length, :width], state[:, :states, :width]


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _scan(kernel, *inputs):
    return tuple(_forward(kernel, False, *inputs))


def _scan_forward(kernel, *inputs):
    y, state, kept = _forward(kernel, True, *inputs)
    return (y, state), (inputs, kept)


def _scan_backward(kernel, residuals, cotangents):
    *inputs, _ = residuals[0]
    du, d_delta, dA, dB, dC, d_state = _backward(kernel, *inputs, residuals[1], *cotangents)
    return du, d_delta, jnp.sum(dA, 0), jnp.sum(dB, 1), jnp.sum(dC, 1), None, d_state


_scan.defvjp(_scan_forward, _scan_backward)


def _forward(kernel, keeping, u, delta, A, B, C, keep, state):
    """[y, final state], and with `keeping` the states before each chunk [B, chunks, N, D]."""
    blocks = _Blocks(kernel, u.shape, A.shape[0])

    def run(u, delta, A, B, C, *refs):
        *keep, start, y, end = refs[: len(refs) - keeping]
        A = blocks.states(A, scale=LOG2E)

        load = functools.partial(blocks.rows, delta, u, B, C, keep)

        def body(i, both):
            loaded, h = both
            # The loads of the next chunk begin before the arithmetic of this one; the last are not used.
            later = load(jnp.minimum(i + 1, blocks.chunks - 1))
            if keeping:
                blocks.put(refs[-1], h, i)
            ys = []
            for delta, u, B, C, keep in loaded:
                h, _ = _step(kernel, A, h, delta, u, B, keep)
                ys.append(_over_states(x * c[:, None] for x, c in zip(h, C)))
            for t, y_t in zip(blocks.steps(i), ys):
                y[t] = y_t
            return later, h

        _, h = jax.lax.fori_loop(0, blocks.chunks, body, (load(0), blocks.states(start)))
        blocks.put(end, h)

    inputs = [(u, "tokens"), (delta, "tokens"), (A, "transition"), (B, "small"), (C, "small")]
    inputs += [(keep, "keep")] * (keep is not None) + [(state, "state")]
    return blocks.call(run, "forward", inputs, ["tokens", "state"] + ["kept"] * keeping)


def _backward(kernel, u, delta, A, B, C, keep, kept, dy, d_end):
    """The gradients of u, delta, A [B, N, D], B and C [B, programs, T, N], and of the initial state."""
    blocks = _Blocks(kernel, u.shape, A.shape[0])

    def run(u, delta, A, B, C, *refs):
        *keep, kept, dy, d_end, du, d_delta, dA, dB, dC, d_start = refs
        A = blocks.states(A, scale=LOG2E)

        def chunk(i, carry):
            i = blocks.chunks - 1 - i
            dh, dA = carry
            rows = blocks.rows(delta, u, B, C, keep, i)
            dys = [dy[t] for t in blocks.steps(i)]
            states, decays = [blocks.states(kept, i)], []
            for delta_t, u_t, B_t, _, keep_t in rows:
                after, decay = _step(kernel, A, states[-1], delta_t, u_t, B_t, keep_t)
                states.append(after)
                decays.append(decay)
            results = []
            for s in reversed(range(kernel.chunk)):
                (delta_t, u_t, B_t, C_t, keep_t), dy_t = rows[s], dys[s]
                dh = [x + c[:, None] * dy_t[None] for x, c in zip(dh, C_t)]
                dB_t = [jnp.sum(x * (delta_t * u_t)[None], 1) for x in dh]
                dC_t = [jnp.sum(x * dy_t[None], 1) for x in states[s + 1]]
                d_delta_u = _over_states(x * b[:, None] for x, b in zip(dh, B_t))
                earlier = [a * x for a, x in zip(decays[s], dh)]
                # The slope of the transition in Δ A: exp(Δ A) is Ā; 2 exp(Δ A) is Ā + 1, or 0 at a reset.
                slopes = earlier
                if kernel.negative:
                    slopes = [e + (x if keep_t is None else keep_t * x) for e, x in zip(earlier, dh)]
                d_exponent = [x * h for x, h in zip(slopes, states[s])]
                d_delta_t = _over_states(x * a for x, a in zip(d_exponent, A)) * (1 / LOG2E) + d_delta_u * u_t
                dA = [x + e * delta_t[None] for x, e in zip(dA, d_exponent)]
                dh = earlier
                results.append((blocks.steps(i)[s], d_delta_t, d_delta_u * delta_t, dB_t, dC_t))
            for t, d_delta_t, du_t, dB_t, dC_t in results:
                d_delta[t], du[t] = d_delta_t, du_t
                blocks.put_step(dB, dB_t, t)
                blocks.put_step(dC, dC_t, t)
            return dh, dA

        zeros = [jnp.zeros_like(a) for a in A]
        dh, total = jax.lax.fori_loop(0, blocks.chunks, chunk, (blocks.states(d_end), zeros))
        blocks.put(dA, total)
        blocks.put(d_start, dh)

    inputs = [(u, "tokens"), (delta, "tokens"), (A, "transition"), (B, "small"), (C, "small")]
    inputs += [(keep, "keep")] * (keep is not None)
    inputs += [(kept, "kept"), (dy, "tokens"), (d_end, "state")]
    outputs = ["tokens", "tokens", "state", "small part", "small part", "state"]
    return blocks.call(run, "backward", inputs, outputs)


def _step(kernel, A, h, delta, u, B, keep):
    """(the state after a step, its transition); A is in units of log(2)."""
    decay = [jnp.exp2(delta[None] * a) for a in A]
    decay = [2 * a - 1 for a in decay] if kernel.negative else decay
    decay = decay if keep is None else [keep * a for a in decay]
    return [a * x + (delta * u)[None] * b[:, None] for a, x, b in zip(decay, h, B)], decay


def _over_states(parts):
    """The sum [CHANNELS] over the states of arrays [PARTS, CHANNELS], in pairs."""
    parts = list(parts)
    while len(parts) > 1:
        parts = [a + b for a, b in zip(parts[::2], parts[1::2])] + parts[len(parts) // 2 * 2 :]
    return jnp.sum(parts[0], 0)


class _Blocks:
    """The parts of the arrays that a program sees, and how it reads and writes them."""

    def __init__(self, kernel, shape, states):
        self.kernel, (batch, length, width) = kernel, shape
        self.chunks, self.grid = length // kernel.chunk, (batch, width // CHANNELS)
        self.parts = [pl.ds(part * PARTS, PARTS) for part in range(states // PARTS)]
        # name -> (the shape of the whole array, of a program's part without its leading axes, its index)
        of_channels = lambda b, d: (b, 0, d)
        self.arrays = {
            "tokens": ((batch, length, width), (None, length, CHANNELS), of_channels),
            "small": ((batch, length, states), (None, length, states), lambda b, d: (b, 0, 0)),
            "keep": ((batch, length), (None, length), lambda b, d: (b, 0)),
            "transition": ((states, width), (states, CHANNELS), lambda b, d: (0, d)),
            "state": ((batch, states, width), (None, states, CHANNELS), of_channels),
            "kept": (
                (batch, self.chunks, states, width),
                (None, self.chunks, states, CHANNELS),
                lambda b, d: (b, 0, 0, d),
            ),
            "small part": (
                (batch, width // CHANNELS, length, states),
                (None, None, length, states),
                lambda b, d: (b, d, 0, 0),
            ),
        }

    def call(self, run, name, inputs, outputs):
        spec = lambda name: pl.BlockSpec(*self.arrays[name][1:])
        dtype = inputs[0][0].dtype
        return pl.pallas_call(
            run,
            out_shape=[jax.ShapeDtypeStruct(self.arrays[name][0], dtype) for name in outputs],
            grid=self.grid,
            in_specs=[spec(name) for _, name in inputs],
            out_specs=[spec(name) for name in outputs],
            name=f"selective_scan_{name}",
            interpret=self.kernel.interpret,
            compiler_params=triton.CompilerParams(num_warps=1, num_stages=1),
        )(*(x for x, _ in inputs))

    def steps(self, i):
        """The steps of chunk i."""
        return [i * self.kernel.chunk + s for s in range(self.kernel.chunk)]

    def rows(self, delta, u, B, C, keep, i):
        """What each step of chunk i reads; keep: no ref or one."""
        of_step = lambda ref, t: [ref[t, part] for part in self.parts]
        return [
            (delta[t], u[t], of_step(B, t), of_step(C, t), keep[0][t] if keep else None)
            for t in self.steps(i)
        ]

    def states(self, ref, *index, scale=None):
        """The parts [PARTS, CHANNELS] of ref[*index, N, CHANNELS]."""
        parts = [ref[(*index, part, slice(None))] for part in self.parts]
        return parts if scale is None else [scale * x for x in parts]

    def put(self, ref, values, *index):
        for part, value in zip(self.parts, values):
            ref[(*index, part, slice(None))] = value

    def put_step(self, ref, values, t):
        for part, value in zip(self.parts, values):
            ref[t, part] = value
