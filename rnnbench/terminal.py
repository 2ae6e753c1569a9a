"""What every command of the package does at its edges: refusals, and output that has no reader."""

import os
import sys
from collections.abc import Callable
from typing import TextIO

from rnnbench.config import InputError


def run(command: Callable[[list[str]], int], argv: list[str]) -> int:
    """The exit code of `command(argv)`; an InputError is one line on stderr and code 2.

    Characters that the output's encoding lacks are shown as "?". A reader that leaves, such as `head`, ends
    the command with the code of a process that SIGPIPE ended.
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
        # Python flushes once more when it ends, and would report the same error.
        for stream in (sys.stdout, sys.stderr):
            drop(stream)
        return 141


def refuse(error: InputError) -> int:
    print(f"rnnbench: {error}", file=sys.stderr)
    return 2


def drop(stream: TextIO) -> None:
    """Sends what is still written to a stream nowhere."""
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), stream.fileno())
