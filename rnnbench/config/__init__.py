"""Configs: the keys, a config made and compared, config files. Here: the errors of what a user gives."""

import sys


class InputError(ValueError):
    """Something given that cannot work. Its text is one line for whoever gave it; the exit code is 2."""


class ConfigError(InputError):
    """A setting that cannot work. Its text names the flag to change."""

    def __init__(self, key: str, message: str):
        super().__init__(f"--config.{key}: {message}" if key else f"--config: {message}")
        self.key, self.message = key, message


def first_line(error: BaseException | str) -> str:
    """What is shown of a text or of an error that a library raised: one line."""
    return next(iter(str(error).splitlines()), "")


def warn(text: str) -> None:
    """One line on stderr: something is less than it could be, and the command goes on."""
    print(f"rnnbench: warning: {text}", file=sys.stderr, flush=True)
