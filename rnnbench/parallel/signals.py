"""SIGTERM and Ctrl-C: handled at once; a run saves first if it has trained since its last save.

Python runs its signal handlers between two of its own instructions, so not while XLA compiles or computes.
A thread therefore reads the signals' numbers from a pipe, which the handler in C fills (`set_wakeup_fd`).
"""

import os
import signal
import threading

import jax

PREEMPTED = 75  # exit code; EX_TEMPFAIL of sysexits.h: "the user is invited to try again later"
INTERRUPTED = 130  # the exit code that shells show after Ctrl-C
NOTHING_YET = "nothing is saved yet"

told_to_stop = threading.Event()
_heard: list[int] = []
_pipe: list[int] = []
_unsaved = False
_stand = NOTHING_YET


class Preempted(BaseException):
    """The run was told to stop and its state is saved: the same command resumes from there.

    Like KeyboardInterrupt it ends a whole study, whereas an error of a cell ends only that cell.
    """


def listen() -> None:
    """Handles signals from now on; called by the main thread of a command."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    if not _pipe:
        _pipe.extend(os.pipe())
        os.set_blocking(_pipe[1], False)
        threading.Thread(target=_hear, daemon=True).start()
    signal.set_wakeup_fd(_pipe[1], warn_on_full_buffer=False)


def saved(stand: str) -> None:
    """From now on a signal ends the process at once; `stand` is the message about what is on disk."""
    global _unsaved, _stand
    _unsaved, _stand = False, stand


def unsaved() -> None:
    """From now on a signal requests a save; the run polls `told_to_stop`."""
    global _unsaved
    _unsaved = True


def how() -> str:
    """How the run was stopped: "interrupted" or "preempted"."""
    return "interrupted" if signal.SIGINT in _heard else "preempted"


def exit_code() -> int:
    return INTERRUPTED if signal.SIGINT in _heard else PREEMPTED


def end(text: str, code: int) -> None:
    """Ends the process at once, after printing one line: a normal exit would wait for the compiler."""
    cursor = "\r\x1b[K\x1b[?25h" if os.isatty(2) else ""  # a live display has hidden it
    os.write(2, f"{cursor}rnnbench: {text}\n".encode(errors="replace"))
    os._exit(code)


def _hear() -> None:
    while True:
        for number in os.read(_pipe[0], 64):
            if number in (signal.SIGTERM, signal.SIGINT):
                _obey(number)


def _obey(number: int) -> None:
    again = number == signal.SIGINT and signal.SIGINT in _heard
    _heard.append(number)
    if again and _unsaved:
        end(f"interrupted: {_stand}; steps after that are lost; the same command resumes", INTERRUPTED)
    if not _unsaved:
        end(f"{how()}: {_stand}; the same command resumes", exit_code())
    if number == signal.SIGINT:  # said before the main thread, once told, may write something too
        os.write(2, b"rnnbench: saving after this chunk; Ctrl-C again ends at once\n")
    told_to_stop.set()
    # A process alone may have no backend yet, and making one here would abort a main thread that ends.
    if number == signal.SIGINT and jax.distributed.is_initialized() and jax.process_count() > 1:
        os.kill(os.getpid(), signal.SIGTERM)  # JAX handles it and informs all processes of a run
