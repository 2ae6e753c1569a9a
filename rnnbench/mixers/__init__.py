"""The mixers, which move information along time. One NNX module per file, which ends with its presets.

`Mixer(dim, *, rngs, **options)`; `init_state(batch, max_length) -> state` of static shapes;
`__call__(x [B, T, D], state=None) -> (y [B, T, D], state)`. One token (T = 1) is the decoding step, and a
sequence fed in pieces with the state carried gives the same output as in one piece.
`python -m rnnbench.check` checks whether your mixer satisfies this contract. A mixer whose call also takes
`axis_name` can be split over time (see ops/over_time.py): x is then this device's part of the sequence, and
the states are those of the whole sequence.
"""

from typing import Any

from flax import nnx
from ml_collections import ConfigDict

from rnnbench.errors import ConfigError
from rnnbench.mixers.preset import SHARED, Preset, external
from rnnbench.plugins import modules


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
    """A preset by its name, or that of an external mixer by its path, `my_package.my_module:MyMixer`."""
    if ":" in name:
        return external(name)
    if name not in PRESETS:
        raise ConfigError("model.name", f"unknown model {name!r}; choose one of: {' '.join(PRESETS)}")
    return PRESETS[name]


def build(config: ConfigDict, dtype: Any, rngs: nnx.Rngs) -> nnx.Module:
    """The mixer of `config.model`, built with its options and the shared settings that its signature has."""
    preset = find(config.mixer or config.name)
    known, name_of = preset.parameters, preset.mixer.__name__
    settings: dict[str, Any] = {"dtype": dtype, **{name: config[name] for name in SHARED}}
    if settings["positions"] == "learned":  # the backbone's
        settings["positions"] = "none"
    for name, off in SHARED.items():
        if name not in known and settings[name] != off:
            raise ConfigError(f"model.{name}", f"the mixer {name_of} has none; set it to {off!r}")
    if settings["heads"] == 0:
        del settings["heads"]
    for name, value in config.options.items():
        if name not in known:
            raise ConfigError(f"model.options.{name}", f"the mixer {name_of} has no such option")
        if not _of_type(value, default := known[name].default):
            raise ConfigError(f"model.options.{name}", f"{value!r} is not of the type of {default!r}")
    settings = {name: value for name, value in settings.items() if name in known}
    try:
        return preset.mixer(config.dim, rngs=rngs, **settings, **config.options)
    except ConfigError:
        raise
    except Exception as error:  # an external mixer may raise anything
        if not config.mixer:
            raise
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise ConfigError("model.mixer", f"{config.mixer!r} cannot be built ({reason})") from error


def _of_type(value: Any, default: Any) -> bool:
    """Whether an option can take a value. A default of another type is not checked."""
    if not isinstance(default, bool | int | float | str):
        return True
    return type(value) is type(default) or (type(default) is float and type(value) is int)
