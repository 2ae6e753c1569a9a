"""JSONL files that survive kills, and TensorBoard runs read back as TensorBoard itself reads them."""

import math
import struct
import typing

import numpy as np
import pytest
from helpers import tiny
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.backend.event_processing.event_multiplexer import EventMultiplexer
from tensorboard.plugins.hparams import api_pb2, metadata

from rnnbench.store.paths import write_text
from rnnbench.store.rows import FILES, Row, case_name, finite, member_name, read_jsonl, unlike, write_jsonl
from rnnbench.train.log import RunLog
from rnnbench.train.population import prepare

MEMBERS = [{"seed": 0, "learning_rate": 0.003}, {"seed": 1, "learning_rate": 0.003}]
CASES = ({"length": 12}, {"length": 24})


@pytest.fixture(scope="module")
def setup():
    return prepare(tiny("lstm", {"population.learning_rates": (0.003,), "population.seeds": (0, 1)}))


def chunk(loss=0.5, diverged=False):
    """A chunk's metrics as the device gives them."""
    values = {"loss": loss, "accuracy": 0.5, "grad_norm": 1.0, "tokens": 90.0}
    return {name: np.full(2, value) for name, value in values.items()} | {"diverged": np.full(2, diverged)}


def evaluated(accuracy=0.75):
    """(member, case, metrics, positions) as of an evaluation; the second member has diverged."""
    found = []
    for case in CASES:
        for member in MEMBERS:
            wild = member["seed"] == 1
            names = ("loss", "accuracy", "last_accuracy", "last_quarter_accuracy", "sequence_accuracy")
            values = dict.fromkeys([*names, "scaled_accuracy"], None if wild else accuracy)
            values |= {"sequences": 16, "headline": "last_quarter_accuracy", "chance": 0.5, "diverged": wild}
            found.append((member, case, values, {"starts": [0], "accuracy": [0.5]}))
    return found


RAN = {"train_seconds": 1.0, "compile_seconds": 1.0, "eval_seconds": 1.0, "device": "cpu", "versions": {}}


def accumulate(workdir, member):
    return EventAccumulator(str(workdir / "tensorboard" / member_name(member))).Reload()


def points(events, tag):
    """[(step, value)] of a tag, in either form in which TensorBoard stores scalars."""
    if tag in events.Tags()["scalars"]:
        return [(event.step, event.value) for event in events.Scalars(tag)]
    return [(event.step, event.tensor_proto.float_val[0]) for event in events.Tensors(tag)]


def log_run(setup, workdir, steps, restored=0, loss=0.5, last=None):
    log = RunLog(setup, "cell", workdir, restored)
    for step in steps:
        log.trained(step, chunk(loss), 10, 1.0)
        log.evaluated(step, step == last, evaluated(), RAN)
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


def hparams(events):
    content = events.SummaryMetadata(metadata.SESSION_START_INFO_TAG).plugin_data.content
    return metadata.parse_session_start_info_plugin_data(content)


def status(events):
    content = events.SummaryMetadata(metadata.SESSION_END_INFO_TAG).plugin_data.content
    return metadata.parse_session_end_info_plugin_data(content).status


def test_tensorboard_shows_headline_and_curve_first_and_the_rest_under_one_tag(setup, tmp_path):
    log = log_run(setup, tmp_path, [10, 20], last=20)
    log.close()
    events, diverged = (accumulate(tmp_path, member) for member in MEMBERS)
    tags = set(events.Tags()["scalars"])
    assert sorted({tag.split("/")[0] for tag in tags}) == ["headline", "training", "various"]
    named = {"headline", "headline/length=12", "headline/length=24", "training/loss", "training/accuracy"}
    assert {tag for tag in tags if not tag.startswith("various/")} == named
    assert points(events, "training/loss") == [(10, 0.5), (20, 0.5)]
    assert points(events, "headline") == [(10, 0.75), (20, 0.75)]
    assert points(events, "various/length=24/accuracy") == [(10, 0.75), (20, 0.75)]
    assert points(events, "various/tokens_per_second") == [(10, 900.0), (20, 900.0)]
    assert "headline" not in diverged.Tags()["scalars"]
    assert [status(events), status(diverged)] == [api_pb2.STATUS_SUCCESS, api_pb2.STATUS_FAILURE]


def test_hparams_begin_with_what_tells_members_apart(setup, tmp_path):
    """TensorBoard sorts the columns by name."""
    log_run(setup, tmp_path, []).close()
    shown = hparams(accumulate(tmp_path, MEMBERS[1])).hparams
    assert sorted(shown)[:4] == ["Learning rate", "Model", "Seed", "Task"]
    assert (shown["Model"].string_value, shown["Task"].string_value) == ("lstm", "bit_parity")
    assert (shown["Learning rate"].number_value, shown["Seed"].number_value) == (0.003, 1)
    assert shown["model.dim"].number_value == 16 and shown["eval.lengths"].string_value == "[12, 24]"


def test_runs_in_folders_of_one_name_are_rows_of_their_own(setup, tmp_path):
    """Read by TensorBoard's own HPARAMS backend."""
    for task in ("mqar", "parity"):
        log_run(setup, tmp_path / task / "deltanet", [10], last=10).close()
    multiplexer = EventMultiplexer().AddRunsFromDirectory(str(tmp_path)).Reload()
    names = {hparams(multiplexer.GetAccumulator(run)).group_name or run for run in multiplexer.Runs()}
    assert len(names) == 4 and {name.split("/")[0] for name in names} == {"mqar", "parity"}


