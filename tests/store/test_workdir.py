"""Who owns a workdir: it is claimed once and free if a run left nothing; limited file systems."""

import errno
import json
import os

import pytest
from helpers import tiny

from rnnbench.config import InputError
from rnnbench.store import paths, workdir
from rnnbench.store.rows import write_jsonl

pytestmark = pytest.mark.fast


def unsupported(code):
    def fail(*_):
        raise OSError(code, os.strerror(code))

    return fail


@pytest.mark.parametrize("code", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP])
def test_without_locks_a_run_goes_on_with_one_warning(code, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("fcntl.flock", unsupported(code))
    for _ in range(2):
        with workdir.locked(tmp_path / "run" / ".lock", wait=False) as held:
            assert held
    workdir.claim(tmp_path / "run", "study.json", lambda _: {"cells": {}})
    assert json.loads((tmp_path / "run" / "study.json").read_text()) == {"cells": {}}
    (said,) = capsys.readouterr().err.splitlines()
    assert said.startswith(
        f"rnnbench: warning: {tmp_path / 'run'} has no locks: run one command there at a time ("
    )


def test_a_lock_that_fails_for_another_reason_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("fcntl.flock", unsupported(errno.EIO))
    with (
        pytest.raises(workdir.WorkdirError, match="cannot be written to"),
        workdir.locked(tmp_path / ".lock"),
    ):
        pass


def test_without_hard_links(tmp_path, monkeypatch):
    monkeypatch.setattr("os.link", unsupported(errno.EPERM))
    workdir.claim(tmp_path / "run", "study.json", lambda _: {"cells": {}})
    assert {path.name for path in (tmp_path / "run").iterdir()} == {"study.json", ".lock"}


def test_without_fsync_files_are_written_with_one_warning(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("os.fsync", unsupported(errno.EINVAL))
    for text in ("old", "new"):
        paths.write_text(tmp_path / "file", text)
    assert (tmp_path / "file").read_text() == "new"
    (said,) = capsys.readouterr().err.splitlines()
    assert "cannot be synced" in said


def test_a_claim_sees_the_one_before(tmp_path):
    add = lambda name: lambda before: {"cells": [*before.get("cells", []), name]}
    for name in "ab":
        workdir.claim(tmp_path / "run", "study.json", add(name))
    assert json.loads((tmp_path / "run" / "study.json").read_text()) == {"cells": ["a", "b"]}
    with pytest.raises(ZeroDivisionError):
        workdir.claim(tmp_path / "run", "study.json", lambda _: 1 / 0)
    assert json.loads((tmp_path / "run" / "study.json").read_text()) == {"cells": ["a", "b"]}


def test_a_lock_is_held_by_one(tmp_path):
    with workdir.locked(tmp_path / ".lock") as held, workdir.locked(tmp_path / ".lock", wait=False) as again:
        assert held and not again


@pytest.fixture
def crashed(tmp_path):
    """The workdir of a first run that failed before it had rows or a checkpoint."""
    folder = tmp_path / "run"
    workdir.claim_run(folder, tiny("lstm", {}))
    board = folder / "tensorboard" / "lr=0.001,seed=0" / "events.out.tfevents.1"
    board.parent.mkdir(parents=True)
    board.write_bytes(b"")
    return folder, board


def test_a_run_that_came_to_nothing_does_not_block_the_corrected_command(crashed):
    folder, board = crashed
    (folder / "checkpoints" / "4.orbax-checkpoint-tmp").mkdir(parents=True)  # cut off in its first save
    write_jsonl(folder / "metrics.jsonl", [])
    corrected = tiny("lstm", {"train.steps": 7})
    workdir.check(folder, corrected)
    assert board.exists()  # looking changes nothing
    workdir.claim_run(folder, corrected)
    assert json.loads((folder / "config.json").read_text())["train"]["steps"] == 7 and not board.exists()


def test_the_same_command_leaves_everything_as_it_is(crashed):
    folder, board = crashed
    before = (folder / "config.json").stat().st_mtime_ns
    workdir.claim_run(folder, tiny("lstm", {"mesh.seed": 2}))
    assert board.exists() and (folder / "config.json").stat().st_mtime_ns == before


@pytest.mark.parametrize("kind", ["row", "checkpoint"])
def test_one_that_has_left_something_does(kind, crashed):
    folder, _ = crashed
    if kind == "row":
        write_jsonl(folder / "metrics.jsonl", [{"step": 1}])
    else:
        (folder / "checkpoints" / "4").mkdir(parents=True)
    with pytest.raises(workdir.WorkdirError, match=r"another config \(it differs in train.steps\)"):
        workdir.check(folder, tiny("lstm", {"train.steps": 7}))


@pytest.mark.parametrize("url", ["file:///tmp/x", "ftp://host/x", "S3://bucket/x", "://x"])
def test_a_url_that_is_none_of_a_bucket(url):
    with pytest.raises(
        InputError, match="cannot be written to; give a path, or a URL that starts with gs://"
    ):
        paths.absolute(url)


def test_a_loop_of_links_is_one_line(tmp_path):
    (tmp_path / "a").symlink_to(tmp_path / "b")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    with pytest.raises(InputError, match=r"^--workdir: .*choose another folder$"):
        folder = paths.absolute(tmp_path / "a" / "run")
        workdir.claim(folder, "study.json", dict)  # newer Pythons find out here


def test_a_home_that_nobody_has():
    with pytest.raises(InputError, match="cannot be found"):
        paths.absolute("~nobody-of-that-name/run")
