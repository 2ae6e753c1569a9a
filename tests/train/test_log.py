"""JSONL files that survive kills, and TensorBoard runs read back as TensorBoard itself reads them."""

import io
import json
import math

import pytest
from matplotlib.figure import Figure
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams import api_pb2, metadata

from rnnbench.store.paths import write_text
from rnnbench.store.rows import case_name, finite, member_name, read_jsonl, write_jsonl
from rnnbench.train.log import RunLog

MEMBERS = [{"seed": 0, "learning_rate": 0.003}, {"seed": 1, "learning_rate": 0.003}]
HPARAMS = {"model.name": "lstm", "model.dim": 64, "model.options.bias": True, "optim.clip": 0.5}


def train_rows(step, loss=0.5):
    return [
        dict(cell="lstm", **member, step=step, loss=loss, accuracy=0.5, grad_norm=1.0, tokens_per_second=9.0)
        for member in MEMBERS
    ]


def result_rows(step, accuracy=0.75):
    cases = [{"length": 64}, {"length": [40, 256]}]
    return [
        dict(cell="lstm", **member, step=step, case=case, accuracy=accuracy, loss=0.1, diverged=False)
        for member in MEMBERS
        for case in cases
    ]


def position_rows(step):
    return [
        dict(cell="lstm", **MEMBERS[0], step=step, case={"length": 64}, starts=[0, 32], accuracy=[1.0, 0.5])
    ]


def png():
    buffer = io.BytesIO()
    Figure(figsize=(2, 1), dpi=50).savefig(buffer, format="png")
    return buffer.getvalue()


def accumulate(workdir, member):
    return EventAccumulator(str(workdir / "tensorboard" / member_name(member))).Reload()


def points(events, tag):
    """Whether TensorBoard stored a scalar or its modern tensor form is its own business."""
    if tag in events.Tags()["scalars"]:
        return [(event.step, event.value) for event in events.Scalars(tag)]
    return [(event.step, event.tensor_proto.float_val[0]) for event in events.Tensors(tag)]


def log_run(workdir, steps, restored=0, loss=0.5):
    log = RunLog(workdir, MEMBERS, HPARAMS, restored)
    for step in steps:
        log.train(train_rows(step, loss))
        log.evaluation(result_rows(step), position_rows(step))
        log.flush()
    return log


@pytest.mark.parametrize(
    "case, name",
    [
        ({"length": 64}, "length=64"),
        ({"length": [40, 256]}, "length=40-256"),
        ({"length": 512, "pairs": 64}, "length=512,pairs=64"),
    ],
)
def test_case_name(case, name):
    assert case_name(case) == name


def test_finite_turns_what_json_cannot_hold_into_none():
    assert [finite(x) for x in (1, 0.5, None, math.nan, math.inf, -math.inf)] == [
        1.0,
        0.5,
        None,
        None,
        None,
        None,
    ]
    assert type(finite(1)) is float


def test_jsonl_round_trip_keeps_rows_and_field_order(tmp_path):
    rows = [{"b": 1, "a": None, "case": {"length": [3, 40]}}, {"a": "é", "b": 0.1}]
    write_jsonl(tmp_path / "new" / "rows.jsonl", rows)
    back = read_jsonl(tmp_path / "new" / "rows.jsonl")
    assert back == rows and list(back[0]) == ["b", "a", "case"]
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["rows.jsonl"]
    assert read_jsonl(tmp_path / "missing.jsonl") == []


@pytest.mark.parametrize("line", ['{"step": 1', "[1]", "<<<<<<< HEAD"])
def test_a_line_that_is_no_row_is_named(tmp_path, line):
    (tmp_path / "rows.jsonl").write_text('{"step": 0}\n' + line)
    with pytest.raises(ValueError, match=r"rows\.jsonl:2: not a"):
        read_jsonl(tmp_path / "rows.jsonl")


def test_nan_is_refused_and_leaves_the_old_file(tmp_path):
    path = tmp_path / "rows.jsonl"
    write_jsonl(path, [{"loss": 1.0}])
    with pytest.raises(ValueError):
        write_jsonl(path, [{"loss": math.nan}])
    assert read_jsonl(path) == [{"loss": 1.0}]


