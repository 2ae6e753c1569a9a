"""Every configuration key with its default and comment, the presets, and the checks.

A config is an `ml_collections.ConfigDict`. `base()` has every key there is; a file in `configs/` calls `experiment` with
its table of protocols; flags override single keys. Nothing here compiles or touches a device.
"""

import json
from typing import Any

from ml_collections import ConfigDict


class InputError(ValueError):
    """Something given that cannot work. Its text is one line for the person who gave it; the exit code is 2."""


class ConfigError(InputError):
    """A setting that cannot work. Its text names the flag to change."""

    def __init__(self, key: str, message: str):
        super().__init__(f"--config.{key}: {message}" if key else f"--config: {message}")
        self.key = key


# key -> (default, comment). The order is the order of --show_config.
KEYS: dict[str, tuple[Any, str]] = {
    "protocol": ("custom", "label of the setting; set by the argument of get_config, 'custom' once overridden"),
    "overrides": ((), "((key, value), ...) by which this config leaves its protocol; filled in by launch.py"),
    "model.name": ("deltanet", "preset, set by the argument of get_config; a free label for an outside mixer"),
    "model.mixer": ("", "dotted path of an outside mixer, my_package.my_module:MyMixer; '' = the preset's"),
    "model.dim": (64, "width of the residual stream"),
    "model.layers": (2, "number of blocks"),
    "model.heads": (0, "heads of the mixer; 0 = its own default, and for mixers without heads"),
    "model.mlp_dim": (-1, "hidden units of the MLP; 0 = no MLP, -1 = as many as give the block GPT's size"),
    "model.conv_size": (0, "width of the short causal convolution; 0 = none"),
    "model.positions": ("none", "rope | alibi (attention only) | learned (added to the embedding) | none"),
    "model.dropout": (0.0, "dropout rate of the embedding and of both residual branches"),
    "model.options": (ConfigDict(), "options of the mixer, declared by its preset"),
    "task.name": ("bit_parity", "bit_parity | controlled_bit_parity | dyck | mqar"),
    "task.supervision": ("every", "parity: targets at every position, or only at the last"),
    "task.train_lengths": ((3, 32), "shortest and longest training sequence, both included"),
    "task.train_mix": ((), "MQAR: ((length, pairs[, weight]), ...) drawn per step; replaces train_lengths and train_pairs"),
    "task.examples": (0, "size of a finite training set, visited again and again; 0 = always fresh examples"),
    "task.num_ones": (12, "controlled parity: ones in every training sequence"),
    "task.num_types": (3, "Dyck: bracket types"),
    "task.depth": (3, "Dyck: greatest nesting depth in training"),
    "task.corruption": (0.5, "Dyck: share of corrupted sequences"),
    "task.mode": ("balanced", "Dyck: balanced (is the prefix balanced?) | close (which bracket closes next?)"),
    "task.num_keys": (64, "MQAR: distinct keys in the vocabulary"),
    "task.num_values": (64, "MQAR: distinct values in the vocabulary"),
    "task.train_pairs": ((1, 8), "MQAR: fewest and most key-value pairs in a training sequence"),
    "task.unique_keys": (True, "MQAR: every key is bound once; False: keys are re-used, the last binding wins"),
    "task.queries": ("spread", "MQAR: one | all (after the pairs) | spread (over the rest of the sequence)"),
    "task.query_power": (0.01, "MQAR: exponent a of the power law x^(a-1) of the gap before a spread query"),
    "task.separator": (False, "MQAR: a separator token after every key-value pair"),
    "eval.lengths": ((32, 64, 128, 256), "lengths of the evaluation cases; (low, high) for a mixture"),
    "eval.pairs": ((), "MQAR: pairs of the evaluation cases, one for each of eval.lengths"),
    "eval.cases": ((), "further evaluation cases, such as ({'length': 512, 'pairs': 64},)"),
    "eval.batches": (16, "batches of train.batch_size sequences per evaluation case"),
    "eval.every": (1000, "steps between evaluations; 0 = only at the end"),
    "eval.seed": (1234, "seed of the evaluation data, the same for all members and steps"),
    "train.steps": (1000, "optimiser steps"),
    "train.batch_size": (64, "sequences per step, over all devices of a member"),
    "train.chunk": (100, "steps per dispatch to the device; metrics are logged once per chunk"),
    "train.accumulate": (1, "gradient accumulation: pieces a batch is cut into"),
    "train.dtype": ("float32", "compute type, float32 | bfloat16; parameters and states stay float32"),
    "train.stop_accuracy": (0.0, "stop once every member's headline at the longest training length is this; 0 = never"),
    "optim.name": ("adamw", "adamw | adam"),
    "optim.schedule": ("cosine", "cosine (to zero) | constant, after the warm-up"),
    "optim.warmup": (0.1, "share of the steps with a linearly rising learning rate"),
    "optim.weight_decay": (0.01, "decoupled weight decay of the kernels; adamw only"),
    "optim.clip": (1.0, "greatest global norm of the gradient; 0 = no clipping"),
    "optim.b1": (0.9, "decay of Adam's first moment"),
    "optim.b2": (0.95, "decay of Adam's second moment"),
    "population.learning_rates": ((1e-3,), "learning rates; every one is trained with every seed"),
    "population.seeds": ((0,), "seeds of initialisation and data"),
    "checkpoint.every": (0, "steps between checkpoints; 0 = at every evaluation"),
    "checkpoint.keep": (2, "newest checkpoints kept"),
    "mesh.seed": (0, "devices over the members of the population; 0 = as many as divide it"),
    "mesh.data": (0, "devices over the batch; 0 = as many of the rest as divide it"),
    "mesh.time": (1, "devices over the sequence; reserved"),
    "mesh.members": ("auto", "how a device runs its members: map (one by one) | vmap | auto (map on CPU)"),
    "study.models": ((), "a study: the presets to run, one cell each; () = a plain run"),
    "study.tasks": ((), "a study: the tasks, by the names of their config files"),
}

