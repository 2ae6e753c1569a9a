"""Builds configs from the keys, a protocol and a model; changes, labels, compares and checks them.

A config is an `ml_collections.ConfigDict` with the keys that `keys.py` returns. A file in `configs/` calls
`experiment` with its table of protocols; `changed` sets single keys, as flags do. Nothing here compiles or
touches a device.
"""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from ml_collections import ConfigDict

from rnnbench import mixers
from rnnbench.config.keys import PATHS, check_key, flat, keys, meaningless, plug_ins, put
from rnnbench.config.schema import KEYS
from rnnbench.config.values import plain, plain_value, scalars
from rnnbench.errors import ConfigError, warn_once

# Overriding these keeps a protocol's label: they set how often or where it runs, not what is measured.
FREE = ("population.", "mesh.", "checkpoint.", "study.", "train.chunk", "protocol", "overrides")
# These label a config and are not settings of it.
LABELS = ("protocol", "overrides")


class Protocol(str):
    """A protocol's name together with its settings, which do not change with the config that holds it."""

    task: str
    model: str
    settings: Mapping[str, Any]

    def __new__(cls, name: str, task: str = "", model: str = "", settings: Mapping[str, Any] | None = None):
        self = super().__new__(cls, name)
        self.task, self.model, self.settings = task, model, settings or {}
        return self

    def config(self, model: str = "") -> ConfigDict:
        """The protocol's own config of a model, by default of the model that it was made for."""
        return experiment(self.task, f"{model or self.model},{self}", {str(self): self.settings})


# print(config) is YAML.
yaml.add_representer(Protocol, lambda dumper, protocol: dumper.represent_str(str(protocol)))


def base(task: str = "bit_parity", model: str = "deltanet") -> ConfigDict:
    """A config for a task and a model with every key at its default.

    Each is given by its name in TASKS or PRESETS, or by the path of an external one,
    `my_package.my_module:Name`; a model also by the parts of a pattern, "deltanet+gpt".
    """
    config, pattern = ConfigDict(), mixers.find(model).pattern
    for (section, key), name in zip(PATHS.items(), (task, model)):
        config[section] = {"name": mixers.label(name), key: name if ":" in name else ""}
    if pattern:
        config.model.mixer = ""
    config.model.pattern, config.model.options = pattern, ConfigDict()
    for key, (default, _) in keys(config).items():
        section, _, name = key.partition(".")
        if section not in PATHS or name not in ("name", PATHS[section]):
            put(config, key, default)
    return config


def experiment(task: str, argument: str, protocols: Mapping[str, Mapping[str, Any]]) -> ConfigDict:
    """What get_config of a task's file returns; `argument` is "model" or "model,protocol".

    A protocol (by default the first one) is a flat table of keys and values; its entry "only" holds further
    such tables for single presets. Task and model may be external, given by their paths as in `base`.
    """
    model, _, protocol = argument.partition(",")
    protocol = protocol or next(iter(protocols))
    try:
        preset = mixers.find(model)
    except ConfigError as error:
        raise ConfigError("", error.message) from None
    if protocol not in protocols:
        raise ConfigError("", f"{task} has no protocol {protocol!r}; choose one of: {' '.join(protocols)}")
    config = base(task, model)
    rename(config, Protocol(protocol, task, mixers.bare(model), protocols[protocol]))
    decided = {"only", *(f"model.{name}" for name in mixers.shared(preset))}
    update(config, {key: value for key, value in protocols[protocol].items() if key not in decided})
    update(config, protocols[protocol].get("only", {}).get(model, {}))
    return config


def rename(config: ConfigDict, protocol: str) -> None:
    """Sets the protocol; assignment alone would cast it to the old value's type."""
    del config.protocol
    config.protocol = protocol


def changed(config: ConfigDict, settings: Mapping[str, Any]) -> ConfigDict:
    """A copy with other values of some keys, as flags set them: changed(config, {"train.steps": 500}).

    An external mixer or task replaces that of the config.
    """
    check_labels(settings)
    config = with_plug_ins(config, settings)
    update(config, settings)
    return config


def tabled(file: str, configs: Sequence[ConfigDict]) -> list[ConfigDict]:
    """The configs of a study whose table is stored beside its config file: tabled(__file__, configs)."""
    folder = str(Path(file).resolve().parent)
    return [changed(config, {"study.table": folder}) for config in configs]


def check_labels(keys: Iterable[str]) -> None:
    """Refuses to set the labels of a config."""
    if "protocol" in keys:
        raise ConfigError("protocol", "is chosen by the argument: --config=configs/TASK.py:MODEL,PROTOCOL")
    if "overrides" in keys:
        raise ConfigError("overrides", "is filled in from the other flags; leave it out")


def update(config: ConfigDict, settings: Mapping[str, Any]) -> None:
    """Puts a table of keys and values into a config, which must have these keys and types."""
    known, now = keys(config), flat(config)
    for key, value in settings.items():
        value = plain_value(value)
        check_key(key, known, config)
        try:
            put(config, key, value)
        except TypeError:
            raise ConfigError(key, f"{value!r} is not of the type of {now[key]!r}") from None


