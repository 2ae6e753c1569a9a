"""A run: one config trained, evaluated and checkpointed in one workdir. `log.py` writes it down."""

import json
import statistics
import time
import zlib
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict

from rnnbench.config.saved import Pair
from rnnbench.parallel import signals
from rnnbench.parallel.hosts import Preempted, from_main, is_main, preempted, together
from rnnbench.parallel.mesh import to_host
from rnnbench.report.summary import summary_line
from rnnbench.store import workdir
from rnnbench.store.paths import Place, absolute
from rnnbench.store.rows import Row, case_name
from rnnbench.train import evaluate, grow
from rnnbench.train import profile as profiling
from rnnbench.train.checkpoint import Checkpoints
from rnnbench.train.log import RunLog, versions
from rnnbench.train.population import compile_all, init_state, state_shapes
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
    have: Collection[Pair] = (),
) -> list[Row]:
    """Trains the population of `config` in the workdir `folder` and returns the final rows there.

    Run again, it resumes from the newest checkpoint, or returns the rows at once if the run is finished;
    asked for more members or steps, it trains what is missing. Raises ConfigError, WorkdirError or
    CheckpointError before anything is compiled or written, and Preempted when it was told to stop and has
    saved its state. `profile` are the steps of which to write a trace, `have` members finished elsewhere.
    """
    folder, progress = absolute(folder), progress or Progress()
    seen = lambda parts: (config.to_dict(), [(str(place), *part[1:]) for place, part in parts.items()])
    parts = together(lambda: grow.look(config, folder, profile, have), seen)
    done = [place for place, part in parts.items() if part.rows]
    to_do = [place for place in parts if place not in done]
    progress.more(max(len(to_do) - 1, 0))
    if to_do and preempted():
        raise Preempted(f"{cell_name(config)} was not begun")
    rows = grow.merge(config, folder, parts, done) if done else []
    for place in to_do:
        with progress:
            rows = _train(parts[place], place, progress, profile)
            done.append(place)
            rows = grow.merge(config, folder, parts, done) if len(parts) > 1 else rows
            progress.done(summary_line(rows))
    if not to_do:
        progress.skip(cell_name(config), summary_line(rows))
    return rows


def run_alone(config: ConfigDict, folder: str | Path, profile: tuple[int, int] | None = None) -> list[Row]:
    """`run`, and a WorkdirError while another command is running in that folder."""
    folder = absolute(folder)
    together(lambda: grow.look(config, folder, profile))
    with workdir.held_by_main(folder / ".lock") as held:
        if not held:
            raise workdir.WorkdirError(f"{folder} is in use by another command; choose another folder")
        return run(config, folder, profile=profile)


