"""What a run writes down: rows and TensorBoard in step with the checkpoints."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import jax
from flax import nnx
from ml_collections import ConfigDict

from rnnbench import model
from rnnbench.config.build import flat
from rnnbench.parallel.hosts import is_main
from rnnbench.report import draw
from rnnbench.store.paths import Place, place
from rnnbench.store.rows import FILES, case_name, finite, member_name, read_jsonl, write_jsonl
from rnnbench.tasks.contract import bounds
from rnnbench.train.step import Setup
from rnnbench.train.tensorboard import TensorBoardRun

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
Rows = list[dict[str, Any]]


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
            TensorBoardRun(self._workdir / "tensorboard" / name, {**hparams, **member}, step)
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

    def _run(self, row: Mapping) -> TensorBoardRun:
        return self._run_of[row["seed"], row["learning_rate"]]


class Record:
    """The rows of a run, the same on every process; the main process writes them down.

    Opened at a restored step it goes on from there, see `RunLog`.
    """

    def __init__(self, setup: Setup, cell: str, folder: Place, step: int):
        built = nnx.eval_shape(lambda: setup.make(jax.random.key(0)))
        size = lambda case: model.state_size(built, bounds(case["length"])[1])
        self.config, self.members, self.cell = setup.config, setup.member_names(), cell
        self.selection = setup.task.selection_case()
        self.params = model.num_params(nnx.state(built, nnx.Param))
        self.state_sizes = {case_name(case): size(case) for case in setup.task.cases()}
        self.log = RunLog(folder, self.members, _hparams(self.config), step) if is_main() else None

    def trained(self, step: int, values: dict[str, Any], steps: int, seconds: float) -> Rows:
        """A row per member of the chunk that ends at `step`, from its metrics [members], steps and time."""
        rows = []
        for i, member in enumerate(self.members):
            shown = {
                k: None if values["diverged"][i] else finite(values[k][i])
                for k in ("loss", "accuracy", "grad_norm")
            }
            speed = float(values["tokens"][i]) * steps / seconds
            rows.append({"cell": self.cell, **member, "step": step, **shown, "tokens_per_second": speed})
        if self.log:
            self.log.train(rows)
        return rows

    def evaluated(self, step: int, final: bool, found: list[tuple[Any, ...]], ran: dict[str, Any]) -> Rows:
        """A row per member and case, from (member, case, metrics, accuracy by position) and how it `ran`."""
        rows = [self._row(*of_case, step, final) | ran for *of_case, _ in found]
        positions = [
            {"cell": self.cell, **member, "step": step, "case": case, **bins}
            for member, case, _, bins in found
        ]
        if self.log:
            self.log.evaluation(rows, positions)
            if final:
                self._finish(rows, step)
            self.log.flush()
        return rows

    def flush(self) -> None:
        if self.log:
            self.log.flush()

    def close(self) -> None:
        if self.log:
            self.log.close()

    def _row(
        self, member: dict[str, Any], case: Any, values: dict[str, Any], step: int, final: bool
    ) -> dict[str, Any]:
        config = self.config
        identity = {"cell": self.cell, "task": config.task.name, "protocol": config.protocol}
        identity |= {"model": config.model.name, "overrides": dict(config.overrides), **member}
        return {
            **identity,
            "step": step,
            "final": final,
            "case": case,
            "selection": case == self.selection,
            **values,
            "params": self.params,
            "state_size": self.state_sizes[case_name(case)],
        }

    def _finish(self, rows: Rows, step: int) -> None:
        """Each member's last words in TensorBoard: its plot, and the metrics by which HPARAMS compares it."""
        finals = []
        for member in self.members:
            mine = [row for row in rows if all(row[k] == v for k, v in member.items())]
            self.log.image("accuracy_vs_length", draw.png(draw.of_rows(mine)), step, member)
            chosen = next(row for row in mine if row["selection"])
            headlines = {case_name(row["case"]): row[row["headline"]] for row in mine}
            finals.append({"headline": chosen[chosen["headline"]], **headlines})
        self.log.finish(finals)


def _hparams(config: ConfigDict) -> dict[str, Any]:
    """The config as TensorBoard takes it: flat, and anything but numbers and truth values as text."""
    leaves = flat(config)
    return {k: v if isinstance(v, bool | int | float | str) else json.dumps(v) for k, v in leaves.items()}
