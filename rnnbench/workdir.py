"""What a run's folder tells before anything is done in it: foreign, unwritable, finished or fresh."""

import json
import os
from pathlib import Path

from ml_collections import ConfigDict

from rnnbench.config import InputError, differences
from rnnbench.metrics import read_jsonl


class WorkdirError(InputError):
    """A folder that cannot serve as the workdir. Its text is one line that names the flag to change."""

    def __init__(self, message: str):
        super().__init__(f"--workdir: {message}")


def check(folder: Path, config: ConfigDict) -> None:
    """Refuses a folder that cannot hold a run of this config; writes nothing."""
    check_writable(folder)
    if (folder / "study.json").exists():
        raise WorkdirError(f"{folder} holds a study; choose another folder")
    saved = folder / "config.json"
    if saved.exists() and (keys := differences(read_config(saved), config)):
        shown = ", ".join(keys[:6]) + (f" and {len(keys) - 6} more" if len(keys) > 6 else "")
        raise WorkdirError(f"{folder} holds another config (it differs in {shown}); choose another folder")


def check_writable(folder: Path) -> None:
    """Refuses a folder that cannot be made or written to, by looking only."""
    existing = folder
    while not existing.exists():
        existing = existing.parent
    if not existing.is_dir():
        raise WorkdirError(f"{existing} is not a folder; choose another")
    if not os.access(existing, os.W_OK | os.X_OK):
        raise WorkdirError(f"{existing} cannot be written to; choose another folder")


def read_config(path: Path) -> dict:
    """A saved config; a WorkdirError if it is not JSON."""
    try:
        return json.loads(path.read_text())
    except ValueError:
        raise WorkdirError(f"{path} is not JSON; remove it or choose another folder") from None


def finished(workdir: Path, checkpoint_step: int | None) -> list[dict] | None:
    """The final rows of a run that is done: all of them written and its last checkpoint too. Else None."""
    rows = [row for row in read_jsonl(workdir / "results.jsonl") if row["final"]]
    return rows if rows and rows[0]["step"] == checkpoint_step else None
