"""A run: one config trained, evaluated and checkpointed in one workdir. `log.py` writes it down."""

import json
import statistics
import time
import zlib
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path
from platform import python_version
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict

from rnnbench import __version__
from rnnbench.parallel.hosts import Preempted, is_main, preempted, together
from rnnbench.parallel.mesh import to_host
from rnnbench.report.summary import summary_line
from rnnbench.store import workdir
from rnnbench.store.paths import Place, absolute
from rnnbench.store.rows import case_name
from rnnbench.train import evaluate
from rnnbench.train import profile as profiling
from rnnbench.train.checkpoint import Checkpoints
from rnnbench.train.log import Record
from rnnbench.train.population import TrainState, init_state, make_train_chunk, prepare, state_shapes
from rnnbench.train.progress import Progress
from rnnbench.train.step import Setup


def cell_name(config: ConfigDict) -> str:
    """The stable id of a config's cell: task, protocol, model, and a digest of the overrides, if any."""
    name = f"{config.task.name}-{config.protocol}-{config.model.name}"
    if config.overrides:
        name += f"-{zlib.crc32(json.dumps(config.overrides, sort_keys=True).encode()):08x}"
    return name


def run(
    config: ConfigDict,
    folder: str | Path,
    progress: Progress | None = None,
    profile: tuple[int, int] | None = None,
) -> list[dict[str, Any]]:
    """Trains the population of `config` in the workdir `folder` and returns its final rows.

    Run again, it resumes from the newest checkpoint, or returns the rows at once if the run is finished.
    Raises ConfigError, WorkdirError or CheckpointError before anything is compiled or written, and Preempted
    when it was told to stop and has saved its state. `profile` are the steps of which to write a trace.
    """
    folder = absolute(folder)
    checkpoints = Checkpoints(folder / "checkpoints", config.checkpoint.keep)
    setup, _, rows = _look(config, folder, checkpoints, profile)
    progress = progress or Progress()
    if rows:
        progress.skip(cell_name(config), summary_line(rows))
        return rows
    if preempted():
        raise Preempted(f"{cell_name(config)} was not begun")
    with progress:
        session = _Session(setup, folder, checkpoints, progress, profile)
        try:
            rows = session.train()
        finally:
            session.close()
        progress.done(summary_line(rows))
    return rows


def run_alone(config: ConfigDict, folder: str | Path, profile: tuple[int, int] | None = None) -> None:
    """`run`, and a WorkdirError while another command is running in that folder."""
    folder = absolute(folder)
    checkpoints = Checkpoints(folder / "checkpoints")
    try:
        _look(config, folder, checkpoints, profile)
    finally:
        checkpoints.close()
    together(lambda: is_main() and workdir.claim(folder, "config.json", config.to_dict()))
    with workdir.held_by_main(folder / ".lock") as held:
        if not held:
            raise workdir.WorkdirError(f"{folder} is in use by another command; choose another folder")
        run(config, folder, profile=profile)


def _look(
    config: ConfigDict, folder: Place, checkpoints: Checkpoints, profile: tuple[int, int] | None
) -> tuple[Setup, int | None, list[dict[str, Any]] | None]:
    """(setup, newest step, final rows if finished), or an error before anything is compiled or written."""

    def look() -> tuple[Setup, int | None, list[dict[str, Any]] | None]:
        setup = prepare(config)
        workdir.check(folder, config)
        if profile:
            profiling.check(profile, folder, checkpoints.latest() or 0)
        return setup, checkpoints.latest(), workdir.finished(folder, checkpoints.latest())

    return together(look, seen=lambda found: (config.to_dict(), found[1:]))


