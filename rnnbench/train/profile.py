"""A profile of some steps of a run, for TensorBoard's or xprof's trace viewer."""

import re

import jax

from rnnbench.config import InputError
from rnnbench.store.paths import Place, on_disk


def steps(text: str, total: int) -> tuple[int, int]:
    """--profile_steps=100:200 as (100, 200); InputError unless 0 ≤ first < last ≤ total."""
    match = re.fullmatch(r"(\d+):(\d+)", text)
    if not match:
        raise InputError(f"--profile_steps: must read FIRST:LAST, such as 100:200; it is {text!r}")
    first, last = int(match[1]), int(match[2])
    if not first < last <= total:
        raise InputError(f"--profile_steps: must be increasing and at most {total}; it is {text}")
    return first, last


def check(wanted: tuple[int, int], folder: Place, reached: int) -> None:
    """InputError if the steps have already passed, or if the folder is not on a disk."""
    if reached >= wanted[1]:
        raise InputError(f"--profile_steps: the run has already reached step {reached}; choose later steps")
    if not on_disk(folder):
        raise InputError("--profile_steps: needs a workdir on a disk")


class Trace:
    """Records the whole chunks that contain the wanted steps, so that chunk borders do not change."""

    def __init__(self, wanted: tuple[int, int] | None, folder: Place):
        self._wanted, self._folder, self._on = wanted, folder, False

    def before(self, step: int, following: int) -> None:
        """Called before the chunk from `step` to `following` is dispatched."""
        if self._wanted and not self._on and step < self._wanted[1] and following > self._wanted[0]:
            jax.profiler.start_trace(str(self._folder))
            self._on = True

    def ends(self, step: int) -> bool:
        """Whether the chunk that reaches `step` is the last to trace; call `stop` once it has finished."""
        return self._on and step >= self._wanted[1]

    def stop(self) -> None:
        if self._on:
            self._on = False
            jax.profiler.stop_trace()
