"""What a run writes down, JSONL rows and TensorBoard, kept in step with each other and the checkpoints."""

import json
import math
import struct
import time
from collections.abc import Iterator, Mapping, Sequence

from tensorboard.compat.proto import event_pb2, summary_pb2
from tensorboard.plugins.hparams import api_pb2, metadata, plugin_data_pb2, summary_v2
from tensorboard.summary.writer.record_writer import RecordWriter

from rnnbench.config import InputError
from rnnbench.storage import Place, growing, place, write_text

TRAIN_SCALARS = ("loss", "accuracy", "grad_norm", "tokens_per_second")
EVAL_SCALARS = (
    "loss",
    "accuracy",
    "last_accuracy",
    "last_quarter_accuracy",
    "sequence_accuracy",
    "balanced_accuracy",
    "f1",
    "scaled_accuracy",
)
# In the order in which they are replaced: who sees a new results.jsonl sees everything that belongs to it.
FILES = ("metrics.jsonl", "positions.jsonl", "results.jsonl")


def finite(value) -> float | None:
    """The value as a Python float; None if it is missing or not finite, since NaN is not JSON."""
    if value is None:
        return None
    value = float(value)
    return value if math.isfinite(value) else None


def case_name(case: Mapping) -> str:
    """`{"length": [40, 256], "pairs": 64}` → `length=40-256,pairs=64`: readable, and fit for a tag."""

    def text(value):
        return "-".join(str(v) for v in value) if isinstance(value, (list, tuple)) else str(value)

    return ",".join(f"{key}={text(value)}" for key, value in case.items())


def member_name(member: Mapping) -> str:
    """The name of a member's TensorBoard run: `lr=0.003,seed=0`."""
    return f"lr={member['learning_rate']:g},seed={member['seed']}"


def read_jsonl(path) -> list[dict]:
    """The rows of a JSONL file; none if there is no such file. InputError names a line that is no object."""
    rows = []
    for number, row, wrong in jsonl_lines(path):
        if row is None:
            raise InputError(f"{path}:{number}: {wrong}")
        rows.append(row)
    return rows


def jsonl_lines(path) -> Iterator[tuple[int, dict | None, str]]:
    """(line number, row, "") per line of a JSONL file, or (line number, None, what is wrong with it)."""
    path = place(path)
    if not path.exists():
        return
    for number, line in enumerate(path.read_bytes().decode(errors="replace").splitlines(), start=1):
        try:
            row = json.loads(line, parse_constant=_no_number)
        except ValueError as error:
            yield number, None, f"not a line of JSON ({getattr(error, 'msg', error)})"
            continue
        yield (number, row, "") if isinstance(row, dict) else (number, None, "not a JSON object")


def _no_number(name: str) -> None:
    raise ValueError(f"{name} is no number of JSON")


def write_jsonl(path, rows: Sequence[Mapping]) -> None:
    """Replaces the whole file: object stores cannot append, and a reader never sees half of it."""
    write_text(path, "".join(json.dumps(row, allow_nan=False) + "\n" for row in rows))


class RunLog:
    """The JSONL files and TensorBoard runs of one population; only process 0 makes one.

    Rows are held in memory and the files rewritten whole by `flush`, so call `flush` before a checkpoint is
    saved. Opened at a restored step, it drops every row and scalar behind that step.
    """

    def __init__(self, workdir, members: Sequence[Mapping], hparams: Mapping, step: int):
        self._workdir = place(workdir)
        self._rows = {}
        for name in FILES:
            rows = read_jsonl(self._workdir / name)
            self._rows[name] = [row for row in rows if row["step"] <= step]
        self._last_step = step
        names = [member_name(member) for member in members]
        if len(set(names)) < len(names):
            raise ValueError(f"two members would share a TensorBoard folder: {', '.join(sorted(names))}")
        self._runs = [
            _TensorBoardRun(self._workdir / "tensorboard" / name, {**hparams, **member}, step)
            for name, member in zip(names, members)
        ]
        self._run_of = {
            (member["seed"], member["learning_rate"]): run for member, run in zip(members, self._runs)
        }

    def train(self, rows: Sequence[Mapping]) -> None:
        """Rows of metrics.jsonl, one per member."""
        for row in rows:
            self._add("metrics.jsonl", row)
            values = {f"train/{name}": row.get(name) for name in TRAIN_SCALARS}
            self._run(row).scalars(values, row["step"])

    def evaluation(self, rows: Sequence[Mapping], positions: Sequence[Mapping]) -> None:
        """Rows of results.jsonl and positions.jsonl, of all members and cases."""
        for row in positions:
            self._add("positions.jsonl", row)
        for row in rows:
            self._add("results.jsonl", row)
            folder = f"eval/{case_name(row['case'])}"
            self._run(row).scalars({f"{folder}/{name}": row.get(name) for name in EVAL_SCALARS}, row["step"])

    def image(self, tag: str, png_bytes: bytes, step: int, member: Mapping) -> None:
        self._run(member).image(tag, png_bytes, step)

    def flush(self) -> None:
        for run in self._runs:
            run.flush()
        for name in FILES:
            write_jsonl(self._workdir / name, self._rows[name])

    def finish(self, final_metrics: Sequence[Mapping]) -> None:
        """Ends the members' sessions; one mapping per member, in their order, is shown as `final/<name>`.

        TensorBoard finds out by itself which hyperparameters and metrics there are, so that one HPARAMS tab
        can compare runs of different tasks and models. A member without a single value is marked as failed.
        """
        for run, values in zip(self._runs, final_metrics, strict=True):
            run.scalars({f"final/{name}": value for name, value in values.items()}, self._last_step)
            run.end_session(failed=all(finite(value) is None for value in values.values()))
        self.flush()

    def close(self) -> None:
        for run in self._runs:
            run.close()

    def _add(self, file: str, row: Mapping) -> None:
        self._rows[file].append(dict(row))
        self._last_step = max(self._last_step, row["step"])

    def _run(self, row: Mapping) -> "_TensorBoardRun":
        return self._run_of[row["seed"], row["learning_rate"]]


