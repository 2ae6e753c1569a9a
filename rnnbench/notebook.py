"""For notebooks: `rnnbench.load`, `rnnbench.stream`, `rnnbench.results`."""

import functools
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pandas
from flax import nnx
from ml_collections import ConfigDict

from rnnbench.config import InputError, saved, told
from rnnbench.model import SequenceModel
from rnnbench.report.read import frame, read
from rnnbench.report.summary import last_rows, summarise
from rnnbench.sizes import num_params
from rnnbench.store import workdir as folders
from rnnbench.store.paths import Place, absolute, check
from rnnbench.store.rows import Row, member_name, pair, read_rows
from rnnbench.tasks.contract import Task
from rnnbench.train import grow
from rnnbench.train.checkpoint import Checkpoints
from rnnbench.train.population import prepare, state_shapes
from rnnbench.train.step import Setup


class Loaded(NamedTuple):
    """A trained member: `model(tokens [B, T]) -> (logits [B, T, classes], state)`.

    params: its parameters, a tree of arrays.  config: the run's.  task: `task.sample(key, case)` draws data.
    member: {"seed", "learning_rate"}.  step: of the checkpoint.
    """

    model: SequenceModel
    params: dict
    config: ConfigDict
    task: Task
    member: dict
    step: int

    def __repr__(self) -> str:
        run = f"{self.config.task.name}, {self.config.model.name}, {member_name(self.member)}"
        return f"<a trained member: {run}, step {self.step}, {num_params(self.params):,} parameters>"


def load(
    workdir: str | Path,
    seed: int | None = None,
    learning_rate: float | None = None,
    step: int | None = None,
) -> Loaded:
    """A member of the run in `workdir` from its newest checkpoint, or from that of `step`.

    Without a learning rate the report's: the best median headline over seeds at the longest length of
    training. Without a seed the best one at that case; ties are broken by the loss. InputError if there is
    no such run, checkpoint or member, or if a file of the run is damaged.
    """
    folder = absolute(workdir)
    check(folder)
    if not (folder / "config.json").exists():
        cells = " ".join(sorted(file.parent.name for file in folder.glob("cells/*/config.json")))
        hint = f"; it is a study, name one of its cells in {workdir}/cells: {cells}" if cells else ""
        raise InputError(f"{workdir}: no run here (no config.json){hint}")
    parts = {part: _config(part) for part in (folder, *grow.begun(folder))}
    where = {
        (rate, one): part for part, config in parts.items() for rate, one in saved.pairs(config.population)
    }
    place = lambda member: where[pair(member)]
    asked = {"seed": seed, "learning_rate": learning_rate}
    asked = {key: value for key, value in asked.items() if value is not None}
    members = [{"seed": one, "learning_rate": rate} for rate, one in where]
    left = [member for member in members if asked.items() <= member.items()]
    if not left:
        raise InputError(f"no such member; there are: {'  '.join(map(member_name, members))}")
    part, member = place(left[0]), left[0]
    setup, state, found = _restored(part, parts[part], step)
    if len(left) > 1:
        rows = [row for row in read_rows(folder / "results.jsonl", Row) if row["step"] <= found]
        # Without those of a part whose folder is gone.
        member = _best([row for row in rows if pair(row) in where], asked)
    if place(member) != part:
        part = place(member)
        setup, state, found = _restored(part, parts[part], step)
    # By way of the host: no longer tied to a mesh, so that they mix with arrays made anywhere.
    mine = lambda leaf: jnp.asarray(np.asarray(leaf)[setup.member_names().index(member)])
    params = jax.tree.map(mine, state.members.params)
    return Loaded(nnx.merge(setup.graphdef, params), params, parts[part], setup.task, member, found)


def _config(run: Place) -> ConfigDict:
    file = run / "config.json"
    try:
        return saved.from_saved(folders.read_config(file))
    except (AttributeError, KeyError, TypeError) as error:
        raise InputError(f"{file} is not the config of a run ({told(error)})") from None


def _restored(run: Place, config: ConfigDict, step: int | None) -> tuple[Setup, Any, int]:
    """(setup, train state, step) of a checkpoint."""
    config = config.copy_and_resolve_references()
    # Wherever it was trained, one device is enough to look at it.
    config.mesh.seed = config.mesh.data = config.mesh.time = 1
    setup = prepare(config)
    checkpoints = Checkpoints(run / "checkpoints")
    try:
        state, _, step = checkpoints.restore(state_shapes(setup), step)
    finally:
        checkpoints.close()
    return setup, state, step


def _best(rows: Sequence[dict], asked: dict) -> dict:
    """The member whose last evaluation is best, among those that are asked for."""
    fits = lambda row: all(row[key] == value for key, value in asked.items())
    if not any(map(fits, rows)):
        raise InputError("nothing was evaluated up to this step: name a seed and a learning_rate")
    if "learning_rate" not in asked:
        asked = asked | {"learning_rate": summarise(rows)[0]["learning_rate"]}
    worst = (-math.inf, -math.inf)
    quality = lambda row: worst if row["diverged"] else (row[row["headline"]], -row["loss"])
    # A run that grows has members at different steps.
    best = max((row for row in last_rows(rows) if row["selection"] and fits(row)), key=quality)
    return {key: best[key] for key in ("seed", "learning_rate")}


def stream(
    model: SequenceModel, batch: int = 1, max_length: int = 1024
) -> tuple[Callable[..., tuple[jax.Array, Any]], Any]:
    """(step, state) to feed a model token by token.

    `step(tokens [B], state) -> (logits [B, classes], state)` is compiled once and gives what the model gives
    for the whole sequence. `step(tokens, state, reset)` begins a new sequence with these tokens wherever
    reset [B] is true, as at the end of an episode. Attention keeps a cache of `max_length` tokens and answers
    NaN beyond it; models with a recurrent state have no end.
    """
    graphdef, variables = nnx.split(model)

    @jax.jit
    def step(
        variables: Any, tokens: jax.Array, state: Any, reset: jax.Array | None = None
    ) -> tuple[jax.Array, Any]:
        reset = None if reset is None else reset[:, None]
        logits, state = nnx.merge(graphdef, variables)(tokens[:, None], state, reset=reset)
        return logits[:, 0], state

    return functools.partial(step, variables), model.init_state(batch, max_length)


def results(workdir: str | Path, *others: str | Path) -> pandas.DataFrame:
    """The rows of runs, studies and table folders as a pandas DataFrame, one per member, case and evaluation.

    `case` is the case's name and `length` its longest length; `final` marks the last evaluation. Lines that
    cannot be used are named in `attrs["problems"]`.
    """
    found = read([workdir, *others])
    table = frame(found.rows)
    table.attrs["problems"] = found.problems
    return table
