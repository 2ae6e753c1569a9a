"""The mLSTM, an LSTM with a matrix state and exponential input gates (preset `mlstm`)."""

import jax
import jax.numpy as jnp
from flax import nnx

from rnnbench.mixers.common import QKV, GatedNorm, linear, token_shift
from rnnbench.mixers.preset import Preset
from rnnbench.ops.linear_attention import linear_attention
from rnnbench.ops.max_plus import max_plus


class MLSTM(nnx.Module):
    """C_t = f_t C_{t-1} + i_t k_t v_tᵀ,  n_t = f_t n_{t-1} + i_t k_t,  h_t = C_tᵀ q_t / max(|n_tᵀ q_t|, 1),
    y_t = W_o ( [ RMSNorm(h_t) ]_heads ⊙ σ(z_t) ).

    q̂, k̂, v = QKV(x), with a short convolution if `conv_size` > 0; q = q̂, k = k̂/√K; z_t = W_z x_t;
    [î_t, f̂_t] = W_g x_t + b, i_t = exp(î_t), f_t = σ(f̂_t), one per head, in float32.
    The state holds C and n as e^(−m_t) [C_t, n_t], with the stabiliser m_t = max(log f_t + m_{t-1}, î_t, 0):
    f_t becomes exp(log f_t + m_{t-1} − m_t) ≤ 1, i_t becomes exp(î_t − m_t) ≤ 1 and the 1 becomes e^(−m_t).
    The paper's m_t lacks the 0, which keeps e^(−m_t) finite; h_t is the same for every m. RMSNorm takes the
    place of the paper's group norm.
    Start as in the public code: W_g = 0, b of f̂ evenly from 3 to 6 over the heads, b of î with deviation 0.1.

    Parameters: `qkv` (see QKV), `gates.kernel` [D, 2·H] and `gates.bias` [2·H] (all of î, all of f̂),
    `gate.kernel` [D, D] (W_z), `norm.scale` [K], `output.kernel` [D, D].
    State: {"memory": [B, H, K, K + 1] (the last column is n), "m": [B, H]} float32, and "conv" with a
    convolution.
    Source: Beck et al. 2024, arXiv 2405.04517; github.com/NX-AI/xlstm.
    """

    def __init__(
        self, dim: int, *, rngs: nnx.Rngs, heads: int = 4, conv_size: int = 0, dtype: jnp.dtype = jnp.float32
    ):
        self.qkv = QKV(dim, heads, conv_size, rngs=rngs, dtype=dtype)
        self.heads, self.head_dim, self.dtype = heads, dim // heads, dtype
        zeros = nnx.initializers.zeros
        self.gates = linear(dim, 2 * heads, rngs=rngs, dtype=jnp.float32, bias=True, kernel_init=zeros)
        input_bias = 0.1 * jax.random.normal(rngs.params(), (heads,), jnp.float32)
        self.gates.bias[...] = jnp.concatenate([input_bias, jnp.linspace(3.0, 6.0, heads, dtype=jnp.float32)])
        self.gate = linear(dim, dim, rngs=rngs, dtype=dtype)
        self.norm = GatedNorm(self.head_dim, dtype=dtype, activation=jax.nn.sigmoid)
        self.output = linear(dim, dim, rngs=rngs, dtype=dtype)

    def init_state(self, batch: int, max_length: int) -> dict:
        memory = jnp.zeros((batch, self.heads, self.head_dim, self.head_dim + 1), jnp.float32)
        m = jnp.zeros((batch, self.heads), jnp.float32)
        return {"memory": memory, "m": m} | self.qkv.init_state(batch)

    def __call__(self, x: jax.Array, state: dict | None = None, reset=None, axis_name: str | None = None):
        (q, k, v), state_out = self.qkv(x, state, reset, axis_name)
        state = state or {}
        i, f = jnp.split(self.gates(x.astype(jnp.float32)), 2, axis=-1)
        log_f = jax.nn.log_sigmoid(f)
        before = state.get("m")
        m, state_out["m"] = max_plus(log_f, jnp.maximum(i, 0), before, reset=reset, axis_name=axis_name)
        log_decay = log_f + token_shift(m, before, reset, axis_name)[0] - m
        k = k * (self.head_dim**-0.5 * jnp.exp(i - m))[..., None]
        v = jnp.concatenate([v, jnp.ones_like(v[..., :1])], axis=-1).astype(jnp.float32)
        y, state_out["memory"] = linear_attention(
            q, k, v, log_decay, state.get("memory"), reset=reset, axis_name=axis_name
        )
        h = y[..., :-1] / (jnp.maximum(jnp.abs(y[..., -1:]), jnp.exp(-m)[..., None]) + 1e-6)
        return self.output(self.norm(h, self.gate(x))), state_out


PRESETS = {"mlstm": Preset(MLSTM, order=26, spectrum="[0, 1]", structure="diagonal", selective=True)}
