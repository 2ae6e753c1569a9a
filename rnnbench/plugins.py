"""Plug-ins: the modules of a folder of the package, and objects at a path such as `my_file:MyMixer`."""

import ast
import importlib
import pkgutil
import re
from types import ModuleType
from typing import Any

from rnnbench.errors import ConfigError, told

# {option: (its default, what it means)}
Options = dict[str, tuple[Any, str]]


def modules(package: str, folder: list[str]) -> list[ModuleType]:
    """Imports the modules of a package's folder, in the order of their names."""
    names = sorted(module.name for module in pkgutil.iter_modules(folder))
    return [importlib.import_module(f"{package}.{name}") for name in names]


def imported(key: str, path: str) -> Any:
    """The object at `my_package.my_module:Name`, the value of a key; ConfigError if there is none."""
    if not re.fullmatch(r"[^\s/:.]+(\.(?!py:)[^\s/:.]+)*:\w+", path):
        raise ConfigError(key, f"must read my_package.my_module:Name, without .py; it is {path!r}")
    module, _, name = path.partition(":")
    try:
        return getattr(importlib.import_module(module), name)
    except (Exception, SystemExit) as error:  # an external module may raise anything, or be a command
        raise ConfigError(key, f"{path!r} cannot be imported ({told(error)})") from error


def setting(text: str) -> tuple[str, Any]:
    """`heads=2` -> ("heads", 2); a value that is not a Python literal is text."""
    name, _, value = text.partition("=")
    try:
        return name, ast.literal_eval(value)
    except (ValueError, SyntaxError):
        return name, value
