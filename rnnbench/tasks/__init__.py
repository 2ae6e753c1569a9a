"""The tasks: a frozen dataclass per file, whose fields are the task's options (see contract.py).

The name of its file is the task's name. `config.task` holds the fields of the chosen task; a field
`eval_X` is `config.eval.X`.
"""

from dataclasses import is_dataclass

from ml_collections import ConfigDict

from rnnbench.errors import ConfigError, ContractError, told
from rnnbench.plugins import Options, imported, modules
from rnnbench.tasks.contract import Task, check, fields_of, key_of

# The keys of `config.task` other than the fields of the task.
COMMON = ("name", "module", "examples")


def _discovered() -> dict[str, type[Task]]:
    found = {}
    for module in modules(__name__, __path__):
        own = [kind for kind in vars(module).values() if getattr(kind, "__module__", "") == module.__name__]
        tasks = [kind for kind in own if is_dataclass(kind) and hasattr(kind, "sample")]
        if len(tasks) > 1:
            raise ValueError(f"{module.__file__}: more than one task; a file has one dataclass with sample()")
        found |= {module.__name__.rpartition(".")[2]: kind for kind in tasks}
    return found


TASKS = _discovered()


def find(name: str) -> type[Task]:
    """A task by its name in TASKS, or an external one by its path, `my_package.my_module:MyTask`."""
    if ":" in name:
        kind = imported("task.module", name)
        if not (isinstance(kind, type) and is_dataclass(kind)):
            raise ConfigError("task.module", f"{name!r} is not a dataclass")
        return kind
    if name not in TASKS:
        raise ConfigError("task.name", f"unknown task {name!r}; choose one of: {' '.join(TASKS)}")
    return TASKS[name]


def options(name: str) -> Options:
    """{config key: (default, what it means)} of a task: `task.FIELD`, and `eval.X` for a field `eval_X`."""
    found = {}
    for field in fields_of(find(name)):
        key = key_of(field.name)
        if field.name in COMMON or key in ("eval.batches", "eval.every", "eval.seed"):
            raise ConfigError(
                "task.module", f"{name!r} cannot have a field {field.name}: every task has {key}"
            )
        found[key] = field.default, field.metadata.get("help", "")
    return found


def build(config: ConfigDict) -> Task:
    """Builds and checks the task of a config, from the settings in `config.task` and `config.eval`."""
    path = config.task["module"]
    kind = find(path or config.task["name"])
    own = {key_of(field.name): field.name for field in fields_of(kind)}
    settings = {f"{section}.{key}": getattr(config, section)[key] for section in ("task", "eval")
                for key in getattr(config, section)}  # fmt: skip
    for key in settings:
        if key.startswith("task.") and key not in own and key.partition(".")[2] not in COMMON:
            raise ConfigError(key, no_such_setting(path or config.task["name"]))
    try:
        task = kind(**{name: settings[key] for key, name in own.items() if key in settings})
        if (kind, repr(settings)) not in _checked:
            check(task)
            _checked.add((kind, repr(settings)))
    except ConfigError:
        raise
    except ContractError as error:
        raise ConfigError(
            "task.module" if path else "task.name", f"{path or kind.__name__!r} {error}"
        ) from None
    except Exception as error:  # an external task may raise anything
        if not path:
            raise
        raise ConfigError("task.module", f"{path!r} cannot be used ({told(error)})") from error
    return task


# Checking a task traces its samples, and the cells of a study share few tasks.
_checked: set[tuple[type[Task], str]] = set()


def no_such_setting(name: str) -> str:
    """The message about a key that the task `name` lacks."""
    return f"{name} has no such setting; it has: {' '.join(options(name))}"
