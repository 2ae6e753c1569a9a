"""The start of projections and convolutions, for protocols that do not take the mixers' own."""

import math

import jax
import jax.numpy as jnp
from flax import nnx
from ml_collections import ConfigDict

from rnnbench.mixers.short_conv import ShortConv

STD = 0.02  # of "normal": GPT-2's, and since then that of most public code


def restart(model: nnx.Module, config: ConfigDict, rngs: nnx.Rngs) -> None:
    """Draws kernels anew, in place, where `config` (that of the model) does not say "own".

    config.init       the kernels [D, E] of all projections
    config.conv_init  kernel [w, channels] and bias [channels] of all short convolutions
    "torch": uniform in ±1/√D or ±1/√w, as PyTorch's Linear and Conv1d start; "normal": Gaussian, standard
    deviation 0.02, the convolution's bias zero. Biases of projections keep their start, and so do kernels
    whose start is the recurrence's own (`linear(kernel_init=…)` in common.py, or `own_start = True` on any
    nnx.Linear), and parameters that are neither: `A_log`, `dt_bias`, the recurrent kernel of an LSTM, the
    matrices of an LRU.

    With config.init_residual = n > 0, the projections back to the residual stream, `output` of a mixer and
    `down` of an MLP, are divided by √(n · layers) (Radford et al. 2019, GPT-2; n = 1: Mamba's public code).
    """
    for _, part in nnx.iter_modules(model):
        if isinstance(part, nnx.Linear) and config.init != "own" and not getattr(part, "own_start", False):
            part.kernel[...] = drawn(config.init, rngs, part.kernel.shape, part.kernel.shape[0])
        if isinstance(part, ShortConv) and config.conv_init != "own":
            part.kernel[...] = drawn(config.conv_init, rngs, part.kernel.shape, part.conv_size)
            if part.bias is not None and config.conv_init == "torch":
                part.bias[...] = drawn("torch", rngs, part.bias.shape, part.conv_size)
    if config.init_residual:
        for block in model.blocks:
            for projection in (getattr(block.mixer, "output", None), getattr(block.mlp, "down", None)):
                if isinstance(projection, nnx.Linear):
                    projection.kernel[...] /= math.sqrt(config.init_residual * config.layers)


def drawn(start: str, rngs: nnx.Rngs, shape: tuple[int, ...], inputs: int) -> jax.Array:
    """Values of the start "torch" or "normal", for a sum over so many inputs."""
    if start == "normal":
        return STD * jax.random.normal(rngs.params(), shape, jnp.float32)
    limit = inputs**-0.5
    return jax.random.uniform(rngs.params(), shape, jnp.float32, -limit, limit)
