"""The population trainer: what a member is, and that devices, pieces and neighbours do not change it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import assert_trees_close, tiny

from rnnbench import population
from rnnbench.population import init_state, make_train_chunk, prepare, train_step
from rnnbench.tasks.examples import shuffled_index


def after(config, steps, pieces=1):
    """The population and the metrics of the last chunk, after `steps` steps in equal pieces."""
    setup = prepare(config)
    state, chunk = init_state(setup), make_train_chunk(setup)
    for _ in range(pieces):
        state, metrics = chunk(state, np.int32(steps // pieces))
    return state, metrics


def member(state, i):
    return jax.tree.map(lambda leaf: np.asarray(leaf[i]), state.members.params)


@pytest.mark.parametrize("mode", ["map", "vmap"])
@pytest.mark.parametrize("seed_axis,data_axis", [(4, 2), (1, 8), (4, 1)])
def test_many_devices_equal_one(mode, seed_axis, data_axis):
    settings = {"population.learning_rates": (1e-3, 1e-2), "population.seeds": (0, 1), "mesh.members": mode}
    one, _ = after(tiny("deltanet", {**settings, "mesh.seed": 1, "mesh.data": 1}), 5)
    many, _ = after(tiny("deltanet", {**settings, "mesh.seed": seed_axis, "mesh.data": data_axis}), 5)
    assert_trees_close(many.members.params, one.members.params, rtol=1e-4, atol=2e-5)
    assert jax.tree.leaves(many.members.params)[0].sharding.mesh.shape["seed"] == seed_axis


def test_mapped_equals_vectorised():
    settings = {"population.seeds": (0, 1), "mesh.seed": 1, "mesh.data": 1}
    mapped, _ = after(tiny("mamba", {**settings, "mesh.members": "map"}), 5)
    vectorised, _ = after(tiny("mamba", {**settings, "mesh.members": "vmap"}), 5)
    assert_trees_close(vectorised.members.params, mapped.members.params, rtol=1e-4, atol=2e-5)


def test_a_member_alone_equals_itself_in_a_population():
    grid = {"population.learning_rates": (1e-3, 1e-2), "population.seeds": (7, 3)}
    together, _ = after(tiny("lru", grid), 5)
    alone, _ = after(tiny("lru", {"population.learning_rates": (1e-2,), "population.seeds": (3,)}), 5)
    assert_trees_close(member(alone, 0), member(together, 3), rtol=1e-4, atol=2e-5)


def test_learning_rates_share_initialisation_and_seeds_do_not():
    setup = prepare(tiny("lstm", {"population.learning_rates": (1e-3, 1e-2), "population.seeds": (0, 1)}))
    state = init_state(setup)
    assert setup.member_names()[2] == {"seed": 0, "learning_rate": 1e-2}
    assert_trees_close(member(state, 0), member(state, 2), rtol=0, atol=0)
    embed = state.members.params["embed"]["embedding"]
    assert np.abs(embed[0] - embed[1]).max() > 0.01


def test_the_learning_rate_belongs_to_the_member():
    state, _ = after(tiny("lstm", {"population.learning_rates": (1e-5, 1e-2)}), 3)
    start = init_state(prepare(tiny("lstm", {})))
    moved = [np.abs(member(state, i)["head"]["kernel"] - member(start, 0)["head"]["kernel"]).max() for i in (0, 1)]
    assert moved[1] > 100 * moved[0] > 0


def test_a_chunk_in_pieces_equals_the_whole_bit_for_bit():
    whole, _ = after(tiny("qlstm", {}), 6)
    pieces, _ = after(tiny("qlstm", {}), 6, pieces=3)
    assert int(whole.step) == int(pieces.step) == 6
    assert_trees_close(whole.members.params, pieces.members.params, rtol=0, atol=0)


def test_a_diverged_member_is_frozen_and_harms_nobody():
    config = tiny("lstm", {"population.learning_rates": (1e-3, 1e30), "optim.clip": 0.0, "optim.schedule": "constant"})
    state, metrics = after(config, 8)
    alone, _ = after(tiny("lstm", {"optim.clip": 0.0, "optim.schedule": "constant"}), 8)
    assert np.asarray(metrics["diverged"]).tolist() == [False, True]
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(member(state, 1)))
    assert_trees_close(member(state, 0), member(alone, 0), rtol=1e-4, atol=2e-5)


def test_accumulation_changes_nothing_but_the_memory():
    whole, whole_metrics = after(tiny("deltanet", {}), 3)
    pieces, metrics = after(tiny("deltanet", {"train.accumulate": 4}), 3)
    assert_trees_close(pieces.members.params, whole.members.params, rtol=1e-3, atol=2e-5)
    np.testing.assert_allclose(metrics["loss"], whole_metrics["loss"], rtol=1e-4)
    np.testing.assert_allclose(metrics["accuracy"], whole_metrics["accuracy"], rtol=1e-5)


def test_bfloat16_computes_in_bfloat16_and_keeps_float32_parameters():
    setup = prepare(tiny("gpt", {"train.dtype": "bfloat16"}))
    state = init_state(setup)
    assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(state.members.params))
    step = jax.make_jaxpr(lambda m: train_step(setup, m, jnp.int32(0)))
    with jax.sharding.use_abstract_mesh(setup.mesh.abstract_mesh):
        text = str(step(jax.tree.map(lambda x: x[0], state.members)))
    assert "bf16[8,12,16]" in text  # the residual stream [B, T, D]


def test_finite_examples_are_seen_once_per_pass_in_changing_order():
    passes = jax.vmap(lambda v: shuffled_index(jax.random.key(1), v, 100))(jnp.arange(300)).reshape(3, 100)
    for one in np.asarray(passes):
        assert sorted(one.tolist()) == list(range(100))
    assert not np.array_equal(passes[0], passes[1])


def test_finite_examples_come_again_and_fresh_ones_do_not():
    def seen(examples):
        setup = prepare(tiny("lstm", {"task.examples": examples, "task.train_lengths": (30, 30)}))
        key = jax.random.key(0)
        keys = jnp.concatenate([population.example_keys(setup, key, jnp.int32(step)) for step in range(4)])
        case = setup.task.train_cases()[0][0]
        sequences = jax.vmap(lambda k: setup.task.sample(k, case).inputs)(keys)
        return len({tuple(row) for row in np.asarray(sequences).tolist()})

    assert seen(16) == 16
    assert seen(0) == 32


def test_a_training_mix_draws_every_case_by_its_weight():
    mix = ((8, 1, 3.0), (16, 2, 1.0))
    config = tiny("lstm", {"task.train_mix": mix, "eval.lengths": (16,), "eval.pairs": (2,)}, task="mqar")
    setup = prepare(config)
    state, chunk = init_state(setup), make_train_chunk(setup)
    tokens = []
    for _ in range(40):
        state, metrics = chunk(state, np.int32(1))
        tokens.append(float(metrics["tokens"][0]))
    assert set(tokens) == {8.0 * 8, 8.0 * 16}
    assert 20 <= tokens.count(8.0 * 8) <= 38


def test_dropout_is_active_in_training_only():
    dropped, metrics = after(tiny("lstm", {"model.dropout": 0.5}), 1)
    plain, plain_metrics = after(tiny("lstm", {}), 1)
    assert float(metrics["loss"][0]) != float(plain_metrics["loss"][0])
    setup = prepare(tiny("lstm", {"model.dropout": 0.5}))
    tokens = jnp.zeros((1, 5), jnp.int32)
    params = jax.tree.map(lambda x: x[0], plain.members.params)
    np.testing.assert_array_equal(setup.apply(params, tokens), prepare(tiny("lstm", {})).apply(params, tokens))
    del dropped
