"""Gated scans, S5, nonlinear cells and attention variants against float64 loops, token by token."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from equations import assert_equals_its_equations, sigmoid
from flax import nnx

from rnnbench.mixers import PRESETS
from rnnbench.mixers.s5 import hippo

DIM = 8


def gelu(x):
    return 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))


def affine(x, p):
    return x @ p["kernel"] + p["bias"]


def convolved(x, p, activation):
    """The causal depthwise convolution of x [T, channels], one tap at a time."""
    y = np.zeros_like(x)
    width = len(p["kernel"])
    for t in range(len(x)):
        for lag in range(min(width, t + 1)):
            y[t] += p["kernel"][width - 1 - lag] * x[t - lag]
    y += p.get("bias", 0)
    return y * sigmoid(y) if activation else y


def g(x):
    """2410.01201, appendix B."""
    return np.where(x >= 0, x + 0.5, sigmoid(x))


def mingru(x, p):
    h, y = np.zeros(DIM), []
    for x_t in x:
        z, candidate = np.split(affine(x_t, p["input"]), 2)
        h = (1 - sigmoid(z)) * h + sigmoid(z) * g(candidate)
        y.append(h)
    return np.stack(y)


def minlstm(x, p):
    h, y = np.zeros(DIM), []
    for x_t in x:
        i, f, candidate = np.split(affine(x_t, p["input"]), 3)
        i, f = sigmoid(i), sigmoid(f)
        h = f / (f + i) * h + i / (f + i) * g(candidate)
        y.append(h)
    return np.stack(y)


def rglru(x, p, heads, conv_size=4):
    u, branch = np.split(affine(x, p["input"]), 2, axis=-1)
    u = convolved(u, p["conv"], activation=False) if conv_size else u
    K = DIM // heads
    h, y = np.zeros(DIM), []
    for u_t, branch_t in zip(u, branch):
        for c in range(DIM):
            head, place = divmod(c, K)
            own = u_t[head * K : (head + 1) * K]
            kernel = p["gates_kernel"][head * K : (head + 1) * K]
            bias = p["gates_bias"][head * 2 * K : (head + 1) * 2 * K]
            r = sigmoid(own @ kernel[:, place] + bias[place])
            i = sigmoid(own @ kernel[:, K + place] + bias[K + place])
            a = sigmoid(p["a_logit"][c]) ** (8 * r)
            h[c] = a * h[c] + np.sqrt(1 - a**2) * i * u_t[c]
        y.append(affine(gelu(branch_t) * h, p["output"]))
    return np.stack(y)


def s5(x, p, state_dim, blocks=1):
    """With both states of each conjugate pair, so that the readout is real by itself."""
    half = state_dim // 2
    eigenvalue = np.minimum(p["eigenvalue_real"], -1e-4) + 1j * p["eigenvalue_imaginary"]
    step = np.exp(p["log_step"])
    B = p["input_kernel"][:, :half] + 1j * p["input_kernel"][:, half:]
    C = p["readout_kernel"][:half] + 1j * p["readout_kernel"][half:]
    both = lambda z, axis: np.concatenate([z, z.conj()], axis=axis)
    eigenvalue, step, B, C = both(eigenvalue, 0), both(step, 0).real, both(B, 1), both(C, 0)
    discrete = np.exp(eigenvalue * step)
    B = B * (discrete - 1) / eigenvalue
    h, y = np.zeros(state_dim), []
    for x_t in x:
        h = discrete * h + x_t @ B
        u = h @ C + p["skip"] * x_t
        assert np.abs(u.imag).max() < 1e-12
        y.append(gelu(u.real) * sigmoid(affine(gelu(u.real), p["gate"])))
    return np.stack(y)


def gru(x, p):
    Uz, Ur, Uh = np.split(p["recurrent_kernel"], 3, axis=1)
    h, y = np.zeros(DIM), []
    for x_t in x:
        z, r, candidate = np.split(affine(x_t, p["input"]), 3)
        z, r = sigmoid(z + h @ Uz), sigmoid(r + h @ Ur)
        h = z * h + (1 - z) * np.tanh(candidate + (r * h) @ Uh)
        y.append(h)
    return np.stack(y)


def elman(x, p):
    h, y = np.zeros(DIM), []
    for x_t in x:
        h = np.tanh(affine(x_t, p["input"]) + h @ p["recurrent_kernel"])
        y.append(h)
    return np.stack(y)


def slstm(x, p, heads, conv_size=4):
    """Without the stabiliser: plain exp of the input gate, in float64."""
    u = convolved(x, p["conv"], activation=True) if conv_size else x
    K = DIM // heads
    h, c, n, y = np.zeros(DIM), np.zeros(DIM), np.zeros(DIM), []
    for x_t, u_t in zip(x, u):
        gates = np.concatenate([affine(u_t, p["gates"]), affine(x_t, p["input"])]).reshape(4, heads, K)
        for head in range(heads):
            own = slice(head * K, (head + 1) * K)
            gates[:, head] += (h[own] @ p["recurrent_kernel"][own]).reshape(4, K)
        i, f, z, o = gates.reshape(4, DIM)
        c = sigmoid(f) * c + np.exp(i) * np.tanh(z)
        n = sigmoid(f) * n + np.exp(i)
        h = sigmoid(o) * c / n
        normed = h.reshape(heads, K) - h.reshape(heads, K).mean(axis=1, keepdims=True)
        normed /= np.sqrt((normed**2).mean(axis=1, keepdims=True) + 1e-5)
        y.append((normed * p["norm"]["scale"]).reshape(-1))
    return np.stack(y)


def attention(x, p, heads, score):
    """score(h, t, s, q_t, k_s): what takes the place of q·k, and what is added after the division by √K."""
    x = x @ p["qkv"]["linear"]["kernel"]
    x = convolved(x, p["qkv"]["conv"], activation=True) if "conv" in p["qkv"] else x
    q, k, v = (part.reshape(len(x), heads, -1) for part in np.split(x, 3, axis=-1))
    K, y = DIM // heads, np.zeros_like(v)
    for h in range(heads):
        for t in range(len(x)):
            scores = [score(h, t, s, q[t, h], k[s, h]) for s in range(t + 1)]
            weights = [np.exp(product / np.sqrt(K) + bias) for product, bias in scores]
            y[t, h] = sum(w * v_s for w, v_s in zip(weights, v[:, h])) / sum(weights)
    return y.reshape(len(x), -1) @ p["output"]["kernel"]


def fox(x, p, heads, conv_size=0):
    forget = sigmoid(affine(x, p["forget"]))
    decay = lambda h, t, s: np.log(np.prod(forget[s + 1 : t + 1, h]))
    return attention(x, p, heads, lambda h, t, s, q, k: (q @ k, decay(h, t, s)))


def window(x, p, heads, window, conv_size=0):
    def score(h, t, s, q, k):
        half = len(q) // 2
        turn = np.exp(1j * (t - s) * 10000.0 ** (-np.arange(half) / half))
        product = np.real((q[:half] + 1j * q[half:]) * np.conj(k[:half] + 1j * k[half:]) * turn).sum()
        return product, 0 if t - s < window else -np.inf

    return attention(x, p, heads, score)


CASES = [
    (mingru, {}),
    (minlstm, {}),
    (rglru, {"heads": 2}),
    (rglru, {"heads": 1, "conv_size": 0}),
    (s5, {"state_dim": 6}),
    (s5, {"state_dim": 12, "blocks": 3}),
    (gru, {}),
    (elman, {}),
    (slstm, {"heads": 2}),
    (slstm, {"heads": 1, "conv_size": 0}),
    (fox, {"heads": 2}),
    (fox, {"heads": 1, "conv_size": 3}),
    (window, {"heads": 2, "window": 4}),
    (window, {"heads": 1, "window": 20, "conv_size": 3}),
]


@pytest.mark.parametrize("length", [1, 11])
@pytest.mark.parametrize("reference, options", CASES, ids=[f"{f.__name__}-{o}" for f, o in CASES])
def test_mixer_equals_its_equations(reference, options, length):
    assert_equals_its_equations(reference, options, DIM, length)


# --- start values and numerics ------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [2, 6, 16])
def test_s5_starts_with_the_normal_part_of_hippo(n):
    """HiPPO-LegS is −√(2i+1)√(2j+1) below and −(i+1) on the diagonal; a rank-one term makes it normal."""
    legs = np.array(
        [
            [-np.sqrt((2 * i + 1) * (2 * j + 1)) if i > j else -(i + 1) * (i == j) for j in range(n)]
            for i in range(n)
        ]
    )
    root = np.sqrt(np.arange(n) + 0.5)
    expected = np.linalg.eigvals(legs + np.outer(root, root))
    expected = expected[expected.imag < 0]
    eigenvalues, vectors = hippo(n)
    order = np.argsort(expected.imag)
    np.testing.assert_allclose(eigenvalues, expected[order], atol=1e-9)
    np.testing.assert_allclose(vectors.conj().T @ vectors, np.eye(n // 2), atol=1e-9)
    mixer = PRESETS["s5"].build(4, rngs=nnx.Rngs(0), state_dim=3 * n, blocks=3)
    found = mixer.eigenvalue_real[...] + 1j * mixer.eigenvalue_imaginary[...]
    np.testing.assert_allclose(found, np.tile(expected[order], 3), rtol=1e-5)


def test_s5_starts_with_the_input_and_readout_of_a_real_system():
    """B = Vᴴ B₀ with B₀ real of variance 1/D: V and its conjugate lead back to it. C = C₀ V likewise."""
    n, dim = 16, 64
    _, V = hippo(n)
    mixer = PRESETS["s5"].build(dim, rngs=nnx.Rngs(0), state_dim=n)
    B = mixer.input_kernel[...][:, : n // 2] + 1j * mixer.input_kernel[...][:, n // 2 :]
    C = mixer.readout_kernel[...][: n // 2] + 1j * mixer.readout_kernel[...][n // 2 :]
    V_both, B_both = np.concatenate([V, V.conj()], axis=1), np.concatenate([B, np.conj(B)], axis=1)
    B_0 = V_both @ B_both.T
    assert np.abs(B_0.imag).max() < 1e-6
    assert np.var(B_0.real) == pytest.approx(1 / dim, rel=0.2)
    assert np.mean(np.abs(C) ** 2) == pytest.approx(2 / n, rel=0.2)


def test_rglru_starts_on_its_ring():
    mixer = PRESETS["rglru"].build(512, rngs=nnx.Rngs(0), r_min=0.8, r_max=0.9)
    power = np.asarray(jax.nn.sigmoid(mixer.a_logit[...]), np.float64) ** 8
    assert 0.8 <= power.min() < 0.803 and 0.897 < power.max() <= 0.9
    assert np.mean(power) == pytest.approx(0.85, abs=0.005)


@pytest.mark.parametrize("name", ["mingru", "minlstm", "rglru", "gru", "slstm"])
def test_gates_at_their_ends_keep_values_and_gradients_finite(name):
    """Biases of ±100: gates that underflow in float32."""
    graphdef, params = nnx.split(PRESETS[name].build(DIM, rngs=nnx.Rngs(0)))
    x = jax.random.normal(jax.random.key(0), (1, 9, DIM))
    loss = lambda params: jnp.sum(nnx.merge(graphdef, params)(x)[0])
    run = jax.jit(jax.value_and_grad(loss))
    for shift in (-100.0, 100.0):
        value, gradients = run(jax.tree.map(lambda leaf, by=shift: leaf + by * (leaf.ndim == 1), params))
        assert np.isfinite(value)
        assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradients))
