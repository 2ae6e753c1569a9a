"""The short causal convolution before a mixer."""

import jax
import jax.numpy as jnp
from flax import nnx

from rnnbench.errors import ConfigError
from rnnbench.ops import over_time


class ShortConv(nnx.Module):
    """y_t = SiLU(b + Σ_{i<w} kernel_i ⊙ x_{t-w+1+i}),  x before the start = 0.

    Depthwise (each channel separately), causal, w = `conv_size`; b only with `use_bias`, the SiLU only with
    `activation`. The start is that of the sequence, or the last `reset` up to t.

    Parameters: `kernel` [w, channels], `bias` [channels].
    State: the last w − 1 inputs, [B, w − 1, channels], float32.
    Source: the short convolutions of H3 (Fu et al. 2022, arXiv 2212.14052) and Mamba (2312.00752).
    """

    def __init__(
        self, channels: int, conv_size: int, *, rngs: nnx.Rngs, dtype, use_bias: bool = False,
        activation: bool = True,
    ):  # fmt: skip
        if conv_size < 2:
            raise ConfigError(
                "model.conv_size", f"{conv_size}: 0 for no convolution, or a width of at least 2"
            )
        self.conv_size, self.channels, self.activation, self.dtype = conv_size, channels, activation, dtype
        self.kernel = nnx.Param(
            nnx.initializers.lecun_normal()(rngs.params(), (conv_size, channels), jnp.float32)
        )
        self.bias = nnx.Param(jnp.zeros(channels, jnp.float32)) if use_bias else None

    def init_state(self, batch: int) -> jax.Array:
        return jnp.zeros((batch, self.conv_size - 1, self.channels), jnp.float32)

    def __call__(
        self,
        x: jax.Array,
        state: jax.Array | None = None,
        reset: jax.Array | None = None,
        axis_name: str | None = None,
    ):
        length = x.shape[1]
        tail = (self.init_state(x.shape[0]) if state is None else state).astype(self.dtype)
        x = x.astype(self.dtype)
        if axis_name is not None:
            tail = over_time.tail_before(x, tail, axis_name)
        x = jnp.concatenate([tail, x], axis=1)
        # A sum of w shifted slices fuses into one pass; a depthwise convolution call is slow on CPU.
        windows = [x[:, i : i + length] for i in range(self.conv_size)]
        tail = x[:, length:].astype(jnp.float32)
        if reset is not None:
            segment = self._segments(reset, axis_name)
            here = segment[:, -length:]
            windows = [jnp.where(segment[:, i : i + length] == here, w, 0) for i, w in enumerate(windows)]
            tail = jnp.where(segment[:, length:] == here[:, -1:], tail, 0)
        # In float32, as the gradients of kernel and bias are sums over all positions.
        y = sum(window.astype(jnp.float32) * self.kernel[i][None, None] for i, window in enumerate(windows))
        if self.bias is not None:
            y = y + self.bias[...][None, None]
        y = (jax.nn.silu(y) if self.activation else y).astype(self.dtype)
        return y, tail if axis_name is None else over_time.of_last(tail, axis_name)

    def _segments(self, reset: jax.Array, axis_name: str | None) -> jax.Array:
        """[B, w − 1 + T, 1]: the number of resets up to each input, from the first of the tail on."""
        reset = reset[..., None].astype(jnp.int32)
        tail = jnp.zeros((reset.shape[0], self.conv_size - 1, 1), reset.dtype)
        if axis_name is not None:
            tail = over_time.tail_before(reset, tail, axis_name)
        return jnp.cumsum(jnp.concatenate([tail, reset], axis=1), axis=1)
