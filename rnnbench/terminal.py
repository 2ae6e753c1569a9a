"""Shared by all commands: one-line refusals, and output whose reader has left."""

import os
import sys
from collections.abc import Callable
from typing import TextIO

from rnnbench.errors import InputError, exhausted


def run(command: Callable[[list[str]], int], argv: list[str]) -> int:
    """The exit code of `command(argv)`; an InputError becomes one line on stderr and code 2, a full disk or
    too little memory one line and code 1.

    Characters that the output's encoding lacks are shown as "?". If the reader of the output leaves, such as
    `head`, the command ends with the exit code of a process that SIGPIPE killed.
    """
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="replace")
    try:
        code = command(argv)
        sys.stdout.flush()
        return code
    except InputError as error:
        return refuse(error)
    except BrokenPipeError:
        # Python flushes once more at its exit, and would report the same error again.
        for stream in (sys.stdout, sys.stderr):
            drop(stream)
        return 141
    except Exception as error:
        if not (text := exhausted(error)):
            raise
        print(f"rnnbench: {text}", file=sys.stderr)
        return 1


def refuse(error: InputError) -> int:
    print(f"rnnbench: {error}", file=sys.stderr)
    return 2


def drop(stream: TextIO) -> None:
    """Discards everything that is still written to a stream."""
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), stream.fileno())
