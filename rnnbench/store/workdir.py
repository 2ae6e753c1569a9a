"""What a run's folder tells before anything is done in it: foreign, unwritable, finished or fresh."""

import fcntl
import json
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

from ml_collections import ConfigDict

from rnnbench.config import InputError
from rnnbench.config.saved import differences
from rnnbench.parallel.hosts import from_main, is_main
from rnnbench.store import paths
from rnnbench.store.paths import on_disk, write_text
from rnnbench.store.rows import FILES, read_jsonl


class WorkdirError(InputError):
    """A folder that cannot serve as the workdir. Its text is one line that names the flag to change."""

    def __init__(self, message: str):
        super().__init__(f"--workdir: {message}")


def check(folder: Path, config: ConfigDict) -> None:
    """Refuses a folder that cannot hold a run of this config, or go on with it; writes nothing."""
    check_writable(folder)
    if (folder / "study.json").exists():
        raise WorkdirError(f"{folder} holds a study; choose another folder")
    saved = folder / "config.json"
    for name in FILES if not saved.exists() else ():
        if (folder / name).exists():
            raise WorkdirError(f"{folder} holds {name} but no config.json, so no run; choose another folder")
    if saved.exists() and (keys := differences(read_config(saved), config)):
        shown = ", ".join(keys[:6]) + (f" and {len(keys) - 6} more" if len(keys) > 6 else "")
        raise WorkdirError(f"{folder} holds another config (it differs in {shown}); choose another folder")
    for name in FILES:
        read_rows(folder / name)


def check_writable(folder: Path) -> None:
    """Refuses a folder that cannot be made or written to, by looking only."""
    if not on_disk(folder):
        paths.check(folder)
        return
    existing = folder
    try:
        while not existing.exists():
            existing = existing.parent
    except OSError as error:  # a name that is too long, a disk that is gone
        raise unwritable(folder, error) from None
    if not existing.is_dir():
        raise WorkdirError(f"{existing} is a file; choose another folder")
    if not os.access(existing, os.W_OK | os.X_OK):
        raise WorkdirError(f"{existing} cannot be written to; choose another folder")


def claim(folder: Path, name: str, content: dict) -> None:
    """Makes the folder and writes whose it is: `content` as the JSON file `name`, unless that is there.

    Done before anything is compiled: looking does not tell everything, root may write where nobody can. Of
    several processes at once one wins, with the whole file; the others have to look what it says.
    """
    if not on_disk(folder):
        if not (folder / name).exists():
            write_text(folder / name, json.dumps(content, indent=1) + "\n")
        return
    mine = folder / f".{name}.{uuid.uuid4().hex}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        try:
            write_text(mine, json.dumps(content, indent=1) + "\n")
            os.link(mine, folder / name)  # unlike a rename it fails where there is a file already
        except FileExistsError:
            pass
        finally:
            mine.unlink(missing_ok=True)
    except OSError as error:
        raise unwritable(folder, error) from None


def check_shared(file: Path) -> None:
    """Refuses a workdir in which this process does not find the file that another has written there."""
    if not file.exists():
        raise WorkdirError(f"{file.parent} is not the same folder for all processes; choose a shared one")


def unwritable(folder: Path, error: OSError) -> WorkdirError:
    reason = (error.strerror or str(error)).lower()
    return WorkdirError(f"{folder} cannot be written to ({reason}); choose another folder")


def read_config(path: Path) -> dict:
    """A saved config or study; a WorkdirError if it is not a JSON object."""
    try:
        saved = json.loads(path.read_text())
    except (OSError, ValueError):
        saved = None
    if not isinstance(saved, dict):
        raise WorkdirError(f"{path} is damaged; remove it or choose another folder")
    return saved


def read_rows(path: Path) -> list[dict]:
    """The rows of one of a run's files; a WorkdirError if they cannot be read."""
    try:
        return read_jsonl(path)
    except (InputError, OSError) as error:
        raise WorkdirError(f"the rows are damaged, choose another folder: {error}") from None


def finished(workdir: Path, checkpoint_step: int | None) -> list[dict] | None:
    """The final rows of a run that is done: all of them written and its last checkpoint too. Else None."""
    rows = [row for row in read_rows(workdir / "results.jsonl") if row["final"]]
    return rows if rows and rows[0]["step"] == checkpoint_step else None


@contextmanager
def locked(path: Path, wait: bool = True) -> Iterator[bool]:
    """Holds the lock of the file `path`, at the longest until the process ends; yields whether it is held.

    Without `wait` it is not held if another process holds it. A bucket has no locks: there it always is.
    """
    if not on_disk(path):
        yield True
        return
    with path.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            yield False
        else:
            yield True


@contextmanager
def held_by_main(path: Path) -> Iterator[bool]:
    """Whether the main process holds the lock, told to all processes of a run; it does not wait for it."""
    with locked(path, wait=False) if is_main() else nullcontext(True) as held:
        yield from_main(held)
