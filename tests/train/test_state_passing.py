"""Training in windows: the state carried is that of the whole sequence, and new sequences start afresh."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from helpers import assert_trees_close, tiny

from rnnbench.config import ConfigError
from rnnbench.train.checkpoint import Checkpoints
from rnnbench.train.population import example_keys, init_state, make_train_chunk, prepare, state_shapes
from rnnbench.train.step import loss_sum

LENGTH, WINDOWS = 12, 3  # three windows of 4 tokens
IN_WINDOWS = {"task.train_lengths": (LENGTH, LENGTH), "train.windows": WINDOWS, "train.accumulate": 2}


@functools.cache
def program(preset, *settings):
    setup = prepare(tiny(preset, IN_WINDOWS | dict(settings)))
    return setup, init_state(setup), make_train_chunk(setup)


def trained(steps, preset="qlstm", **settings):
    """The population after the steps, one list of metrics for each of the dispatches."""
    _, state, chunk = program(preset, *((key.replace("__", "."), value) for key, value in settings.items()))
    state, metrics = jax.tree.map(jnp.copy, state), []
    for n in steps:
        state, found = chunk(state, np.int32(n))
        metrics.append(jax.tree.map(np.asarray, found))
    return state, metrics


SLOW = ("linear_transformer", "qlstm", "lru", "mamba_neg")
PRESETS = ["lstm", "gpt", "deltanet", *(pytest.param(name, marks=pytest.mark.slow) for name in SLOW)]


@pytest.mark.parametrize("preset", PRESETS)
def test_the_state_of_a_window_is_that_of_its_sequence_so_far(preset):
    """With the parameters held still; at the fourth step new sequences start from a fresh state."""
    conv = () if preset in ("lstm", "gpt", "lru") else (("model.conv_size", 4),)
    setup, state, chunk = program(preset, *conv)
    still = state.members.replace(learning_rate=jnp.zeros(1))
    state = jax.tree.map(jnp.copy, state.replace(members=still))
    params = jax.tree.map(lambda leaf: np.asarray(leaf[0]), state.members.params)

    @jax.jit
    def of_whole(params, key, i):
        """Loss at each position of the i-th batch."""
        keys = example_keys(setup, key, i)
        batch = jax.vmap(lambda key: setup.task.sample(key, setup.task.train_cases()[0][0]))(keys)
        model = nnx.merge(setup.graphdef, params)
        start, losses, states = model.init_state(8, LENGTH), [], []
        for at in range(0, LENGTH, LENGTH // WINDOWS):
            part = jax.tree.map(lambda x, at=at: x[:, at : at + LENGTH // WINDOWS], batch)
            whole = jax.tree.map(lambda x, at=at: x[:, : at + LENGTH // WINDOWS], batch)
            losses.append(loss_sum(setup, params, whole, None, model.init_state(8, LENGTH), None)[0])
            start = model(part.inputs, start)[1]
            states.append(start)
        return jnp.diff(jnp.stack(losses), prepend=0) / part.mask.size, states

    for i in (0, 1):
        losses, states = of_whole(params, state.members.key[0], i)
        for window in range(WINDOWS):
            state, metrics = chunk(state, np.int32(1))
            np.testing.assert_allclose(metrics["loss"][0], losses[window], rtol=1e-4, atol=1e-5)
            carried = jax.tree.map(lambda leaf: np.asarray(leaf[0]), state.members.carried)
            assert_trees_close(carried, states[window], rtol=1e-4, atol=1e-5)
            assert metrics["tokens"][0] == 8 * LENGTH // WINDOWS
    assert_trees_close(jax.tree.map(lambda leaf: leaf[0], state.members.params), params, rtol=0, atol=0)


def test_devices_and_pieces_change_nothing():
    one, one_metrics = trained((1,) * 5, train__accumulate=1)
    many, metrics = trained((1,) * 5, mesh__data=2, mesh__time=2)
    np.testing.assert_allclose([m["loss"] for m in metrics], [m["loss"] for m in one_metrics], rtol=1e-4)
    assert_trees_close(many.members.carried, one.members.carried, rtol=1e-3, atol=1e-4)
    assert_trees_close(many.members.params, one.members.params, rtol=1e-3, atol=1e-4)
    (state,) = [leaf for leaf in jax.tree.leaves(many.members.carried) if leaf.ndim > 2]
    assert state.sharding.spec[:2] == ("seed", "data")


def test_windows_without_targets_teach_nothing_and_do_not_count():
    """Copy asks in the second half only: the first of three windows has no target."""
    settings = {"task.train_lengths": (LENGTH, LENGTH), "train.windows": WINDOWS, "eval.lengths": (LENGTH,)}
    setup = prepare(tiny("lstm", settings, "copy"))
    chunk, state = make_train_chunk(setup), init_state(setup)
    start = jax.tree.map(np.asarray, state.members.params)
    state, metrics = chunk(state, np.int32(1))
    assert_trees_close(state.members.params, start, rtol=0, atol=0)
    assert metrics["loss"] == 0 and metrics["tokens"] == 8 * LENGTH / WINDOWS
    before = jax.tree.map(np.asarray, state.members.carried)
    assert any(leaf.any() for leaf in jax.tree.leaves(before))  # but the state is carried on
    losses = []
    for _ in range(2):
        state, metrics = chunk(state, np.int32(1))
        losses.append(metrics["loss"])
    assert not np.array_equal(jax.tree.leaves(state.members.params)[0], jax.tree.leaves(start)[0])
    _, metrics = chunk(init_state(setup), np.int32(WINDOWS))
    np.testing.assert_allclose(metrics["loss"], np.mean(losses, axis=0), rtol=1e-5)


def test_a_checkpoint_between_two_windows_holds_the_state(tmp_path):
    setup, _, chunk = program("qlstm")
    state, _ = trained((4,))
    checkpoints = Checkpoints(tmp_path / "checkpoints")
    checkpoints.save(4, state, {})
    checkpoints.wait()
    restored, _, _ = checkpoints.restore(state_shapes(setup))
    checkpoints.close()
    found, metrics = chunk(restored, np.int32(3))
    whole, expected = trained((4, 3))
    data = lambda state: state.members.replace(key=jax.random.key_data(state.members.key))
    assert_trees_close(data(found), data(whole), rtol=0, atol=0)
    assert_trees_close(jax.tree.map(np.asarray, metrics), expected[-1], rtol=0, atol=0)
    other, _ = trained((7,))
    assert_trees_close(data(other), data(whole), rtol=0, atol=0)


@pytest.mark.parametrize(
    "settings,message",
    [
        ({"train.windows": 5}, "train.windows: 5 windows do not divide sequences of 12 tokens"),
        ({"task.train_lengths": (8, 12)}, "train.windows: the last of 3 windows would be empty .* 8 tokens"),
        ({"mesh.time": 8}, "mesh.time: 8 devices do not divide a window of 4 tokens"),
    ],
)
def test_refusals(settings, message):
    with pytest.raises(ConfigError, match=f"^--config.{message}") as error:
        prepare(tiny("qlstm", IN_WINDOWS | settings))
    assert "\n" not in str(error.value)
