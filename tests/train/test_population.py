"""The population trainer: what a member is, and that devices, pieces and neighbours do not change it."""

import functools
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import assert_trees_close, tiny

from rnnbench.tasks import draw
from rnnbench.tasks.draw import shuffled_index
from rnnbench.train.population import example_keys, init_state, make_train_chunk, prepare, state_shapes
from rnnbench.train.step import asked, loss_sum, train_step

GRID = {"population.learning_rates": (1e-3, 1e-2), "population.seeds": (7, 3)}
ALONE = {"population.learning_rates": (1e-2,), "population.seeds": (3,)}
STEPS = 5


@functools.cache
def program(preset, *settings):
    """(setup, initial state, compiled chunk), each compiled once for all tests of this file."""
    setup = prepare(tiny(preset, dict(settings)))
    return setup, init_state(setup), make_train_chunk(setup)


def start(settings, preset="lstm"):
    """The initial state, to be given away, and the chunk that takes it."""
    _, state, chunk = program(preset, *settings.items())
    return jax.tree.map(jnp.copy, state), chunk


@functools.cache
def _trained(preset, *settings):
    state, chunk = start(dict(settings), preset)
    return chunk(state, np.int32(STEPS))


def trained(settings, preset="lstm"):
    """The population after STEPS steps, and their metrics."""
    return _trained(preset, *settings.items())


def member(state, i):
    return jax.tree.map(lambda leaf: np.asarray(leaf[i]), state.members.params)


def assert_close(actual, expected):
    """Close up to the rounding of sums in another order and of Adam's division."""
    assert_trees_close(actual, expected, rtol=1e-4, atol=2e-5)


SPLIT = ("linear_transformer", "lru", "deltanet_neg", "mamba_neg", "gpt", "lstm")
OTHER_PRESETS = [pytest.param(name, marks=pytest.mark.slow) for name in ("deltanet", "mamba", "gpt")]


@pytest.mark.parametrize("mode", ["map", "vmap"])
@pytest.mark.parametrize("seed_axis,data_axis", [(4, 2), (1, 8)])
@pytest.mark.parametrize("preset", ["lstm", *OTHER_PRESETS])
def test_many_devices_equal_one(preset, seed_axis, data_axis, mode):
    """One device runs its members one by one, so this is also map = vmap."""
    one, one_metrics = trained(GRID, preset)
    mesh = {"mesh.seed": seed_axis, "mesh.data": data_axis, "mesh.members": mode}
    many, metrics = trained(GRID | mesh, preset)
    assert_close(many.members.params, one.members.params)
    np.testing.assert_allclose(metrics["loss"], one_metrics["loss"], rtol=1e-5)
    assert jax.tree.leaves(many.members.params)[0].sharding.mesh.shape["seed"] == seed_axis


TIME_MESHES = [
    ((1, 1, 8), "map"),
    ((2, 2, 2), "vmap"),
    pytest.param((1, 2, 4), "map", marks=pytest.mark.slow),
]


@pytest.mark.parametrize("mesh,mode", TIME_MESHES)
@pytest.mark.parametrize("preset", ["qlstm", *[pytest.param(p, marks=pytest.mark.slow) for p in SPLIT]])
def test_time_over_many_devices_equals_one(preset, mesh, mode):
    """12 tokens over 8 devices are 2 each and none for the last two."""
    axes = dict(zip(("mesh.seed", "mesh.data", "mesh.time"), mesh)) | {"mesh.members": mode}
    (one, one_metrics), (many, metrics) = trained(GRID, preset), trained(GRID | axes, preset)
    assert_close(many.members.params, one.members.params)
    np.testing.assert_allclose(metrics["loss"], one_metrics["loss"], rtol=1e-5)
    np.testing.assert_allclose(metrics["accuracy"], one_metrics["accuracy"], rtol=1e-5)
    np.testing.assert_array_equal(metrics["tokens"], one_metrics["tokens"])


