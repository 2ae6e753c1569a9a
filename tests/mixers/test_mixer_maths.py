"""Whole mixers against literal float64 NumPy loops over time that use the mixers' own parameters."""

import numpy as np
import pytest
from equations import assert_equals_its_equations, convolve, heads_of, rms_norm, sigmoid, silu

DIM, LENGTH = 8, 11


def softmax(x):
    x = np.exp(x - x.max())
    return x / x.sum()


def unit(x):
    return x / np.sqrt(np.sum(x**2, axis=-1, keepdims=True) + 1e-6)


def gpt(x, p, heads, positions="rope", conv_size=0):
    q, k, v = heads_of(x, p["qkv"], heads)
    K = q.shape[-1]
    y = np.zeros_like(v)
    for h in range(heads):
        for t in range(len(x)):
            score = np.zeros(t + 1)
            for s in range(t + 1):
                if positions == "rope":  # pairs as complex numbers: turning both leaves the difference t − s
                    turn = np.exp(1j * (t - s) * 10000.0 ** (-np.arange(K // 2) / (K // 2)))
                    qc, kc = (z[: K // 2] + 1j * z[K // 2 :] for z in (q[t, h], k[s, h]))
                    score[s] = np.real(qc * np.conj(kc) * turn).sum() / np.sqrt(K)
                else:
                    score[s] = q[t, h] @ k[s, h] / np.sqrt(K)
                if positions == "alibi":
                    score[s] -= 2.0 ** (-8 * (h + 1) / heads) * (t - s)
            y[t, h] = softmax(score) @ v[: t + 1, h]
    return y.reshape(len(x), -1) @ p["output"]["kernel"]


def linear_transformer(x, p, heads, conv_size=0):
    q, k, v = heads_of(x, p["qkv"], heads)
    phi = lambda x: np.where(x > 0, x + 1, np.exp(x))
    y = np.zeros_like(v)
    for h in range(heads):
        S, z = np.zeros((v.shape[-1], v.shape[-1])), np.zeros(v.shape[-1])
        for t in range(len(x)):
            S, z = S + np.outer(phi(k[t, h]), v[t, h]), z + phi(k[t, h])
            y[t, h] = S.T @ phi(q[t, h]) / (z @ phi(q[t, h]))
    return y.reshape(len(x), -1) @ p["output"]["kernel"]


def lstm(x, p):
    h = c = np.zeros(DIM)
    y = []
    for x_t in x:
        i, f, o, z = np.split(x_t @ p["input"]["kernel"] + p["input"]["bias"] + h @ p["recurrent_kernel"], 4)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(z)
        h = sigmoid(o) * np.tanh(c)
        y.append(h)
    return np.stack(y)


def qlstm(x, p, heads, conv_size=0):
    if "conv" in p:
        x = convolve(x, p["conv"])
    c, y = np.zeros(DIM), []
    for x_t in x:
        i, f, o, z = np.split(x_t @ p["input"]["kernel"] + p["input"]["bias"], 4)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(z)
        h = (sigmoid(o) * np.tanh(c)).reshape(heads, -1)
        y.append(rms_norm(h, p["norm"]["scale"]).reshape(-1) @ p["output"]["kernel"])
    return np.stack(y)


def lru(x, p, state_dim):
    eigenvalue = np.exp(-np.exp(p["nu_log"]) + 1j * np.exp(p["theta_log"]))
    B = p["input_kernel"][:, :state_dim] + 1j * p["input_kernel"][:, state_dim:]
    C = p["readout_kernel"][:state_dim] + 1j * p["readout_kernel"][state_dim:]
    h, y = np.zeros(state_dim), []
    for x_t in x:
        h = eigenvalue * h + np.exp(p["gamma_log"]) * (x_t @ B)
        u = np.real(h @ C) + p["skip"] * x_t
        g = 0.5 * u * (1 + np.tanh(np.sqrt(2 / np.pi) * (u + 0.044715 * u**3)))
        value, gate = np.split(g @ p["glu"]["kernel"] + p["glu"]["bias"], 2)
        y.append(value * sigmoid(gate))
    return np.stack(y)


def deltanet(x, p, heads, negative_eigenvalues=False, conv_size=0):
    q, k, v = heads_of(x, p["qkv"], heads)
    if not conv_size:
        q, k = silu(q), silu(k)
    q, k = unit(q), unit(k)
    beta = (2 if negative_eigenvalues else 1) * sigmoid(x @ p["beta"]["kernel"] + p["beta"]["bias"])
    y = np.zeros_like(v)
    for h in range(heads):
        S = np.zeros((v.shape[-1], v.shape[-1]))
        for t in range(len(x)):
            S = S - beta[t, h] * np.outer(k[t, h], k[t, h] @ S - v[t, h])
            y[t, h] = S.T @ q[t, h]
    return rms_norm(y, p["norm"]["scale"]).reshape(len(x), -1) @ p["output"]["kernel"]


def mamba(x, p, conv_size=4, negative_eigenvalues=False):
    u, z = np.split(x @ p["input"]["kernel"], 2, axis=-1)
    u = convolve(u, p["conv"]) if conv_size else silu(u)
    rank, N = len(p["dt"]["kernel"]), p["A_log"].shape[1]
    h, y = np.zeros(p["A_log"].shape), []
    for u_t, z_t in zip(u, z):
        r, B, C = np.split(u_t @ p["select"]["kernel"], [rank, rank + N])
        delta = np.log1p(np.exp(r @ p["dt"]["kernel"] + p["dt_bias"]))
        decay = np.exp(-delta[:, None] * np.exp(p["A_log"]))
        h = (2 * decay - 1 if negative_eigenvalues else decay) * h + np.outer(delta * u_t, B)
        y.append((h @ C + p["skip"] * u_t) * silu(z_t))
    return np.stack(y) @ p["output"]["kernel"]


CASES = [
    (gpt, {"heads": 2}),
    (gpt, {"heads": 2, "positions": "alibi", "conv_size": 3}),
    (linear_transformer, {"heads": 2}),
    (linear_transformer, {"heads": 1, "conv_size": 3}),
    (lstm, {}),
    (qlstm, {"heads": 2}),
    (qlstm, {"heads": 1, "conv_size": 3}),
    (lru, {"state_dim": 5}),
    (deltanet, {"heads": 2}),
    (deltanet, {"heads": 2, "negative_eigenvalues": True, "conv_size": 3}),
    (mamba, {}),
    (mamba, {"conv_size": 0, "negative_eigenvalues": True}),
]


@pytest.mark.parametrize("reference, options", CASES, ids=[f"{f.__name__}-{o}" for f, o in CASES])
def test_mixer_equals_its_equations(reference, options):
    assert_equals_its_equations(reference, options, DIM, LENGTH)
