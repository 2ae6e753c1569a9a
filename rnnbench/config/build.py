"""Configs: made from the keys, a protocol and a preset; labelled, compared and checked.

A config is an `ml_collections.ConfigDict`. `base()` has every key there is (see `schema.py`); a file in
`configs/` calls `experiment` with its table of protocols; flags override single keys. Nothing here
compiles or touches a device.
"""

import importlib
import json
import re
from typing import Any

from ml_collections import ConfigDict

from rnnbench.config import ConfigError
from rnnbench.config.schema import CHECKS, KEYS, OPTIONS, PRESETS, options

# What `config.task` has for every task; the rest belongs to single ones of the registry.
COMMON = ("module", "options", "train_lengths", "examples")
# Overriding these leaves a protocol's label as it is: how often or where it runs, not what is measured.
FREE = ("population.", "mesh.", "checkpoint.", "study.", "train.chunk", "protocol", "overrides")
# The options of what is external: neither declared nor checked before that is imported.
EXTERNAL = {"model.options.": "model.mixer", "task.options.": "task.module"}
# A workdir is resumed only by a config that agrees in these.
FIXED = ("model", "task", "eval", "train", "optim", "population", "protocol")


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
    """What get_config of a task's file returns; `argument` is "preset" or "preset,protocol".

    A protocol (without one: original) is a flat table of keys and values; its entry "only" holds further such
    tables for single presets.
    """
    name, _, protocol = argument.partition(",")
    protocol = protocol or "original"
    if name not in PRESETS:
        raise ConfigError("", f"unknown model {name!r}; choose one of: {' '.join(PRESETS)}")
    if protocol not in protocols:
        raise ConfigError("", f"{task} has no protocol {protocol!r}; choose one of: {' '.join(protocols)}")
    config = base()
    config.protocol, config.task.name, config.model.name = protocol, task, name
    settings = {key: value for key, value in protocols[protocol].items() if key != "only"}
    update(config, settings)
    preset = PRESETS[name]
    for key, off in {"heads": 0, "conv_size": 0}.items():
        if key not in preset["takes"]:
            config.model[key] = off
    config.model.positions = preset.get("positions", "none")
    config.model.options = ConfigDict(options(name))
    update(config, protocols[protocol].get("only", {}).get(name, {}))
    return config


def update(config: ConfigDict, settings: dict[str, Any]) -> None:
    """Puts a table of keys and values into a config, which must have these keys and types."""
    known = flat(config)
    free = undeclared(known | settings)
    for key, value in settings.items():
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


def label(config: ConfigDict, pristine: ConfigDict) -> ConfigDict:
    """`config` with `overrides` = where it leaves `pristine`, and then the protocol "custom"."""
    if config.protocol != pristine.protocol:
        raise ConfigError("protocol", "is chosen by the argument: --config=configs/TASK.py:MODEL,PROTOCOL")
    if config.overrides != pristine.overrides:
        raise ConfigError("overrides", "is filled in from the other flags; leave it out")
    if config.model.name != pristine.model.name and not config.model.mixer:
        advice = f"a preset is chosen by the argument: --config=configs/TASK.py:{config.model.name}"
        raise ConfigError("model.name", advice)
    before, after = flat(pristine), flat(config)
    changed = {k: v for k, v in after.items() if before.get(k) != v and not k.startswith(FREE)}
    for key in ("task.train_lengths", "task.train_pairs"):
        if key in changed and after["task.train_mix"]:
            raise ConfigError(key, 'has no effect beside task.train_mix; add --config.task.train_mix="()"')
    if config.model.mixer and not pristine.model.mixer:
        _forget_preset(config, changed)
    if config.task.module and not pristine.task.module:
        _forget_task(config, changed)
    config.overrides = tuple(sorted(changed.items()))
    if changed:
        config.protocol = "custom"
    return config


def _forget_preset(config: ConfigDict, changed: dict[str, Any]) -> None:
    """An external mixer in place of a preset: its name and, unless the flags say otherwise, its defaults."""
    if "model.name" not in changed:
        config.model.name = config.model.mixer.rpartition(":")[2]
    for name, off in {"heads": 0, "conv_size": 0, "positions": "none"}.items():
        if f"model.{name}" not in changed:
            config.model[name] = off
    config.model.options = ConfigDict(
        {k: v for k, v in config.model.options.items() if f"model.options.{k}" in changed}
    )


def _forget_task(config: ConfigDict, changed: dict[str, Any]) -> None:
    """An external task in place of the registry's: the same for `config.task`, less what all tasks have."""
    if "task.name" not in changed:
        config.task.name = config.task.module.rpartition(":")[2]
    for key, (default, _) in KEYS.items():
        section, _, name = key.partition(".")
        if section == "task" and name not in ("name", *COMMON) and key not in (*changed, "task.options"):
            config.task[name] = default


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
