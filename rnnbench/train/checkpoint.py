"""Saving and restoring a train state; the only file that knows orbax."""

import hashlib
import json
import logging
from pathlib import Path

import jax
import orbax.checkpoint as ocp

from rnnbench.config import InputError
from rnnbench.parallel.hosts import is_main, together
from rnnbench.store.paths import absolute, on_disk

# orbax guards its own bookkeeping by checksums but not the values: a bit flipped in a large array would be
# restored silently. So each step folder holds the checksums of its files.
SEAL = "sha256.json"


class CheckpointError(InputError):
    """Raised for a checkpoint that cannot be restored safely. The text names the folder and what to do."""

    def __init__(self, path, reason: str):
        super().__init__(f"--workdir: {path}: {reason}")
        self.path = path


class Checkpoints:
    """The checkpoints of one run, in `<directory>/<step>/`.

    Nothing is written before the first `save`. A save runs in the background while training continues, and
    killing it leaves the earlier checkpoints unchanged. All processes make the same calls.
    """

    def __init__(self, directory, keep: int = 2):
        self._directory = absolute(directory)
        self._keep = keep
        self._reader = self._writer = self._saving = None

    def latest(self) -> int | None:
        """The newest finished step, or None."""
        if self._writer is not None:
            return self._writer.latest_step()
        if not self._directory.exists():
            return None
        return self._open_reader().latest_step()

    def save(self, step: int, state, extra: dict) -> None:
        """Saves a pytree of arrays and a small JSON object; a step that is already saved is left unchanged.

        The state may be donated as soon as this returns.
        """
        if self._writer is None:
            options = ocp.CheckpointManagerOptions(
                preservation_policy=ocp.checkpoint_managers.LatestN(self._keep),
                cleanup_tmp_directories=True,  # left by a save that was killed
                async_options=ocp.AsyncOptions(post_finalization_callback=self._seal),
            )
            self._writer = ocp.CheckpointManager(self._directory, options=options)
        latest = self._writer.latest_step()
        if step == latest:
            return
        if latest is not None and step < latest:
            raise ValueError(f"step {step} is before the newest checkpoint {self._directory / str(latest)}")
        self.wait()
        self._saving = step
        items = ocp.args.Composite(
            state=ocp.args.StandardSave(state),
            extra=ocp.args.JsonSave({"extra": extra, "layout": _layout(state)}),
        )
        self._writer.save(step, args=items)

    def restore(self, like, step: int | None = None) -> tuple:
        """Restores (state, extra, step) from the newest checkpoint, or from that of `step`.

        The state is laid out as the `jax.ShapeDtypeStruct`s with shardings in `like`; the devices may differ
        from those at saving. CheckpointError if anything cannot be read or differs from what was saved:
        falling back to an older step is left to the user.
        """
        if self.latest() is None:
            raise CheckpointError(self._directory, "there is no checkpoint here")
        manager = self._writer or self._open_reader()
        steps = sorted(manager.all_steps())
        step = steps[-1] if step is None else step
        if step not in steps:
            raise CheckpointError(self._directory, f"there is no checkpoint of step {step}, only of {steps}")
        # Checked for damage before orbax reads the arrays, because its failed reads print tracebacks.
        together(lambda: is_main() and self._verify(step))
        try:
            saved = manager.restore(step, args=ocp.args.Composite(extra=ocp.args.JsonRestore())).extra
            extra, layout = saved["extra"], saved["layout"]
            self._compare(step, layout, _layout(like))
            items = ocp.args.Composite(state=ocp.args.StandardRestore(like))
            return manager.restore(step, args=items).state, extra, step
        except CheckpointError:
            raise
        except Exception as error:  # orbax passes on any error of JSON, tensorstore or the disk
            raise self._unusable(step, f"{type(error).__name__}: {error}") from error

    def wait(self) -> None:
        """Returns once the last save is on disk."""
        if self._writer is not None:
            self._writer.wait_until_finished()

    def close(self) -> None:
        """Waits for the last save and closes orbax; reading and saving open it again."""
        for manager in (self._writer, self._reader):
            if manager is not None:
                manager.close()
        self._reader = self._writer = None

    def _open_reader(self) -> ocp.CheckpointManager:
        if self._reader is None:
            self._reader = ocp.CheckpointManager(
                self._directory, options=ocp.CheckpointManagerOptions(read_only=True)
            )
        return self._reader

    def _seal(self) -> None:
        """Called by orbax in the background, after all files are written and before the final rename."""
        if not (is_main() and on_disk(self._directory)):
            return
        final = self._directory / str(self._saving)
        unfinished = self._directory.glob(f"{final.name}.orbax-checkpoint-tmp*")
        folder = final if final.exists() else max(unfinished, key=lambda path: path.stat().st_mtime)
        (folder / SEAL).write_text(json.dumps(_file_checksums(folder), indent=0))

    def _verify(self, step: int) -> None:
        if not on_disk(self._directory):
            return  # a bucket keeps its own checksums
        folder = self._directory / str(step)
        try:
            expected = json.loads((folder / SEAL).read_text())
            found = _file_checksums(folder)
            damaged = [name for name, checksum in expected.items() if found.get(name) != checksum]
        except (OSError, ValueError, AttributeError) as error:
            raise self._unusable(step, f"{SEAL}: {error}") from error
        if damaged:
            raise self._unusable(step, f"{damaged[0]} is {'damaged' if damaged[0] in found else 'missing'}")

    def _compare(self, step: int, saved: dict, needed: dict) -> None:
        for name in sorted(saved.keys() | needed.keys()):
            if saved.get(name) != needed.get(name):
                there, here = saved.get(name, "absent"), needed.get(name, "absent")
                raise self._unusable(step, f"{name} is {there} there and {here} in this run")

    def _unusable(self, step: int, reason: str) -> CheckpointError:
        older = [s for s in (self._writer or self._open_reader()).all_steps() if s < step]
        fall_back = f"fall back to step {max(older)}" if older else "start from the beginning"
        brief = " ".join(reason.split())
        brief = brief if len(brief) <= 160 else brief[:157] + "..."
        return CheckpointError(
            self._directory / str(step),
            f"the checkpoint cannot be restored ({brief}); delete this folder to {fall_back}",
        )


def _layout(state) -> dict[str, str]:
    """`{"['params']['kernel']": "float32[8,64]", ...}`"""
    return {
        jax.tree_util.keystr(path): f"{leaf.dtype}{list(leaf.shape)}".replace(" ", "")
        for path, leaf in jax.tree_util.tree_leaves_with_path(state)
    }


def _file_checksums(folder: Path) -> dict[str, str]:
    """Checksums of the items' files; orbax's metadata and the seal are left out because they change later."""
    checksums = {}
    for path in sorted(folder.glob("*/**/*")):
        if path.is_file():
            with path.open("rb") as file:
                checksums[str(path.relative_to(folder))] = hashlib.file_digest(file, "sha256").hexdigest()
    return checksums


def _worth_reading(record: logging.LogRecord) -> bool:
    """Drops orbax's INFO and WARNING lines."""
    return record.levelno >= logging.ERROR or "/orbax/" not in record.pathname


logging.getLogger("absl").addFilter(_worth_reading)
