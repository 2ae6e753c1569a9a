"""`model.pattern`: layers of several presets, each with its own settings."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from helpers import tiny

from rnnbench import check, mixers
from rnnbench.cli import flags, show
from rnnbench.config import ConfigError
from rnnbench.config.build import changed, label
from rnnbench.config.keys import flat
from rnnbench.config.saved import differences, from_saved
from rnnbench.config.values import plain
from rnnbench.mixers import PRESETS
from rnnbench.sizes import num_params, state_size
from rnnbench.study.cells import cells
from rnnbench.train.population import prepare

pytestmark = pytest.mark.fast


def configured(pattern, preset="lstm", **settings):
    settings = {f"model.{name}": value for name, value in settings.items()}
    return label(changed(tiny(preset, {}), {"model.pattern": pattern} | settings))


def built(config):
    return nnx.eval_shape(lambda: prepare(config).make(jax.random.key(0)))


def kinds(config):
    return [type(block.mixer).__name__ for block in built(config).blocks]


def test_parts_are_repeated_to_the_depth_each_with_its_settings():
    pattern = ("deltanet", "gpt conv_size=3 positions=alibi", "window window=8 heads=4", "mamba state_dim=3")
    config = configured(pattern, layers=6, heads=2, conv_size=0)
    assert kinds(config) == ["DeltaNet", "Attention", "WindowAttention", "Mamba", "DeltaNet", "Attention"]
    deltanet, gpt, window, mamba = (block.mixer for block in built(config).blocks[:4])
    assert deltanet.heads == 2 and deltanet.qkv.conv is None
    assert gpt.heads == 2 and gpt.qkv.conv.conv_size == 3 and gpt.positions == "alibi"
    assert window.heads == 4 and window.window == 8
    assert mamba.state_dim == 3 and mamba.conv is None


def test_a_preset_may_come_several_times_with_other_settings():
    model = built(configured(("window window=4", "window window=8"), layers=3))
    assert [block.mixer.window for block in model.blocks] == [4, 8, 4]


def test_fewer_layers_than_parts_are_the_last_ones():
    assert kinds(tiny("griffin", {"model.layers": 2})) == ["RGLRU", "WindowAttention"]
    assert kinds(tiny("griffin", {"model.layers": 4})) == 2 * ["RGLRU"] + ["WindowAttention", "RGLRU"]
    assert kinds(tiny("hybrid_deltanet", {"model.layers": 3})) == ["DeltaNet", "WindowAttention", "DeltaNet"]


def test_an_external_mixer_may_be_a_part():
    config = configured(("gpt", "external_mixer:RunningSum gain=3.0"), layers=2)
    assert config.model.name == "gpt+RunningSum"
    assert built(config).blocks[1].mixer.gain == 3.0


def test_each_layer_is_matched_to_gpt_and_the_states_add_up():
    alone = {name: built(tiny(name, {"model.dim": 32})) for name in ("gpt", "elman", "mamba")}
    size = lambda model: num_params(nnx.state(model, nnx.Param))
    config = configured(("elman", "mamba"), layers=2, dim=32)
    both = built(config)
    widths = [block.mlp.up.kernel.shape[1] for block in both.blocks]
    assert widths == [alone[name].blocks[0].mlp.up.kernel.shape[1] for name in ("elman", "mamba")]
    assert widths[0] != widths[1]
    gpt = size(alone["gpt"].blocks[0])
    assert [size(block) for block in both.blocks] == pytest.approx([gpt, gpt], rel=0.02)
    assert state_size(both, 9) == state_size(alone["elman"], 9) + state_size(alone["mamba"], 9)


def test_a_hybrid_computes_what_its_layers_do():
    """The first block is the part's own with the same parameters, and a stream in pieces equals the whole."""
    model = prepare(configured(("elman", "window window=4"), layers=2)).make(jax.random.key(0))
    tokens = jnp.tile(jnp.arange(2), (2, 6))
    whole, _ = model(tokens)
    first, state = model(tokens[:, :7], model.init_state(2, 12))
    second, _ = model(tokens[:, 7:], state)
    np.testing.assert_allclose(jnp.concatenate([first, second], axis=1), whole, rtol=1e-4, atol=1e-5)
    x = model._embedded(tokens, jnp.arange(12))
    for block in model.blocks:
        x = x + block.mixer(block.norm(x))[0]
        x = x + block.mlp(block.mlp_norm(x))
    np.testing.assert_allclose(model._logits(model.norm(x)), whole, rtol=1e-4, atol=1e-5)


