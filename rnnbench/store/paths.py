"""Where a workdir lies: on a disk, or in a bucket (gs://). Files are written whole, never appended to.

A place is a pathlib.Path, or for a URL an etils.epath.Path, which has the same methods and goes through
fsspec; both come with orbax. Locks, access rights and whatever else a bucket has not are for disks only.
"""

import errno
import functools
import os
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

from etils import epath

from rnnbench.config import InputError, warn

Place = Path | epath.Path
# By the scheme of a bucket's URL, what its files need.
PACKAGES = {"gs": "'rnnbench[gcloud]'", "s3": "s3fs", "az": "adlfs"}

# What a system call says where a file system cannot do it, as NFS, exFAT and FUSE mounts may.
UNSUPPORTED = {errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOLCK, errno.ENOTTY}


def place(folder: Any) -> Place:
    """The place that a text or path stands for; InputError for a URL that is none of a bucket."""
    if on_disk(folder):
        return Path(folder)
    if _scheme(folder) not in PACKAGES:
        known = ", ".join(f"{scheme}://" for scheme in PACKAGES)
        raise InputError(f"--workdir: {folder} is no place to write to; give a path, or a URL of {known}")
    return epath.Path(os.fspath(folder))


def absolute(folder: Any) -> Place:
    """The same whatever the current folder is."""
    if not on_disk(folder):
        return place(folder)
    try:
        return Path(folder).expanduser().resolve()
    except (OSError, RuntimeError) as error:  # a loop of links, a user without a home
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
        warn_once(f"{Path(file.name).parent} cannot be synced: a power cut may lose its newest files", error)


@functools.cache
def _warn(text: str) -> None:
    warn(text)


def warn_once(text: str, error: OSError) -> None:
    """Says, once per process, what is less safe on a file system that cannot do something."""
    _warn(f"{text} ({error.strerror or error})")


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
