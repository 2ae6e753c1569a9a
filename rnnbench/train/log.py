"""Builds a run's rows, keeps them consistent with the checkpoints, and shows its members in TensorBoard."""

import json
from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib.metadata import version
from platform import python_version
from typing import Any

import jax
from flax import nnx
from ml_collections import ConfigDict

from rnnbench import __version__
from rnnbench.config import first_line, warn
from rnnbench.config.build import flat
from rnnbench.parallel.hosts import is_main
from rnnbench.sizes import num_params, state_size
from rnnbench.store.paths import Place
from rnnbench.store.rows import (
    FILES,
    Curve,
    Positions,
    Row,
    case_name,
    finite,
    member_name,
    read_jsonl,
    write_jsonl,
)
from rnnbench.tasks.contract import Case, bounds
from rnnbench.train.step import Setup
from rnnbench.train.tensorboard import TensorBoardRun

CURVE = ("loss", "accuracy")
METRICS = (
    "loss", "accuracy", "last_accuracy", "last_quarter_accuracy", "sequence_accuracy", "balanced_accuracy",
    "f1", "scaled_accuracy",
)  # fmt: skip


class RunLog:
    """The rows of a run, the same on every process; process 0 writes them to disk.

    Rows are held in memory and `flush` rewrites the files as a whole, so call `flush` before a checkpoint is
    saved. Opened at a restored step, it drops every row and scalar after that step. TensorBoard shows the
    content of the rows; if TensorBoard fails, the run continues without it.
    """

    def __init__(self, setup: Setup, cell: str, folder: Place, step: int):
        self.config, self.members, self.cell = setup.config, setup.member_names(), cell
        self._folder, self._selection = folder, setup.task.selection_case()
        built = nnx.eval_shape(lambda: setup.make(jax.random.key(0)))
        size = lambda case: state_size(built, bounds(case["length"])[1])
        self._params = num_params(nnx.state(built, nnx.Param))
        self._state_sizes = {case_name(case): size(case) for case in setup.task.cases()}
        self._rows: dict[str, list[Any]] = {}
        self._boards: dict[str, TensorBoardRun] = {}
        if is_main():
            # Of a run that continues for more steps, the rows belong to another cell and the last are final.
            now = self._identity() | {"final": False}
            for name in FILES:
                rows = [row for row in read_jsonl(folder / name) if row["step"] <= step]
                self._rows[name] = [row | {k: v for k, v in now.items() if k in row} for row in rows]
            if not self.evaluation(step):  # killed between the two files
                rows = self._rows["positions.jsonl"]
                self._rows["positions.jsonl"] = [row for row in rows if row["step"] < step]
            self._show(lambda: self._open_boards(step))

    def evaluation(self, step: int) -> Row | None:
        """A row of the evaluation at `step`; None if it is not written yet, and on processes other than 0."""
        mine = self.members[0] | {"step": step}
        rows = self._rows.get("results.jsonl", ())
        return next((row for row in rows if all(row[k] == v for k, v in mine.items())), None)

    def trained(self, step: int, values: dict[str, Any], steps: int, seconds: float) -> list[Curve]:
        """A row per member of the chunk that ends at `step`, from its metrics [members], steps and time."""
        rows = []
        for i, member in enumerate(self.members):
            shown = {
                k: None if values["diverged"][i] else finite(values[k][i])
                for k in ("loss", "accuracy", "grad_norm")
            }
            speed = float(values["tokens"][i]) * steps / seconds
            rows.append({"cell": self.cell, **member, "step": step, **shown, "tokens_per_second": speed})
        self._keep("metrics.jsonl", rows)
        self._show(lambda: self._show_curve(rows))
        return rows

    def evaluated(
        self, step: int, final: bool, found: list[tuple[Any, ...]], ran: dict[str, Any]
    ) -> list[Row]:
        """A row per member and case, from (member, case, metrics, accuracy by position) and how it `ran`."""
        rows = [self._row(*of_case, step, final) | ran for *of_case, _ in found]
        positions: list[Positions] = [
            {"cell": self.cell, **member, "step": step, "case": case, **bins}
            for member, case, _, bins in found
        ]
        self._keep("positions.jsonl", positions)
        self._keep("results.jsonl", rows)
        self._show(lambda: self._show_rows(rows))
        self.flush()
        return rows

    def flush(self) -> None:
        for name, rows in self._rows.items():
            write_jsonl(self._folder / name, rows)
        self._show(lambda: [board.flush() for board in self._boards.values()])

    def picture(self, rows: Sequence[Row]) -> None:
        """Shows each member's accuracy against length, after everything else is on disk."""

        def draw_all() -> None:
            from rnnbench.report import draw  # imported here, so that a failure does not end the run

            for member in self.members if self._boards else ():
                mine = [row for row in rows if all(row[k] == v for k, v in member.items())]
                figure = draw.png(draw.of_rows(mine))
                self._board(member).image("accuracy_vs_length", figure, mine[0]["step"])

        self._show(draw_all)

    def close(self) -> None:
        self._show(lambda: [board.close() for board in self._boards.values()])

    def _row(
        self, member: dict[str, Any], case: Case, values: dict[str, Any], step: int, final: bool
    ) -> dict[str, Any]:
        return {
            **self._identity(),
            **member,
            "step": step,
            "final": final,
            "case": case,
            "selection": case == self._selection,
            **values,
            "params": self._params,
            "state_size": self._state_sizes[case_name(case)],
        }

    def _identity(self) -> dict[str, Any]:
        config = self.config
        named = {"cell": self.cell, "task": config.task.name, "protocol": config.protocol}
        return named | {"model": config.model.name, "overrides": dict(config.overrides)}

    def _keep(self, file: str, rows: Sequence[Any]) -> None:
        if file in self._rows:
            self._rows[file].extend(rows)

    def _show(self, step: Callable[[], Any]) -> None:
        """Runs one TensorBoard write. The first failure warns and turns TensorBoard off."""
        try:
            step()
        except Exception as error:  # a disk, a bucket or a library may raise anything
            warn(f"TensorBoard logging stops for {self.cell} ({type(error).__name__}: {first_line(error)})")
            for board in self._boards.values():
                with suppress(Exception):
                    board.close()
            self._boards = {}

    def _open_boards(self, step: int) -> None:
        for member in self.members:
            folder = self._folder / "tensorboard" / member_name(member)
            self._boards[member_name(member)] = TensorBoardRun(folder, _hparams(self.config, member), step)

    def _board(self, member: Any) -> TensorBoardRun:
        return self._boards[member_name(member)]

    def _show_curve(self, rows: Sequence[Curve]) -> None:
        for row in rows if self._boards else ():
            curve = {f"training/{name}": row[name] for name in CURVE}
            others = {f"various/{name}": row[name] for name in ("grad_norm", "tokens_per_second")}
            self._board(row).scalars(curve | others, row["step"])

    def _show_rows(self, rows: Sequence[Row]) -> None:
        """Of the groups of charts, TensorBoard opens only the first two by name: headline and training."""
        for row in rows if self._boards else ():
            case, headline = case_name(row["case"]), row[row["headline"]]
            values = {f"headline/{case}": headline}
            if row["selection"]:
                values["headline"] = headline
            others = {f"various/{case}/{name}": row.get(name) for name in METRICS if name != row["headline"]}
            self._board(row).scalars(values | others, row["step"])
        for member in self.members if self._boards and rows[0]["final"] else ():
            mine = [row for row in rows if all(row[k] == v for k, v in member.items())]
            self._board(member).end_session(failed=all(row["diverged"] for row in mine))


def _hparams(config: ConfigDict, member: dict[str, Any]) -> dict[str, Any]:
    """A member's hyperparameters for HPARAMS: numbers and booleans as they are, anything else as text.

    TensorBoard sorts the columns by name and shows the first five: capitals sort before the config's keys.
    """
    first = {"Learning rate": member["learning_rate"], "Model": config.model.name}
    first |= {"Seed": member["seed"], "Task": config.task.name}
    shown_above = ("model.name", "task.name", "population.")
    leaves = {key: value for key, value in flat(config).items() if not key.startswith(shown_above)}
    plain = {k: v if isinstance(v, bool | int | float | str) else json.dumps(v) for k, v in leaves.items()}
    return first | plain


def versions() -> dict[str, str]:
    """Versions of everything that can change a row's numbers."""
    others = {name: version(name) for name in ("jax", "jaxlib", "flax", "optax")}
    return {"rnnbench": __version__, **others, "python": python_version()}