def test_a_tied_head_over_many_devices_equals_one():
    settings = {"task.mode": "close", "task.num_types": 2, "model.head": "tied", "model.embedding_std": 0.5}
    config = lambda mesh: tiny("qlstm", GRID | settings | mesh, "dyck")
    states = []
    for mesh in (
        {},
        {"mesh.seed": 2, "mesh.data": 2, "mesh.time": 2},
        {"mesh.data": 4, "mesh.params": "sharded"},
    ):
        setup = prepare(config(mesh))
        state, metrics = make_train_chunk(setup)(init_state(setup), np.int32(STEPS))
        states.append((jax.tree.map(np.asarray, state.members.params), np.asarray(metrics["loss"])))
    (one, loss), *others = states
    assert "head" not in one
    for params, other_loss in others:
        assert_close(params, one)
        np.testing.assert_allclose(other_loss, loss, rtol=1e-5)


def test_sums_over_parameters_that_are_split():
    """Mamba's sums over channels become sums over devices."""
    axes, few = {"mesh.data": 2, "mesh.params": "sharded"}, ALONE | {"train.batch_size": 2}
    (one, one_metrics), (many, metrics) = trained(few, "mamba"), trained(few | axes, "mamba")
    assert_close(many.members.params, one.members.params)
    np.testing.assert_allclose(metrics["loss"], one_metrics["loss"], rtol=1e-5)


def test_collectives_of_a_step_with_time_over_8_devices():
    """Per layer M and S to the neighbour, then log2(8) rounds of both, the last of S alone, and back again in
    the gradient; and one sum of gradients, loss and accuracy over time."""
    setup = prepare(tiny("qlstm", {"mesh.time": 8}))
    text = make_train_chunk(setup).lower(state_shapes(setup), np.int32(1)).compile().as_text()
    names = ("collective-permute", "all-reduce", "all-gather", "all-to-all", "reduce-scatter")
    counts = {name: len(re.findall(rf" {name}(?:-start)?\(", text)) for name in names}
    assert counts == dict.fromkeys(names, 0) | {"collective-permute": 2 * (2 * 4 - 1), "all-reduce": 1}


def test_a_member_alone_equals_itself_in_a_population():
    assert_close(member(trained(ALONE)[0], 0), member(trained(GRID)[0], 3))


def test_learning_rates_share_initialisation_and_seeds_do_not():
    setup, state, _ = program("lstm", *GRID.items())
    assert setup.member_names()[2] == {"seed": 7, "learning_rate": 1e-2}
    assert_trees_close(member(state, 0), member(state, 2), rtol=0, atol=0)
    embed = state.members.params["embed"]["embedding"]
    assert np.abs(embed[0] - embed[1]).max() > 0.01


def test_the_learning_rate_belongs_to_the_member():
    before, after = program("lstm", *GRID.items())[1], trained(GRID)[0]
    moved = np.abs(after.members.params["head"]["kernel"] - before.members.params["head"]["kernel"])
    slow, _, fast, _ = moved.reshape(4, -1).max(axis=1)
    assert 5 < fast / slow < 20


def test_a_chunk_in_pieces_equals_the_whole_bit_for_bit():
    state, chunk = start(ALONE)
    for n in (1, 3, STEPS - 4):
        state, _ = chunk(state, np.int32(n))
    whole, _ = trained(ALONE)
    assert int(whole.step) == int(state.step) == STEPS
    assert_trees_close(state.members.params, whole.members.params, rtol=0, atol=0)


def test_a_diverged_member_is_frozen_and_harms_nobody():
    state, chunk = start(GRID)
    rates = state.members.learning_rate.at[1].set(1e30)
    state = state.replace(members=state.members.replace(learning_rate=rates))
    state, metrics = chunk(state, np.int32(STEPS))
    assert np.asarray(metrics["diverged"]).tolist() == [False, True, False, False]
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(member(state, 1)))
    frozen = member(state, 1)
    for i in (0, 2, 3):
        assert_trees_close(member(state, i), member(trained(GRID)[0], i), rtol=0, atol=0)
    state, metrics = chunk(state, np.int32(1))
    assert bool(metrics["diverged"][1])
    assert_trees_close(member(state, 1), frozen, rtol=0, atol=0)


