"""The optimiser against Adam written out in NumPy, the decay mask over all presets, the schedule."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import tiny

from rnnbench.config.build import base
from rnnbench.mixers import PRESETS
from rnnbench.train.optim import optimizer, schedule
from rnnbench.train.population import prepare, state_shapes

pytestmark = pytest.mark.fast

PLAIN = {"clip": 0.0, "weight_decay": 0.0}


def configured(**settings):
    config = base().optim
    for name, value in (PLAIN | settings).items():
        config[name] = value
    return config


def directions(config, params, gradients):
    """What the optimiser says for each gradient in turn, the parameters held still."""
    tx = optimizer(config)
    state, found = tx.init(params), []
    for gradient in gradients:
        update, state = tx.update(gradient, state, params)
        found.append(update)
    return found


def adam(gradients, clip, decay, b1=0.9, b2=0.95, epsilon=1e-8):
    """Loshchilov & Hutter 2019, the gradient clipped by its norm; `decay` is weight decay × parameters."""
    m = v = 0.0
    for t, gradient in enumerate(gradients, start=1):
        norm = np.linalg.norm(gradient)
        if clip and norm > clip:
            gradient = gradient * clip / norm
        m, v = b1 * m + (1 - b1) * gradient, b2 * v + (1 - b2) * gradient**2
        yield m / (1 - b1**t) / (np.sqrt(v / (1 - b2**t)) + epsilon) + decay


@pytest.mark.parametrize("clip", [0.0, 1.0])
@pytest.mark.parametrize("name,weight_decay", [("adam", 0.0), ("adamw", 0.0), ("adamw", 0.1)])
def test_equals_adam_written_out(name, weight_decay, clip):
    rng = np.random.default_rng(0)
    kernel = rng.normal(size=(3, 4))
    gradients = [size * rng.normal(size=(3, 4)) for size in (10.0, 0.01, 1.0)]
    as_tree = lambda leaf: {"kernel": jnp.asarray(leaf, jnp.float32)}
    config = configured(name=name, weight_decay=weight_decay, clip=clip)
    found = directions(config, as_tree(kernel), map(as_tree, gradients))
    for update, expected in zip(found, adam(gradients, clip, weight_decay * kernel), strict=True):
        np.testing.assert_allclose(update["kernel"], expected, rtol=1e-4)


def test_clipping_is_by_the_norm_of_all_leaves_together():
    gradients = [{"a": jnp.array([a]), "b": jnp.array([b])} for a, b in ((3.0, 4.0), (0.1, 0.1))]
    params = jax.tree.map(jnp.zeros_like, gradients[0])
    clipped = directions(configured(clip=1.0), params, gradients)[1]
    by_hand = [{"a": jnp.array([0.6]), "b": jnp.array([0.8])}, gradients[1]]
    expected = directions(configured(), params, by_hand)[1]
    np.testing.assert_allclose(clipped["a"], expected["a"], rtol=1e-5)
    assert not np.allclose(clipped["a"], directions(configured(), params, gradients)[1]["a"], rtol=0.01)


@pytest.mark.parametrize("preset", PRESETS)
def test_decay_touches_the_weights_and_nothing_else(preset):
    setup = prepare(tiny(preset, {"optim.weight_decay": 0.1, "optim.clip": 0.0}))
    shapes = state_shapes(setup).members.params
    params = jax.tree.map(lambda leaf: np.ones(leaf.shape[1:], np.float32), shapes)
    zero = jax.tree.map(np.zeros_like, params)
    (update,) = directions(setup.config.optim, params, [zero])
    decayed = {}
    for path, leaf in jax.tree_util.tree_leaves_with_path(update):
        decayed.setdefault(path[-1].key, set()).update(np.unique(leaf).tolist())
    kernels = {name for name in decayed if name.endswith("kernel")}
    others = set(decayed) - kernels
    assert "kernel" in kernels
    assert {"embedding", "scale", "bias"} <= others
    assert all(decayed[name] == {np.float32(0.1)} for name in kernels)
    assert all(decayed[name] == {0.0} for name in others), decayed


def shares(steps=100, **settings):
    config = configured(**settings)
    return np.array([schedule(config, steps, jnp.int32(step)) for step in range(steps)])


def test_schedule_warms_up_and_falls_to_zero():
    found = shares(warmup=0.1)
    np.testing.assert_allclose(found[:10], np.arange(1, 11) / 10, rtol=1e-6)
    np.testing.assert_allclose(found[[10, 55]], [1.0, 0.5], atol=1e-6)
    assert (np.diff(found[10:]) < 0).all()
    assert 0 < found[-1] < 1e-3
    np.testing.assert_allclose(schedule(configured(warmup=0.1), 100, jnp.int32(100)), 0, atol=1e-7)


def test_schedule_without_warmup_starts_at_one():
    np.testing.assert_allclose(shares(warmup=0.0)[[0, 50]], [1.0, 0.5], atol=1e-6)


def test_constant_schedule():
    found = shares(warmup=0.1, schedule="constant")
    np.testing.assert_allclose(found[:10], np.arange(1, 11) / 10, rtol=1e-6)
    assert (found[10:] == 1).all()


def test_a_warmup_shorter_than_a_step_is_one_step():
    np.testing.assert_allclose(shares(steps=4, warmup=0.01), [1.0, 1.0, 0.75, 0.25], atol=1e-6)


def test_decay_of_all_parameters():
    params = {"kernel": jnp.ones(2), "bias": jnp.ones(2), "A_log": jnp.ones(2)}
    zero = jax.tree.map(jnp.zeros_like, params)
    decayed = lambda which: directions(configured(weight_decay=0.1, decay=which), params, [zero])[0]
    np.testing.assert_allclose([leaf.max() for leaf in decayed("all").values()], 0.1, rtol=1e-6)
    assert {name for name, leaf in decayed("kernels").items() if leaf.max() > 0} == {"kernel"}