# --- labels, flags and files --------------------------------------------------------------------------------


@pytest.mark.parametrize("preset", ["lstm", "gpt", "griffin"])
def test_a_pattern_is_a_model_of_its_own_named_by_its_parts(preset):
    config = configured(("deltanet", "gpt"), preset)
    assert config.model.name == "deltanet+gpt"
    assert (str(config.protocol), config.overrides) == ("tiny", ())
    assert config.model.heads == 2  # the protocol's, as for deltanet
    assert not config.model.options


def test_settings_of_parts_are_overrides_of_the_protocol():
    pattern = ("deltanet", "gpt conv_size=4")
    config = configured(pattern)
    assert config.model.name == "deltanet+gpt"
    assert (str(config.protocol), config.overrides) == ("custom", (("model.pattern", pattern),))
    assert label(tiny("deltanet+gpt conv_size=4", {})).overrides == config.overrides
    assert label(tiny("deltanet+gpt", {})).overrides == ()


def test_hybrid_presets_have_their_pattern_and_what_no_part_takes_is_off():
    griffin = label(tiny("griffin", {"model.conv_size": 4}))
    assert griffin.model.pattern == ("rglru", "rglru", "window") == PRESETS["griffin"].pattern
    assert (griffin.model.name, str(griffin.protocol)) == ("griffin", "tiny")
    assert (griffin.model.heads, griffin.model.conv_size, griffin.model.positions) == (2, 0, "none")
    assert tiny("hybrid_deltanet", {"model.conv_size": 4}).model.conv_size == 4


def parsed(*given):
    line = flags.parse(["launch.py", "--config=configs/bit_parity.py:lstm,small", *given])
    return label(changed(line.configs[0], line.changed))


def test_by_flags(capsys):
    config = parsed(
        "--config.model.pattern=('deltanet','gpt heads=2')",
        "--config.model.conv_size=4",
        "--config.model.layers=2",
    )
    assert config.model.name == "deltanet+gpt" and config.model.conv_size == 4
    deltanet, gpt = (block.mixer for block in built(config).blocks)
    assert deltanet.qkv.conv.conv_size == 4 and gpt.qkv.conv is None and gpt.heads == 2
    show.show_config(config)
    shown = capsys.readouterr().out
    assert "model.pattern = ('deltanet', 'gpt heads=2')" in shown and "model.options" not in shown
    show.show_list()
    assert "griffin              pattern ('rglru', 'rglru', 'window')\n" in capsys.readouterr().out


def test_an_external_mixer_by_flag_takes_the_place_of_a_pattern():
    config = label(changed(configured(("deltanet", "gpt")), {"model.mixer": "external_mixer:RunningSum"}))
    assert (config.model.name, config.model.pattern) == ("RunningSum", ())


def test_a_saved_hybrid_is_the_same_again():
    for config in (configured(("deltanet", "gpt conv_size=4")), label(tiny("griffin", {}))):
        saved = plain(config.to_dict())
        assert differences(saved, config) == []
        again = from_saved(saved)
        assert flat(again.model) == flat(config.model)
        del saved["model"]["pattern"]  # a run that is older than the key
        if config.model.name == "griffin":
            assert flat(from_saved(saved).model) == flat(config.model)


def test_a_study_may_name_patterns():
    found = cells([tiny("lstm", {})], {"study.models": "lstm,deltanet+gpt,griffin"}, {}, None)
    assert [(cell.model.name, cell.model.pattern) for cell in found.values()] == [
        ("lstm", ()),
        ("deltanet+gpt", ("deltanet", "gpt")),
        ("griffin", ("rglru", "rglru", "window")),
    ]
    swept = cells([tiny("lstm", {})], {}, {"model.pattern": "('gpt','lstm'),('gpt','lru')"}, None)
    assert [cell.model.name for cell in swept.values()] == ["gpt+lstm", "gpt+lru"]


