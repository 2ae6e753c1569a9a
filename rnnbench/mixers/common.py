"""Code that several mixers share: option checks, projections, heads, norms, decays and the token shift."""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import nnx

from rnnbench.errors import ConfigError
from rnnbench.mixers.short_conv import ShortConv
from rnnbench.ops import over_time


def require(condition: bool, option: str, message: str) -> None:
    """Refuses an option of a mixer (`option` is its keyword) before anything is built."""
    if not condition:
        raise ConfigError(f"model.options.{option}", message)


def check_heads(dim: int, heads: int) -> None:
    if heads < 1:
        raise ConfigError("model.heads", f"{heads} heads: at least 1 is needed")
    if dim % heads:
        fits = [n for n in range(1, dim + 1) if dim % n == 0 and n <= 2 * heads]
        raise ConfigError("model.heads", f"dim {dim} is not divisible by {heads} heads; possible: {fits}")


def linear(
    inputs: int,
    outputs: int,
    *,
    rngs: nnx.Rngs,
    dtype,
    bias: bool = False,
    kernel_init: Callable | None = None,
) -> nnx.Linear:
    """A projection; parameters in float32, arithmetic in `dtype`.

    A `kernel_init` of its own belongs to the recurrence, and no `model.init` replaces it.
    """
    start = {"kernel_init": kernel_init} if kernel_init else {}
    options = {"use_bias": bias, "dtype": dtype, "param_dtype": jnp.float32, "dot_general": flat_dot}
    layer = Linear(inputs, outputs, **options, **start, promote_dtype=all_but_bias, rngs=rngs)
    layer.own_start = bool(start)
    return layer


class Linear(nnx.Linear):
    """With a bias added in float32, since its gradient is a sum over all positions."""

    def __call__(self, x: jax.Array) -> jax.Array:
        return super().__call__(x).astype(self.dtype)


def all_but_bias(arrays, *, dtype):
    x, kernel, bias = arrays
    return x.astype(dtype), kernel.astype(dtype), bias


def flat_dot(x: jax.Array, kernel: jax.Array, dimension_numbers=None, **options) -> jax.Array:
    """x [..., D] times kernel [D, E], as one product of matrices.

    With more than one leading axis, XLA on a CPU would make transposed copies of x and the cotangent for the
    gradient of the kernel, which cost more than all three products.
    """
    rows = x.reshape(-1, x.shape[-1])
    return jax.lax.dot_general(rows, kernel, (((1,), (0,)), ((), ())), **options).reshape(*x.shape[:-1], -1)


def head_norm(head_dim: int, *, rngs: nnx.Rngs, dtype) -> nnx.RMSNorm:
    """RMSNorm over the last axis of [B, T, H, V]: each head separately, one scale [V] for all heads."""
    return nnx.RMSNorm(head_dim, epsilon=1e-5, dtype=dtype, param_dtype=jnp.float32, rngs=rngs)


