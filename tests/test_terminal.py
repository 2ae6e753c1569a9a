"""The exit codes and lines of errors that a command does not handle itself."""

import errno

import pytest

from rnnbench import terminal
from rnnbench.config import InputError


def raises(error):
    def command(argv):
        raise error

    return command


@pytest.mark.parametrize(
    "error, code, hint",
    [
        (InputError("--workdir: is missing"), 2, "--workdir: is missing"),
        (OSError(errno.ENOSPC, "No space left on device", "runs/a"), 1, "the disk is full"),
        (ValueError("RESOURCE_EXHAUSTED: writing a/b: No space left on device"), 1, "the disk is full"),
        (MemoryError("Unable to allocate 1 TiB"), 1, "out of memory: Unable to allocate 1 TiB; less is"),
        (RuntimeError("RESOURCE_EXHAUSTED: no space\nmore lines"), 1, "--config.train.batch_size"),
        (RuntimeError("INTERNAL: Out of memory allocating 480 bytes."), 1, "--config.train.batch_size"),
    ],
)
def test_what_a_user_can_mend_is_one_line(error, code, hint, capsys):
    assert terminal.run(raises(error), []) == code
    said = capsys.readouterr().err
    assert said.startswith("rnnbench: ") and said.count("\n") == 1 and hint in said


@pytest.mark.parametrize("error", [OSError(errno.EACCES, "Permission denied"), ValueError("a mistake")])
def test_other_errors_keep_their_traceback(error):
    with pytest.raises(type(error), match=str(error.args[-1])):
        terminal.run(raises(error), [])