# --- refusals -----------------------------------------------------------------------------------------------

REFUSED = [
    ((), r"must have two parts or more, such as \('deltanet', 'gpt'\); it is \(\)"),
    (("gpt",), "must have two parts or more"),
    (("gpt", "lsmt"), "'lsmt': unknown model 'lsmt'; choose one of: .*lstm"),
    (("gpt", ""), "'': unknown model ''"),
    (("gpt", 3), "'3': unknown model"),
    (("gpt", "griffin"), "'griffin': is a hybrid itself; write its parts"),
    (("gpt", "no_such_file:Mixer"), "'no_such_file:Mixer' cannot be imported"),
    (("gpt colour=1", "lstm"), "gpt has no setting 'colour'; it has heads conv_size positions"),
    (("gpt conv_size=wide", "lstm"), "'wide' is not of the type of 0"),
    (("gpt conv_size", "lstm"), "'' is not of the type of 0"),
    (("gpt", "lstm heads=2"), "lstm has no setting 'heads'; it has forget_bias"),
]


@pytest.mark.parametrize("pattern, message", REFUSED, ids=[str(pattern) for pattern, _ in REFUSED])
def test_refused(pattern, message):
    with pytest.raises(ConfigError, match=message) as error:
        prepare(configured(pattern, "griffin"))
    assert error.value.key == "model.pattern" and "\n" not in str(error.value)


@pytest.mark.parametrize(
    "settings, key, message",
    [
        ({"conv_size": 4}, "model.conv_size", r"no part .* write 'rglru conv_size=\.\.\.', and set it to 0"),
        ({"positions": "rope"}, "model.positions", "no part .* set it to 'none'"),
        ({"heads": 3}, "model.heads", "dim 16 is not divisible by 3 heads"),
        ({"mixer": "external_mixer:RunningSum"}, "model.pattern", "names the mixers of all layers"),
    ],
)
def test_settings_beside_a_pattern_are_refused(settings, key, message):
    with pytest.raises(ConfigError, match=message) as error:
        prepare(configured(("rglru", "window"), **settings))
    assert error.value.key == key


def test_a_hybrid_is_split_over_time_only_if_all_its_parts_can_be():
    settings = {"mesh.time": 2, "model.layers": 2}
    prepare(tiny("griffin", settings))
    with pytest.raises(ConfigError, match="RunningSum takes no axis_name"):
        prepare(changed(tiny("lru", settings), {"model.pattern": ("rglru", "external_mixer:RunningSum")}))


def test_the_check_runs_on_every_part(capsys, monkeypatch):
    monkeypatch.setattr(check, "CHECKS", {"well_formed": check.CHECKS["well_formed"]})
    assert check.main(["griffin", "--dim=8", "--length=5", "heads=2"]) == 0
    words = [line.split()[:2] for line in capsys.readouterr().out.splitlines()]
    assert words == [
        ["rglru:", "344"],
        ["ok", "well_formed"],
        ["window:", "256"],
        ["ok", "well_formed"],
        ["ok", "trains"],
    ]


def test_every_layer_of_a_pattern_is_built_as_its_preset_is():
    config = configured(("deltanet_neg", "qlstm"), layers=2).model
    for layer, name in enumerate(("deltanet_neg", "qlstm")):
        in_pattern = mixers.build(config, jnp.float32, nnx.Rngs(0), layer)
        alone = mixers.build(tiny(name, {}).model, jnp.float32, nnx.Rngs(0))
        assert nnx.graphdef(in_pattern) == nnx.graphdef(alone)


def test_too_few_layers_for_a_pattern_are_said(capsys):
    prepare(tiny("griffin", {"model.layers": 2}))
    assert capsys.readouterr().err == ""
    prepare(tiny("griffin", {}))
    assert capsys.readouterr().err == "rnnbench: warning: griffin: model.layers=1 leaves out rglru\n"
