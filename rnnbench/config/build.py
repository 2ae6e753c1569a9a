"""Configs: made from the keys, a protocol and a model; changed, labelled, compared and checked.

A config is an `ml_collections.ConfigDict`. `base()` has every key there is (see `schema.py`); a file in
`configs/` calls `experiment` with its table of protocols; `changed` sets single keys, as flags do. Nothing
here compiles or touches a device.
"""

import importlib
import json
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import yaml
from ml_collections import ConfigDict

from rnnbench.config import ConfigError
from rnnbench.config.schema import CHECKS, KEYS, OPTIONS, PRESETS, options

# What `config.task` has for every task; the rest belongs to single ones of the registry.
COMMON = ("module", "options", "train_lengths", "examples")
# Overriding these leaves a protocol's label as it is: how often or where it runs, not what is measured.
FREE = ("population.", "mesh.", "checkpoint.", "study.", "train.chunk", "protocol", "overrides")
# The options of what is external: neither declared nor checked before that is imported.
EXTERNAL = {"model.options.": "model.mixer", "task.options.": "task.module"}
# These say what the keys of a config are, and are no keys to choose a setting by.
LABELS = ("protocol", "overrides")
# A workdir is resumed only by a config that agrees in these.
FIXED = ("model", "task", "eval", "train", "optim", "population", "protocol")


class Protocol(str):
    """A protocol's name that knows what it stands for, whatever becomes of the config that holds it."""

    task: str
    model: str
    settings: dict[str, Any]

    def __new__(cls, name: str, task: str = "", model: str = "", settings: dict[str, Any] | None = None):
        self = super().__new__(cls, name)
        self.task, self.model, self.settings = task, model, settings or {}
        return self

    def config(self, model: str = "") -> ConfigDict:
        """The protocol's own config of a model, by default of the model that it was made for."""
        return experiment(self.task, f"{model or self.model},{self}", {str(self): self.settings})


# print(config) is YAML.
yaml.add_representer(Protocol, lambda dumper, protocol: dumper.represent_str(str(protocol)))


def base() -> ConfigDict:
    """A config with every key at its default."""
    config = ConfigDict()
    for key, (default, _) in KEYS.items():
        put(config, key, ConfigDict(default) if isinstance(default, ConfigDict) else default)
    return config


def put(config: ConfigDict, key: str, value: Any) -> None:
    """config.a.b = value for the key "a.b", sections made as needed."""
    *sections, name = key.split(".")
    for section in sections:
        if section not in config:
            config[section] = ConfigDict()
        config = config[section]
    config[name] = value


def experiment(task: str, argument: str, protocols: dict[str, dict[str, Any]]) -> ConfigDict:
    """What get_config of a task's file returns; `argument` is "model" or "model,protocol".

    A model is a preset or my_package.my_module:MyMixer. A protocol (without one: original) is a flat table of
    keys and values; its entry "only" holds further such tables for single presets.
    """
    name, _, protocol = argument.partition(",")
    protocol = protocol or "original"
    if name not in PRESETS and ":" not in name:
        raise ConfigError("", f"unknown model {name!r}; choose one of: {' '.join(PRESETS)}")
    if protocol not in protocols:
        raise ConfigError("", f"{task} has no protocol {protocol!r}; choose one of: {' '.join(protocols)}")
    config = base()
    config.task.name, config.model.name = task, name
    rename(config, Protocol(protocol, task, name, protocols[protocol]))
    settings = {key: value for key, value in protocols[protocol].items() if key != "only"}
    update(config, settings)
    if ":" in name:
        external_mixer(config, name)
        return config
    preset = PRESETS[name]
    for key, off in {"heads": 0, "conv_size": 0}.items():
        if key not in preset["takes"]:
            config.model[key] = off
    config.model.positions = preset.get("positions", "none")
    if not config.model.mixer:  # a protocol may have one of its own
        config.model.options = ConfigDict(options(name))
    update(config, protocols[protocol].get("only", {}).get(name, {}))
    return config


def rename(config: ConfigDict, protocol: str) -> None:
    """Another protocol; a ConfigDict would cast it to the type of the one before."""
    del config.protocol
    config.protocol = protocol


def changed(config: ConfigDict, settings: dict[str, Any]) -> ConfigDict:
    """A copy with other values of some keys, as flags set them: changed(config, {"train.steps": 500}).

    An external mixer or task takes the place of the preset or task of the config, with its own defaults.
    """
    check_labels(settings)
    config = config.copy_and_resolve_references()
    if settings.get("model.mixer") and not config.model.mixer:
        external_mixer(config, settings["model.mixer"])
    if settings.get("task.module") and not config.task.module:
        external_task(config, settings["task.module"])
    update(config, settings)
    return config


