"""The keys of a config: those of `schema.py`, the fields of its task and the options of its mixer."""

import difflib
from collections.abc import Iterable
from typing import Any

from ml_collections import ConfigDict

from rnnbench import mixers, tasks
from rnnbench.config.schema import KEYS
from rnnbench.errors import ConfigError
from rnnbench.plugins import Options

# The section and the key that name an external task or mixer.
PATHS = {"task": "module", "model": "mixer"}


def keys(config: ConfigDict) -> Options:
    """{key: (default, comment)} of every key for this task and mixer, in the order of --show_config."""
    task, model = plug_ins(config)
    preset = mixers.find(model)
    found = {key: (known.default, known.comment) for key, known in KEYS.items()}
    found["model.pattern"] = preset.pattern, KEYS["model.pattern"].comment
    for name, value in mixers.shared(preset).items():
        found[f"model.{name}"] = value, KEYS[f"model.{name}"].comment
    found |= {f"model.options.{name}": option for name, option in preset.options().items()}
    found |= tasks.options(task)
    order = list(dict.fromkeys(map(section, KEYS)))
    return dict(sorted(found.items(), key=lambda item: order.index(section(item[0]))))


def plug_ins(config: ConfigDict) -> tuple[str, str]:
    """Task and model of a config as `base` takes them: by name, by path, or by the parts of a pattern."""
    for section, key in PATHS.items():
        if (path := config[section][key]) and ":" not in path:
            raise ConfigError(f"{section}.{key}", f"must read my_package.my_module:Name; it is {path!r}")
    return config.task.module or config.task.name, mixers.model_of(config.model)


def section(key: str) -> str:
    return key.partition(".")[0]


def check_key(key: str, known: Iterable[str], config: ConfigDict) -> None:
    """ConfigError for a key that is not among the `known` keys of this config."""
    if key in known:
        return
    if key in task_keys():
        raise ConfigError(key, tasks.no_such_setting(plug_ins(config)[0]))
    near = difflib.get_close_matches(key, known, 1)
    hint = f"did you mean --config.{near[0]}?" if near else "--show_config lists them all"
    raise ConfigError(key, f"there is no such key; {hint}")


def task_keys() -> set[str]:
    """The keys of all tasks in TASKS; each task has some of them."""
    return {key for task in tasks.TASKS for key in tasks.options(task)}


def meaningless(config: ConfigDict) -> dict[str, str]:
    """{key: why}, for the fields of this config's task that have no effect."""
    found = {}
    for field in tasks.fields_of(tasks.find(plug_ins(config)[0])):
        key, other = tasks.key_of(field.name), field.metadata.get("unless")
        needed, _, value = field.metadata.get("only", "").partition("=")
        if other and config.task[other]:
            other = tasks.key_of(other)
            found[key] = f'has no effect beside {other}; add --config.{other}="()"'
        if needed and str(config.task[needed]) != value:
            found[key] = f"has no effect without --config.{tasks.key_of(needed)}={value}"
    return found


def comment(key: str, config: ConfigDict) -> str:
    """The comment of a key of this config."""
    return keys(config)[key][1] or f"option of {config.task.module or config.model.mixer}"


def ordered(config: ConfigDict) -> dict[str, Any]:
    """`flat`, in the order of `keys`."""
    values = flat(config)
    return {key: values[key] for key in keys(config)}


def put(config: ConfigDict, key: str, value: Any) -> None:
    """config.a.b = value for the key "a.b", sections made as needed."""
    *sections, name = key.split(".")
    for section in sections:
        if section not in config:
            config[section] = ConfigDict()
        config = config[section]
    config[name] = value


def flat(config: ConfigDict, prefix: str = "") -> dict[str, Any]:
    """A config as {"a.b": value}."""
    leaves = {}
    for name, value in config.items():
        if isinstance(value, ConfigDict):
            leaves |= flat(value, f"{prefix}{name}.")
        else:
            leaves[prefix + name] = value
    return leaves