class _TensorBoardRun:
    """One TensorBoard run folder, written without TensorFlow."""

    def __init__(self, folder: Place, hparams: Mapping, step: int):
        folder.mkdir(parents=True, exist_ok=True)
        self._writer = RecordWriter(growing(_new_event_file(folder)))
        self._event(file_version="brain.Event:2")
        # Tells TensorBoard to forget what an earlier, killed process wrote at this step and later.
        start = event_pb2.SessionLog(status=event_pb2.SessionLog.START)
        self._event(step=step + 1, session_log=start)
        trial = f"{folder.parents[1].name}/{folder.name}"  # a study's cell, or the name of the run's workdir
        self._summary(summary_v2.hparams_pb(hparams, trial_id=trial).value, 0)

    def scalars(self, values: Mapping, step: int) -> None:
        kept = [(tag, finite(value)) for tag, value in values.items()]
        self._summary(
            [summary_pb2.Summary.Value(tag=tag, simple_value=x) for tag, x in kept if x is not None], step
        )

    def image(self, tag: str, png_bytes: bytes, step: int) -> None:
        if png_bytes[:8] != b"\x89PNG\r\n\x1a\n":
            raise ValueError(f"the image {tag!r} is no PNG")
        width, height = struct.unpack(">II", png_bytes[16:24])  # the header chunk comes first in every PNG
        image = summary_pb2.Summary.Image(
            encoded_image_string=png_bytes, width=width, height=height, colorspace=4
        )
        self._summary([summary_pb2.Summary.Value(tag=tag, image=image)], step)

    def end_session(self, failed: bool) -> None:
        info = plugin_data_pb2.SessionEndInfo(
            status=api_pb2.STATUS_FAILURE if failed else api_pb2.STATUS_SUCCESS, end_time_secs=time.time()
        )
        content = metadata.create_summary_metadata(plugin_data_pb2.HParamsPluginData(session_end_info=info))
        value = summary_pb2.Summary.Value(
            tag=metadata.SESSION_END_INFO_TAG, metadata=content, tensor=metadata.NULL_TENSOR
        )
        self._summary([value], 0)

    def flush(self) -> None:
        self._writer.flush()

    def close(self) -> None:
        self._writer.close()

    def _summary(self, values: Sequence[summary_pb2.Summary.Value], step: int) -> None:
        self._event(step=step, summary=summary_pb2.Summary(value=values))

    def _event(self, **fields) -> None:
        self._writer.write(event_pb2.Event(wall_time=time.time(), **fields).SerializeToString())


def _new_event_file(folder: Place) -> Place:
    """A name that sorts behind those already there: TensorBoard reads the files of a run in that order.

    Its own writer names files by second and process id, so a quick restart could come before its past.
    """
    stem = "events.out.tfevents."
    earlier = [path.name.removeprefix(stem).split(".")[0] for path in folder.glob(f"{stem}*")]
    stamp = max([int(time.time()), *(int(text) for text in earlier if text.isdigit())])
    return folder / f"{stem}{stamp:010d}.{len(earlier):06d}"
