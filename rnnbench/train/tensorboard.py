"""One member's TensorBoard run, written without TensorFlow."""

import struct
import time
from collections.abc import Mapping, Sequence

from tensorboard.compat.proto import event_pb2, summary_pb2
from tensorboard.plugins.hparams import api_pb2, metadata, plugin_data_pb2, summary_v2
from tensorboard.summary.writer.record_writer import RecordWriter

from rnnbench.store.paths import Place, growing
from rnnbench.store.rows import finite


class TensorBoardRun:
    """One TensorBoard run folder, written without TensorFlow."""

    def __init__(self, folder: Place, hparams: Mapping, step: int):
        folder.mkdir(parents=True, exist_ok=True)
        self._writer = RecordWriter(growing(_new_event_file(folder)))
        self._event(file_version="brain.Event:2")
        # Tells TensorBoard to forget what an earlier, killed process wrote at this step and later.
        start = event_pb2.SessionLog(status=event_pb2.SessionLog.START)
        self._event(step=step + 1, session_log=start)
        # Without an id TensorBoard names a trial by its folder's path below --logdir, so no two are merged.
        self._summary(summary_v2.hparams_pb(hparams, trial_id="").value, 0)

    def scalars(self, values: Mapping, step: int) -> None:
        kept = [(tag, finite(value)) for tag, value in values.items()]
        self._summary(
            [summary_pb2.Summary.Value(tag=tag, simple_value=x) for tag, x in kept if x is not None], step
        )

    def image(self, tag: str, png_bytes: bytes, step: int) -> None:
        if png_bytes[:8] != b"\x89PNG\r\n\x1a\n":
            raise ValueError(f"the image {tag!r} is not a PNG")
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
    """A name that sorts after the existing files: TensorBoard reads the files of a run in that order.

    TensorBoard's own writer names files by second and process id, so the files of a quick restart could sort
    before older ones.
    """
    stem = "events.out.tfevents."
    earlier = [path.name.removeprefix(stem).split(".")[0] for path in folder.glob(f"{stem}*")]
    stamp = max([int(time.time()), *(int(text) for text in earlier if text.isdigit())])
    return folder / f"{stem}{stamp:010d}.{len(earlier):06d}"
