"""Reads configs saved as JSON and compares them with current ones."""

from collections.abc import Iterable, Mapping
from itertools import product
from typing import Any

from ml_collections import ConfigDict

from rnnbench import mixers, tasks
from rnnbench.config.build import base
from rnnbench.config.keys import flat, keys, meaningless, put, section
from rnnbench.config.values import plain

# A workdir is resumed only by a config that agrees in these.
FIXED = ("model", "task", "eval", "train", "optim", "population", "protocol")

Pair = tuple[float, int]  # the learning rate and the seed of a member


def differences(saved: dict[str, Any], config: ConfigDict, but: tuple[str, ...] = ()) -> list[str]:
    """The keys that must agree and in which `config` differs from the one saved in a workdir.

    A key added since then counts as saved at its default. The sections in `but` may differ.
    """
    known = keys(config)
    before, after = current(saved, known), flat(ConfigDict(plain(config.to_dict())))
    identity = ("model.name", "model.mixer", "task.name", "task.module")
    if all(before.get(key) == after[key] for key in identity):
        before = plain({key: default for key, (default, _) in known.items()}) | before
    missing, without = object(), meaningless(config)
    return sorted(
        key
        for key in before | after
        if section(key) in FIXED
        and section(key) not in but
        and key not in without
        and before.get(key, missing) != after.get(key, missing)
    )


def pairs(population: Mapping[str, Any]) -> list[Pair]:
    """The members of a config's `population` in their order."""
    return list(product(population["learning_rates"], population["seeds"]))


def with_population(config: ConfigDict, population: Mapping[str, Any]) -> ConfigDict:
    """The config with these learning rates and seeds."""
    config = config.copy_and_resolve_references()
    for name in ("learning_rates", "seeds"):
        config.population[name] = tuple(population[name])
    return config


def united(config: ConfigDict, members: Iterable[Pair]) -> ConfigDict:
    """The config with the learning rates and seeds of these members too, behind its own."""
    names = {"learning_rates": 0, "seeds": 1}
    members = [*pairs(config.population), *members]
    return with_population(config, {n: dict.fromkeys(pair[i] for pair in members) for n, i in names.items()})


def from_saved(saved: dict[str, Any]) -> ConfigDict:
    """The config that was saved as JSON; a key added since then gets its default."""
    task, model = saved["task"], saved["model"]
    pattern = {"pattern": tuple(model["pattern"])} if "pattern" in model else {}
    config = base(task["module"] or task["name"], mixers.model_of(ConfigDict(model | pattern)))
    for key, value in current(saved, keys(config)).items():
        if not key.startswith("study."):  # a run does not depend on its study
            put(config, key, _tuples(value))
    return config


def _tuples(value: Any) -> Any:
    """Lists, which JSON makes of tuples, as tuples again; what a case holds stays as it is."""
    return tuple(map(_tuples, value)) if isinstance(value, list) else value


def current(saved: dict[str, Any], known: Iterable[str]) -> dict[str, Any]:
    """A saved config, flat, with the current keys.

    In older ones `task` and `eval` have the keys of all tasks, and `task.options` those of an external one.
    """
    values = flat(ConfigDict(saved))
    if "options" not in saved.get("task", {}):
        return values
    prefix = "task.options."
    own = {"task." + key.removeprefix(prefix): values[key] for key in values if key.startswith(prefix)}
    if saved["task"]["module"]:
        shared = {f"task.{name}" for name in (*tasks.COMMON, "train_lengths")}
        values = {key: value for key, value in values.items() if section(key) != "task" or key in shared}
    values |= own
    return {key: values[key] for key in values if section(key) not in ("task", "eval") or key in known}
