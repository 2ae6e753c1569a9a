"""The backbone around every mixer: state, causality, sizes, and settings that do not fit."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from external_mixer import RunningSum
from flax import nnx
from helpers import CORES, assert_trees_close, tiny

from rnnbench.config import ConfigError
from rnnbench.config.build import changed, experiment, label
from rnnbench.mixers import PRESETS
from rnnbench.sizes import num_params, state_size
from rnnbench.train.population import prepare

pytestmark = pytest.mark.fast

LENGTH = 24  # of tiny's longest case
SIZED = {"small": {"model.dim": 64, "model.layers": 2, "model.heads": 4}}


def configured(preset, settings):
    """As the flags --config.model.* would have it."""
    return label(changed(tiny(preset, {}), {f"model.{name}": value for name, value in settings.items()}))


def build(preset="lstm", **settings):
    return prepare(configured(preset, settings)).make(jax.random.key(0))


def tokens(length=LENGTH, batch=2):
    return jax.random.bernoulli(jax.random.key(1), shape=(batch, length)).astype(jnp.int32)


def params_of(model):
    return nnx.to_pure_dict(nnx.state(model, nnx.Param))


@pytest.mark.parametrize(
    "preset,settings",
    [*((name, {}) for name in CORES), *((name, {"positions": "learned"}) for name in ("gpt", "lru"))],
)
def test_in_pieces_equals_whole(preset, settings):
    model = build(preset, layers=2, **settings)
    graphdef, params = nnx.split(model)
    forward = jax.jit(lambda params, x, state: nnx.merge(graphdef, params)(x, state))
    whole, _ = forward(params, tokens(), None)
    state = model.init_state(2, LENGTH)
    first, state = forward(params, tokens()[:, : LENGTH // 2], state)
    second, state = forward(params, tokens()[:, LENGTH // 2 :], state)
    assert whole.shape == (2, LENGTH, 2)
    assert whole.dtype == jnp.float32
    np.testing.assert_allclose(jnp.concatenate([first, second], axis=1), whole, rtol=1e-4, atol=1e-4)
    assert int(state["position"]) == LENGTH


@pytest.mark.parametrize("preset", ["lru", "gpt"])
def test_packed_sequences_equal_each_alone(preset):
    """Learned positions restart at a reset, and a later call with the state continues them."""
    model = build(preset, layers=2, positions="learned")
    graphdef, params = nnx.split(model)
    forward = jax.jit(lambda params, *inputs, **more: nnx.merge(graphdef, params)(*inputs, **more))
    x, reset = tokens(batch=1), jnp.zeros((1, LENGTH), bool).at[0, jnp.array([0, 10, 11])].set(True)
    alone = [forward(params, x[:, start:stop])[0] for start, stop in ((0, 10), (10, 11), (11, LENGTH))]
    whole, _ = forward(params, x, reset=reset)
    _, state = forward(params, x[:, :5], model.init_state(1, LENGTH + 5))
    first, state = forward(params, x[:, :13], state, reset=reset[:, :13])
    second, state = forward(params, x[:, 13:], state)
    for found in (whole, jnp.concatenate([first, second], axis=1)):
        np.testing.assert_allclose(found, jnp.concatenate(alone, axis=1), rtol=1e-4, atol=1e-4)
    assert int(state["start"][0]) == 5 + 11


# A kind of core each, and the convolution; the ops are compared one by one in tests/ops.
SPLIT = [("lru", 0, False), ("mamba", 4, False)]
SPLIT += [
    ("gpt", 2, True),
    ("lstm", 0, True),
    ("qlstm", 2, True),
    ("lru", 0, True),
    ("deltanet_neg", 4, True),
]
SLOW = [("linear_transformer", 4, False), ("fox", 0, True), ("window", 0, True), ("slstm", 0, True)]
SPLIT += [pytest.param(*case, marks=pytest.mark.slow) for case in SLOW]


@pytest.mark.parametrize("preset,conv_size,packed", SPLIT)
def test_time_split_over_devices_equals_one(preset, conv_size, packed):
    """Logits, state and the gradient of every parameter; 3 tokens a device, positions, a state before."""
    model = build(preset, conv_size=conv_size, positions="learned")
    graphdef, params = nnx.split(model)
    weights = jax.random.normal(jax.random.key(2), (2, LENGTH, 2))
    state = jax.tree.map(lambda leaf: leaf + jnp.asarray(0.1, leaf.dtype), model.init_state(2, LENGTH))

    reset = jnp.zeros((2, LENGTH), bool).at[0, jnp.array([0, 7, 8, 17, LENGTH - 1])].set(True)
    reset = reset.at[1, 13].set(True) if packed else None

    def loss(params, x, state, weights, reset, axis_name):
        logits, state = nnx.merge(graphdef, params)(x, state, reset=reset, axis_name=axis_name)
        return jnp.sum(logits * weights), (logits, state)

    def gradient(*inputs, axis_name=None):
        (_, outputs), grads = jax.value_and_grad(loss, has_aux=True)(*inputs, axis_name)
        return outputs, grads if axis_name is None else jax.lax.psum(grads, axis_name)

    time = jax.P(None, "time")
    mesh = jax.make_mesh((8,), ("time",), axis_types=(jax.sharding.AxisType.Auto,))
    split = jax.shard_map(
        functools.partial(gradient, axis_name="time"),
        mesh=mesh,
        in_specs=(jax.P(), time, jax.P(), time, time if packed else None),
        out_specs=((time, jax.P()), jax.P()),
        check_vma=False,
    )
    inputs = params, tokens(), state, weights, reset
    found, expected = jax.jit(split)(*inputs), jax.jit(gradient)(*inputs)
    assert int(found[0][1]["position"]) == LENGTH
    assert_trees_close(found, expected, rtol=1e-4, atol=1e-4)


def test_a_mixer_that_cannot_be_split_over_time_is_refused():
    with pytest.raises(ConfigError) as error:
        prepare(tiny("external_mixer:RunningSum", {"mesh.time": 2}))
    reason = "the mixer RunningSum takes no axis_name, so it cannot be split over time; set it to 1"
    assert str(error.value) == f"--config.mesh.time: {reason}"


def test_learned_positions_must_divide_over_time():
    config = configured("lru", {"positions": "learned"})
    config.mesh.time = 4
    prepare(config)
    config.mesh.time = 8
    with pytest.raises(ConfigError, match=r"mesh\.time: .* 8 parts do not divide length 12"):
        prepare(config)


def test_learned_positions_beyond_the_table_are_loud():
    model = build("lru", positions="learned")
    logits, state = model(tokens(LENGTH + 3))
    assert np.isfinite(logits[:, :LENGTH]).all()
    assert np.isnan(logits[:, LENGTH:]).all()
    assert np.isnan(model(tokens(1), state)[0]).all()


def test_learned_positions_matter():
    logits, _ = build("gpt", positions="learned")(jnp.zeros((1, LENGTH), jnp.int32))
    without, _ = build("gpt", positions="none")(jnp.zeros((1, LENGTH), jnp.int32))
    assert np.ptp(np.asarray(logits), axis=1).max() > 1e-2
    assert np.ptp(np.asarray(without), axis=1).max() < 1e-5  # equal tokens without positions are all the same


def test_causality_by_gradient():
    """The output at t has no gradient to the input after t, and one to every input up to t."""
    model = build("deltanet", layers=2, conv_size=4)
    model._embedded = lambda x, _: x
    graphdef, params = nnx.split(model)
    x = jax.random.normal(jax.random.key(0), (1, LENGTH, 16))
    output = lambda x, t: jnp.take(nnx.merge(graphdef, params)(x)[0], t, axis=1).sum()
    gradient = jax.jit(jax.grad(output))
    for t in (0, 9, LENGTH - 1):
        size = np.abs(gradient(x, t)).max(axis=(0, 2))
        assert (size[: t + 1] > 0).all()
        assert (size[t + 1 :] == 0).all()


def test_mlp_dim():
    assert build(mlp_dim=0).blocks[0].mlp is None
    assert build(mlp_dim=24).blocks[0].mlp.up.kernel.shape == (16, 24)
    assert build("gpt", mlp_dim=-1).blocks[0].mlp.up.kernel.shape == (16, 64)


@pytest.mark.parametrize("preset", PRESETS)
def test_matched_sizes_are_within_a_tenth_of_gpt(preset):
    def size(name):
        model = nnx.eval_shape(
            lambda: prepare(experiment("bit_parity", f"{name},small", SIZED)).make(jax.random.key(0))
        )
        return num_params(nnx.state(model, nnx.Param))

    assert size(preset) == pytest.approx(size("gpt"), rel=0.1)


def test_layers_add_up():
    one, two, three = (num_params(params_of(build(layers=n))) for n in (1, 2, 3))
    assert two - one == three - two > 0


def test_num_params_of_an_lstm():
    lstm = 2 * 16 * 64 + 64
    mlp = 16 * 24 + 24 + 24 * 16 + 16
    embedding, norms, head = 2 * 16, 3 * 16, 16 * 2 + 2
    assert num_params(params_of(build(mlp_dim=24))) == embedding + lstm + mlp + norms + head


@pytest.mark.parametrize(
    "preset,settings,expected",
    [
        ("lstm", {}, 2 * 16),
        ("lstm", {"layers": 3}, 3 * 2 * 16),
        ("deltanet", {}, 2 * 8 * 8),
        ("deltanet", {"conv_size": 4}, 2 * 8 * 8 + 3 * 3 * 16),
    ],
)
def test_state_size(preset, settings, expected):
    model = build(preset, **settings)
    assert state_size(model, 10) == state_size(model, 1000) == expected


def test_state_of_attention_grows_with_length():
    model = build("gpt", layers=2)
    assert state_size(model, 10) == 2 * 2 * 10 * 16
    assert state_size(model, 1000) == 100 * state_size(model, 10)


@pytest.mark.parametrize("preset", [name for name in PRESETS if name not in ("gpt", "fox")])
def test_state_of_recurrent_presets_does_not_grow(preset):
    model = build(preset)
    assert state_size(model, 10) == state_size(model, 1000) > 0


def test_dropout_needs_a_key():
    model, plain = build(dropout=0.5), build()
    np.testing.assert_array_equal(model(tokens())[0], plain(tokens())[0])
    first, again, other = (model(tokens(), dropout_key=jax.random.key(k))[0] for k in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 1e-2
    assert np.abs(first - plain(tokens())[0]).max() > 1e-2


MQAR = {"task.num_keys": 5, "task.num_values": 3, "task.train_pairs": (2, 2), "task.train_lengths": (8, 8)}
MQAR |= {"eval.lengths": (8,), "eval.pairs": (2,), "model.dim": 16, "model.layers": 1}


def recaller(**settings):
    protocols = {"t": MQAR | {f"model.{name}": value for name, value in settings.items()}}
    return prepare(experiment("mqar", "lstm,t", protocols)).make(jax.random.key(0))


def test_a_tied_head_multiplies_with_the_embeddings_of_the_classes():
    model = recaller(head="tied")
    model.norm = lambda x: x
    x = jax.random.normal(jax.random.key(2), (2, 8, 16))
    logits = model._logits(x)
    values = model.embed.embedding[...][-3:]  # filler, five keys, three values
    np.testing.assert_allclose(logits, x @ values.T, rtol=1e-5, atol=1e-6)
    tokens = jnp.array([[1, 6, 2, 7, 1, 0, 2, 0]])
    assert model(tokens)[0].shape == (1, 8, 3)


def test_a_tied_head_has_no_parameters_of_its_own_and_trains_the_embeddings():
    tied, linear = recaller(head="tied"), recaller()
    assert num_params(params_of(linear)) - num_params(params_of(tied)) == 16 * 3 + 3
    graphdef, params = nnx.split(tied)
    tokens = jnp.array([[1, 0, 2, 0, 1, 0, 2, 0]])  # no value among the inputs
    loss = lambda params: nnx.merge(graphdef, params)(tokens)[0][..., 0].sum()
    gradient = nnx.to_pure_dict(jax.grad(loss)(params))["embed"]["embedding"]
    assert jnp.abs(gradient[6]).max() > 0  # the token of class 0
    np.testing.assert_array_equal(gradient[7:], 0)


def test_tasks_without_tokens_for_their_classes_refuse_a_tied_head():
    with pytest.raises(ConfigError) as error:
        build(head="tied")
    assert error.value.key == "model.head"


def test_a_tied_head_of_dyck_reads_the_closing_brackets():
    settings = {"task.mode": "close", "task.num_types": 2, "eval.lengths": (8,), "model.head": "tied"}
    settings |= {"task.train_lengths": (8, 8), "model.dim": 16, "model.layers": 1}
    task = prepare(experiment("dyck", "lstm,t", {"t": settings})).task
    assert list(task.class_tokens) == [2, 3]


def test_embedding_std():
    settings = {"dim": 64, "positions": "learned"}
    for model, expected in ((build(**settings), 1 / 8), (build(embedding_std=0.02, **settings), 0.02)):
        for table in (model.embed, model.positions):
            assert jnp.std(table.embedding[...]) == pytest.approx(expected, rel=0.25)


def test_dropout_of_the_embedding_alone():
    """Without dropout at the embedding nothing is random, unless the branches have dropout too."""
    outputs = {}
    for where in ("embedding", "all"):
        model = build(dropout=0.5, dropout_at=where)
        embedded = model(tokens(), dropout_key=jax.random.key(0))[0]
        assert np.abs(embedded - model(tokens())[0]).max() > 1e-2
        model.dropout = lambda x, **_: x
        outputs[where] = np.abs(model(tokens(), dropout_key=jax.random.key(0))[0] - model(tokens())[0]).max()
    assert outputs["embedding"] == 0 < 1e-2 < outputs["all"]


def test_layer_norm():
    model = build(norm="layer", mlp_dim=8)
    assert num_params(params_of(model)) - num_params(params_of(build(mlp_dim=8))) == 3 * 16  # the biases
    x = np.asarray(jax.random.normal(jax.random.key(2), (2, 3, 16)))
    centred = x - x.mean(-1, keepdims=True)
    expected = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-5)
    for norm in (model.norm, model.blocks[0].norm, model.blocks[0].mlp_norm):
        np.testing.assert_allclose(norm(x), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "preset,settings,key",
    [
        ("lstm", {"conv_size": 4}, "model.conv_size"),
        ("lstm", {"heads": 2}, "model.heads"),
        ("lru", {"positions": "rope"}, "model.positions"),
        ("deltanet", {"heads": 3}, "model.heads"),
        ("lstm", {"mixer": "external_mixer:Missing"}, "model.mixer"),
        ("lstm", {"mixer": "no_such_module:Mixer"}, "model.mixer"),
        ("lstm", {"mixer": "external_mixer:RunningSum", "conv_size": 4}, "model.conv_size"),
    ],
)
def test_settings_the_mixer_lacks_are_refused(preset, settings, key):
    with pytest.raises(ConfigError) as error:
        build(preset, **settings)
    assert error.value.key == key
    assert "\n" not in str(error.value)


def test_an_external_mixer():
    model = build("deltanet", mixer="external_mixer:RunningSum", mlp_dim=0)
    assert type(model.blocks[0].mixer).__name__ == "RunningSum"
    assert model(tokens())[0].shape == (2, LENGTH, 2)
    assert state_size(model, 10) == 16


class OneChannel(RunningSum):
    def __call__(self, x, state=None):
        y, state = super().__call__(x, state)
        return y[..., :1], state  # the residual stream would take it, by broadcasting


class OutputAlone(RunningSum):
    def __call__(self, x, state=None):
        return super().__call__(x, state)[0]


class OutOfOrder(RunningSum):
    def init_state(self, batch, max_length):
        raise RuntimeError("out of\norder")


@pytest.mark.parametrize(
    "mixer, message",
    [
        (OneChannel, r"the output is of shape \(2, 4, 1\), the input of \(2, 4, 16\)"),
        (OutputAlone, r"returns y alone; it must return the pair \(y, state\)"),
        (OutOfOrder, r"OutOfOrder cannot be called \(RuntimeError: out of order\)"),
    ],
)
@pytest.mark.parametrize("key", ["mixer", "pattern"])
def test_an_external_mixer_of_another_form_is_refused(key, mixer, message):
    path = f"{__name__}:{mixer.__name__}"
    with pytest.raises(ConfigError, match=message) as error:
        build("griffin", **{key: path if key == "mixer" else ("lstm", path), "layers": 2})
    assert error.value.key == f"model.{key}" and "\n" not in str(error.value)


def test_options_of_an_external_mixer():
    config = configured("lstm", {"mixer": "external_mixer:RunningSum"})
    config.model.options = {"gain": 3.0}
    assert prepare(config).make(jax.random.key(0)).blocks[0].mixer.gain == 3.0
    config.model.options = {"loss": 3.0}
    with pytest.raises(ConfigError) as error:
        prepare(config)
    assert error.value.key == "model.options.loss"


def test_computing_in_bfloat16_ends_in_float32_logits():
    config = tiny("lstm", {"train.dtype": "bfloat16"})
    model = prepare(config).make(jax.random.key(0))
    assert jax.eval_shape(model, tokens())[0].dtype == jnp.float32
    assert {leaf.dtype for leaf in jax.tree.leaves(params_of(model))} == {jnp.dtype("float32")}
