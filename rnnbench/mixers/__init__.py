"""The mixers, which move information along time. One NNX module per file, which ends with its presets.

`Mixer(dim, *, rngs, dtype, **options)`; `init_state(batch, max_length) -> state` of static shapes;
`__call__(x [B, T, D], state=None) -> (y [B, T, D], state)`. One token (T = 1) is the decoding step, and a
sequence fed in pieces with the state carried gives the same output as in one piece.
`python -m rnnbench.check` checks whether your mixer satisfies this contract. A mixer whose call also takes
`axis_name` can be split over time (see ops/over_time.py): x is then this device's part of the sequence, and
the states are those of the whole sequence. One that takes `reset` can have several sequences packed into one.
"""

from typing import Any

import jax.numpy as jnp
from flax import nnx
from ml_collections import ConfigDict

from rnnbench.errors import ConfigError, told
from rnnbench.mixers.preset import SHARED, Preset, external
from rnnbench.plugins import modules, setting


def _discovered() -> dict[str, Preset]:
    found: dict[str, Preset] = {}
    for module in modules(__name__, __path__):
        presets = getattr(module, "PRESETS", {})
        if twice := sorted(found.keys() & presets.keys()):
            raise ValueError(f"{module.__file__}: there is already a preset {twice[0]!r}")
        found |= presets
    return dict(sorted(found.items(), key=lambda item: item[1].order))


PRESETS = _discovered()


def find(name: str) -> Preset:
    """A preset by its name, that of an external mixer by its path, `my_package.my_module:MyMixer`, or a
    hybrid by its parts, "deltanet+gpt conv_size=4"."""
    if "+" in name:
        pattern = tuple(part.strip() for part in name.split("+"))
        return Preset(parts(pattern)[0][0].mixer, pattern=pattern)
    if ":" in name:
        return external(name)
    if name not in PRESETS:
        raise ConfigError("model.name", f"unknown model {name!r}; choose one of: {' '.join(PRESETS)}")
    return PRESETS[name]


def parts(pattern: tuple[str, ...]) -> list[tuple[Preset, dict[str, Any]]]:
    """The preset and the settings of each part of a pattern, "gpt conv_size=4"."""
    return [_part(text) for text in pattern]


def _part(text: str) -> tuple[Preset, dict[str, Any]]:
    refusal = lambda reason: ConfigError("model.pattern", f"{text!r}: {reason}")
    name, *words = text.split() or [""]
    try:
        preset = find(name)
    except ConfigError as error:
        raise refusal(error.message) from None
    if preset.pattern:
        raise refusal("is a hybrid itself; write its parts")
    settings = dict(setting(word) for word in words)
    known = preset.options() | {name: (SHARED[name], "") for name in SHARED if name in preset.parameters}
    for key, value in settings.items():
        if key not in known:
            raise refusal(f"{name} has no setting {key!r}; it has {' '.join(known) or 'none'}")
        if not _of_type(value, default := known[key][0]):
            raise refusal(f"{value!r} is not of the type of {default!r}")
    return preset, preset.settings | settings


def shared(preset: Preset) -> dict[str, Any]:
    """The shared settings that a protocol does not decide: of a hybrid those that no part leaves open."""
    if not preset.pattern:
        return preset.shared()
    closed = [part.shared() | settings for part, settings in parts(preset.pattern)]
    return {name: off for name, off in SHARED.items() if all(name in each for each in closed)}


def model_of(config: ConfigDict) -> str:
    """The model of `config.model` as `find` takes it: a preset, an external mixer, parts of a pattern."""
    own = PRESETS[config.name].pattern if config.name in PRESETS else ()
    pattern = config.get("pattern", own)
    if pattern and config.mixer:
        raise ConfigError("model.pattern", "names the mixers of all layers; leave out model.mixer")
    if config.mixer:
        return config.mixer
    if pattern == own and "+" not in config.name:
        return config.name
    if len(pattern) < 2:
        raise ConfigError(
            "model.pattern", f"must have two parts or more, such as ('deltanet', 'gpt'); it is {pattern!r}"
        )
    return "+".join(map(str, pattern))


def bare(model: str) -> str:
    """A model without the settings of its parts: "deltanet+gpt" of "deltanet+gpt conv_size=4"."""
    return "+".join(part.split()[0] for part in model.split("+") if part.strip())


def label(model: str) -> str:
    """The name of a model: "deltanet+EMA" of "deltanet+my_file:EMA gain=2"."""
    return "+".join(part.rpartition(":")[2] for part in bare(model).split("+"))


def of_layers(config: ConfigDict) -> list[tuple[Preset, dict[str, Any]]]:
    """The preset and the settings of each layer of `config.model` up to where they repeat.

    A model with fewer layers than its pattern has the last ones, so that two layers of Griffin are a hybrid.
    """
    preset = find(model_of(config))
    return parts(preset.pattern)[-config.layers :] or [(preset, dict(config.options))]


def build(config: ConfigDict, dtype: jnp.dtype, rngs: nnx.Rngs, layer: int = 0) -> nnx.Module:
    """The mixer of a layer of `config.model`: its options, and the shared settings that its signature has."""
    layers = of_layers(config)
    preset, options = layers[layer % len(layers)]
    settings: dict[str, Any] = {"dtype": dtype, **{name: config[name] for name in SHARED}}
    if settings["positions"] == "learned":  # the backbone's
        settings["positions"] = "none"
    _check(config, find(model_of(config)), settings)
    if settings["heads"] == 0:
        del settings["heads"]
    settings = {name: value for name, value in settings.items() if name in preset.parameters}
    try:
        return preset.mixer(config.dim, rngs=rngs, **settings | options)
    except ConfigError:
        raise
    except Exception as error:  # an external mixer may raise anything
        if preset in PRESETS.values():
            raise
        key, name = (
            ("model.mixer", config.mixer) if config.mixer else ("model.pattern", preset.mixer.__name__)
        )
        raise ConfigError(key, f"{name!r} cannot be built ({told(error)})") from error


def _check(config: ConfigDict, preset: Preset, settings: dict[str, Any]) -> None:
    """Refuses settings that would have no effect, or are of another type than the option."""
    known, name_of = preset.parameters, preset.mixer.__name__
    for name, off in SHARED.items():
        if settings[name] == off:
            continue
        if preset.pattern and name in shared(preset):
            advice = f"no part of {preset.pattern} takes it from here; write '{preset.pattern[0]} {name}=...'"
            raise ConfigError(f"model.{name}", f"{advice}, and set it to {off!r}")
        if not preset.pattern and name not in known:
            raise ConfigError(f"model.{name}", f"the mixer {name_of} has none; set it to {off!r}")
    for name, value in config.options.items():
        if preset.pattern or name not in known:
            raise ConfigError(f"model.options.{name}", f"the mixer {name_of} has no such option")
        if not _of_type(value, default := known[name].default):
            raise ConfigError(f"model.options.{name}", f"{value!r} is not of the type of {default!r}")


def _of_type(value: Any, default: Any) -> bool:
    """Whether an option can take a value. A default of another type is not checked."""
    if not isinstance(default, bool | int | float | str):
        return True
    return type(value) is type(default) or (type(default) is float and type(value) is int)