def split_heads(x: jax.Array, heads: int) -> jax.Array:
    """[B, T, H·K] -> [B, T, H, K]."""
    return x.reshape(*x.shape[:-1], heads, x.shape[-1] // heads)


def merge_heads(x: jax.Array) -> jax.Array:
    """[B, T, H, V] -> [B, T, H·V]."""
    return x.reshape(*x.shape[:-2], -1)


def turn(x: jax.Array, angle: jax.Array, axis: int = -1) -> jax.Array:
    """x with channels i and R + i on `axis` turned as a pair by angle [..., R, ...]; 2·R and on stay."""
    pairs = angle.shape[axis]
    first, second, rest = jnp.split(x, [pairs, 2 * pairs], axis)
    cos, sin = jnp.cos(angle), jnp.sin(angle)
    return jnp.concatenate([first * cos - second * sin, first * sin + second * cos, rest], axis)


def sum_of_turns(turns: jax.Array, axis_name: str | None) -> jax.Array:
    """Σ_{s≤t} turns_s [B, T, ...] without its whole turns, so that long sequences lose no precision."""

    def add(earlier, later):
        total = earlier + later
        return total - jnp.round(total)

    total = jax.lax.associative_scan(add, turns, axis=1)
    if axis_name is None:
        return total
    zero = jnp.zeros_like(total[:, -1])
    start = over_time.state_at_start(jnp.ones_like(zero), total[:, -1], zero, axis_name)
    return add(start[:, None], total)


def token_shift(x: jax.Array, last: jax.Array | None = None, reset=None, axis_name: str | None = None):
    """(x_{t-1} at every t [B, T, ...], the last x [B, ...] in float32): zero before the start and a reset.

    last: that of the piece before, or None; reset: [B, T] bool or None; axis_name: as for a mixer.
    """
    before = jnp.zeros_like(x[:, :1]) if last is None else last[:, None].astype(x.dtype)
    if axis_name is not None:
        before = over_time.tail_before(x, before, axis_name)
    previous, last = jnp.concatenate([before, x[:, :-1]], axis=1), x[:, -1].astype(jnp.float32)
    if reset is not None:
        previous = jnp.where(jax.lax.expand_dims(reset, range(2, x.ndim)), 0, previous)
    return previous, last if axis_name is None else over_time.of_last(last, axis_name)


def inverse_softplus_of_log_uniform(key: jax.Array, n: int, low: float, high: float) -> jax.Array:
    """b with softplus(b) log-uniform in [low, high]; softplus⁻¹(s) = s + log(1 − e^(−s))."""
    step = jnp.exp(jax.random.uniform(key, (n,), jnp.float32, math.log(low), math.log(high)))
    return step + jnp.log(-jnp.expm1(-step))


class LowRank(nnx.Module):
    """W_up φ(W_down x_t) + b, of rank R; φ = `activation` or the identity, b only with `bias` (0 at first).

    Parameters: `down.kernel` [inputs, R], `up.kernel` [R, outputs], `up.bias` [outputs].
    """

    def __init__(
        self, inputs: int, rank: int, outputs: int, *, rngs: nnx.Rngs, dtype, bias: bool = False,
        activation: Callable | None = None,
    ):  # fmt: skip
        self.down = linear(inputs, rank, rngs=rngs, dtype=dtype)
        self.up = linear(rank, outputs, rngs=rngs, dtype=dtype, bias=bias)
        self.activation = activation

    def __call__(self, x: jax.Array) -> jax.Array:
        x = self.down(x)
        return self.up(self.activation(x) if self.activation else x)


class GatedNorm(nnx.Module):
    """RMSNorm(y_t) ⊙ φ(z_t), the norm over each head separately; φ = `activation`.

    y: [B, T, H, V], z: [B, T, H·V], result: [B, T, H·V] in `dtype`.
    Parameters: `scale` [V], one for all heads, 1 at first.
    """

    def __init__(self, head_dim: int, *, dtype, activation: Callable = jax.nn.silu):
        self.scale = nnx.Param(jnp.ones(head_dim, jnp.float32))
        self.activation, self.dtype = activation, dtype

    def __call__(self, y: jax.Array, z: jax.Array) -> jax.Array:
        y = y.astype(jnp.float32)
        size = jnp.sqrt(jnp.mean(y * y, axis=-1, keepdims=True) + 1e-5)
        y = merge_heads(y / size * self.scale[...][None, None, None])
        return y.astype(self.dtype) * self.activation(z)


class Decay(nnx.Module):
    """Δ_t = softplus(a_t + dt_bias),  g_t = −exp(A_log) Δ_t: the decay exp(g_t) of Mamba-2, in float32.

    a: [B, T, H], or [B, T, H·K] for K = `channels` decays per head, which share their head's A_log. Returns
    g ≤ 0 and Δ > 0, [B, T, H] or [B, T, H, K]. Start: exp(A_log) uniform in [`A_min`, `A_max`], dt_bias such
    that softplus(dt_bias) is log-uniform in [`dt_min`, `dt_max`].

    Parameters: `A_log` [H], `dt_bias` [H·K].
    Source: Dao & Gu 2024, arXiv 2405.21060, and its public code, github.com/state-spaces/mamba.
    """

    def __init__(
        self, heads: int, channels: int = 1, *, rngs: nnx.Rngs, A_min: float = 1.0, A_max: float = 16.0,
        dt_min: float = 1e-3, dt_max: float = 1e-1,
    ):  # fmt: skip
        self.heads, self.channels = heads, channels
        self.A_log = nnx.Param(
            jnp.log(jax.random.uniform(rngs.params(), (heads,), jnp.float32, A_min, A_max))
        )
        self.dt_bias = nnx.Param(
            inverse_softplus_of_log_uniform(rngs.params(), heads * channels, dt_min, dt_max)
        )

    def __call__(self, a: jax.Array) -> tuple[jax.Array, jax.Array]:
        delta = jax.nn.softplus(a.astype(jnp.float32) + self.dt_bias[...][None, None])
        rate = jnp.exp(self.A_log[...])
        if self.channels > 1:
            delta, rate = split_heads(delta, self.heads), rate[:, None]
        return -rate[None, None] * delta, delta


class QKV(nnx.Module):
    """q_t, k_t, v_t = split(W_qkv x_t), or split(ShortConv(W_qkv x)_t) with `conv_size` > 0.

    q, k, v: [B, T, H, K] each, K = dim / heads. One matrix product serves all three, and because the
    convolution treats each channel separately, one convolution serves all three as well.

    Parameters: `linear.kernel` [D, 3·D] (columns: all of q, all of k, all of v), `conv` if there is one.
    State: {"conv": see ShortConv} with a convolution, else {}.
    """

    def __init__(self, dim: int, heads: int, conv_size: int, *, rngs: nnx.Rngs, dtype):
        check_heads(dim, heads)
        self.heads = heads
        self.linear = linear(dim, 3 * dim, rngs=rngs, dtype=dtype)
        self.conv = ShortConv(3 * dim, conv_size, rngs=rngs, dtype=dtype) if conv_size else None

    def init_state(self, batch: int) -> dict:
        return {"conv": self.conv.init_state(batch)} if self.conv else {}

    def __call__(
        self,
        x: jax.Array,
        state: dict | None = None,
        reset: jax.Array | None = None,
        axis_name: str | None = None,
    ):
        x, state_out = self.linear(x), {}
        if self.conv:
            x, state_out["conv"] = self.conv(x, None if state is None else state["conv"], reset, axis_name)
        q, k, v = (split_heads(part, self.heads) for part in jnp.split(x, 3, axis=-1))
        return (q, k, v), state_out
