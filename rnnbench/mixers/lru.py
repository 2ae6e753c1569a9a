"""The Linear Recurrent Unit (preset `lru`)."""

from typing import Annotated

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from rnnbench.mixers.common import flat_dot, linear, require
from rnnbench.mixers.preset import Preset
from rnnbench.ops.linear_scan import linear_scan


class LRU(nnx.Module):
    """h_t = λ ⊙ h_{t-1} + exp(γ_log) ⊙ (B x_t),  u_t = Re(C h_t) + d ⊙ x_t,  y_t = W_1 g_t ⊙ σ(W_2 g_t).

    λ = exp(−exp(ν_log) + i·exp(θ_log)), so |λ| < 1 for all parameters; h, B, C complex; g_t = GELU(u_t).
    Start: λ uniform on the ring r_min ≤ |λ| ≤ r_max with phase in (0, max_phase]; γ = √(1 − |λ|²), which
    keeps the size of h at that of its input; γ_log is then learned freely. B, C, d: Gaussian,
    E|B|² = 1/D, E|C|² = 2/N, E d² = 1. W_1 and W_2 have biases; GELU in its tanh form. N = `state_dim`,
    or dim if that is 0.

    Parameters: `nu_log`, `theta_log`, `gamma_log` [N], `input_kernel` [D, 2·N] and `readout_kernel` [2·N, D]
    (real half, then imaginary half: u = Re(h) C_re − Im(h) C_im), `skip` [D], `glu` (kernel [D, 2·D], bias).
    State: {"h": [B, N] complex64}.
    Source: Orvieto et al. 2023, arXiv 2303.06349.
    """

    def __init__(
        self,
        dim: int,
        *,
        rngs: nnx.Rngs,
        state_dim: Annotated[int, "complex states per layer; 0 = model.dim"] = 0,
        r_min: Annotated[float, "smallest initial radius |λ| of an eigenvalue"] = 0.9,
        r_max: Annotated[float, "largest initial radius |λ| of an eigenvalue, below 1"] = 0.999,
        max_phase: Annotated[float, "largest initial phase of an eigenvalue, in (0, 2π]"] = 2 * np.pi,
        dtype: jnp.dtype = jnp.float32,
    ):
        require(state_dim >= 0, "state_dim", f"{state_dim}: 0 (= dim) or a positive number of states")
        require(0 <= r_min < 1, "r_min", f"{r_min} is not in [0, 1)")
        require(r_min <= r_max < 1, "r_max", f"{r_max} is not in [r_min, 1) with r_min {r_min}")
        require(0 < max_phase <= 2 * np.pi, "max_phase", f"{max_phase} is not in (0, 2π]")
        self.state_dim, self.dtype = state_dim or dim, dtype
        n, normal = self.state_dim, nnx.initializers.normal
        nu_log, theta_log, gamma_log = ring(rngs.params(), n, r_min, r_max, max_phase)
        self.nu_log, self.theta_log = nnx.Param(nu_log), nnx.Param(theta_log)
        self.gamma_log = nnx.Param(gamma_log)
        self.input_kernel = nnx.Param(normal((2 * dim) ** -0.5)(rngs.params(), (dim, 2 * n), jnp.float32))
        self.readout_kernel = nnx.Param(normal(n**-0.5)(rngs.params(), (2 * n, dim), jnp.float32))
        self.skip = nnx.Param(normal(1.0)(rngs.params(), (dim,), jnp.float32))
        self.glu = linear(dim, 2 * dim, rngs=rngs, dtype=dtype, bias=True)

    def init_state(self, batch: int, max_length: int) -> dict:
        return {"h": jnp.zeros((batch, self.state_dim), jnp.complex64)}

    def __call__(
        self,
        x: jax.Array,
        state: dict | None = None,
        reset: jax.Array | None = None,
        axis_name: str | None = None,
    ):
        x = x.astype(self.dtype)
        write = flat_dot(x, self.input_kernel.astype(self.dtype)).astype(jnp.float32)
        real, imaginary = jnp.split(write * jnp.tile(jnp.exp(self.gamma_log[...]), 2)[None, None], 2, axis=-1)
        eigenvalue = jnp.exp(jax.lax.complex(-jnp.exp(self.nu_log[...]), jnp.exp(self.theta_log[...])))
        write = jax.lax.complex(real, imaginary)
        before = None if state is None else state["h"]
        h, last = linear_scan(eigenvalue[None, None], write, before, reset=reset, axis_name=axis_name)
        h = jnp.concatenate([h.real, -h.imag], axis=-1).astype(self.dtype)
        u = flat_dot(h, self.readout_kernel.astype(self.dtype)) + x * self.skip.astype(self.dtype)[None, None]
        value, gate = jnp.split(self.glu(jax.nn.gelu(u)), 2, axis=-1)
        return value * jax.nn.sigmoid(gate), {"h": last}


def ring(key: jax.Array, n: int, r_min: float, r_max: float, max_phase: float):
    """ν_log, θ_log, γ_log of n eigenvalues uniform by area on r_min ≤ |λ| ≤ r_max, phase ≤ max_phase."""
    for_radius, for_phase = jax.random.split(key)
    # Excludes 0, whose logarithm is infinite, for the radius (if r_min = 0) and for the phase.
    share = lambda key: jax.random.uniform(key, (n,), jnp.float32, minval=1e-5)
    radius_squared = r_min**2 + (r_max**2 - r_min**2) * share(for_radius)
    phase = max_phase * share(for_phase)
    nu_log = jnp.log(-0.5 * jnp.log(radius_squared))
    return nu_log, jnp.log(phase), 0.5 * jnp.log1p(-radius_squared)


PRESETS = {"lru": Preset(LRU, order=5, spectrum="complex", structure="diagonal", selective=False)}
