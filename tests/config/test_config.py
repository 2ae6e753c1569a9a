"""Configs: keys, presets and their options, labels, comparison with a saved one, and what is refused."""

import inspect
import json

import pytest
from helpers import tiny

from rnnbench.config import ConfigError, schema
from rnnbench.config import build as configs
from rnnbench.config.build import base, differences, experiment, flat, label, put, validate
from rnnbench.config.schema import KEYS, OPTIONS, PRESETS, options
from rnnbench.mixers import MIXERS

pytestmark = pytest.mark.fast

SHARED = {"self", "dim", "rngs", "heads", "conv_size", "positions", "dtype"}


def copy(config):
    return config.copy_and_resolve_references()


def changed(config, **settings):
    """A copy with settings such as train__steps=5."""
    return configs.changed(config, {key.replace("__", "."): value for key, value in settings.items()})


def test_every_key_has_a_default_of_its_own_and_a_comment():
    for key, (_, comment) in KEYS.items():
        assert len(comment) > 5, key
    assert set(flat(base())) | {"model.options", "task.options"} == set(KEYS)
    first = base()
    first.model.options.new = 1
    assert "new" not in base().model.options


def test_defaults_pass_the_checks_and_checks_are_of_keys():
    config = base()
    config.model.options.update(options(config.model.name))
    validate(config)
    assert set(schema.CHECKS) < set(KEYS)


@pytest.mark.parametrize("mixer", MIXERS)
def test_declared_options_are_those_of_the_mixer(mixer):
    """With the mixer's own defaults, in type too: a flag is parsed as the type of the default."""
    signature = inspect.signature(MIXERS[mixer].__init__).parameters
    own = {name: parameter.default for name, parameter in signature.items() if name not in SHARED}
    declared = {name: default for name, (default, _) in OPTIONS[mixer].items()}
    assert declared == own
    assert {name: type(value) for name, value in declared.items()} == {n: type(v) for n, v in own.items()}
    assert all(len(comment) > 10 for _, comment in OPTIONS[mixer].values())


def test_mixers_and_presets_cover_each_other():
    assert set(OPTIONS) == set(MIXERS) == {preset["mixer"] for preset in PRESETS.values()}
    for name, preset in PRESETS.items():
        accepted = inspect.signature(MIXERS[preset["mixer"]].__init__).parameters
        assert set(preset["takes"]) <= set(accepted), name
        for option, value in preset["options"].items():
            default = OPTIONS[preset["mixer"]][option][0]
            assert type(value) is type(default) and value != default, f"{name}.{option}"
    assert options("deltanet_neg") == options("deltanet") | {"negative_eigenvalues": True}
    assert options("mamba_neg") == options("mamba") | {"negative_eigenvalues": True}


PROTOCOLS = {
    "original": {"model.dim": 8, "model.heads": 2, "model.conv_size": 3},
    "other": {"model.dim": 16, "only": {"gpt": {"model.positions": "alibi", "model.conv_size": 4}}},
}


def test_experiment_takes_preset_and_protocol():
    config = experiment("dyck", "lru", PROTOCOLS)
    assert (config.task.name, config.model.name, config.protocol) == ("dyck", "lru", "original")
    assert experiment("dyck", "lru,", PROTOCOLS).protocol == "original"
    assert experiment("dyck", "lru,other", PROTOCOLS).model.dim == 16
    assert config.model.options.r_min == 0.9


@pytest.mark.parametrize("preset", PRESETS)
def test_a_preset_takes_only_its_share_of_the_protocol(preset):
    model = experiment("dyck", preset, PROTOCOLS).model
    takes = PRESETS[preset]["takes"]
    assert model.dim == 8
    assert model.heads == (2 if "heads" in takes else 0)
    assert model.conv_size == (3 if "conv_size" in takes else 0)
    assert model.positions == ("rope" if preset == "gpt" else "none")
    assert model.options.to_dict() == options(preset)


def test_only_is_for_one_preset_and_has_the_last_word():
    assert experiment("dyck", "gpt,other", PROTOCOLS).model.positions == "alibi"
    assert experiment("dyck", "gpt,other", PROTOCOLS).model.conv_size == 4
    assert experiment("dyck", "deltanet,other", PROTOCOLS).model.positions == "none"
    assert "only" not in flat(experiment("dyck", "gpt,other", PROTOCOLS))


