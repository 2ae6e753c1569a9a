"""The presets on the delta rule and on block scan against their papers' recurrences, in float64."""

import numpy as np
import pytest
from equations import (
    assert_equal_over_devices,
    assert_equals_its_equations,
    convolve,
    rms_norm,
    sigmoid,
    silu,
)

DIM, LENGTH = 8, 37  # a chunk and a part of one


def softplus(x):
    return np.logaddexp(x, 0)


def unit(x):
    return x / np.sqrt(np.sum(x**2, axis=-1, keepdims=True) + 1e-6)


def low_rank(x, p, activation=lambda x: x):
    return activation(x @ p["down"]["kernel"]) @ p["up"]["kernel"] + p["up"].get("bias", 0)


def unit_qkv(x, p, heads, conv_size, steps=1):
    """q [T, H, K], and k, v [T, H, steps, K]."""
    x = x @ p["linear"]["kernel"]
    x = convolve(x, p["conv"]) if conv_size else silu(x)
    q, k, v = np.split(x, [DIM, (1 + steps) * DIM], axis=-1)
    per_step = (len(x), heads, steps, DIM // heads)
    return unit(q.reshape(len(x), heads, -1)), unit(k.reshape(per_step)), v.reshape(per_step)


def remembered(q, k, v, alpha, erase, write):
    """S_tᵀ q_t [T, H, V], head by head and step by step; alpha [T, H, K], erase, write [T, H, steps, ·]."""
    y = np.zeros(q.shape)
    for h in range(q.shape[1]):
        S = np.zeros((q.shape[2], q.shape[2]))
        for t in range(len(q)):
            S = np.diag(alpha[t, h]) @ S
            for i in range(k.shape[2]):
                found = S.T @ (erase[t, h, i] * k[t, h, i])
                S = S + np.outer(k[t, h, i], write[t, h, i] * v[t, h, i] - found)
            y[t, h] = S.T @ q[t, h]
    return y


def output(y, gate, p):
    return (rms_norm(y, p["norm"]["scale"]).reshape(len(y), -1) * gate) @ p["output"]["kernel"]


def gated_deltanet(x, p, heads, conv_size=4, negative_eigenvalues=False):
    q, k, v = unit_qkv(x, p["qkv"], heads, conv_size)
    z, b, a = np.split(x @ p["gate"]["kernel"], [DIM, DIM + heads], axis=-1)
    beta = (2 if negative_eigenvalues else 1) * sigmoid(b)[:, :, None, None]
    alpha = np.exp(-np.exp(p["decay"]["A_log"]) * softplus(a + p["decay"]["dt_bias"]))
    alpha = alpha[:, :, None] * np.ones(q.shape)
    return output(remembered(q, k, v, alpha, beta, beta), silu(z), p)


def channel_decay(x, p, heads):
    rate = softplus(low_rank(x, p["rate"]) + p["decay"]["dt_bias"]).reshape(len(x), heads, -1)
    return np.exp(-np.exp(p["decay"]["A_log"])[:, None] * rate)


def kda(x, p, heads, conv_size=4, negative_eigenvalues=False):
    q, k, v = unit_qkv(x, p["qkv"], heads, conv_size)
    beta = (2 if negative_eigenvalues else 1) * sigmoid(x @ p["beta"]["kernel"])[:, :, None, None]
    y = remembered(q, k, v, channel_decay(x, p, heads), beta, beta)
    return output(y, sigmoid(low_rank(x, p["gate"])), p)


def gdn2(x, p, heads, conv_size=4, negative_eigenvalues=False):
    q, k, v = unit_qkv(x, p["qkv"], heads, conv_size)
    b, w = np.split(sigmoid(x @ p["edit"]["kernel"]), 2, axis=-1)
    b, w = b.reshape(k.shape) * (2 if negative_eigenvalues else 1), w.reshape(v.shape)
    y = remembered(q, k, v, channel_decay(x, p, heads), b, w)
    return output(y, sigmoid(low_rank(x, p["gate"])), p)


def deltaproduct2(x, p, heads, conv_size=4, steps=2, decay=False):
    q, k, v = unit_qkv(x, p["qkv"], heads, conv_size, steps)
    z, b, a = np.split(x @ p["gate"]["kernel"], [DIM, DIM + steps * heads], axis=-1)
    beta = 2 * sigmoid(b).reshape(*k.shape[:3], 1)
    alpha = np.ones(q.shape)
    if decay:
        rate = softplus(a + p["decay"]["dt_bias"])
        alpha = alpha * np.exp(-np.exp(p["decay"]["A_log"]) * rate)[:, :, None]
    return output(remembered(q, k, v, alpha, beta, beta), silu(z), p)


def deltaproduct3(x, p, heads):
    return deltaproduct2(x, p, heads, steps=3)


def rwkv7(x, p, heads, rank=0):
    K, previous, y = DIM // heads, np.zeros(DIM), []
    S = np.zeros((heads, K, K))  # here, as in the paper, the values are the rows
    for x_t in x:
        xr, xw, xk, xv, xa, xg = x_t + p["mix"] * (previous - x_t)
        previous = x_t
        r, k, v = (xi @ p[name]["kernel"] for name, xi in zip("rkv", (xr, xk, xv)))
        omega = np.exp(-np.exp(-0.5) * sigmoid(low_rank(xw, p["w"], np.tanh)))
        a, g = sigmoid(low_rank(xa, p["a"])), low_rank(xg, p["g"], sigmoid)
        kappa = p["xi"] * k
        k = k * (1 + (a - 1) * p["zeta"])
        heads_out = []
        for h in range(heads):
            c = slice(h * K, (h + 1) * K)
            removal = unit(kappa[c])
            S[h] = S[h] @ (np.diag(omega[c]) - np.outer(removal, a[c] * removal)) + np.outer(v[c], k[c])
            out = S[h] @ r[c]
            out = (out - out.mean()) / np.sqrt(out.var() + 64e-5) * p["scale"][c] + p["bias"][c]
            heads_out.append(out + (r[c] @ (p["bonus"][h] * k[c])) * v[c])
        y.append((g * np.concatenate(heads_out)) @ p["output"]["kernel"])
    return np.stack(y)


def slice_(x, p, block=4):
    h, y = np.zeros(DIM), []
    for x_t in x:
        A = (x_t @ p["transition"]["kernel"] + p["transition"]["bias"]).reshape(-1, block, block)
        moved = np.concatenate([A_i @ h[i * block : (i + 1) * block] for i, A_i in enumerate(A)])
        h = h + moved + x_t @ p["write"]["kernel"] + p["write"]["bias"]
        y.append(rms_norm(h, p["norm"]["scale"]) @ p["output"]["kernel"])
    return np.stack(y)


slice_.__name__ = "slice"
CASES = [
    (gated_deltanet, {"heads": 2}),
    (gated_deltanet, {"heads": 2, "conv_size": 0, "negative_eigenvalues": True}),
    (kda, {"heads": 2}),
    (kda, {"heads": 2, "negative_eigenvalues": True}),
    (gdn2, {"heads": 2}),
    (gdn2, {"heads": 1, "conv_size": 0, "negative_eigenvalues": True}),
    (deltaproduct2, {"heads": 2, "decay": True}),
    (deltaproduct3, {"heads": 2}),
    (rwkv7, {"heads": 2}),
    (rwkv7, {"heads": 1, "rank": 3}),
    (slice_, {}),
    (slice_, {"block": 2}),
]


@pytest.mark.parametrize("reference, options", CASES, ids=[f"{f.__name__}-{o}" for f, o in CASES])
def test_mixer_equals_its_equations(reference, options):
    assert_equals_its_equations(reference, options, DIM, LENGTH)


@pytest.mark.parametrize("name", ["gated_deltanet", "kda", "gdn2", "deltaproduct2", "rwkv7"])
def test_time_split_over_devices(name):
    assert_equal_over_devices(name, DIM, heads=2)


def test_time_split_over_devices_of_dense_blocks():
    assert_equal_over_devices("slice", DIM)