def origin(config: ConfigDict) -> ConfigDict:
    """The protocol's own config of this config's model; without a protocol the defaults."""
    if not isinstance(config.protocol, Protocol):
        return base(*plug_ins(config))
    own, model = config.protocol.config(), config.model
    swapped = (model.mixer and not own.model.mixer) or model.pattern not in ((), own.model.pattern)
    return config.protocol.config(mixers.bare(mixers.model_of(model))) if swapped else own


def departures(config: ConfigDict) -> dict[str, Any]:
    """The keys, with their values, in which a config differs from its protocol's own.

    A key that the protocol's own task or mixer lacks is compared with its default.
    """
    before = {key: default for key, (default, _) in keys(config).items()} | flat(origin(config))
    named = (*LABELS, *(f"{section}.name" for section, key in PATHS.items() if config[section][key]))
    return {
        key: value
        for key, value in flat(config).items()
        if not key.startswith("study.") and key not in named and plain(before.get(key)) != plain(value)
    }


def label(config: ConfigDict) -> ConfigDict:
    """`config` with its differences from the protocol in `overrides`; any makes the protocol "custom"."""
    found = {key: value for key, value in departures(config).items() if not key.startswith(FREE)}
    if "model.name" in found:
        advice = f"a preset is chosen by the argument: --config=configs/TASK.py:{config.model.name}"
        raise ConfigError("model.name", advice)
    if "task.name" in found:
        advice = f"a task is chosen by its config file; this one is not for {config.task.name!r}"
        raise ConfigError("task.name", advice)
    for key, why in meaningless(config).items():
        if key in found:
            raise ConfigError(key, why)
    config.overrides = tuple(sorted(found.items()))
    rename(config, "custom" if found else str(config.protocol))
    return config


def with_plug_ins(config: ConfigDict, changes: Mapping[str, Any]) -> ConfigDict:
    """A copy with the task and mixers that `changes` name by `task.module`, `model.mixer`, `model.pattern`.

    The copy keeps the settings of the protocol and the config's changes to it, as far as the new task and
    mixer have them; all other keys are at their defaults. A label that was the old one's name becomes the
    new one's.
    """
    old = config.copy_and_resolve_references()
    before, wanted = plug_ins(old), old.copy_and_resolve_references()
    for section, key in PATHS.items():
        wanted[section][key] = changes.get(f"{section}.{key}") or old[section][key]
    pattern = changes.get("model.pattern", ())
    pattern = pattern if isinstance(pattern, tuple) else ()  # a flag or a sweep that is still text
    if pattern or changes.get("model.mixer"):
        wanted.model.mixer, wanted.model.pattern = changes.get("model.mixer", ""), pattern
    if (after := plug_ins(wanted)) == before:
        return old
    new, shared = base(*after), mixers.shared(mixers.find(after[1]))
    kept = departures(old) | {key: value for key, value in flat(old).items() if key.startswith("study.")}
    if isinstance(old.protocol, Protocol):
        own = origin(old)
        own = own if own.model.mixer else old.protocol.config(mixers.bare(after[1]))
        kept = {key: value for key, value in flat(own).items() if key in old.protocol.settings} | kept
    known = flat(new).keys() - {"model.name", "model.mixer", "model.pattern", "task.name", "task.module"}
    known -= {f"model.{name}" for name in shared}
    for key, value in kept.items():
        if key in known and type(flat(new)[key]) is type(value):
            put(new, key, value)
    rename(new, old.protocol)
    for section, was in zip(PATHS, before):
        if old[section].name != mixers.label(was):
            new[section].name = old[section].name
    return new


def validate(config: ConfigDict) -> None:
    """ConfigError for the first setting that cannot work; settings of task and mixer are checked by those."""
    values = flat(config)
    for key, value in values.items():
        if value is None:
            raise ConfigError(key, "has no value; give it one")
        for number in scalars(value) if key != "overrides" else ():  # it only repeats the others
            if type(number) is int and not -(2**63) <= number < 2**63:
                raise ConfigError(key, f"must fit in 64 bits; it has {number}")
            if type(number) is float and not math.isfinite(number):
                raise ConfigError(key, f"must be finite; it has {number}")
    for key, known in KEYS.items():
        if not known.fine(values[key]):
            raise ConfigError(key, f"must be {known.must_be}; it is {values[key]!r}")
    if config.train.batch_size % config.train.accumulate:
        raise ConfigError(
            "train.accumulate",
            f"must divide the batch size {config.train.batch_size}; it is {config.train.accumulate}",
        )
    if config.optim.name == "adam" and config.optim.weight_decay:
        raise ConfigError("optim.weight_decay", "works with optim.name=adamw only; set it to 0.0")
    for key in ("model.name", "task.name"):
        if not re.fullmatch(r"[\w.+-]+", values[key]):
            raise ConfigError(key, f"must be of letters, digits and _ . + - only; it is {values[key]!r}")
    pattern, held = mixers.find(plug_ins(config)[1]).pattern, mixers.of_layers(config.model)
    if missing := [part for part in dict.fromkeys(pattern) if part not in pattern[-len(held) :]]:
        warn_once(f"{config.model.name}: model.layers={config.model.layers} leaves out {', '.join(missing)}")
