"""Where a workdir lies: on a disk, or in a bucket (gs://). Files are written whole, never appended to.

A place is a pathlib.Path, or for a URL an etils.epath.Path, which has the same methods and goes through
fsspec; both come with orbax. Locks and access rights exist on disks only.
"""

import errno
import os
import uuid
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

from etils import epath

from rnnbench.config import InputError, told, warn_once

Place = Path | epath.Path
# The package that each scheme of a bucket's URL needs.
PACKAGES = {"gs": "'rnnbench[gcloud]'", "s3": "s3fs", "az": "adlfs"}

# Errors of system calls that a file system does not support, such as NFS, exFAT or FUSE mounts.
UNSUPPORTED = {errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOLCK, errno.ENOTTY}


def place(folder: Any) -> Place:
    """The place that a text or path stands for, ~ included; InputError for a URL of an unknown scheme."""
    if on_disk(folder):
        return _found(folder, Path.expanduser)
    if _scheme(folder) not in PACKAGES:
        known = ", ".join(f"{scheme}://" for scheme in PACKAGES)
        reason = f"--workdir: {folder} cannot be written to"
        raise InputError(f"{reason}; give a path, or a URL that starts with {known}")
    return epath.Path(os.fspath(folder))


def absolute(folder: Any) -> Place:
    """The place made absolute."""
    found = place(folder)
    return _found(found, Path.resolve) if on_disk(folder) else found


def _found(folder: Any, how: Callable[[Path], Path]) -> Path:
    try:
        return how(Path(folder))
    except (OSError, RuntimeError) as error:  # such as a loop of links, or a user without a home
        reason = " ".join(str(error).split())
        raise InputError(f"--workdir: {folder} cannot be found ({reason}); choose another folder") from None


def _scheme(folder: Any) -> str:
    return os.fspath(folder).partition("://")[0]


def on_disk(path: Any) -> bool:
    return "://" not in os.fspath(path)


def check(folder: Place) -> None:
    """InputError if a bucket cannot be reached."""
    try:
        folder.exists()
    except ImportError:
        extra = PACKAGES[_scheme(folder)]
        raise InputError(f"--workdir: {folder} needs another package: pip install {extra}") from None
    except Exception as error:  # the bucket's library or the network may raise anything
        raise InputError(f"--workdir: {folder} cannot be reached ({told(error)})") from None


def write_text(path: Any, text: str) -> None:
    """Replaces the file in one step; after a kill it holds the old text or the new one, never a part."""
    write_bytes(path, text.encode("utf-8"))


def write_bytes(path: Any, content: bytes) -> None:
    """As `write_text`, for images. A bucket shows an object only once it is complete."""
    path = place(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    if not on_disk(path):
        path.write_bytes(content)
        return
    # Not the process id: processes in containers may share a disk and have the same one.
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            _sync(file)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _sync(file: BinaryIO) -> None:
    try:
        os.fsync(file.fileno())
    except OSError as error:
        if error.errno not in UNSUPPORTED:
            raise
        lacks(f"{Path(file.name).parent} cannot be synced: a power cut may lose its newest files", error)


def lacks(text: str, error: OSError) -> None:
    """Warns once per process about a feature that the file system lacks."""
    warn_once(f"{text} ({error.strerror or error})")


def growing(path: Place) -> BinaryIO:
    """A new binary file for repeated writes; a reader sees its content as of the last flush."""
    return path.open("wb") if on_disk(path) else _Object(path)


class _Object(BytesIO):
    """A file kept in memory; every flush writes the whole of it to the bucket."""

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
