"""A structured linear controlled differential equation with dense blocks (preset `slice`)."""

from typing import Annotated

import jax
import jax.numpy as jnp
from flax import nnx

from rnnbench.mixers.common import linear, require
from rnnbench.mixers.preset import Preset
from rnnbench.ops.block_scan import block_scan


class SLiCE(nnx.Module):
    """h_t = (I + A(x_t)) h_{t-1} + B x_t + b,  y_t = W_o RMSNorm(h_t), A(x) block diagonal and affine in x.

    The D states form D/K blocks of K = `block` states, and each block has a K × K matrix of its own at every
    token. As in the paper nothing bounds the matrices; only the norm before the output bounds what is read.
    All of it in float32: at the start, x of size 1, as the backbone's norm makes it, is safe over 1,000
    tokens, and x of size 30 overflows.
    Start as in the authors' later package, slices: the entries of A(·) normal of standard deviation
    `init_std`/√K, b and the state zero; B is LeCun normal. There B has 0.01 and the first state is learned;
    the code of the paper's experiments has no B, and a projection of x_0 as the first state.

    Parameters: `transition.kernel` [D, D·K], `transition.bias` [D·K], `write.kernel` [D, D], `write.bias`
    [D], `norm.scale` [D], `output.kernel` [D, D].
    State: {"h": [B, D/K, K] float32}.
    Source: Walker et al. 2025, arXiv 2505.17761; github.com/Benjamin-Walker/structured-linear-cdes.
    """

    def __init__(
        self,
        dim: int,
        *,
        rngs: nnx.Rngs,
        block: Annotated[int, "states per block"] = 4,
        init_std: Annotated[float, "initial standard deviation of A times the root of the block"] = 0.01,
        dtype: jnp.dtype = jnp.float32,
    ):
        require(block >= 1 and dim % block == 0, "block", f"{block}: must divide model.dim {dim}")
        self.block, self.dtype = block, dtype
        small = nnx.initializers.normal(init_std / block**0.5)
        options = {"rngs": rngs, "dtype": jnp.float32, "bias": True}
        self.transition = linear(dim, dim * block, kernel_init=small, **options)
        self.transition.bias[...] = small(rngs.params(), (dim * block,), jnp.float32)
        self.write = linear(dim, dim, **options)
        self.norm = nnx.RMSNorm(dim, epsilon=1e-5, dtype=jnp.float32, param_dtype=jnp.float32, rngs=rngs)
        self.output = linear(dim, dim, rngs=rngs, dtype=dtype)

    def init_state(self, batch: int, max_length: int) -> dict:
        blocks = self.norm.num_features // self.block
        return {"h": jnp.zeros((batch, blocks, self.block), jnp.float32)}

    def __call__(self, x: jax.Array, state: dict | None = None, reset=None, axis_name: str | None = None):
        x = x.astype(jnp.float32)
        blocks = (*x.shape[:2], -1, self.block)
        A = self.transition(x).reshape(*blocks, self.block)
        A = A + jnp.eye(self.block)[None, None, None]
        h, last = block_scan(
            A, self.write(x).reshape(blocks), None if state is None else state["h"],
            reset=reset, axis_name=axis_name,
        )  # fmt: skip
        return self.output(self.norm(h.reshape(x.shape)).astype(self.dtype)), {"h": last}


PRESETS = {"slice": Preset(SLiCE, order=38, spectrum="unbounded", structure="dense", selective=True)}