# What each preset's mixer is, which of a protocol's shared settings it takes (the others are switched off), its own
# options, and whatever else it fixes.
PRESETS: dict[str, dict[str, Any]] = {
    "gpt": dict(mixer="attention", takes=("heads",), positions="rope", options={}),
    "linear_transformer": dict(mixer="linear_attention", takes=("heads", "conv_size"), options={}),
    "lstm": dict(mixer="lstm", takes=(), options={}),
    "qlstm": dict(mixer="qlstm", takes=("heads",), options={}),
    "lru": dict(mixer="lru", takes=(), options={}),
    "deltanet": dict(mixer="deltanet", takes=("heads", "conv_size"), options={"negative_eigenvalues": False}),
    "mamba": dict(mixer="mamba", takes=("conv_size",), options={"negative_eigenvalues": False}),
    "deltanet_neg": dict(mixer="deltanet", takes=("heads", "conv_size"), options={"negative_eigenvalues": True}),
    "mamba_neg": dict(mixer="mamba", takes=("conv_size",), options={"negative_eigenvalues": True}),
}

# Overriding these leaves a protocol's label as it is: they change how often or where it runs, not what is measured.
FREE = ("population.", "mesh.", "checkpoint.", "study.", "protocol", "overrides")
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
    """What get_config of a task's file returns: `argument` is "preset" or "preset,protocol" (default: original).

    A protocol is a flat table of keys and values; its entry "only" holds further such tables for single presets.
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
    for key, value in settings.items():
        put(config, key, value)
    preset = PRESETS[name]
    for key, off in {"heads": 0, "conv_size": 0}.items():
        if key not in preset["takes"]:
            config.model[key] = off
    config.model.positions = preset.get("positions", "none")
    config.model.options = ConfigDict(preset["options"])
    for key, value in protocols[protocol].get("only", {}).get(name, {}).items():
        put(config, key, value)
    return config


def flat(config: Any, prefix: str = "") -> dict[str, Any]:
    """A config as {"a.b": value}."""
    leaves = {}
    for name, value in config.items():
        if isinstance(value, ConfigDict):
            leaves |= flat(value, f"{prefix}{name}.")
        else:
            leaves[prefix + name] = value
    return leaves


def plain(value: Any) -> Any:
    """A value as JSON gives it back: tuples become lists."""
    return json.loads(json.dumps(value))


def label(config: ConfigDict, pristine: ConfigDict) -> ConfigDict:
    """`config` with `overrides` = where it leaves `pristine`, and then the protocol "custom"."""
    if config.protocol != pristine.protocol:
        raise ConfigError("protocol", "is chosen by the argument: --config=configs/TASK.py:MODEL,PROTOCOL")
    if config.model.name != pristine.model.name and not config.model.mixer:
        raise ConfigError("model.name", f"a preset is chosen by the argument: --config=configs/TASK.py:{config.model.name}")
    before, after = flat(pristine), flat(config)
    changed = {k: v for k, v in after.items() if before.get(k) != v and not k.startswith(FREE)}
    config.overrides = tuple(sorted(changed.items()))
    if changed:
        config.protocol = "custom"
    return config


def differences(saved: dict[str, Any], config: ConfigDict) -> list[str]:
    """The keys in which `config` differs from the one saved in a workdir, of those that must agree."""

    def leaves(tree: dict[str, Any]) -> dict[str, Any]:
        return flat(ConfigDict({name: tree.get(name) for name in FIXED}))

    before, after = leaves(saved), leaves(plain(config.to_dict()))
    return sorted(key for key in before | after if before.get(key) != after.get(key))


def comment(key: str) -> str:
    """The comment of a key; options are explained where their mixer is."""
    if key.startswith("model.options."):
        return "option of the mixer; explained in its file under rnnbench/mixers/"
    return KEYS[key][1]


# key -> (is it fine?, what it must be); keys of the task and of the mixer's options are checked where they are read.
_CHECKS: dict[str, tuple[Any, str]] = {
    "model.dim": (lambda x: x >= 1, "at least 1"),
    "model.layers": (lambda x: x >= 1, "at least 1"),
    "model.heads": (lambda x: x >= 0, "at least 0"),
    "model.mlp_dim": (lambda x: x >= -1, "at least -1"),
    "model.conv_size": (lambda x: x >= 0, "at least 0"),
    "model.positions": (lambda x: x in ("rope", "alibi", "learned", "none"), "rope, alibi, learned or none"),
    "model.dropout": (lambda x: 0 <= x < 1, "in [0, 1)"),
    "task.examples": (lambda x: x >= 0, "at least 0"),
    "eval.batches": (lambda x: x >= 1, "at least 1"),
    "eval.every": (lambda x: x >= 0, "at least 0"),
    "train.steps": (lambda x: x >= 1, "at least 1"),
    "train.batch_size": (lambda x: x >= 1, "at least 1"),
    "train.chunk": (lambda x: x >= 1, "at least 1"),
    "train.accumulate": (lambda x: x >= 1, "at least 1"),
    "train.dtype": (lambda x: x in ("float32", "bfloat16"), "float32 or bfloat16"),
    "train.stop_accuracy": (lambda x: 0 <= x <= 1, "in [0, 1]"),
    "optim.name": (lambda x: x in ("adamw", "adam"), "adamw or adam"),
    "optim.schedule": (lambda x: x in ("cosine", "constant"), "cosine or constant"),
    "optim.warmup": (lambda x: 0 <= x < 1, "in [0, 1), a share of the steps"),
    "optim.weight_decay": (lambda x: x >= 0, "at least 0"),
    "optim.clip": (lambda x: x >= 0, "at least 0"),
    "optim.b1": (lambda x: 0 <= x < 1, "in [0, 1)"),
    "optim.b2": (lambda x: 0 <= x < 1, "in [0, 1)"),
    "population.learning_rates": (
        lambda x: len(x) >= 1 and all(type(r) is float and r > 0 for r in x) and len(set(x)) == len(x),
        "a tuple of different numbers above 0 such as (0.001, 0.003)",
    ),
    "population.seeds": (
        lambda x: len(x) >= 1 and all(type(s) is int and 0 <= s < 2**31 for s in x) and len(set(x)) == len(x),
        "a tuple of different integers from 0 such as (0, 1, 2)",
    ),
    "checkpoint.every": (lambda x: x >= 0, "at least 0"),
    "checkpoint.keep": (lambda x: x >= 1, "at least 1"),
    "mesh.seed": (lambda x: x >= 0, "at least 0"),
    "mesh.data": (lambda x: x >= 0, "at least 0"),
    "mesh.time": (lambda x: x == 1, "1: sharding over the sequence is reserved"),
    "mesh.members": (lambda x: x in ("auto", "map", "vmap"), "auto, map or vmap"),
}


def validate(config: ConfigDict) -> None:
    """Raises a ConfigError for the first setting that cannot work, as far as no task or mixer is needed to tell."""
    for key, value in flat(config).items():
        if value is None:
            raise ConfigError(key, "has no value; give it one")
    values = flat(config)
    for key, (fine, must_be) in _CHECKS.items():
        if not fine(values[key]):
            raise ConfigError(key, f"must be {must_be}; it is {values[key]!r}")
    if config.train.batch_size % config.train.accumulate:
        raise ConfigError(
            "train.accumulate", f"must divide the batch size {config.train.batch_size}; it is {config.train.accumulate}"
        )
    if config.optim.name == "adam" and config.optim.weight_decay:
        raise ConfigError("optim.weight_decay", "works with optim.name=adamw only; set it to 0.0")
    if config.model.mixer and ":" not in config.model.mixer:
        raise ConfigError("model.mixer", f"must read my_package.my_module:MyMixer; it is {config.model.mixer!r}")
    if not config.model.mixer and config.model.name not in PRESETS:
        raise ConfigError("model.name", f"unknown model {config.model.name!r}; choose one of: {' '.join(PRESETS)}")