def test_accumulation_changes_nothing_but_the_memory():
    whole, whole_metrics = trained(ALONE)
    pieces, metrics = trained(ALONE | {"train.accumulate": 4})
    assert_trees_close(pieces.members.params, whole.members.params, rtol=1e-3, atol=2e-5)
    np.testing.assert_allclose(metrics["loss"], whole_metrics["loss"], rtol=1e-4)
    np.testing.assert_allclose(metrics["accuracy"], whole_metrics["accuracy"], rtol=1e-5)


def test_bfloat16_computes_in_bfloat16_and_keeps_float32_parameters():
    setup = prepare(tiny("gpt", {"train.dtype": "bfloat16"}))
    members = state_shapes(setup).members
    assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(members.params))
    first = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape[1:], leaf.dtype), members)
    keys = jax.random.split(jax.random.key(0), 8)
    with jax.sharding.use_abstract_mesh(setup.mesh.abstract_mesh):
        text = str(jax.make_jaxpr(lambda m: train_step(setup, m, keys, jnp.int32(0)))(first))
    assert "bf16[8,12,16]" in text  # the residual stream [B, T, D]


def test_finite_examples_are_seen_once_per_pass_in_changing_order():
    passes = jax.vmap(lambda v: shuffled_index(jax.random.key(1), v, 100))(jnp.arange(300)).reshape(3, 100)
    for one in np.asarray(passes):
        assert sorted(one.tolist()) == list(range(100))
    assert not np.array_equal(passes[0], passes[1])


def test_a_pass_over_many_examples_does_not_wrap_around(monkeypatch):
    """28633 · 149999 + 149999 is beyond 32 bits."""
    size = 150_000
    monkeypatch.setattr(draw, "_coprimes", lambda size: [28633])
    monkeypatch.setattr(jax.random, "randint", lambda *_, dtype: dtype(size - 1))
    seen = jax.vmap(lambda v: shuffled_index(jax.random.key(1), v, size))(jnp.arange(size))
    assert len(np.unique(seen)) == size


@pytest.mark.parametrize("examples,different", [(16, 16), (0, 32)])
def test_finite_examples_come_again_and_fresh_ones_do_not(examples, different):
    setup = prepare(tiny("lstm", {"task.examples": examples, "task.train_lengths": (30, 30)}))
    case = setup.task.train_cases()[0][0]

    @jax.jit
    def four_steps(key):
        keys = jax.vmap(lambda step: example_keys(setup, key, step))(jnp.arange(4)).reshape(-1)
        return jax.vmap(lambda key: setup.task.sample(key, case).inputs)(keys)

    rows = np.asarray(four_steps(jax.random.key(0))).tolist()
    assert len({tuple(row) for row in rows}) == different


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


def test_dropout_is_active_in_training():
    _, dropped = trained(ALONE | {"model.dropout": 0.5})
    _, plain = trained(ALONE)
    assert abs(float(dropped["loss"][0]) - float(plain["loss"][0])) > 1e-3


def test_logits_where_asked_give_the_loss_and_gradient_of_logits_everywhere():
    flags = {"task.train_lengths": (16, 16), "task.train_pairs": (1, 3), "eval.lengths": (), "eval.pairs": ()}
    setup = prepare(tiny("lstm", flags, task="mqar"))
    params = jax.tree.map(lambda leaf: leaf[0], init_state(setup).members.params)
    keys = jax.random.split(jax.random.key(0), 6)
    batch = jax.vmap(lambda key: setup.task.sample(key, setup.task.train_cases()[0][0]))(keys)
    thin, positions = asked(batch, 3)
    assert positions.shape == (6, 3) and asked(batch, 9)[1] is None
    loss = lambda params, *data: loss_sum(setup, params, *data, None, None)
    value_and_grad = jax.value_and_grad(loss, has_aux=True)
    expected, found = value_and_grad(params, batch, None), value_and_grad(params, thin, positions)
    assert_trees_close(found, expected, rtol=1e-5, atol=1e-5)
