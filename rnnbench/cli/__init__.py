"""The command line: its flags, what it shows, and the start of a run or a study."""

import os
import signal


def run(argv: list[str]) -> int:
    """Runs the command line; returns the exit code. Ctrl-C ends it at once until a run handles signals."""
    signal.signal(signal.SIGINT, _end)
    from rnnbench.cli.main import main  # takes seconds: it imports JAX

    return main(argv)


def _end(*_) -> None:
    """Not by a KeyboardInterrupt, which libraries swallow where it meets their callbacks."""
    os.write(2, b"\nrnnbench: interrupted before anything was started\n")
    os._exit(130)