def test_the_picture(setup, tmp_path):
    log = log_run(setup, tmp_path, [10])
    rows = log.evaluated(20, True, evaluated(), RAN)
    log.picture(rows)
    log.close()
    (image,) = accumulate(tmp_path, MEMBERS[0]).Images("accuracy_vs_length")
    assert image.step == 20 and image.encoded_image_string[:4] == b"\x89PNG"
    width, height = struct.unpack(">II", image.encoded_image_string[16:24])
    assert (image.width, image.height) == (width, height) and width > 100


def test_what_fails_in_tensorboard_is_one_warning_and_harms_no_row(setup, tmp_path, monkeypatch, capsys):
    def full(*_):
        raise OSError("no space left on device\nsecond line")

    log = log_run(setup, tmp_path, [10])
    monkeypatch.setattr("rnnbench.train.tensorboard.RecordWriter.write", full)
    rows = log.evaluated(20, True, evaluated(), RAN)
    log.picture(rows)
    log.close()
    said = capsys.readouterr().err.splitlines()
    warning = "TensorBoard logging stops for cell (OSError: no space left on device)"
    assert said == [f"rnnbench: warning: {warning}"]
    assert [row["step"] for row in read_jsonl(tmp_path / "results.jsonl")] == [10] * 4 + [20] * 4
    assert accumulate(tmp_path, MEMBERS[0]).Tags()["images"] == []


def test_a_picture_that_cannot_be_drawn_is_one_warning(setup, tmp_path, monkeypatch, capsys):
    def fail(rows):
        raise RuntimeError("latex was not able to process")

    log = log_run(setup, tmp_path, [10])
    rows = log.evaluated(20, True, evaluated(), RAN)
    monkeypatch.setattr("rnnbench.report.draw.of_rows", fail)
    log.picture(rows)
    log.close()
    (said,) = capsys.readouterr().err.splitlines()
    assert said.endswith("(RuntimeError: latex was not able to process)")
    assert points(accumulate(tmp_path, MEMBERS[0]), "headline") == [(10, 0.75), (20, 0.75)]


def test_a_diverged_member_has_no_points(setup, tmp_path):
    log = RunLog(setup, "cell", tmp_path, 0)
    log.trained(10, chunk(), 10, 1.0)
    log.trained(20, chunk(diverged=True), 10, 1.0)
    log.flush()
    log.close()
    assert points(accumulate(tmp_path, MEMBERS[0]), "training/loss") == [(10, 0.5)]
    assert [row["loss"] for row in read_jsonl(tmp_path / "metrics.jsonl")] == [0.5, 0.5, None, None]


def test_resume_equals_an_undisturbed_run(setup, tmp_path):
    """Killed at step 30, last checkpoint at 20: nothing is doubled, nothing of the lost part is left."""
    log_run(setup, tmp_path / "whole", [10, 20, 30, 40]).close()
    log_run(setup, tmp_path / "killed", [10, 20]).close()
    log_run(setup, tmp_path / "killed", [30], restored=20, loss=7.0).close()
    log_run(setup, tmp_path / "killed", [30, 40], restored=20).close()
    for name in FILES:
        assert (tmp_path / "killed" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    for member in MEMBERS:
        whole, killed = accumulate(tmp_path / "whole", member), accumulate(tmp_path / "killed", member)
        for tag in whole.Tags()["scalars"]:
            assert points(killed, tag) == points(whole, tag)
        assert hparams(killed).hparams["Seed"].number_value == member["seed"]


def test_positions_without_their_rows_are_dropped(setup, tmp_path):
    """A kill between writing the two files leaves such positions; the evaluation is repeated."""
    log_run(setup, tmp_path, [10, 20]).close()
    kept = [row for row in read_jsonl(tmp_path / "results.jsonl") if row["step"] == 10]
    write_jsonl(tmp_path / "results.jsonl", kept)
    log = RunLog(setup, "cell", tmp_path, 20)
    assert log.evaluation(10) == kept[0] and log.evaluation(20) is None
    log.flush()
    log.close()
    assert {row["step"] for row in read_jsonl(tmp_path / "positions.jsonl")} == {10}


def test_rows_unflushed_are_not_in_the_files(setup, tmp_path):
    log = log_run(setup, tmp_path, [10])
    log.trained(20, chunk(), 10, 1.0)
    log.close()
    assert [row["step"] for row in read_jsonl(tmp_path / "metrics.jsonl")] == [10, 10]


def test_rows_are_of_their_kind(setup, tmp_path):
    log_run(setup, tmp_path, [10]).close()
    for name, kind in FILES.items():
        for row in read_jsonl(tmp_path / name):
            assert not unlike(row, kind) and row.keys() <= typing.get_type_hints(kind).keys()
            for key in kind.__required_keys__:
                assert unlike({k: v for k, v in row.items() if k != key}, kind) == f"it has no {key!r}"
    assert unlike(row | {"loss": "much"}, Row) == "'loss' is 'much'" and not unlike(row | {"loss": None}, Row)
