"""Errors of user input: each is one line that names what to change."""

import errno
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


def exhausted(error: BaseException) -> str:
    """What to do if a disk is full or the memory does not suffice, in one line; "" for another error.

    Libraries pass both on as errors of their own, with the system's or XLA's text in them.
    """
    text, number = str(error), getattr(error, "errno", None)
    if number in (errno.ENOSPC, errno.EDQUOT) or "No space left on device" in text:
        return "the disk is full; once there is space, the same command resumes at the newest checkpoint"
    if isinstance(error, MemoryError) or "RESOURCE_EXHAUSTED" in text or "Out of memory" in text:
        less = "--config.train.batch_size, --config.model.dim or fewer --config.population.seeds"
        return f"out of memory: {first_line(error)[:200]}; less is needed with a smaller {less}"
    return ""


def told(error: BaseException) -> str:
    """An error of code that is not ours, in one line: its type and its text."""
    return " ".join(f"{type(error).__name__}: {error}".split())[:300]


def warn(text: str) -> None:
    """Prints one line on stderr; the command continues."""
    print(f"rnnbench: warning: {text}", file=sys.stderr, flush=True)


warn_once = functools.cache(warn)
"""The same, once per process: a study validates a config many times."""
