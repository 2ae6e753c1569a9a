"""Config files: any Python file with a get_config(), either one of the package's or your own."""

import functools
import importlib.util
import inspect
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

from ml_collections import ConfigDict

from rnnbench.config.build import Protocol, check_key, flat, keys, put, rename
from rnnbench.config.schema import KEYS
from rnnbench.config.values import plain_value
from rnnbench.errors import ConfigError, InputError, first_line

# The folder of the package's config files, in a checkout and in the installed package.
CONFIGS = next(
    folder / "configs" for folder in Path(__file__).parents[1:3] if (folder / "configs" / "study.py").exists()
)


def _importable() -> None:
    """Lets config files write `from configs import mqar`, in a checkout and with an installed package."""
    spec = importlib.util.find_spec("configs")
    places = list(spec.submodule_search_locations or ()) if spec else []
    if str(CONFIGS) not in places:
        package = sys.modules["configs"] = ModuleType("configs")
        package.__path__ = [str(CONFIGS), *places]


_importable()


def found(argument: str) -> str:
    """`FILE:ARGUMENT` with the path of the file: as given, or that of a file in CONFIGS, from any folder."""
    file, colon, text = argument.partition(":")
    path = Path(file)
    shipped = CONFIGS / path.name
    if not path.exists() and str(path.parent) in (".", "configs") and shipped.is_file():
        path = shipped
    return f"{path}{colon}{text}"


def module(file: str | Path) -> ModuleType:
    """A config file, executed."""
    path = Path(file)
    if not path.is_file():
        beside = sorted(str(other) for other in path.parent.glob("*.py"))
        shipped = sorted(f"configs/{other.name}" for other in CONFIGS.glob("*.py"))
        there = " ".join(dict.fromkeys([*beside, *shipped]))
        raise ConfigError("", f"there is no file {path}; there are: {there}")
    # Modules beside a config file can be imported, and named as a mixer or task; they hide no other module.
    if (folder := str(path.parent.resolve())) not in sys.path:
        sys.path.append(folder)
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None:
        raise ConfigError("", f"{path} is not a Python file")
    executed = importlib.util.module_from_spec(spec)
    with _in_one_line(path):
        spec.loader.exec_module(executed)
    if not callable(getattr(executed, "get_config", None)):
        raise ConfigError("", f"{path} has no get_config()")
    return executed


def make(argument: str) -> ConfigDict | list[ConfigDict]:
    """What `FILE:ARGUMENT` or `FILE` returns, before any flag: a config, or the configs of a study."""
    file, colon, text = found(argument).partition(":")
    get_config = module(file).get_config
    takes = inspect.signature(get_config).parameters
    if colon and not takes:
        raise ConfigError("", f"{file} takes no argument; leave out {colon + text}")
    with _in_one_line(file):
        made = get_config(*([text] if colon else []))
    if not isinstance(made, list | tuple):
        return _checked(made, file)
    if not made:
        raise ConfigError("", f"get_config() of {file} returns no config")
    return [_checked(config, file) for config in made]


@contextmanager
def _in_one_line(file: str | Path) -> Iterator[None]:
    """A ConfigError for whatever a config file raises, or if it ends the process, with its line."""
    try:
        yield
    except ConfigError as error:
        if not error.key:
            raise
        raise ConfigError("", f"{where(error, file)}: {error.key}: {error.message}") from None
    except InputError:
        raise
    except (Exception, SystemExit) as error:
        raise ConfigError("", f"{where(error, file)}: {type(error).__name__}: {first_line(error)}") from None


def one(argument: str) -> ConfigDict:
    """`make` for a file that is not a study."""
    if isinstance(made := make(argument), list):
        file = argument.partition(":")[0]
        raise ConfigError("", f"{file} is a study; name the config file of a task")
    return made


def _checked(config: object, file: str) -> ConfigDict:
    """Checks a config's keys, converts its values to plain ones and attaches its protocol."""
    if not isinstance(config, ConfigDict):
        raise ConfigError("", f"get_config() of {file} does not return a config made by rnnbench.config")
    there = flat(config)
    lacks = lambda known: [key for key in known if key not in there]
    if missing := lacks(KEYS) or lacks(keys(config)):
        raise ConfigError("", f"get_config() of {file} does not return a whole config; it lacks {missing[0]}")
    known = keys(config)
    for key in there:
        try:
            check_key(key, known, config)
        except ConfigError as error:
            raise ConfigError("", f"{file} sets {key}: {error.message}") from None
    if config.overrides:
        raise ConfigError("overrides", f"is filled in from the other keys; {file} sets it")
    config = _plain(config)
    rename(config, _protocol(config))
    return config


def _plain(config: ConfigDict) -> ConfigDict:
    """A copy that can be changed, with plain values."""
    copy = ConfigDict()
    for key, value in config.items():
        copy[key] = _plain(value) if isinstance(value, ConfigDict) else plain_value(value)
    return copy


def _protocol(config: ConfigDict) -> str:
    """The protocol of a config; a name used in configs/TASK.py always means that protocol."""
    name, task = config.protocol, config.task.name
    own = name.settings if isinstance(name, Protocol) else {}
    shipped = protocols(task).get(name)
    if shipped is None or shipped == own:
        return name
    labels = {key: own[key] for key in ("model.name", "task.name") if key in own}
    model = name.model if isinstance(name, Protocol) else config.model.name
    return Protocol(name, task, model, shipped | labels)


@functools.cache
def protocols(task: str) -> dict[str, dict]:
    """The protocols in configs/TASK.py; none if there is no such file."""
    path = CONFIGS / f"{task}.py"
    return vars(module(path)).get("PROTOCOLS", {}) if path.is_file() else {}


def together(configs: Sequence[ConfigDict]) -> ConfigDict:
    """A config with the keys of all these configs, for flags; the first one with a key provides its value."""
    union = configs[0].copy_and_resolve_references()
    there = flat(union).keys()
    for config in configs[1:]:
        new = {key: value for key, value in flat(config).items() if key not in there}
        for key, value in new.items():
            put(union, key, value)
        there |= new.keys()
    return union


def beside(file: str, task: str) -> Callable[..., ConfigDict]:
    """get_config of a task's file, searched beside the study's file and then in configs/."""
    places = [Path(file.partition(":")[0]).parent, CONFIGS]
    for path in (place / f"{task}.py" for place in places):
        if path.is_file():
            return lambda argument: _of_task(path, argument)
    raise ConfigError("study.tasks", f"there is no file {places[0] / task}.py")


def _of_task(path: Path, argument: str) -> ConfigDict:
    try:
        return one(f"{path}:{argument}")
    except ConfigError as error:
        raise ConfigError(error.key or "study.tasks", error.message) from None


def where(error: Exception, file: str | Path) -> str:
    """FILE:LINE of the innermost line of that file in the error's traceback."""
    lines = [
        frame.lineno
        for frame in traceback.extract_tb(error.__traceback__)
        if Path(frame.filename).resolve() == Path(file).resolve()
    ]
    line = error.lineno if isinstance(error, SyntaxError) else lines[-1] if lines else None
    return f"{file}:{line}" if line else str(file)