def tabled(file: str, configs: Sequence[ConfigDict]) -> list[ConfigDict]:
    """The configs of a study whose table lies beside its config file: tabled(__file__, configs)."""
    folder = str(Path(file).resolve().parent)
    return [changed(config, {"study.table": folder}) for config in configs]


def check_labels(keys: Iterable[str]) -> None:
    """Refuses to set the labels of a config."""
    if "protocol" in keys:
        raise ConfigError("protocol", "is chosen by the argument: --config=configs/TASK.py:MODEL,PROTOCOL")
    if "overrides" in keys:
        raise ConfigError("overrides", "is filled in from the other flags; leave it out")


def update(config: ConfigDict, settings: dict[str, Any]) -> None:
    """Puts a table of keys and values into a config, which must have these keys and types."""
    known = flat(config)
    free = undeclared(known | settings)
    for key, value in settings.items():
        value = plain_value(value)
        if key not in known and not key.startswith(free):
            raise ConfigError(key, "there is no such key; --show_config lists them all")
        try:
            put(config, key, value)
        except TypeError:
            raise ConfigError(key, f"{value!r} is not of the type of {known[key]!r}") from None


def undeclared(values: dict[str, Any]) -> tuple[str, ...]:
    """The sections whose keys a config does not list: the options of an external mixer or task named here."""
    return tuple(section for section, key in EXTERNAL.items() if values.get(key))


def flat(config: Any, prefix: str = "") -> dict[str, Any]:
    """A config as {"a.b": value}."""
    leaves = {}
    for name, value in config.items():
        if isinstance(value, ConfigDict):
            leaves |= flat(value, f"{prefix}{name}.")
        else:
            leaves[prefix + name] = value
    return leaves


def scalars(value: Any) -> list[Any]:
    """The values in nested tuples."""
    return [leaf for part in value for leaf in scalars(part)] if isinstance(value, tuple) else [value]


def plain(value: Any) -> Any:
    """A value as JSON gives it back: tuples become lists."""
    return json.loads(json.dumps(value))


def plain_value(value: Any) -> Any:
    """A value that JSON knows, for one of numpy, a range or a frozen one."""
    if hasattr(value, "dtype") and hasattr(value, "tolist"):
        value = value.tolist()
        return tuple(value) if isinstance(value, list) else value
    if isinstance(value, tuple | range):
        return tuple(map(plain_value, value))
    if isinstance(value, list):
        return list(map(plain_value, value))
    if isinstance(value, dict):
        return {key: plain_value(one) for key, one in value.items()}
    return value


def origin(config: ConfigDict) -> ConfigDict:
    """The protocol's own config of this config's model; without a protocol the defaults."""
    if isinstance(config.protocol, Protocol):
        own = config.protocol.config()
        swapped = config.model.mixer and not own.model.mixer
        return config.protocol.config(config.model.mixer) if swapped else own
    own = base()
    for key in ("model.name", "model.mixer", "task.name", "task.module"):
        put(own, key, flat(config)[key])
    return own


def departures(config: ConfigDict) -> dict[str, Any]:
    """The keys, with their values, in which a config differs from its protocol's own."""
    before, after = flat(origin(config)), flat(config)
    other = lambda key, value: key not in before or plain(before[key]) != plain(value)
    named = (*LABELS, "model.name") if config.model.mixer else LABELS
    return {
        key: value
        for key, value in after.items()
        if not key.startswith("study.") and key not in named and other(key, value)
    }


def label(config: ConfigDict) -> ConfigDict:
    """`config` with `overrides` = where it leaves its protocol, and then the protocol "custom"."""
    found = {key: value for key, value in departures(config).items() if not key.startswith(FREE)}
    if "model.name" in found:
        advice = f"a preset is chosen by the argument: --config=configs/TASK.py:{config.model.name}"
        raise ConfigError("model.name", advice)
    for key in ("task.train_lengths", "task.train_pairs"):
        if key in found and flat(config).get("task.train_mix"):
            raise ConfigError(key, 'has no effect beside task.train_mix; add --config.task.train_mix="()"')
    config.overrides = tuple(sorted(found.items()))
    rename(config, "custom" if found else str(config.protocol))
    return config


def external_mixer(config: ConfigDict, path: str) -> None:
    """An external mixer in place of a preset: its name and its defaults."""
    config.model.mixer, config.model.name = path, path.rpartition(":")[2]
    config.model.heads = config.model.conv_size = 0
    config.model.positions, config.model.options = "none", ConfigDict()


