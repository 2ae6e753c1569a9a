"""A workdir in a bucket: our own files, by way of fsspec's in-memory file system; and whole files on disk."""

import json
from pathlib import Path

import fsspec
import pytest
from etils.epath import backend
from fsspec.implementations.memory import MemoryFileSystem
from fsspec.registry import _registry
from helpers import tiny
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from rnnbench.report.write import write
from rnnbench.store import paths, workdir
from rnnbench.store.rows import FILES, read_jsonl
from rnnbench.train import grow
from rnnbench.train import run as train
from rnnbench.train.checkpoint import Checkpoints


class Bucket(MemoryFileSystem):
    """gs:// in memory: like the real one it knows objects, and paths without a leading slash."""

    protocol, store, pseudo_dirs = ("gcs", "gs"), {}, [""]

    @classmethod
    def _strip_protocol(cls, path):
        return "/" + path.removeprefix("gs://").removeprefix("gcs://").strip("/") if path.strip("/") else ""

    def glob(self, path, **how):
        return [found.lstrip("/") for found in super().glob(path, **how)]


@pytest.fixture
def bucket(monkeypatch):
    monkeypatch.setitem(_registry, "gcs", Bucket)
    backend.fsspec_backend._get_filesystem.cache_clear()
    Bucket.clear_instance_cache()
    Bucket.store.clear()
    yield "gs://bucket"
    backend.fsspec_backend._get_filesystem.cache_clear()


def test_a_run_in_a_bucket(bucket, tmp_path, monkeypatch):
    """All but the checkpoints, whose arrays go past fsspec: they lie on disk here."""
    for module in (train, grow):
        monkeypatch.setattr(
            module, "Checkpoints", lambda folder, keep=2: Checkpoints(tmp_path / "checkpoints", keep)
        )
    settings = {"train.steps": 4, "train.chunk": 2, "eval.every": 2, "population.seeds": (0, 1)}
    there, here = f"{bucket}/runs/one", tmp_path / "one"
    in_bucket = train.run(tiny("lstm", settings), there)
    assert {row["step"] for row in in_bucket} == {4} and all(row["final"] for row in in_bucket)
    names = set(Bucket.store)
    for name in ("config.json", *FILES):
        assert f"/bucket/runs/one/{name}" in names, names
    assert json.loads((paths.place(there) / "config.json").read_text())["train"]["steps"] == 4
    assert len(read_jsonl(f"{there}/results.jsonl")) == 2 * 2 * 2
    assert train.run(tiny("lstm", settings), there) == in_bucket  # finished: as read from the bucket
    events = [name for name in names if "tfevents" in name and "seed=1" in name]
    assert len(events) == 1
    here.mkdir()
    (here / "events.out.tfevents.0").write_bytes(Bucket().cat(events[0]))
    shown = EventAccumulator(str(here)).Reload()
    assert [event.step for event in shown.Scalars("training/loss")] == [2, 4]
    _, files = write([there])
    assert f"{there}/report.md" in map(str, files) and "/bucket/runs/one/report.md" in Bucket.store
    assert not Path("gs:").exists()  # nothing has fallen to the local disk


def test_what_belongs_to_another_config_is_refused_there_too(bucket):
    paths.write_text(f"{bucket}/study/study.json", "{}")
    with pytest.raises(workdir.WorkdirError, match="gs://bucket/study holds a study"):
        workdir.check(paths.place(f"{bucket}/study"), tiny("lstm", {}))


def test_a_bucket_that_cannot_be_reached_is_named(bucket, monkeypatch):
    def fail(*_):
        raise PermissionError("no credentials")

    monkeypatch.setattr(Bucket, "exists", fail)
    with pytest.raises(paths.InputError, match=r"gs://bucket/x cannot be reached .*no credentials"):
        workdir.check_writable(paths.place(f"{bucket}/x"))


@pytest.mark.parametrize(
    "scheme, package", [("gs", r"'rnnbench\[gcloud\]'"), ("s3", "s3fs"), ("az", "adlfs")]
)
def test_without_its_package_the_package_is_named(scheme, package, monkeypatch):
    backend.fsspec_backend._get_filesystem.cache_clear()

    def fail(*_, **__):
        raise ImportError("Please install gcsfs to access Google Storage")

    monkeypatch.setattr(fsspec, "filesystem", fail)
    with pytest.raises(paths.InputError, match=f"pip install {package}$"):
        workdir.check_writable(paths.place(f"{scheme}://bucket/x"))


def test_a_growing_object_is_whole_after_every_flush(bucket):
    place = paths.place(f"{bucket}/events")
    file = paths.growing(place)
    file.write(b"one")
    file.flush()
    assert place.read_bytes() == b"one"
    file.write(b"two")
    assert place.read_bytes() == b"one"
    file.close()
    assert place.read_bytes() == b"onetwo"
