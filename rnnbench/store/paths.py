"""Where a workdir lies: on a disk, or in a bucket (gs://). Files are written whole, never appended to.

A place is a pathlib.Path, or for a URL an etils.epath.Path, which has the same methods and goes through
fsspec; both come with orbax. Locks, access rights and whatever else a bucket has not are for disks only.
"""

import os
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

from etils import epath

from rnnbench.config import InputError

Place = Path | epath.Path


def place(folder: Any) -> Place:
    """The place that a text or path stands for."""
    return Path(folder) if on_disk(folder) else epath.Path(os.fspath(folder))


def absolute(folder: Any) -> Place:
    """The same whatever the current folder is."""
    return Path(folder).expanduser().resolve() if on_disk(folder) else place(folder)


def on_disk(path: Any) -> bool:
    return "://" not in os.fspath(path)


def check(folder: Place) -> None:
    """InputError if a bucket cannot be reached."""
    try:
        folder.exists()
    except ImportError:
        raise InputError(
            f"--workdir: {folder} needs the extra gcloud: pip install 'rnnbench[gcloud]'"
        ) from None
    except Exception as error:  # whatever the bucket's library or the network raise
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:160]
        raise InputError(f"--workdir: {folder} cannot be reached ({reason})") from None


def write_text(path: Any, text: str) -> None:
    """Replaces the file in one step; after a kill it holds the old text or the new, never a part."""
    write_bytes(path, text.encode("utf-8"))


def write_bytes(path: Any, content: bytes) -> None:
    """As `write_text`, for images. A bucket shows an object once all of it is there."""
    path = place(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    if not on_disk(path):
        path.write_bytes(content)
        return
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def growing(path: Place) -> BinaryIO:
    """A new binary file to write to bit by bit; a reader sees it as of the last flush."""
    return path.open("wb") if on_disk(path) else _Object(path)


class _Object(BytesIO):
    """Kept in memory and put into the bucket as a whole by every flush."""

    def __init__(self, path: epath.Path):
        super().__init__()
        self._path, self._put = path, 0

    def flush(self) -> None:
        if not self.closed and len(self.getbuffer()) > self._put:
            self._put = len(self.getbuffer())
            self._path.write_bytes(self.getvalue())

    def close(self) -> None:
        self.flush()
        super().close()
