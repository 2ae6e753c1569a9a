"""Config files: any Python file with a get_config(), one of those that come with the package or your own."""

import difflib
import importlib.util
import inspect
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

from ml_collections import ConfigDict

from rnnbench.config import ConfigError, InputError, first_line
from rnnbench.config.build import EXTERNAL, flat
from rnnbench.config.schema import KEYS

# The config files that come with the package: a folder of the checkout, and of the installed package.
CONFIGS = next(
    folder / "configs" for folder in Path(__file__).parents[1:3] if (folder / "configs" / "study.py").exists()
)


def found(argument: str) -> str:
    """`FILE:ARGUMENT` with the path of the file: as given, or of one of CONFIGS by name, from any folder."""
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
        there = " ".join(sorted(str(other) for other in path.parent.glob("*.py")))
        shipped = " ".join(sorted(f"configs/{other.name}" for other in CONFIGS.glob("*.py")))
        raise ConfigError("", f"there is no file {path}; there are: {there or shipped}")
    # What lies beside a config file can be imported by it, and named as a mixer or task; nothing is hidden.
    if (folder := str(path.parent.resolve())) not in sys.path:
        sys.path.append(folder)
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None:
        raise ConfigError("", f"{path} is not a Python file")
    executed = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(executed)
    except InputError:
        raise
    except Exception as error:
        raise ConfigError("", f"{where(error, path)}: {type(error).__name__}: {first_line(error)}") from None
    if not hasattr(executed, "get_config"):
        raise ConfigError("", f"{path} has no get_config()")
    return executed


def make(argument: str) -> ConfigDict:
    """The config that `FILE:ARGUMENT` or `FILE` stands for, before any override."""
    file, colon, text = found(argument).partition(":")
    get_config = module(file).get_config
    takes = inspect.signature(get_config).parameters
    if colon and not takes:
        raise ConfigError("", f"{file} takes no argument; leave out {colon + text}")
    try:
        config = get_config(*([text] if colon else []))
    except InputError:
        raise
    except Exception as error:
        raise ConfigError("", f"{where(error, file)}: {type(error).__name__}: {first_line(error)}") from None
    if not isinstance(config, ConfigDict) or "study" not in config:
        raise ConfigError("", f"get_config() of {file} does not return a config made by rnnbench.config")
    for key in flat(config):
        if key not in KEYS and not key.startswith(tuple(EXTERNAL)):
            near = difflib.get_close_matches(key, KEYS, 1)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise ConfigError("", f"{file} sets {key}, and there is no such key{hint}")
    return config


def beside(file: str, task: str) -> Callable[..., ConfigDict]:
    """get_config of a task's file, which lies beside the study's or else in configs/."""
    places = [Path(file.partition(":")[0]).parent, CONFIGS]
    for path in (place / f"{task}.py" for place in places):
        if path.is_file():
            return lambda argument: _of_task(path, argument)
    raise ConfigError("study.tasks", f"there is no file {places[0] / task}.py")


def _of_task(path: Path, argument: str) -> ConfigDict:
    try:
        return make(f"{path}:{argument}")
    except ConfigError as error:
        raise ConfigError(error.key or "study.tasks", error.message) from None


def where(error: Exception, file: str | Path) -> str:
    """FILE:LINE of the last line of that file that the error passed through."""
    lines = [
        frame.lineno
        for frame in traceback.extract_tb(error.__traceback__)
        if Path(frame.filename).resolve() == Path(file).resolve()
    ]
    line = error.lineno if isinstance(error, SyntaxError) else lines[-1] if lines else None
    return f"{file}:{line}" if line else str(file)
