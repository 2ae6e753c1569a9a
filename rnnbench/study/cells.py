"""What a study's cells are: every task with every model with every point of a grid over config keys."""

import itertools
from collections.abc import Callable, Iterator
from typing import Any

from ml_collections import ConfigDict

from rnnbench import tasks
from rnnbench.config import ConfigError
from rnnbench.config.build import base, flat, label, put, undeclared
from rnnbench.config.schema import KEYS, PRESETS
from rnnbench.train.run import cell_name

# Sections and keys that a grid cannot go over: what does not change a cell's name, or is chosen elsewhere.
ELSEWHERE = {
    "study": "is the study's own",
    "protocol": "is chosen by the argument of --config",
    "overrides": "is filled in from the other flags",
    "model.name": "is chosen by --config.study.models",
    "task.name": "is chosen by --config.study.tasks",
    "population": "makes members of one cell; set it for all cells",
    "mesh": "makes no difference to a cell; set it for all cells",
    "checkpoint": "makes no difference to a cell; set it for all cells",
    "train.chunk": "makes no difference to a cell; set it for all cells",
}


def cells(
    pristine: ConfigDict, flags: dict[str, Any], get_config: Callable[[str], Callable]
) -> dict[str, ConfigDict]:
    """The configs of a study's cells by name: `study.tasks` × `study.models` × the points of `study.grid`.

    A cell is what the task's own file says for (model, protocol), changed by the flags and by a point of the
    grid. Without models and tasks there is a cell of the study's own config, `pristine`, per point.
    `get_config(task)` is the get_config of a task's file.
    """
    config, found = pristine.copy_and_resolve_references(), {}
    for key in [key for key in flags if key.startswith("study.")]:
        put(config, key, flags[key])
    flags = {key: value for key, value in flags.items() if not key.startswith("study.")}
    for plain in _plain(config.study, pristine, get_config):
        for point in points(config.study.grid):
            if both := sorted(point.keys() & flags):
                raise ConfigError(both[0], "is in --config.study.grid too; leave one of them out")
            cell = _cell(plain, flags | point, point)
            name = cell_name(cell)
            if name in found and found[name] != cell:
                raise ConfigError("study.tasks", f"there would be two different cells called {name}")
            found[name] = cell
    return found


def _plain(study: ConfigDict, pristine: ConfigDict, get_config: Callable[[str], Callable]) -> Iterator:
    """The configs before flags and grid."""
    models, tasks = names(study.models), names(study.tasks)
    if not models and not tasks:
        plain = pristine.copy_and_resolve_references()
        plain.study = base().study
        yield plain
    elif not tasks:
        raise ConfigError("study.tasks", "names no task; give one, or no study.models for a plain run")
    elif not models:
        raise ConfigError("study.models", "names no model; give one, or no study.tasks for a plain run")
    for task, model in itertools.product(tasks, models):
        if model not in PRESETS:
            advice = f"unknown model {model!r}; choose among: {' '.join(PRESETS)}"
            raise ConfigError("study.models", advice)
        yield get_config(task)(f"{model},{pristine.protocol}")


def points(grid: tuple) -> Iterator[dict[str, Any]]:
    """(("a.b", (1, 2)), ("c.d", (3,))) -> {"a.b": 1, "c.d": 3}, {"a.b": 2, "c.d": 3}; () -> {}.

    Keys that go together make one axis: ((("a.b", "c.d"), ((1, 2), (3, 4))),) -> {"a.b": 1, "c.d": 2},
    {"a.b": 3, "c.d": 4}.
    """
    axes = [_axis(axis) for axis in grid]
    keys = [key for axis_keys, _ in axes for key in axis_keys]
    for key in keys:
        _check_key(key, keys)
    for choice in itertools.product(*(values for _, values in axes)):
        yield dict(zip(keys, itertools.chain(*choice)))


def _axis(axis: Any) -> tuple[tuple[str, ...], tuple[tuple, ...]]:
    """An axis of the grid as its keys, and the tuples of values that these take together."""
    if not (isinstance(axis, tuple) and len(axis) == 2 and isinstance(axis[0], str | tuple)):
        raise ConfigError("study.grid", f"must read (('train.steps', (100, 200)),); it has {axis!r}")
    key, values = axis
    if not (isinstance(values, tuple) and values):
        raise ConfigError("study.grid", f"{key} needs a tuple of values such as (1, 2); it has {values!r}")
    if isinstance(key, str):
        return (key,), tuple((value,) for value in values)
    if not all(isinstance(part, str) for part in key):
        raise ConfigError("study.grid", f"keys are texts such as 'train.steps'; it has {key!r}")
    for value in values:
        if not (isinstance(value, tuple) and len(value) == len(key)):
            raise ConfigError("study.grid", f"{key} needs {len(key)} values at a time; it has {value!r}")
    return key, values


def _check_key(key: str, keys: list[str]) -> None:
    if keys.count(key) > 1:
        raise ConfigError("study.grid", f"{key} is there twice")
    for name, reason in ELSEWHERE.items():
        if key == name or key.startswith(f"{name}."):
            raise ConfigError("study.grid", f"{key} {reason}")
    if key not in KEYS and not key.startswith(("model.options.", "task.options.")):
        raise ConfigError("study.grid", f"there is no key {key}; --show_config lists them all")


def _cell(plain: ConfigDict, changes: dict[str, Any], point: dict[str, Any]) -> ConfigDict:
    """A plain config with its changes, labelled."""
    cell, known = plain.copy_and_resolve_references(), flat(plain)
    for key, value in changes.items():
        if key not in known and not key.startswith(undeclared(known | changes)):
            advice = f"the cell of {plain.model.name} on {plain.task.name} has no {key}"
            raise ConfigError("study.grid" if key in point else key, advice)
        if _lacks(plain, key, changes):
            continue
        try:
            put(cell, key, value)
        except TypeError:
            advice = f"{key}: {value!r} is not of the type of {known[key]!r}"
            raise ConfigError("study.grid", advice) from None
    return label(cell, plain)


def _lacks(plain: ConfigDict, key: str, changes: dict[str, Any]) -> bool:
    """Whether a key sets something that this cell's mixer or task has not: it then holds for other cells."""
    preset, task = plain.model.name, plain.task.name
    takes = PRESETS[preset]["takes"] if preset in PRESETS else ("heads", "conv_size")
    if key in ("model.heads", "model.conv_size"):
        return key.partition(".")[2] not in takes
    external = changes.get("task.module", plain.task.module)
    return not external and task in tasks.TASKS and not tasks.takes(task, key)


def names(value: tuple[Any, ...]) -> list[str]:
    """The names in a tuple; a flag such as --config.study.models=lstm,lru gives them as one, with commas."""
    return [name.strip() for entry in value for name in str(entry).split(",")]
