"""The errors of what a user gives: each is one line that names what to change."""

import sys


class InputError(ValueError):
    """Something given that cannot work. Its text is one line for whoever gave it; the exit code is 2."""


class ConfigError(InputError):
    """A setting that cannot work. Its text names the flag to change."""

    def __init__(self, key: str, message: str):
        super().__init__(f"--config.{key}: {message}" if key else f"--config: {message}")
        self.key, self.message = key, message


class ContractError(Exception):
    """A task or a mixer that does not keep its contract. Its text says in what."""


def first_line(error: BaseException | str) -> str:
    """What is shown of a text or of an error that a library raised: one line."""
    return next(iter(str(error).splitlines()), "")


def warn(text: str) -> None:
    """One line on stderr: something is less than it could be, and the command goes on."""
    print(f"rnnbench: warning: {text}", file=sys.stderr, flush=True)