def _train(part: grow.Part, place: Place, progress: Progress, profile: tuple[int, int] | None) -> list[Row]:
    """Trains a part to its end: its final rows."""
    checkpoints = Checkpoints(place / "checkpoints", part.setup.config.checkpoint.keep)
    session = _Session(part.setup, place, checkpoints, progress, profile)
    try:
        return session.train()
    finally:
        session.close()


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
        self.step, self.diverged = 0, [False] * len(self.members)
        resuming = checkpoints.latest() is not None
        if resuming:
            self.state, extra, self.step = together(lambda: checkpoints.restore(state_shapes(setup)))
            self.seconds, self.diverged = extra["seconds"], extra.get("diverged", self.diverged)
        signals.saved(self._stand() if resuming else signals.NOTHING_YET)
        together(lambda: is_main() and workdir.claim_run(folder, self.config))
        together(lambda: workdir.check_shared(folder / "config.json"))
        progress.start(self.cell, self.config.train.steps, self.step)
        progress.note("compiling")
        clock = time.perf_counter()
        if not resuming:
            self.state = init_state(setup)
        self.chunk, self.evaluators = compile_all(setup, self.state)
        compiling = time.perf_counter() - clock
        self.saved_step, self.pending = self.step, None
        self.watch = ThreadPoolExecutor(1)
        self.log = RunLog(setup, self.cell, folder, self.step)
        if before := self.log.evaluation(self.step):
            self.seconds = {name: before[name] for name in self.seconds}
        self.seconds["compile_seconds"] += compiling
        self.owed = from_main(self._due() and not before)

    def close(self) -> None:
        self.watch.shutdown(wait=False)
        self.trace.stop()
        self.checkpoints.close()
        self.log.close()

    def train(self) -> list[Row]:
        """The loop over chunks. Their borders depend on the step alone: a resumed run has the same ones.

        The state is saved before it is evaluated: whatever ends an evaluation costs no training. A run that
        finds the rows of its checkpoint's evaluation lacking owes them first.
        """
        steps, save_every = self.config.train.steps, self.config.checkpoint.every
        self.clock, final = time.perf_counter(), False
        while not final:
            if not self.owed:
                self._advance()
            self.owed, due = False, self._due()
            since = self.step - self.saved_step
            saving = self.step == steps or (since >= save_every if save_every else due)
            stopping = preempted()
            if due or saving or stopping:
                self._log_pending()
            if saving or stopping:
                self._save()
            if due and not stopping:
                rows = self._evaluate()
                stopping, final = not rows, bool(rows) and rows[0]["final"]
                if (stopping or final) and self.saved_step < self.step:
                    self._save()
            if stopping:
                raise Preempted(self._stand())
            if due or saving:
                self.clock = time.perf_counter()
        self.log.picture(rows)
        return rows

    def _due(self) -> bool:
        """Whether the members are to be evaluated at this step."""
        every = self.config.eval.every
        return self.step == self.config.train.steps or (
            every > 0 and self.step > 0 and self.step % every == 0
        )

    def _advance(self) -> None:
        """Dispatches a chunk; the host reads the one before while the device works on it.

        On a GPU a dispatch returns when the last kernel is queued, so that the end of the chunk before is
        long past: a thread looks at the clock.
        """
        signals.unsaved()
        n = self._next_border() - self.step
        self.trace.before(self.step, self.step + n)
        self.state, metrics = self.chunk(self.state, np.int32(n))
        self.step += n
        self._log_pending()
        self.pending = (self.step, n, metrics, self.watch.submit(_end, metrics))
        if self.trace.ends(self.step):
            self._log_pending()
            self.trace.stop()

    def _next_border(self) -> int:
        train, every = self.config.train, self.config.eval.every
        borders = [train.steps] + [(self.step // size + 1) * size for size in (train.chunk, every) if size]
        return min(borders)

    def _log_pending(self) -> None:
        """Waits for the chunk last dispatched, if it is not logged yet, and writes down a row per member."""
        if self.pending is None:
            return
        (step, n, metrics, end), self.pending = self.pending, None
        values, now = to_host(metrics), end.result()
        seconds, self.clock = now - self.clock, now
        self.seconds["train_seconds"] += seconds
        self.diverged = values["diverged"].tolist()
        rows = self.log.trained(step, values, n, seconds)
        self.progress.update(step, _median(rows, "loss"), _median(rows, "accuracy"))

    def _evaluate(self) -> list[Row]:
        """Rows of every case and member, final ones at the end or where all pass; none if told to stop."""
        task, clock, found = self.setup.task, time.perf_counter(), []
        for case in task.cases():
            if found and preempted():
                return []
            self.progress.note(f"evaluating {case_name(case)}")
            key = evaluate.case_key(self.config.eval.seed, case)
            sums = self.evaluators[case_name(case)](self.state.members.params, key)
            for i, member in enumerate(self.members):
                mine = {name: value[i] for name, value in sums.items()}
                values = evaluate.metrics(mine, task, case, self.diverged[i])
                found.append((member, case, values, evaluate.by_position(mine)))
        self.seconds["eval_seconds"] += time.perf_counter() - clock
        device = f"{self.setup.mesh.size} x {jax.devices()[0].device_kind}"
        ran = {**self.seconds, "device": device, "versions": versions()}
        final = self.step == self.config.train.steps or self._all_pass(found)
        return self.log.evaluated(self.step, final, found, ran)

    def _all_pass(self, found: list[tuple[Any, ...]]) -> bool:
        """Whether every member not diverged reaches train.stop_accuracy at the longest training length."""
        wanted, selection = self.config.train.stop_accuracy, self.setup.task.selection_case()
        mine = [values[values["headline"]] for _, case, values, _ in found if case == selection]
        return wanted > 0 and all(value is None or value >= wanted for value in mine)

    def _save(self) -> None:
        self.log.flush()
        self.progress.note("saving")
        self.checkpoints.save(self.step, self.state, {"seconds": self.seconds, "diverged": self.diverged})
        self.checkpoints.wait()  # the next chunk is given this state's memory
        self.saved_step = self.step
        signals.saved(self._stand())

    def _stand(self) -> str:
        return f"{self.cell} is saved at step {self.step} of {self.config.train.steps}"


def _end(metrics: dict[str, jax.Array]) -> float:
    """The time at which a chunk is done."""
    jax.block_until_ready(metrics)
    return time.perf_counter()


def _median(rows: list[Row], name: str) -> float | None:
    values = [row[name] for row in rows if row[name] is not None]
    return statistics.median(values) if values else None
