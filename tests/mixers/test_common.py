"""The pieces that mixers share, by their definitions."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax.sharding import AxisType
from jax.sharding import PartitionSpec as P

from rnnbench.mixers.common import Decay, GatedNorm, LowRank, sum_of_turns, token_shift, turn

BATCH, LENGTH, HEADS, CHANNELS = 2, 8, 3, 4


def normal(seed, *shape):
    return jax.random.normal(jax.random.key(seed), shape)


def test_token_shift_in_pieces_and_with_resets():
    x = np.array(normal(0, BATCH, LENGTH, HEADS, CHANNELS))
    reset = np.zeros((BATCH, LENGTH), bool)
    reset[0, 3] = reset[1, 0] = reset[1, 5] = True
    start = np.array(normal(1, BATCH, HEADS, CHANNELS))
    expected = np.concatenate([start[:, None], x[:, :-1]], axis=1)
    expected[reset] = 0
    last, pieces = jnp.array(start), []
    for begin, end in ((0, 1), (1, 6), (6, LENGTH)):
        previous, last = token_shift(x[:, begin:end], last, reset[:, begin:end])
        pieces.append(previous)
    np.testing.assert_array_equal(np.concatenate(pieces, axis=1), expected)
    np.testing.assert_array_equal(last, x[:, -1])
    np.testing.assert_array_equal(token_shift(x)[0][:, 0], 0)


def test_token_shift_with_its_time_split():
    x, start = normal(0, BATCH, LENGTH, CHANNELS), normal(1, BATCH, CHANNELS)
    mesh = jax.make_mesh((4,), ("time",), axis_types=(AxisType.Auto,), devices=jax.devices()[:4])
    by_time = P(None, "time")
    split = jax.shard_map(
        lambda x, start: token_shift(x, start, None, "time"),
        mesh=mesh, in_specs=(by_time, P()), out_specs=(by_time, P()),
    )  # fmt: skip
    for found, expected in zip(split(x, start), token_shift(x, start)):
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("channels", [1, CHANNELS])
def test_decay(channels):
    decay = Decay(HEADS, channels, rngs=nnx.Rngs(0), A_min=2.0, A_max=3.0, dt_min=1e-2, dt_max=0.5)
    a = normal(0, BATCH, LENGTH, HEADS * channels)
    log_decay, delta = decay(a)
    expected = np.log1p(np.exp(a + decay.dt_bias[...][None, None]))
    expected = expected.reshape(BATCH, LENGTH, HEADS, channels)
    rate = np.exp(decay.A_log[...])[None, None, :, None]
    shape = (BATCH, LENGTH, HEADS) if channels == 1 else expected.shape
    np.testing.assert_allclose(delta, expected.reshape(shape), rtol=1e-5)
    np.testing.assert_allclose(log_decay, (-rate * expected).reshape(shape), rtol=1e-5)


def test_decay_starts_within_its_ranges():
    decay = Decay(500, rngs=nnx.Rngs(0), A_min=2.0, A_max=3.0, dt_min=1e-2, dt_max=0.5)
    log_decay, delta = decay(jnp.zeros((1, 1, 500)))
    delta, rate = np.asarray(delta[0, 0]), np.asarray(-log_decay / delta)[0, 0]
    assert delta.min() >= 1e-2 * 0.999 and delta.max() <= 0.5 * 1.001
    assert np.median(delta) == pytest.approx(np.sqrt(1e-2 * 0.5), rel=0.25)  # log-uniform
    assert rate.min() >= 1.999 and rate.max() <= 3.001
    assert np.mean(rate) == pytest.approx(2.5, abs=0.05)


def test_gated_norm_and_low_rank():
    norm = GatedNorm(CHANNELS, dtype=jnp.float32, activation=jax.nn.sigmoid)
    norm.scale[...] = jnp.arange(1.0, CHANNELS + 1)
    y, z = normal(0, BATCH, LENGTH, HEADS, CHANNELS), normal(1, BATCH, LENGTH, HEADS * CHANNELS)
    one = np.asarray(y[1, 2, 0])
    expected = one / np.sqrt(np.mean(one**2) + 1e-5) * np.arange(1, CHANNELS + 1)
    expected = expected / (1 + np.exp(-np.asarray(z[1, 2, :CHANNELS])))
    np.testing.assert_allclose(norm(y, z)[1, 2, :CHANNELS], expected, rtol=1e-4)

    low = LowRank(5, 2, 3, rngs=nnx.Rngs(0), dtype=jnp.float32, bias=True, activation=jnp.tanh)
    low.up.bias[...] = jnp.arange(3.0)
    x = normal(0, 1, 1, 5)
    expected = np.tanh(x @ low.down.kernel[...]) @ low.up.kernel[...] + np.arange(3.0)[None, None]
    np.testing.assert_allclose(low(x), expected, rtol=1e-4, atol=1e-6)


def test_turn_by_complex_numbers():
    x, angle = normal(0, BATCH, LENGTH, 5), normal(1, BATCH, LENGTH, 2)
    turned = (x[..., :2] + 1j * x[..., 2:4]) * np.exp(1j * angle)
    expected = np.concatenate([turned.real, turned.imag, x[..., 4:]], axis=-1)
    np.testing.assert_allclose(turn(x, angle), expected, atol=1e-6)
    np.testing.assert_allclose(turn(x.mT, angle.mT, -2), expected.swapaxes(1, 2), atol=1e-6)


def test_angles_lose_nothing_over_long_sequences():
    """In float32 a plain sum of 10⁵ quarter turns is off by 10⁻³ turns and more."""
    turns = jax.random.uniform(jax.random.key(0), (1, 100_000, 1), minval=0.2, maxval=0.3)
    exact = np.cumsum(np.asarray(turns, np.float64), axis=1)
    error = np.asarray(jax.jit(lambda turns: sum_of_turns(turns, None))(turns)) - exact
    assert np.abs(error - np.round(error)).max() < 1e-5
