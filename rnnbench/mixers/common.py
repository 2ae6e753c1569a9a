"""Code that several mixers share: option checks, plain projections, heads and the norm over one head."""

import jax
import jax.numpy as jnp
from flax import nnx

from rnnbench.errors import ConfigError
from rnnbench.mixers.short_conv import ShortConv


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


def linear(inputs: int, outputs: int, *, rngs: nnx.Rngs, dtype, bias: bool = False) -> nnx.Linear:
    """A projection; parameters in float32, arithmetic in `dtype`."""
    return nnx.Linear(
        inputs, outputs, use_bias=bias, dtype=dtype, param_dtype=jnp.float32, dot_general=flat_dot, rngs=rngs
    )


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
