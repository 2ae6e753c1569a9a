"""Errors of user input: each is one line that names what to change."""

import functools
import sys


class InputError(ValueError):
    """Raised for input that cannot work. The text is one line for the user; the exit code is 2."""


class ConfigError(InputError):
    """Raised for a setting that cannot work. The text names the flag to change."""

    def __init__(self, key: str, message: str):
        super().__init__(f"--config.{key}: {message}" if key else f"--config: {message}")
        self.key, self.message = key, message


class ContractError(Exception):
    """Raised for a task or a mixer that violates its contract. The text names the violation."""


def first_line(error: BaseException | str) -> str:
    """The first line of a text, or of an error that a library raised."""
    return next(iter(str(error).splitlines()), "")


def told(error: BaseException) -> str:
    """An error of code that is not ours, in one line: its type and its text."""
    return " ".join(f"{type(error).__name__}: {error}".split())[:300]


def warn(text: str) -> None:
    """Prints one line on stderr; the command continues."""
    print(f"rnnbench: warning: {text}", file=sys.stderr, flush=True)


warn_once = functools.cache(warn)
"""The same, once per process: a study validates a config many times."""
