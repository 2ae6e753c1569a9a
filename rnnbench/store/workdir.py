"""Checks of a run's folder before anything is written: foreign, unwritable, finished or new."""

import fcntl
import json
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from ml_collections import ConfigDict

from rnnbench.config import ConfigError, InputError
from rnnbench.config.saved import differences
from rnnbench.parallel.hosts import from_main, is_main, together
from rnnbench.store import paths
from rnnbench.store.paths import Place, on_disk, write_text
from rnnbench.store.rows import FILES, read_jsonl


class WorkdirError(InputError):
    """A folder that cannot serve as the workdir. Its text is one line that names the flag to change."""

    def __init__(self, message: str):
        super().__init__(f"--workdir: {message}")


def check(folder: Place, config: ConfigDict) -> None:
    """Refuses a folder that cannot hold or resume a run of this config; writes nothing."""
    check_writable(folder)
    if (folder / "study.json").exists():
        raise WorkdirError(f"{folder} holds a study; choose another folder")
    saved = folder / "config.json"
    for name in FILES if not saved.exists() else ():
        if (folder / name).exists():
            reason = f"{folder} holds {name} but no config.json, so it is not a run"
            raise WorkdirError(f"{reason}; choose another folder")
    before = read_config(saved) if begun(folder) else {}
    if before and (keys := differences(before, config)):
        if {"train.steps"} <= set(keys) <= {"train.steps", "protocol"} and _further(before, config):
            return
        shown = ", ".join(keys[:6]) + (f" and {len(keys) - 6} more" if len(keys) > 6 else "")
        raise WorkdirError(f"{folder} holds another config (it differs in {shown}); choose another folder")


def begun(folder: Place) -> bool:
    """Whether a run has left anything to go on from."""
    return bool([name for name in FILES if read_rows(folder / name)] or checkpoints(folder))


def _further(saved: dict, config: ConfigDict) -> bool:
    """Whether the config asks for more steps. Raises ConfigError if its first steps would be others."""
    before = saved["train"]["steps"]
    if config.train.steps < before:
        return False
    for key, fine, value, why in (
        (
            "optim.schedule",
            config.optim.schedule == "constant",
            "constant",
            "a cosine depends on their number",
        ),
        ("optim.warmup", config.optim.warmup == 0, "0.0", "the warm-up is a share of them"),
        ("train.stop_accuracy", config.train.stop_accuracy == 0, "0.0", "the members stop together"),
    ):
        if not fine:
            reason = f"must be {value} to add to the {before} steps of this run ({why})"
            raise ConfigError(key, f"{reason}; choose another --workdir")
    return True


def checkpoints(folder: Place) -> list[Place]:
    """The finished checkpoints of a run; an interrupted save does not count."""
    there = folder / "checkpoints"
    return [path for path in there.iterdir() if path.name.isdigit()] if there.exists() else []


def check_writable(folder: Place) -> None:
    """Refuses a folder that cannot be created or written to, without writing anything."""
    if not on_disk(folder):
        paths.check(folder)
        return
    existing = folder
    try:
        while not existing.exists():
            existing = existing.parent
    except OSError as error:  # such as a name that is too long, or a missing disk
        raise unwritable(folder, error) from None
    if not existing.is_dir():
        raise WorkdirError(f"{existing} is a file; choose another folder")
    if not os.access(existing, os.W_OK | os.X_OK):
        raise WorkdirError(f"{existing} cannot be written to; choose another folder")


def writable(folder: Any, flag: str) -> Place:
    """The place of a folder; an InputError that names its flag if it cannot be written to."""
    try:
        check_writable(found := paths.place(folder))
    except InputError as error:
        raise InputError(str(error).replace("--workdir", flag, 1)) from None
    return found


def claim(folder: Place, name: str, content: Callable[[dict], dict]) -> None:
    """Makes the folder and marks its owner: writes `content(what the JSON file says so far)` to it.

    Done before anything is compiled, because a check of permissions is not reliable (root). Concurrent
    processes take turns; each sees what the ones before it wrote.
    """
    with locked(folder / ".lock"):
        before = read_config(folder / name) if (folder / name).exists() else {}
        after = content(before)
        if after != before:
            _write(folder / name, after)


def claim_run(folder: Place, config: ConfigDict) -> None:
    """Writes config.json; the caller holds the folder's lock.

    The run that an older config.json describes continues for more steps, or it wrote nothing (see `check`);
    then its TensorBoard files are removed.
    """
    saved = folder / "config.json"
    if saved.exists() and not differences(read_config(saved), config):
        return
    for board in () if begun(folder) else (folder / "tensorboard").glob("*/*"):
        board.unlink()
    _write(saved, config.to_dict())


def _write(file: Place, content: dict) -> None:
    try:
        write_text(file, json.dumps(content, indent=1) + "\n")
    except OSError as error:
        raise unwritable(file.parent, error) from None


def check_shared(file: Place) -> None:
    """Refuses a workdir in which this process does not find the file that another process wrote."""
    if not file.exists():
        raise WorkdirError(f"{file.parent} is not the same folder for all processes; choose a shared one")


def unwritable(folder: Place, error: OSError) -> WorkdirError:
    reason = (error.strerror or str(error)).lower()
    return WorkdirError(f"{folder} cannot be written to ({reason}); choose another folder")


def read_config(path: Place) -> dict:
    """A saved config or study; a WorkdirError if it is not a JSON object."""
    try:
        saved = json.loads(path.read_text())
    except (OSError, ValueError):
        saved = None
    if not isinstance(saved, dict):
        raise WorkdirError(f"{path} is damaged; remove it or choose another folder")
    return saved


def read_rows(path: Place) -> list[dict]:
    """The rows of one of a run's files; a WorkdirError if they cannot be read."""
    try:
        return read_jsonl(path)
    except (InputError, OSError) as error:
        raise WorkdirError(f"the rows are damaged, choose another folder: {error}") from None


def finished(workdir: Place, config: ConfigDict, checkpoint_step: int | None) -> list[dict] | None:
    """The final rows of a finished run, whose rows and last checkpoint are all written; otherwise None."""
    rows = [row for row in read_rows(workdir / "results.jsonl") if row["final"]]
    at_end = checkpoint_step == config.train.steps or config.train.stop_accuracy > 0
    return rows if rows and at_end and rows[0]["step"] == checkpoint_step else None


@contextmanager
def locked(path: Place, wait: bool = True) -> Iterator[bool]:
    """Makes the folder of `path` and holds that file's lock, at most until the process ends.

    Yields whether the lock is held: without `wait` it is not if another process has it. Buckets and some
    network and FUSE file systems have no locks: there it always counts as held (the latter warn).
    """
    if not on_disk(path):
        yield True
        return
    with ExitStack() as stack:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            file = stack.enter_context(path.open("a"))
        except OSError as error:
            raise unwritable(path.parent, error) from None
        try:
            fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            held = True
        except BlockingIOError:
            held = False
        except OSError as error:
            if error.errno not in paths.UNSUPPORTED:
                raise unwritable(path.parent, error) from None
            paths.lacks(f"{path.parent} has no locks: run one command there at a time", error)
            held = True
        yield held


@contextmanager
def held_by_main(path: Place) -> Iterator[bool]:
    """Whether the main process holds the lock, on all processes of a run; does not wait for the lock."""
    with ExitStack() as stack:
        take = lambda: stack.enter_context(locked(path, wait=False)) if is_main() else True
        yield from_main(together(take))