def test_a_failed_write_leaves_the_old_text_and_no_litter(tmp_path, monkeypatch):
    write_text(tmp_path / "report.md", "old")

    def full_disk(descriptor):
        raise OSError("no space left on device")

    monkeypatch.setattr("rnnbench.store.paths.os.fsync", full_disk)
    with pytest.raises(OSError, match="no space"):
        write_text(tmp_path / "report.md", "new")
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("report.md", "old")]


def test_tensorboard_shows_scalars_image_and_hparams_per_member(tmp_path):
    log = log_run(tmp_path, [10, 20])
    log.image("accuracy_vs_length", png(), 20, MEMBERS[0])
    log.finish([{"accuracy": 0.75}, {"accuracy": None}])
    log.close()
    events = accumulate(tmp_path, MEMBERS[0])
    assert points(events, "train/loss") == [(10, 0.5), (20, 0.5)]
    assert points(events, "eval/length=40-256/accuracy") == [(10, 0.75), (20, 0.75)]
    assert points(events, "final/accuracy") == [(20, 0.75)]
    if "accuracy_vs_length" in events.Tags()["images"]:
        image = events.Images("accuracy_vs_length")[0]
        assert (image.width, image.height, image.encoded_image_string) == (100, 50, png())
    else:
        values = events.Tensors("accuracy_vs_length")[0].tensor_proto.string_val
        assert list(values) == [b"100", b"50", png()]

    start = metadata.parse_session_start_info_plugin_data(
        events.SummaryMetadata(metadata.SESSION_START_INFO_TAG).plugin_data.content
    )
    assert start.hparams["model.name"].string_value == "lstm"
    assert start.hparams["model.dim"].number_value == 64
    assert start.hparams["model.options.bias"].bool_value is True
    assert start.hparams["learning_rate"].number_value == 0.003

    other = accumulate(tmp_path, MEMBERS[1])
    assert "accuracy_vs_length" not in {
        tag for tags in other.Tags().values() if tags is not True for tag in tags or []
    }
    statuses = [
        metadata.parse_session_end_info_plugin_data(
            run.SummaryMetadata(metadata.SESSION_END_INFO_TAG).plugin_data.content
        ).status
        for run in (events, other)
    ]
    assert statuses == [api_pb2.STATUS_SUCCESS, api_pb2.STATUS_FAILURE]


def test_a_diverged_member_has_no_points(tmp_path):
    log = RunLog(tmp_path, MEMBERS, {}, 0)
    log.train(train_rows(10, loss=None))
    log.flush()
    log.close()
    events = accumulate(tmp_path, MEMBERS[0])
    assert points(events, "train/accuracy") == [(10, 0.5)]
    assert "train/loss" not in json.dumps(events.Tags())


def test_resume_equals_an_undisturbed_run(tmp_path):
    """Killed at step 30, last checkpoint at 20: nothing is doubled, nothing of the lost part is left."""
    log_run(tmp_path / "whole", [10, 20, 30, 40]).close()
    log_run(tmp_path / "killed", [10, 20]).close()
    log_run(tmp_path / "killed", [30], restored=20, loss=7.0).close()
    log_run(tmp_path / "killed", [30, 40], restored=20).close()
    for name in ("metrics.jsonl", "results.jsonl", "positions.jsonl"):
        assert (tmp_path / "killed" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    for member in MEMBERS:
        whole, killed = accumulate(tmp_path / "whole", member), accumulate(tmp_path / "killed", member)
        for tag in ("train/loss", "eval/length=64/accuracy"):
            assert points(killed, tag) == points(whole, tag)
        start = killed.SummaryMetadata(metadata.SESSION_START_INFO_TAG).plugin_data.content
        session = metadata.parse_session_start_info_plugin_data(start)
        assert session.hparams["seed"].number_value == member["seed"]
        assert session.group_name == f"killed/{member_name(member)}"  # the name of the trial


def test_rows_unflushed_are_not_in_the_files(tmp_path):
    log = log_run(tmp_path, [10])
    log.train(train_rows(20))
    log.close()
    assert [row["step"] for row in read_jsonl(tmp_path / "metrics.jsonl")] == [10, 10]


def test_members_that_would_share_a_folder_are_refused(tmp_path):
    with pytest.raises(ValueError, match="share a TensorBoard folder"):
        RunLog(tmp_path, [MEMBERS[0], MEMBERS[0]], {}, 0)
    assert list(tmp_path.iterdir()) == []
