"""S5, a diagonal state space model with many inputs and outputs (preset `s5`)."""

import math
from typing import Annotated

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from rnnbench.mixers.common import flat_dot, linear, require
from rnnbench.mixers.preset import Preset
from rnnbench.ops.linear_scan import linear_scan


class S5(nnx.Module):
    """h_t = Λ̄ ⊙ h_{t-1} + Λ⁻¹(Λ̄ − 1) ⊙ (B x_t),  u_t = 2 Re(C h_t) + d ⊙ x_t,  y_t = g_t ⊙ σ(W g_t + b).

    Λ̄ = exp(Δ ⊙ Λ) (zero-order hold, a step size Δ per state), Λ = min(λ_re, −10⁻⁴) + i·λ_im; h, B, C
    complex; g_t = GELU(u_t), in its tanh form. Of N = `state_dim` states, which are conjugate pairs, only
    N/2 are computed; hence the 2.
    Start as in the public code (lindermanlab/S5): Λ the eigenvalues with negative imaginary part of
    `blocks` HiPPO-N matrices V Λ Vᴴ of size N/blocks; B = Vᴴ B₀ with B₀ real, E B₀² = 1/D (there 1/N);
    C = C₀ V with E|C₀|² = 2/N; d normal; log Δ uniform between those of dt_min and dt_max. The cap of λ_re,
    there an option for long sequences, always holds here.

    Parameters: `eigenvalue_real`, `eigenvalue_imaginary`, `log_step` [N/2], `input_kernel` [D, N] and
    `readout_kernel` [N, D] (real half, then imaginary half: Re(C h) = Re(h) C_re − Im(h) C_im), `skip` [D]
    (d), `gate` (kernel [D, D], bias).
    State: {"h": [B, N/2] complex64}.
    Source: Smith et al. 2022, arXiv 2208.04933.
    """

    def __init__(
        self,
        dim: int,
        *,
        rngs: nnx.Rngs,
        state_dim: Annotated[int, "states per layer, two for each complex one; 0 = model.dim"] = 0,
        blocks: Annotated[int, "HiPPO-N matrices whose eigenvalues the states start with"] = 1,
        dt_min: Annotated[float, "smallest initial step size"] = 1e-3,
        dt_max: Annotated[float, "largest initial step size"] = 1e-1,
        dtype: jnp.dtype = jnp.float32,
    ):
        n = state_dim or dim
        require(blocks >= 1, "blocks", f"{blocks}: at least 1")
        require(n > 0 and n % (2 * blocks) == 0, "state_dim", f"{n} is no multiple of 2 x {blocks} blocks")
        require(dt_min > 0, "dt_min", f"{dt_min}: must be above 0")
        require(dt_min <= dt_max, "dt_max", f"{dt_max} is below dt_min {dt_min}")
        self.state_dim, self.dtype = n, dtype
        eigenvalues, vectors = hippo(n // blocks)
        eigenvalues = np.tile(eigenvalues, blocks)
        vectors = np.kron(np.eye(blocks), vectors).astype(np.complex64)
        self.eigenvalue_real = nnx.Param(jnp.asarray(eigenvalues.real, jnp.float32))
        self.eigenvalue_imaginary = nnx.Param(jnp.asarray(eigenvalues.imag, jnp.float32))
        bounds = math.log(dt_min), math.log(dt_max)
        self.log_step = nnx.Param(jax.random.uniform(rngs.params(), (n // 2,), jnp.float32, *bounds))
        draw = lambda *shape: nnx.initializers.lecun_normal()(rngs.params(), shape, jnp.float32)
        B = draw(dim, n) @ vectors.conj()  # transposed, as all kernels
        C = vectors.T @ jax.lax.complex(*jnp.split(draw(n, 2 * dim), 2, axis=1))
        self.input_kernel = nnx.Param(jnp.concatenate([B.real, B.imag], axis=1))
        self.readout_kernel = nnx.Param(jnp.concatenate([C.real, C.imag]))
        self.skip = nnx.Param(nnx.initializers.normal(1.0)(rngs.params(), (dim,), jnp.float32))
        self.gate = linear(dim, dim, rngs=rngs, dtype=dtype, bias=True)

    def init_state(self, batch: int, max_length: int) -> dict:
        return {"h": jnp.zeros((batch, self.state_dim // 2), jnp.complex64)}

    def __call__(
        self,
        x: jax.Array,
        state: dict | None = None,
        reset: jax.Array | None = None,
        axis_name: str | None = None,
    ):
        x = x.astype(self.dtype)
        write = flat_dot(x, self.input_kernel.astype(self.dtype)).astype(jnp.float32)
        eigenvalue = jax.lax.complex(
            jnp.minimum(self.eigenvalue_real[...], -1e-4), self.eigenvalue_imaginary[...]
        )
        exponent = eigenvalue * jnp.exp(self.log_step[...])
        write = jax.lax.complex(*jnp.split(write, 2, axis=-1))
        write = write * (jnp.expm1(exponent) / eigenvalue)[None, None]
        before = None if state is None else state["h"]
        h, last = linear_scan(jnp.exp(exponent)[None, None], write, before, reset=reset, axis_name=axis_name)
        h = 2 * jnp.concatenate([h.real, -h.imag], axis=-1).astype(self.dtype)
        u = flat_dot(h, self.readout_kernel.astype(self.dtype)) + x * self.skip.astype(self.dtype)[None, None]
        g = jax.nn.gelu(u)
        return g * jax.nn.sigmoid(self.gate(g)), {"h": last}


def hippo(n: int) -> tuple[np.ndarray, np.ndarray]:
    """The n/2 eigenvalues λ of HiPPO-N with Im λ < 0, and their eigenvectors [n, n/2].

    HiPPO-N is −½ I + S, S_ij = −√((i + ½)(j + ½)) for i > j, S skew-symmetric (i, j from 0): the normal part
    of HiPPO-LegS.
    """
    root = np.sqrt(np.arange(n) + 0.5)
    below = np.tril(np.outer(root, root), -1)
    imaginary, vectors = np.linalg.eigh(-1j * (below.T - below))  # in ascending order, symmetric about 0
    return -0.5 + 1j * imaginary[: n // 2], vectors[:, : n // 2]


PRESETS = {"s5": Preset(S5, order=40, spectrum="complex", structure="diagonal", selective=False)}
