"""Comparing a whole mixer with its equations, a loop over time in float64, and what such loops share."""

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from helpers import assert_trees_close
from jax.sharding import AxisType
from jax.sharding import PartitionSpec as P

from rnnbench.mixers import PRESETS


def assert_equals_its_equations(reference, options, dim, length):
    """The preset named as `reference` gives `reference(x [T, D], parameters, **options)`, batch of one."""
    graphdef, params = nnx.split(PRESETS[reference.__name__].build(dim, rngs=nnx.Rngs(3), **options))
    # Noise on all parameters: what starts at zero or one (biases, scales) has to be in its right place too.
    leaves, treedef = jax.tree.flatten(params)
    keys = jax.random.split(jax.random.key(4), len(leaves))
    noisy = [leaf + 0.3 * jax.random.normal(key, leaf.shape) for key, leaf in zip(keys, leaves)]
    params = jax.tree.unflatten(treedef, noisy)
    x = jax.random.normal(jax.random.key(5), (1, length, dim))
    y, _ = jax.jit(lambda params, x: nnx.merge(graphdef, params)(x))(params, x)
    exact = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), nnx.to_pure_dict(params))
    expected = reference(np.asarray(x[0], np.float64), exact, **options)
    assert y.dtype == jnp.float32
    np.testing.assert_allclose(y[0], expected, rtol=2e-4, atol=2e-5)


def assert_equal_over_devices(name, dim, **settings):
    """Output and final state, from a state and with resets, are the same with time split over 4 devices."""
    graphdef, params = nnx.split(PRESETS[name].build(dim, rngs=nnx.Rngs(0), **settings))
    x, first = (jax.random.normal(jax.random.key(i), (2, length, dim)) for i, length in ((0, 16), (1, 3)))
    reset = np.zeros((2, 16), bool)
    reset[0, [1, 4, 10]] = True  # within a part, at the start of one, and nowhere in the last
    mesh = jax.make_mesh((4,), ("time",), axis_types=(AxisType.Auto,), devices=jax.devices()[:4])

    def split(params, x, state, reset):
        return nnx.merge(graphdef, params)(x, state, reset, axis_name="time")

    by_time = P(None, "time")
    split = jax.shard_map(
        split, mesh=mesh, in_specs=(P(), by_time, P(), by_time), out_specs=(by_time, P()), check_vma=False
    )
    whole = lambda params, x, state, reset: nnx.merge(graphdef, params)(x, state, reset)
    _, state = jax.jit(lambda params, x: nnx.merge(graphdef, params)(x))(params, first)
    found, expected = (jax.jit(run)(params, x, state, reset) for run in (split, whole))
    assert_trees_close(found, expected, rtol=1e-4, atol=1e-5)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def silu(x):
    return x * sigmoid(x)


def rms_norm(x, scale):
    return x / np.sqrt(np.mean(x**2, axis=-1, keepdims=True) + 1e-5) * scale


def convolve(x, p):
    """SiLU of the causal depthwise convolution of x [T, channels]."""
    width = len(p["kernel"])
    padded = np.concatenate([np.zeros((width - 1, x.shape[1])), x])
    window = [(p["kernel"] * padded[t : t + width]).sum(axis=0) for t in range(len(x))]
    return silu(np.stack(window) + p.get("bias", 0))


def heads_of(x, p, heads):
    """q, k, v [T, H, K] each."""
    x = x @ p["linear"]["kernel"]
    if "conv" in p:
        x = convolve(x, p["conv"])
    return (part.reshape(len(x), heads, -1) for part in np.split(x, 3, axis=-1))