@pytest.mark.parametrize(
    "argument, protocols, key, words",
    [
        ("transformer", PROTOCOLS, "", "unknown model 'transformer'"),
        ("", PROTOCOLS, "", "unknown model ''"),
        ("gpt,large", PROTOCOLS, "", "dyck has no protocol 'large'; choose one of: original other"),
        ("gpt", {"original": {"task.nmu_types": 3}}, "task.nmu_types", "no such key"),
        ("gpt", {"original": {"train.steps": "many"}}, "train.steps", "not of the type of 1000"),
        (
            "gpt",
            {"original": {"only": {"gpt": {"model.options.r_min": 0.5}}}},
            "model.options.r_min",
            "no such",
        ),
    ],
)
def test_experiment_refuses(argument, protocols, key, words):
    with pytest.raises(ConfigError) as refusal:
        experiment("dyck", argument, protocols)
    assert refusal.value.key == key and words in str(refusal.value)
    assert str(refusal.value).startswith(f"--config.{key}: " if key else "--config: ")


@pytest.mark.parametrize(
    "settings",
    [
        {"population__seeds": (5, 6), "population__learning_rates": (0.1,)},
        {"mesh__seed": 4, "mesh__members": "vmap"},
        {"checkpoint__every": 7, "checkpoint__keep": 1},
    ],
)
def test_some_overrides_leave_the_protocol(settings):
    pristine = experiment("dyck", "lru", PROTOCOLS)
    config = label(changed(pristine, **settings))
    assert config.protocol == "original" and config.overrides == ()


def test_other_overrides_make_it_custom():
    pristine = experiment("dyck", "lru", PROTOCOLS)
    settings = {"train__steps": 5, "model__options__r_min": 0.5, "eval__lengths": (8,), "mesh__seed": 2}
    config = label(changed(pristine, **settings))
    assert config.protocol == "custom"
    assert config.overrides == (("eval.lengths", (8,)), ("model.options.r_min", 0.5), ("train.steps", 5))
    assert pristine.protocol == "original"
    same = label(changed(pristine, train__steps=pristine.train.steps))
    assert same.protocol == "original"


@pytest.mark.parametrize(
    "settings, key",
    [
        ({"protocol": "small"}, "protocol"),
        ({"model__name": "gpt"}, "model.name"),
        ({"overrides": (("train.steps", 5),)}, "overrides"),
    ],
)
def test_what_only_the_argument_may_choose(settings, key):
    pristine = experiment("dyck", "lru", PROTOCOLS)
    with pytest.raises(ConfigError) as refusal:
        label(changed(pristine, **settings))
    assert refusal.value.key == key


def test_an_external_mixer_may_have_any_name_and_has_no_options_of_the_preset():
    pristine = experiment("dyck", "lru", PROTOCOLS)
    settings = {"model__mixer": "my.module:Mine", "model__name": "mine", "model__options__r_min": 0.5}
    config = label(changed(pristine, **settings))
    assert config.model.name == "mine"
    assert config.model.options.to_dict() == {"r_min": 0.5}
    unnamed = label(changed(pristine, model__mixer="my.module:Mine"))
    assert unnamed.model.name == "Mine" and unnamed.model.options.to_dict() == {}


def test_a_saved_config_is_the_same_again_whatever_keys_came_after_it():
    config = tiny("lru", {"eval.cases": ({"length": [5, 9]},), "task.train_lengths": (3, 12)})
    saved = configs.plain(config.to_dict())
    assert configs.from_saved(saved) == config and not configs.differences(saved, configs.from_saved(saved))
    del saved["train"]["windows"], saved["study"]
    assert configs.from_saved(saved) == config


def test_differences_name_the_keys_and_survive_json():
    cases = ({"length": 8, "depth": 3}, {"length": [2, 8]})
    config = tiny("lru", {"eval.cases": cases, "eval.lengths": (12, (4, 24))}, task="dyck")
    saved = json.loads(json.dumps(config.to_dict()))
    assert differences(saved, config) == []
    other = changed(config, train__steps=21, model__options__r_min=0.5, task__depth=9)
    assert differences(saved, other) == ["model.options.r_min", "task.depth", "train.steps"]
    assert differences(saved, changed(config, eval__cases=cases[:1])) == ["eval.cases"]
    assert differences(saved, label(changed(config, train__steps=20, mesh__data=1))) == []
    assert "protocol" in differences(saved, label(changed(config, train__steps=21)))
    assert differences(saved, changed(config, mesh__data=8, checkpoint__every=3)) == []
    assert "model.name" in differences({}, config)
    assert "model.options.negative_eigenvalues" in differences(saved, tiny("mamba", {}, task="dyck"))


