"""DeltaNet and linear attention as the PyTorch original had them: plug-ins, for the autopsy only.

Each is the package's mixer with faults that can be switched on; without faults it equals the package's.
"""

import jax
import jax.numpy as jnp
from flax import nnx

from rnnbench.mixers.common import linear, merge_heads
from rnnbench.mixers.deltanet import DeltaNet, normalise
from rnnbench.mixers.linear_attention import LinearAttention
from rnnbench.ops.delta_rule import delta_rule


class Faulty:
    """Base class that stands before a mixer of the package and gives it the faults named in `faults`.

    diagonal  the memory S [K, K] is read as y[d] = S[d, d] · q[d] in place of y = Sᵀ q, as by an einsum that
              writes an index twice, "bhdd,bhd->bhd". Of K² numbers in the memory it reads K.
    number    the mixer's input is one number a_t = w · x_t, spread again to all channels: u a_t + b. A token
              that enters as a number, without embedding, is this with w fixed; here w may learn.

    Names of the task's faults are ignored, so that one list describes a whole setting.
    Parameters, beside those of the mixer: with "number", `number` [D, 1] and `spread` [1, D], [D].
    """

    def __init__(
        self, dim: int, *, rngs: nnx.Rngs, faults: str = "", heads=1, conv_size=0, dtype=jnp.float32
    ):
        super().__init__(dim, rngs=rngs, heads=heads, conv_size=conv_size, dtype=dtype)
        self.diagonal = "diagonal" in faults.split()
        number = "number" in faults.split()
        self.number = linear(dim, 1, rngs=rngs, dtype=dtype) if number else None
        self.spread = linear(1, dim, rngs=rngs, dtype=dtype, bias=True) if number else None

    def __call__(self, x: jax.Array, state: dict | None = None):
        x = self.entered(x)
        return self.diagonally(x, state) if self.diagonal else super().__call__(x, state)

    def entered(self, x: jax.Array) -> jax.Array:
        return x if self.number is None else self.spread(self.number(x))


class FaultyDeltaNet(Faulty, DeltaNet):
    """S_t = (I − β_t k_t k_tᵀ) S_{t-1} + β_t k_t v_tᵀ with faults.

    diagonal  y_t[d] = S_t[d, d] · q_t[d].
    """

    def diagonally(self, x: jax.Array, state: dict | None):
        (q, k, v), state_out = self.qkv(x, state)
        if self.qkv.conv is None:
            q, k = jax.nn.silu(q), jax.nn.silu(k)
        memory = self.init_state(x.shape[0], 0)["memory"] if state is None else state["memory"]
        steps = normalise(q), normalise(k), v.astype(jnp.float32), self.write_strength(x)
        y, state_out["memory"] = diagonal_delta_rule(*steps, memory)
        return self.output(merge_heads(self.norm(y.astype(self.dtype)))), state_out


class FaultyLinearAttention(Faulty, LinearAttention):
    """S_t = S_{t-1} + φ(k_t) v_tᵀ, z_t = z_{t-1} + φ(k_t), y_t = S_tᵀφ(q_t) / z_tᵀφ(q_t) with faults.

    diagonal  y_t[d] = S_t[d, d] φ(q_t)[d] / z_tᵀφ(q_t).
    """

    def diagonally(self, x: jax.Array, state: dict | None):
        (q, k, v), state_out = self.qkv(x, state)
        memory = self.init_state(x.shape[0], 0)["memory"] if state is None else state["memory"]
        q, k = (jax.nn.elu(part.astype(jnp.float32)) + 1 for part in (q, k))
        v = jnp.concatenate([v, jnp.ones_like(v[..., :1])], axis=-1).astype(jnp.float32)
        normaliser = memory[:, None, :, :, -1] + jnp.cumsum(k, axis=1)
        entry = diagonal_of(memory) + jnp.cumsum(k * v[..., :-1], axis=1)
        y = entry * q / (jnp.sum(normaliser * q, axis=-1, keepdims=True) + 1e-6)
        state_out["memory"] = memory + jnp.einsum("bthk,bthv->bhkv", k, v)
        return self.output(merge_heads(y.astype(self.dtype))), state_out


def diagonal_delta_rule(q, k, v, beta, memory):
    """The delta rule of q, k, v [B, T, H, K], beta [B, T, H], read as y_t[d] = S_t[d, d] · q_t[d].

    A step adds k_t w_tᵀ with w_t = β_t (v_t − S_{t-1}ᵀ k_t), so S_t[d, d] is a running sum of k_t[d] w_t[d];
    S_{t-1}ᵀ k_t is what the package's op gives when it is asked, after step t − 1, for the next key.
    """
    ahead = jnp.concatenate([k[:, 1:], k[:, :1]], axis=1)
    found, final = delta_rule(ahead, k, v, beta, state=memory)
    first = jnp.einsum("bhkv,bhk->bhv", memory, k[:, 0])
    found = jnp.concatenate([first[:, None], found[:, :-1]], axis=1)
    written = beta[..., None] * (v - found)
    return (diagonal_of(memory) + jnp.cumsum(k * written, axis=1)) * q, final


def diagonal_of(memory: jax.Array) -> jax.Array:
    """memory [B, H, K, V], V ≥ K -> S[d, d] as [B, 1, H, K]."""
    return jnp.diagonal(memory, axis1=-2, axis2=-1)[:, None]
