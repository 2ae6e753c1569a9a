"""What a study's cells are: the configs of its file, for models and tasks, at the points of a sweep."""

import ast
import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from ml_collections import ConfigDict

from rnnbench import mixers
from rnnbench.config.build import (
    FREE,
    LABELS,
    Protocol,
    base,
    changed,
    departures,
    label,
    with_plug_ins,
)
from rnnbench.config.keys import flat, keys, plug_ins
from rnnbench.errors import ConfigError, InputError
from rnnbench.train.run import cell_name

# What is chosen otherwise than by a sweep.
ELSEWHERE = {
    "model.name": "is chosen by --config.study.models",
    "model.mixer": "is chosen by --config.study.models",
    "task.name": "is chosen by --config.study.tasks",
}


def cells(
    configs: Sequence[ConfigDict],
    flags: dict[str, Any],
    sweep: dict[str, str],
    get_config: Callable[[str], Callable],
) -> dict[str, ConfigDict]:
    """The configs of a study's cells by name.

    A cell is one of `configs`, changed by the flags and by a point of the sweep, {key: "1,2"}. The flags
    study.models and study.tasks choose among the configs and add to them. `get_config(task)` is the
    get_config of a task's file.
    """
    study = flat(configs[0].study) | {key.removeprefix("study."): value for key, value in flags.items()}
    flags = {key: value for key, value in flags.items() if not key.startswith("study.")}
    asked = {name: _names(f"study.{name}", study[name]) for name in ("models", "tasks")}
    chosen = _of_models(_of_tasks(configs, asked["tasks"], get_config), asked["models"])
    for key in sweep:
        _check_key(key, flags)
    settings = [_own(config, flags | sweep) for config in chosen]
    for key in flags | sweep:
        if not any(key in own for own in settings):
            flag = "sweep" if key in sweep else "config"
            raise InputError(f"--{flag}.{key}: no cell of the study has this key")
    found: dict[str, ConfigDict] = {}
    for config, point in itertools.product(chosen, points(sweep)):
        try:
            cell = label(changed(config, _own(config, flags | point)))
        except ConfigError as error:
            swept = error.key in point
            raise InputError(f"--sweep.{error.key}: {error.message}") if swept else error from None
        cell.study, name = base().study, cell_name(cell)
        if name in found and found[name] != cell:
            raise ConfigError("study.tasks", f"there would be two different cells called {name}")
        found[name] = cell
    return found


def _of_tasks(
    configs: Sequence[ConfigDict], tasks: list[str], get_config: Callable[[str], Callable]
) -> list[ConfigDict]:
    """The configs of these tasks, of all without any; a task that is not there is run as the first is."""
    if not tasks:
        return list(configs)
    of = lambda task: [config for config in configs if config.task.name == task]
    first = of(configs[0].task.name)
    elsewhere = lambda task: [
        _like(config, get_config(task)(f"{_model(config)},{config.protocol}"), ("task.", "eval."))
        for config in first
    ]
    return [config for task in tasks for config in of(task) or elsewhere(task)]


def _of_models(configs: Sequence[ConfigDict], models: list[str]) -> list[ConfigDict]:
    """The configs of these models, task by task; a model that is not there is run as the first one is."""
    if not models:
        return list(configs)
    chosen = []
    for task in dict.fromkeys(config.task.name for config in configs):
        of_task = [config for config in configs if config.task.name == task]
        of = lambda model, of_task=of_task: [
            config for config in of_task if model in (config.model.name, config.model.mixer)
        ]
        first = of(of_task[0].model.name)
        for model in models:
            chosen += of(model) or [_like(config, _other_model(config, model)) for config in first]
    return chosen


def _model(config: ConfigDict) -> str:
    return mixers.bare(mixers.model_of(config.model))


def _other_model(config: ConfigDict, model: str) -> ConfigDict:
    """The protocol's own config of another model."""
    if not isinstance(config.protocol, Protocol):
        advice = f"{model} cannot take the place of {config.model.name}: the config has no protocol"
        raise ConfigError("study.models", advice)
    try:
        return config.protocol.config(model)
    except ConfigError as error:
        raise ConfigError("study.models", error.message) from None


def _like(config: ConfigDict, other: ConfigDict, own: tuple[str, ...] = ()) -> ConfigDict:
    """`other` with what `config` changes in its protocol, as far as `other` has it and it is not its own."""
    own += (
        "model.mixer",
        "model.pattern",
        "model.heads",
        "model.conv_size",
        "model.positions",
        "model.options.",
    )
    known = flat(other)
    wanted = {key: value for key, value in departures(config).items() if not key.startswith(own)}
    return changed(other, {key: value for key, value in wanted.items() if key in known})


def points(sweep: dict[str, str]) -> Iterator[dict[str, Any]]:
    """{"a.b": "1,2", "c.d": "3"} -> {"a.b": 1, "c.d": 3}, {"a.b": 2, "c.d": 3}; {} -> {}."""
    for choice in itertools.product(*(_values(key, text) for key, text in sweep.items())):
        yield dict(zip(sweep, choice))


def _values(key: str, text: str) -> tuple[Any, ...]:
    """ "0,1" -> (0, 1); "(3,40),(40,40)" -> ((3, 40), (40, 40)); "every,last" -> ("every", "last")."""
    try:
        values = ast.literal_eval(f"({text},)")
    except (SyntaxError, ValueError):
        values = tuple(_value(part.strip()) for part in text.split(","))
    if not text.strip() or "" in values:
        raise InputError(f"--sweep.{key}: must be values with commas between, such as 1,2; it is {text!r}")
    return values


def _value(text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except (SyntaxError, ValueError):
        return text


def _check_key(key: str, flags: dict[str, Any]) -> None:
    if key in flags:
        raise InputError(f"--sweep.{key}: is given by --config.{key} too; leave one of them out")
    if key in ELSEWHERE:
        raise InputError(f"--sweep.{key}: {ELSEWHERE[key]}")
    if key in LABELS or key.startswith(FREE):
        raise InputError(f"--sweep.{key}: makes no cell of its own; set --config.{key} for all cells")


def _own(config: ConfigDict, settings: dict[str, Any]) -> dict[str, Any]:
    """Those of the settings that this config's task and mixer have; the others hold for other cells."""
    config = with_plug_ins(config, settings)
    without = mixers.shared(mixers.find(plug_ins(config)[1])).keys() - {"positions"}
    known = keys(config).keys() - {f"model.{name}" for name in without}
    return {key: value for key, value in settings.items() if key in known}


def settings(cells: dict[str, ConfigDict]) -> dict[str, str]:
    """By what each of these cells leaves its protocol, as text, less what all of them have in common."""
    overrides = {name: dict(cell.overrides) for name, cell in cells.items()}
    in_all = lambda key, value: all(other.get(key) == value for other in overrides.values())
    common = len(cells) > 1
    return {
        name: " ".join(f"{key}={value}" for key, value in own.items() if not (common and in_all(key, value)))
        for name, own in overrides.items()
    }


def _names(key: str, text: str) -> list[str]:
    """ "lstm, lru" -> ["lstm", "lru"]; "" -> []."""
    names = [name.strip() for name in text.split(",")] if text else []
    if "" in names:
        raise ConfigError(key, f"must be names with commas between; it is {text!r}")
    return names