class _Session:
    """One process's work on a run: the population, its compiled programs, its files and its clocks."""

    def __init__(
        self,
        setup: Setup,
        folder: Place,
        checkpoints: Checkpoints,
        progress: Progress,
        profile: tuple[int, int] | None,
    ):
        self.trace = profiling.Trace(profile, folder / "profile")
        self.setup, self.config, self.progress, self.checkpoints = setup, setup.config, progress, checkpoints
        self.cell, self.members = cell_name(self.config), setup.member_names()
        self.seconds = {"train_seconds": 0.0, "compile_seconds": 0.0, "eval_seconds": 0.0}
        self.step = 0
        resuming = checkpoints.latest() is not None
        if resuming:
            self.state, extra, self.step = checkpoints.restore(state_shapes(setup))
            self.seconds = extra["seconds"]
        together(lambda: is_main() and workdir.claim(folder, "config.json", self.config.to_dict()))
        together(lambda: workdir.check_shared(folder / "config.json"))
        progress.start(self.cell, self.config.train.steps, self.step)
        progress.note("compiling")
        clock = time.perf_counter()
        if not resuming:
            self.state = init_state(setup)
        self.chunk, self.evaluators = compile_all(setup, self.state)
        self.seconds["compile_seconds"] += time.perf_counter() - clock
        self.saved_step, self.pending, self.diverged = self.step, None, None
        self.record = Record(setup, self.cell, folder, self.step)

    def close(self) -> None:
        self.trace.stop()
        self.checkpoints.close()
        self.record.close()

    def train(self) -> list[dict[str, Any]]:
        """The loop over chunks. Their borders depend on the step alone: a resumed run has the same ones."""
        steps, every, save_every = (
            self.config.train.steps,
            self.config.eval.every,
            self.config.checkpoint.every,
        )
        self.clock, final = time.perf_counter(), False
        while not final:
            n = self._next_border() - self.step
            self.trace.before(self.step, self.step + n)
            self.state, metrics = self.chunk(self.state, np.int32(n))
            self.step += n
            self._log_pending()  # the host reads the chunk before while the device works on this one
            self.pending = (self.step, n, metrics)
            if self.trace.ends(self.step):
                self._log_pending()
                self.trace.stop()
            at_end = self.step == steps
            evaluating = at_end or (every > 0 and self.step % every == 0)
            saving = at_end or (self.step - self.saved_step >= save_every if save_every else evaluating)
            stopping = not at_end and preempted()
            if evaluating or saving or stopping:
                self._log_pending()
            if evaluating:
                rows = self._evaluate(at_end)
                final = rows[0]["final"]
            if saving or final or stopping:
                self._save()
            if stopping and not final:
                raise Preempted(f"{self.cell} is saved at step {self.step} of {steps}")
            if evaluating or saving:
                self.clock = time.perf_counter()
        return rows

    def _next_border(self) -> int:
        train, every = self.config.train, self.config.eval.every
        borders = [train.steps] + [(self.step // size + 1) * size for size in (train.chunk, every) if size]
        return min(borders)

    def _log_pending(self) -> None:
        """Waits for the chunk last dispatched, if it is not logged yet, and writes down a row per member."""
        if self.pending is None:
            return
        (step, n, metrics), self.pending = self.pending, None
        values = to_host(metrics)
        now = time.perf_counter()
        seconds, self.clock = now - self.clock, now
        self.seconds["train_seconds"] += seconds
        self.diverged = values["diverged"]
        rows = self.record.trained(step, values, n, seconds)
        self.progress.update(step, _median(rows, "loss"), _median(rows, "accuracy"))

    def _evaluate(self, at_end: bool) -> list[dict[str, Any]]:
        """Rows of every case and member, written down; the final ones at the end, or where all pass."""
        task, clock, found = self.setup.task, time.perf_counter(), []
        for case in task.cases():
            self.progress.note(f"evaluating {case_name(case)}")
            key = evaluate.case_key(self.config.eval.seed, case)
            sums = to_host(self.evaluators[case_name(case)](self.state.members.params, key))
            for i, member in enumerate(self.members):
                mine = {name: value[i] for name, value in sums.items()}
                values = evaluate.metrics(mine, task, case, bool(self.diverged[i]))
                found.append((member, case, values, evaluate.by_position(mine)))
        self.seconds["eval_seconds"] += time.perf_counter() - clock
        device = f"{self.setup.mesh.size} x {jax.devices()[0].device_kind}"
        ran = {**self.seconds, "device": device, "versions": versions()}
        return self.record.evaluated(self.step, at_end or self._all_pass(found), found, ran)

    def _all_pass(self, found: list[tuple[Any, ...]]) -> bool:
        """Whether every member not diverged reaches train.stop_accuracy at the longest training length."""
        wanted, selection = self.config.train.stop_accuracy, self.setup.task.selection_case()
        mine = [values[values["headline"]] for _, case, values, _ in found if case == selection]
        return wanted > 0 and all(value is None or value >= wanted for value in mine)

    def _save(self) -> None:
        self.record.flush()
        self.progress.note("saving")
        self.checkpoints.save(self.step, self.state, {"seconds": self.seconds})
        self.checkpoints.wait()  # the next chunk is given this state's memory
        self.saved_step = self.step


def compile_all(setup: Setup, state: TrainState) -> tuple[Any, dict[str, Any]]:
    """The train chunk and one evaluator per case, compiled side by side: one compile leaves cores idle."""
    config, key = setup.config, jax.random.key(0)
    size = dict(batches=config.eval.batches, batch_size=config.train.batch_size)

    def evaluator(case: dict[str, Any]) -> Any:
        made = evaluate.make_evaluator(
            setup.task, setup.apply, case, **size, mesh=setup.mesh, mode=setup.mode
        )
        return made.lower(state.members.params, key).compile()

    with ThreadPoolExecutor(max_workers=2) as pool:
        chunk = pool.submit(lambda: make_train_chunk(setup).lower(state, np.int32(1)).compile())
        cases = {case_name(case): pool.submit(evaluator, case) for case in setup.task.cases()}
        return chunk.result(), {name: job.result() for name, job in cases.items()}


def versions() -> dict[str, str]:
    """What made a row, as far as it may change the numbers."""
    others = {name: version(name) for name in ("jax", "jaxlib", "flax", "optax")}
    return {"rnnbench": __version__, **others, "python": python_version()}


def _median(rows: list[dict[str, Any]], name: str) -> float | None:
    values = [row[name] for row in rows if row[name] is not None]
    return statistics.median(values) if values else None
