"""Configs: keys, presets and their options, labels, comparison with a saved one, and what is refused."""

import json

import pytest
from helpers import covering, tiny

from rnnbench.config import ConfigError
from rnnbench.config import build as configs
from rnnbench.config.build import base, experiment, label, validate
from rnnbench.config.keys import comment, flat, keys, ordered, put
from rnnbench.config.saved import differences, from_saved
from rnnbench.config.schema import KEYS
from rnnbench.mixers import PRESETS, shared
from rnnbench.tasks import TASKS

pytestmark = pytest.mark.fast


def copy(config):
    return config.copy_and_resolve_references()


def changed(config, **settings):
    """A copy with settings such as train__steps=5."""
    return configs.changed(config, {key.replace("__", "."): value for key, value in settings.items()})


@pytest.mark.parametrize("task, model", covering(TASKS, PRESETS))
def test_every_key_has_a_default_of_its_own_and_a_comment(task, model):
    config = base(task, model)
    assert (config.task.name, config.model.name) == (task, model)
    assert list(ordered(config)) == list(keys(config)) and set(KEYS) < set(flat(config))
    assert ordered(config) == flat(config)
    for key, (_, text) in keys(config).items():
        assert len(text) > 5, key
    validate(config)
    config.model.options.new = config.task.new = 1
    assert "new" not in base(task, model).model.options and "new" not in base(task, model).task


def test_keys_come_section_by_section():
    sections = [key.partition(".")[0] for key in keys(base("mqar", "mamba"))]
    assert sections == sorted(sections, key=list(dict.fromkeys(sections)).index)


def test_presets_stand_in_the_order_of_the_tables():
    found = list(PRESETS)
    shipped = ["gpt", "linear_transformer", "lstm", "qlstm", "lru"]
    shipped += ["deltanet", "mamba", "deltanet_neg", "mamba_neg"]
    assert [name for name in found if name in shipped] == shipped
    assert found == sorted(found, key=lambda name: PRESETS[name].order)


def test_what_presets_share_and_fix():
    assert options("deltanet_neg") == options("deltanet") | {"negative_eigenvalues": True}
    assert options("mamba_neg") == options("mamba") | {"negative_eigenvalues": True}
    for name, preset in PRESETS.items():
        for setting, value in preset.settings.items():
            default = preset.parameters[setting].default
            assert type(value) is type(default), f"{name}.{setting}"


def options(preset):
    return {name: value for name, (value, _) in PRESETS[preset].options().items()}


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
    own = shared(PRESETS[preset])
    assert model.dim == 8
    assert model.heads == own.get("heads", 2)
    assert model.conv_size == own.get("conv_size", 3)
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


MINE = "external_mixer:RunningSum"


def test_an_external_mixer_is_read_as_a_preset_is():
    config = experiment("dyck", MINE, PROTOCOLS)
    assert (config.model.name, config.model.mixer, config.protocol) == ("RunningSum", MINE, "original")
    assert config.model.options.to_dict() == {"gain": 1.0} and config.model.dim == 8
    assert (config.model.heads, config.model.conv_size) == (0, 0)  # it has none
    assert keys(config)["model.options.gain"] == (1.0, "")
    assert comment("model.options.gain", config) == f"option of {MINE}"
    with pytest.raises(ConfigError, match="'external_mixer:Missing' cannot be imported"):
        experiment("dyck", "external_mixer:Missing", PROTOCOLS)


def test_an_external_mixer_in_place_of_a_preset():
    """It keeps what it has in common with the preset, and has none of the preset's options."""
    pristine = experiment("dyck", "deltanet", PROTOCOLS)
    named = label(changed(pristine, model__mixer=MINE, model__name="mine", model__options__gain=2))
    assert named.model.name == "mine" and named.model.options.to_dict() == {"gain": 2.0}
    assert dict(named.overrides)["model.options.gain"] == 2.0 and named.protocol == "custom"
    plain = label(changed(pristine, model__mixer=MINE))
    assert plain.model.name == "RunningSum" and plain.model.options.to_dict() == {"gain": 1.0}
    assert (plain.model.dim, plain.model.heads) == (8, 0)
    attention = label(changed(pristine, model__mixer="rnnbench.mixers.attention:Attention"))
    assert (attention.model.heads, attention.model.conv_size) == (2, 3)


