"""What a run says of itself: rows of its members for files and TensorBoard, last plots, a line of summary."""

import json
from typing import Any

import jax
from flax import nnx
from ml_collections import ConfigDict

from rnnbench import model
from rnnbench.config import flat
from rnnbench.member import Setup
from rnnbench.metrics import RunLog, case_name, finite
from rnnbench.processes import is_main
from rnnbench.report import draw
from rnnbench.storage import Place
from rnnbench.tasks.base import bounds

Rows = list[dict[str, Any]]


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


def summary(rows: Rows) -> str:
    """The best member's headline at each case, in a line."""
    names = dict.fromkeys(case_name(row["case"]) for row in rows)
    best = {
        n: [row[row["headline"]] for row in rows if case_name(row["case"]) == n and not row["diverged"]]
        for n in names
    }
    return "  ".join(
        f"{name}: {max(values):.3f}" if values else f"{name}: diverged" for name, values in best.items()
    )
