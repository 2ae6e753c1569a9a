"""The Forgetting Transformer: softmax attention with a forget gate (preset `fox`)."""

import jax
import jax.numpy as jnp
from flax import nnx

from rnnbench.mixers.attention import attend_with_cache
from rnnbench.mixers.common import QKV, linear, merge_heads
from rnnbench.mixers.preset import Preset


class ForgettingAttention(nnx.Module):
    """y_t = W_o [ Σ_{s≤t} p_ts v_s ]_heads,  p_t = softmax_{s≤t}(q_t·k_s / √K + Σ_{s<l≤t} log f_l), per head.

    f_t = σ(W_f x_t + b_f), one per head; q, k, v = QKV(x), with a short convolution if `conv_size` > 0. The
    gate says where a token is, so that there are no position embeddings. This is the paper's plain layer
    (its LLaMA variant without rope); the "Pro" one adds an output gate, norms and a token shift. The softmax
    and the gate are in float32, over s from the last `reset` up to t on.
    Start: b_f = 0, as in the public code (zhixuan-lin/forgetting-transformer).

    Parameters: `qkv` (see QKV), `forget` (kernel [D, H], bias), `output.kernel` [D, D].
    State: as Attention, and "log_forget" [B, L, H] float32.
    Source: Lin et al. 2025, arXiv 2503.02130.
    """

    def __init__(
        self, dim: int, *, rngs: nnx.Rngs, heads: int = 4, conv_size: int = 0, dtype: jnp.dtype = jnp.float32
    ):
        self.qkv = QKV(dim, heads, conv_size, rngs=rngs, dtype=dtype)
        self.heads, self.head_dim, self.dtype = heads, dim // heads, dtype
        self.forget = linear(dim, heads, rngs=rngs, dtype=dtype, bias=True)
        self.output = linear(dim, dim, rngs=rngs, dtype=dtype)

    def init_state(self, batch: int, max_length: int) -> dict:
        shape = (batch, max_length, self.heads, self.head_dim)
        cache = {"k": jnp.zeros(shape, self.dtype), "v": jnp.zeros(shape, self.dtype)}
        cache["log_forget"] = jnp.zeros(shape[:-1], jnp.float32)
        cache |= {"position": jnp.zeros((), jnp.int32), "start": jnp.zeros(batch, jnp.int32)}
        return cache | self.qkv.init_state(batch)

    def __call__(self, x: jax.Array, state: dict | None = None, reset=None, axis_name: str | None = None):
        (q, k, v), state_out = self.qkv(x, state, reset, axis_name)
        log_forget = jax.nn.log_sigmoid(self.forget(x).astype(jnp.float32))
        new = {"k": k, "v": v, "log_forget": log_forget}
        y, cache = attend_with_cache(q, new, state, reset, axis_name)
        return self.output(merge_heads(y)), state_out | cache


PRESETS = {"fox": Preset(ForgettingAttention, order=47, structure="attention", conv_size=0)}