def external_task(config: ConfigDict, path: str) -> None:
    """An external task in place of the registry's: the same for `config.task`, less what all tasks have."""
    for key, (default, _) in KEYS.items():
        section, _, name = key.partition(".")
        if section == "task" and name not in ("name", *COMMON):
            config.task[name] = default
    config.task.module, config.task.name = path, path.rpartition(":")[2]


def differences(saved: dict[str, Any], config: ConfigDict) -> list[str]:
    """The keys in which `config` differs from the one saved in a workdir, of those that must agree.

    A key that came into being after the config was saved counts as saved at its default.
    """

    def leaves(tree: dict[str, Any]) -> dict[str, Any]:
        return flat(ConfigDict({name: tree.get(name) for name in FIXED}))

    before, after = leaves(saved), leaves(plain(config.to_dict()))
    defaults = leaves(plain(base().to_dict()))
    if before.get("model.name") in PRESETS:
        defaults |= {f"model.options.{name}": value for name, value in options(before["model.name"]).items()}
    missing = object()
    then = lambda key: before.get(key, defaults.get(key, missing))
    return sorted(key for key in before | after if then(key) != after.get(key, missing))


def from_saved(saved: dict[str, Any]) -> ConfigDict:
    """The config that was saved as JSON; a key that came after it counts as the default."""
    config = base()
    for key, value in flat(ConfigDict(saved)).items():
        if not key.startswith("study."):  # a run knows nothing of the study that it belongs to
            put(config, key, value)
    return config


def comment(key: str, config: ConfigDict) -> str:
    """The comment of a key of this config."""
    if key.startswith("task.options."):
        return f"option of {config.task.module}"
    if not key.startswith("model.options."):
        return KEYS[key][1]
    mixer = PRESETS.get(config.model.name, {}).get("mixer", "")
    known = {} if config.model.mixer else OPTIONS.get(mixer, {})
    return known.get(key.split(".")[-1], ("", f"option of {config.model.mixer or mixer}"))[1]


def ordered(config: ConfigDict) -> dict[str, Any]:
    """`flat` in the order of KEYS, each option where model.options stands."""
    order = {key: place for place, key in enumerate(KEYS)}
    section = lambda key: re.sub(r"^(model|task)\.options\..*", r"\1.options", key)
    return dict(sorted(flat(config).items(), key=lambda leaf: order[section(leaf[0])]))


def validate(config: ConfigDict) -> None:
    """ConfigError for the first setting that cannot work, as far as no task or mixer is needed to tell."""
    values = flat(config)
    for key, value in values.items():
        if value is None:
            raise ConfigError(key, "has no value; give it one")
        too_large = [n for n in scalars(value) if type(n) is int and not -(2**63) <= n < 2**63]
        if too_large and key != "overrides":  # which repeats the others
            raise ConfigError(key, f"must fit in 64 bits; it has {too_large[0]}")
    for key, (fine, must_be) in CHECKS.items():
        if not fine(values[key]):
            raise ConfigError(key, f"must be {must_be}; it is {values[key]!r}")
    if config.train.batch_size % config.train.accumulate:
        raise ConfigError(
            "train.accumulate",
            f"must divide the batch size {config.train.batch_size}; it is {config.train.accumulate}",
        )
    if config.optim.name == "adam" and config.optim.weight_decay:
        raise ConfigError("optim.weight_decay", "works with optim.name=adamw only; set it to 0.0")
    for key, label_key in {"model.mixer": "model.name", "task.module": "task.name"}.items():
        if values[key] and ":" not in values[key]:
            raise ConfigError(key, f"must read my_package.my_module:Name; it is {values[key]!r}")
        if values[key] and not re.fullmatch(r"[\w.+-]+", values[label_key]):
            advice = f"must be of letters, digits and _ . + - only; it is {values[label_key]!r}"
            raise ConfigError(label_key, advice)
    if not config.model.mixer and config.model.name not in PRESETS:
        raise ConfigError(
            "model.name", f"unknown model {config.model.name!r}; choose one of: {' '.join(PRESETS)}"
        )


def imported(key: str, path: str) -> Any:
    """What `my_package.my_module:Name`, the value of a key, stands for."""
    module, _, name = path.partition(":")
    try:
        return getattr(importlib.import_module(module), name)
    except Exception as error:  # whatever somebody's module raises when it is run
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise ConfigError(key, f"{path!r} cannot be imported ({reason})") from error
