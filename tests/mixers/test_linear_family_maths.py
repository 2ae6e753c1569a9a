"""The presets on linear attention against the recurrences of their papers, token by token in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from equations import (
    assert_equal_over_devices,
    assert_equals_its_equations,
    convolve,
    heads_of,
    rms_norm,
    sigmoid,
    silu,
)
from flax import nnx

from rnnbench.mixers import PRESETS

DIM, LENGTH = 8, 37  # two chunks, the second of 5 tokens
NAMES = ("retnet", "gla", "hgrn2", "mamba2", "mamba3", "mamba3_real", "mlstm")


def softplus(x):
    return np.logaddexp(x, 0)


def parts(x, p, *widths):
    return np.split(x @ p["input"]["kernel"], np.cumsum(widths)[:-1], axis=-1)


def gated(h, z, p, gate=silu):
    """W_o (RMSNorm of each head ⊙ gate(z)) for h [H, V]."""
    return (rms_norm(h, p["norm"]["scale"]).reshape(-1) * gate(z)) @ p["output"]["kernel"]


def retnet(x, p, heads, expand_v=2):
    K = DIM // heads
    V = expand_v * K
    q, k, v, z = parts(x, p, DIM, DIM, heads * V, heads * V)
    # Pairs of key channels as complex numbers: q_t·R^(t-s) k_s is the real part of q̄_t R^(t-s) k_s.
    q, k = (a[:, :, : K // 2] + 1j * a[:, :, K // 2 :] for a in (b.reshape(-1, heads, K) for b in (q, k)))
    v = v.reshape(-1, heads, V)
    turn = np.exp(-1j * 10000.0 ** (-np.arange(K // 2) / (K // 2)))
    gamma = 1 - 2.0 ** (-5 - np.arange(heads))
    S, y = np.zeros((heads, K // 2, V), complex), []
    for t in range(len(x)):
        S = gamma[:, None, None] * turn[:, None] * S + k[t][:, :, None] * v[t][:, None]
        h = np.real(np.einsum("hk,hkv->hv", np.conj(q[t]), S))
        y.append(gated(h, z[t], p))
    return np.stack(y)


def gla(x, p, heads, gate_rank=16, temperature=16.0):
    V = DIM // heads
    K = max(1, V // 2)
    q, k, v, z = parts(x, p, heads * K, heads * K, DIM, DIM)
    low = x @ p["decay"]["down"]["kernel"] @ p["decay"]["up"]["kernel"] + p["decay"]["up"]["bias"]
    alpha = sigmoid(low) ** (1 / temperature)
    S, y = np.zeros((heads, K, V)), []
    for t in range(len(x)):
        for h in range(heads):
            keys, values = slice(h * K, (h + 1) * K), slice(h * V, (h + 1) * V)
            S[h] = alpha[t, keys][:, None] * S[h] + np.outer(k[t, keys], v[t, values])
        y.append(gated(np.einsum("hkv,hk->hv", S, q[t].reshape(heads, K)), z[t], p))
    return np.stack(y)


def hgrn2(x, p, heads, lower_bound=0.5):
    bound = sigmoid(p["bound"])
    S, y = np.zeros((heads, DIM // heads, DIM // heads)), []
    for q, f, v in zip(*parts(x, p, DIM, DIM, DIM)):
        f = bound + (1 - bound) * sigmoid(f)
        q, f, v = (each.reshape(heads, -1) for each in (silu(q), f, v))
        S = f[:, :, None] * S + (1 - f)[:, :, None] * v[:, None]
        h = np.einsum("hkv,hk->hv", S, q).reshape(-1)
        y.append(rms_norm(h, p["norm"]["scale"]) @ p["output"]["kernel"])
    return np.stack(y)


def mamba2(x, p, heads, conv_size=4, expand=2, state_dim=0):
    E = expand * DIM
    N = state_dim or min(2 * E // heads, DIM)
    z, u, a = parts(x, p, E, E + 2 * N, heads)
    u = convolve(u, p["conv"]) if conv_size else silu(u)
    delta = softplus(a + p["decay"]["dt_bias"])
    decay = np.exp(-np.exp(p["decay"]["A_log"]) * delta)
    S, y = np.zeros((heads, E // heads, N)), []
    for t in range(len(x)):
        u_t, B, C = np.split(u[t], [E, E + N])
        u_t = u_t.reshape(heads, -1)
        S = decay[t][:, None, None] * S + delta[t][:, None, None] * u_t[:, :, None] * B
        h = (S @ C + p["skip"][:, None] * u_t).reshape(-1)
        y.append(rms_norm(h * silu(z[t]), p["norm"]["scale"]) @ p["output"]["kernel"])
    return np.stack(y)


def mamba3(x, p, heads, expand=2, state_dim=0, rotated=0.5):
    E = expand * DIM
    N = state_dim or min(2 * E // heads, DIM)
    n = int(rotated * N / 2)
    z, u, B, C, a, r, mix, angle = parts(x, p, E, E, N, N, heads, heads, heads, n)
    delta, mix, u = softplus(a + p["dt_bias"]), sigmoid(mix), u.reshape(len(x), heads, -1)
    alpha = np.exp(-delta * np.maximum(softplus(r), 1e-4))
    B, C = rms_norm(B, p["B_norm"]["scale"]), rms_norm(C, p["C_norm"]["scale"])
    y = np.zeros((len(x), heads, E // heads))
    for h in range(heads):
        S, before = np.zeros((N, E // heads)), np.zeros((N, E // heads))
        for t in range(len(x)):
            R = np.eye(N)
            for i in range(n):
                phi = np.pi * np.tanh(angle[t, i]) * delta[t, h]
                R[np.ix_([i, n + i], [i, n + i])] = [[np.cos(phi), -np.sin(phi)], [np.sin(phi), np.cos(phi)]]
            now = np.outer(B[t] + p["B_bias"][h], u[t, h])
            S = alpha[t, h] * R.T @ (S + (1 - mix[t, h]) * delta[t, h] * before)
            S, before = S + mix[t, h] * delta[t, h] * now, now
            y[t, h] = S.T @ (C[t] + p["C_bias"][h]) + p["skip"][h] * u[t, h]
    return (y.reshape(len(x), E) * silu(z)) @ p["output"]["kernel"]


def mamba3_real(x, p, heads):
    return mamba3(x, p, heads, rotated=0.0)


def mlstm(x, p, heads, conv_size=0):
    q, k, v = heads_of(x, p["qkv"], heads)
    gates = x @ p["gates"]["kernel"] + p["gates"]["bias"]
    i, f, K = np.exp(gates[:, :heads]), sigmoid(gates[:, heads:]), q.shape[-1]
    z = x @ p["gate"]["kernel"]
    C, n, y = np.zeros((heads, K, K)), np.zeros((heads, K)), []
    for t in range(len(x)):
        write = i[t][:, None] * k[t] / np.sqrt(K)
        C = f[t][:, None, None] * C + write[:, :, None] * v[t][:, None]
        n = f[t][:, None] * n + write
        size = np.maximum(np.abs(np.einsum("hk,hk->h", n, q[t])), 1)
        y.append(gated(np.einsum("hkv,hk->hv", C, q[t]) / size[:, None], z[t], p, sigmoid))
    return np.stack(y)


CASES = [
    (retnet, {"heads": 2}),
    (retnet, {"heads": 1, "expand_v": 1}),
    (gla, {"heads": 2}),
    (gla, {"heads": 1, "gate_rank": 2, "temperature": 3.0}),
    (hgrn2, {"heads": 2}),
    (mamba2, {"heads": 2}),
    (mamba2, {"heads": 1, "conv_size": 0, "expand": 1, "state_dim": 5}),
    (mamba3, {"heads": 2}),
    (mamba3, {"heads": 1, "expand": 1, "state_dim": 6, "rotated": 1.0}),
    (mamba3_real, {"heads": 2}),
    (mlstm, {"heads": 2}),
    (mlstm, {"heads": 1, "conv_size": 3}),
]


@pytest.mark.parametrize("reference, options", CASES, ids=[f"{f.__name__}-{o}" for f, o in CASES])
def test_mixer_equals_its_equations(reference, options):
    assert_equals_its_equations(reference, options, DIM, LENGTH)


@pytest.mark.parametrize("name", NAMES)
def test_time_split_over_devices(name):
    assert_equal_over_devices(name, DIM, heads=2)


def test_mlstm_with_gates_that_overflow():
    """Input gates from e^-200 to e^200 and forget gates down to e^-100: as in float64, gradients finite."""
    mixer = PRESETS["mlstm"].build(DIM, rngs=nnx.Rngs(0), heads=2)
    mixer.gates.kernel[...] = 60 * jax.random.normal(jax.random.key(1), (DIM, 4))
    graphdef, params = nnx.split(mixer)
    x = jax.random.normal(jax.random.key(2), (1, LENGTH, DIM))

    def outputs(params, x):
        y, _ = nnx.merge(graphdef, params)(x)
        return jnp.sum(y), y

    gradients, y = jax.jit(jax.grad(outputs, (0, 1), has_aux=True))(params, x)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradients))
    exact = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), nnx.to_pure_dict(params))
    gates = np.asarray(x[0] @ mixer.gates.kernel[...])
    assert np.abs(gates[:, :2]).max() > 150 and gates[:, 2:].min() < -100
    expected = mlstm(np.asarray(x[0], np.float64), exact, 2)
    np.testing.assert_allclose(y[0], expected, rtol=1e-3, atol=1e-4)