def test_a_key_that_a_saved_config_does_not_know_yet_counts_as_its_default():
    config = tiny("lru", {})
    saved = json.loads(json.dumps(config.to_dict()))
    del saved["train"]["accumulate"], saved["model"]["options"]["r_min"]
    assert differences(saved, config) == []
    other = changed(config, train__accumulate=2, model__options__r_min=0.5)
    assert differences(saved, other) == ["model.options.r_min", "train.accumulate"]
    saved["train"]["gone"] = 1
    assert differences(saved, config) == ["train.gone"]


def test_comments_of_options_come_from_the_preset():
    config = experiment("dyck", "lru", PROTOCOLS)
    for key in configs.ordered(config):
        assert len(configs.comment(key, config)) > 5, key
    assert "radius" in configs.comment("model.options.r_max", config)
    external = changed(config, model__mixer="my.module:Mine")
    assert configs.comment("model.options.r_max", external) == "option of my.module:Mine"


def test_ordered_has_every_key_once_in_the_order_of_the_table():
    config = experiment("dyck", "mamba", PROTOCOLS)
    shown = [key for key in configs.ordered(config) if not key.startswith("model.options.")]
    assert shown == [key for key in KEYS if not key.endswith(".options")]
    assert configs.ordered(config) == flat(config)


REFUSED = {
    "model.dim": 0,
    "model.layers": 0,
    "model.heads": -1,
    "model.mlp_dim": -2,
    "model.conv_size": -1,
    "model.positions": "sinus",
    "model.head": "shared",
    "model.embedding_std": -0.1,
    "model.dropout": 1.0,
    "task.examples": -1,
    "eval.batches": 0,
    "eval.every": -1,
    "eval.seed": 2**32,
    "train.steps": 0,
    "train.batch_size": 0,
    "train.chunk": 0,
    "train.windows": 0,
    "train.accumulate": 0,
    "train.dtype": "float16",
    "train.stop_accuracy": 1.1,
    "optim.name": "sgd",
    "optim.schedule": "linear",
    "optim.warmup": 1.0,
    "optim.weight_decay": -0.1,
    "optim.decay": "some",
    "optim.clip": float("nan"),
    "optim.b1": 1.0,
    "optim.b2": -0.1,
    "population.learning_rates": (),
    "population.seeds": (),
    "checkpoint.every": -1,
    "checkpoint.keep": 0,
    "mesh.seed": -1,
    "mesh.data": -1,
    "mesh.time": 0,
    "mesh.params": "split",
    "mesh.members": "scan",
}
MORE = [
    ("population.learning_rates", (1e-3, -1e-3)),
    ("population.learning_rates", (1e-3, 1e-3)),
    ("population.learning_rates", (1e-3, 1.0000001e-3)),  # one name, lr=0.001, for two members
    ("population.learning_rates", (1,)),
    ("population.learning_rates", (float("inf"),)),
    ("population.seeds", (0, 0)),
    ("population.seeds", (-1,)),
    ("population.seeds", (2**31,)),
    ("population.seeds", (True,)),
    ("population.seeds", (0.5,)),
    ("optim.clip", float("inf")),
    ("optim.weight_decay", float("inf")),
    ("model.mixer", "no_colon"),
    ("train.accumulate", 3),
    ("model.options.r_min", None),
    ("eval.pairs", None),
]


@pytest.mark.parametrize("key, value", [*REFUSED.items(), *MORE])
def test_validate_refuses(key, value):
    config = tiny("lru", {})
    validate(config)
    with config.ignore_type():
        put(config, key, value)
    with pytest.raises(ConfigError) as refusal:
        validate(config)
    assert refusal.value.key == key
    assert str(refusal.value).startswith(f"--config.{key}: ") and "\n" not in str(refusal.value)


def test_there_is_a_refusal_for_every_check():
    assert set(REFUSED) == set(schema.CHECKS)


def test_validate_refuses_what_only_together_cannot_work():
    with pytest.raises(ConfigError) as refusal:
        validate(tiny("lru", {"optim.name": "adam"}))
    assert refusal.value.key == "optim.weight_decay"
    config = tiny("lru", {})
    config.model.name = "mine"
    with pytest.raises(ConfigError) as refusal:
        validate(config)
    assert refusal.value.key == "model.name"