@pytest.mark.parametrize(
    "settings, key, words",
    [
        ({"model__options__gian": 2.0}, "model.options.gian", "no such key; did you mean .*gain"),
        ({"model__options__gain": "loud"}, "model.options.gain", "'loud' is not of the type of 1.0"),
        ({"task__depht": 3}, "task.depht", "did you mean --config.task.depth"),
        ({"task__num_keys": 3}, "task.num_keys", "dyck has no such setting; it has: task.num_types"),
        ({"eval__pairs": (3,)}, "eval.pairs", "dyck has no such setting"),
        ({"task__name": "mqar"}, "task.name", "by its config file"),
    ],
)
def test_flags_of_keys_that_task_and_mixer_lack(settings, key, words):
    pristine = experiment("dyck", "lru", PROTOCOLS)
    with pytest.raises(ConfigError, match=words) as refusal:
        label(changed(pristine, model__mixer=MINE, **settings))
    assert refusal.value.key == key


def test_a_setting_that_another_replaces_is_refused_and_not_compared():
    pristine = experiment("mqar", "lru", {"original": {"task.train_mix": ((64, 4), (64, 8))}})
    with pytest.raises(ConfigError, match="train_pairs: has no effect beside task"):
        label(changed(pristine, task__train_pairs=(2, 2)))
    saved = configs.plain(pristine.to_dict()) | {}
    saved["task"]["train_pairs"] = [3, 3]
    assert differences(saved, pristine) == []
    both = label(changed(pristine, task__train_pairs=(2, 2), task__train_mix=()))
    assert "task.train_pairs" in differences(saved, both)


def old(config, **options):
    """As an older version saved it: `task` and `eval` with all tasks' keys, an external one's in options."""
    saved = configs.plain(config.to_dict())
    saved["task"] = {"depth": 3, "num_ones": 12, "num_keys": 64, "train_lengths": [3, 32]} | saved["task"]
    saved["task"]["options"] = options
    saved["eval"] = {"pairs": []} | saved["eval"]
    return saved


def test_a_config_saved_with_the_keys_of_all_tasks_is_the_same():
    for task in TASKS:
        config = base(task, "mamba_neg")
        assert differences(old(config), config) == []
        assert from_saved(old(config)) == config
        assert differences(old(config), changed(config, task__examples=7)) == ["task.examples"]
    external = base("external_task:Copy")
    external.task.symbols = 7
    saved = old(external, symbols=7)
    saved["task"]["symbols"] = 3
    assert from_saved(saved).task.symbols == 7 and differences(saved, external) == []


def test_a_saved_config_is_the_same_again_whatever_keys_came_after_it():
    config = tiny("lru", {"eval.cases": ({"length": [5, 9]},), "task.train_lengths": (3, 12)})
    saved = configs.plain(config.to_dict())
    assert from_saved(saved) == config and not differences(saved, from_saved(saved))
    del saved["train"]["windows"], saved["study"]
    assert from_saved(saved) == config


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
    assert "task.supervision" in differences(saved, tiny("lru", {}))


def test_a_key_that_a_saved_config_does_not_know_yet_counts_as_its_default():
    config = tiny("lru", {})
    saved = json.loads(json.dumps(config.to_dict()))
    del saved["train"]["accumulate"], saved["model"]["options"]["r_min"]
    assert differences(saved, config) == []
    other = changed(config, train__accumulate=2, model__options__r_min=0.5)
    assert differences(saved, other) == ["model.options.r_min", "train.accumulate"]
    saved["train"]["gone"] = 1
    assert differences(saved, config) == ["train.gone"]


REFUSED = {
    "model.dim": 0,
    "model.layers": 0,
    "model.heads": -1,
    "model.mlp_dim": -2,
    "model.conv_size": -1,
    "model.positions": "sinus",
    "model.head": "shared",
    "model.embedding_std": -0.1,
    "model.norm": "batch",
    "model.init": "zero",
    "model.conv_init": "zero",
    "model.init_residual": -1,
    "model.dropout": 1.0,
    "model.dropout_at": "head",
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
    "optim.decay": "some",
    "optim.schedule": "linear",
    "optim.warmup": 1.0,
    "optim.weight_decay": -0.1,
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
    ("model.options.r_min", float("nan")),
    ("eval.lengths", None),
    ("task.module", "no_colon"),
    ("task.name", "a/b"),
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
    assert set(REFUSED) == {key for key, known in KEYS.items() if known.must_be}


def test_validate_refuses_what_only_together_cannot_work():
    with pytest.raises(ConfigError) as refusal:
        validate(tiny("lru", {"optim.name": "adam"}))
    assert refusal.value.key == "optim.weight_decay"
    config = tiny("lru", {})
    config.model.name = "mine"
    with pytest.raises(ConfigError) as refusal:
        validate(config)
    assert refusal.value.key == "model.name"
