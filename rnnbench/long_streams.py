"""Tests how far a solution extends: trained members on long streams, the state carried between pieces.

    python -m rnnbench.long_streams WORKDIR... --length=100000

A member takes part if its headline is at least `--solved` at the longest evaluation case of its run. The
longer the stream, the more memory for its tokens and for the state of attention, but not for anything else.
"""

import argparse
import functools
import sys
from collections.abc import Sequence
from typing import Any, NotRequired

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from rnnbench import notebook, terminal
from rnnbench.config import InputError
from rnnbench.report import draw
from rnnbench.report.figures import line
from rnnbench.report.panels import Panel, Plot, log_ticks
from rnnbench.report.spread import spreads
from rnnbench.report.style import style
from rnnbench.report.summary import labels, title
from rnnbench.store import workdir
from rnnbench.store.paths import Place, absolute, check, write_bytes
from rnnbench.store.rows import Member, Row, case_name, read_rows, write_jsonl
from rnnbench.tasks.contract import Batch, Case, Task, bounds
from rnnbench.train import evaluate

ROWS, PLOT = "far.jsonl", "far.png"
KEPT = ("cell", "task", "protocol", "model", "overrides", "seed", "learning_rate", "step")
WHOLE = ("accuracy", "last_accuracy", "last_quarter_accuracy")  # whose chance is that of a position


class Streamed(Member):
    """A line of far.jsonl: how a member does on a case. Older ones have no overrides.

    chance: None if it is not that of a position.  accuracy_by_position: None where nothing is asked.
    """

    task: str
    protocol: str
    model: str
    overrides: NotRequired[dict[str, Any]]
    case: dict[str, Any]
    sequences: int
    chance: float | None
    accuracy: float
    last_quarter_accuracy: float
    starts: list[int]
    accuracy_by_position: list[float | None]


def solved(rows: Sequence[Row], threshold: float) -> list[Row]:
    """The final rows of the longest case, of members whose headline there is at least the threshold."""
    final = [row for row in rows if row["final"]]
    longest = max((bounds(row["case"]["length"])[1] for row in final), default=0)
    at_end = [row for row in final if bounds(row["case"]["length"])[1] == longest]
    return [row for row in at_end if not row["diverged"] and row[row["headline"]] >= threshold]


def stream(
    model: nnx.Module, task: Task, case: Case, key: jax.Array, sequences: int, piece: int
) -> dict[str, np.ndarray]:
    """{"count": [T], "right": [T]} of sequences of a case: how often a position is supervised, and right.

    These are the sequences of the first batch of that size in an evaluation of the case with this key.
    """
    keys = jax.random.split(jax.random.fold_in(key, 0), sequences)
    batch = jax.tree.map(np.asarray, jax.jit(jax.vmap(lambda key: task.sample(key, case)))(keys))
    length = batch.inputs.shape[1]
    graphdef, params = nnx.split(model)
    state, right = model.init_state(sequences, length), []
    for start in range(0, length, piece):
        part = Batch(*(leaf[:, start : start + piece] for leaf in batch))
        sums, state = _piece(graphdef, params, state, part)
        right.append(np.asarray(sums))
    return {"count": batch.mask.sum(axis=0), "right": np.concatenate(right)}


@functools.partial(jax.jit, static_argnums=0)
def _piece(graphdef: nnx.GraphDef, params: Any, state: Any, part: Batch) -> tuple[jax.Array, Any]:
    """(right answers per position, state). Compiled once for all members: equal models have equal graphs."""
    logits, state = nnx.merge(graphdef, params)(part.inputs, state)
    # NaN is no answer, and argmax would make class 0 of it. Learned positions give it beyond their table.
    right = (logits.argmax(-1) == part.targets) & jnp.isfinite(logits).all(-1) & part.mask
    return jnp.sum(right, axis=0), state


def rows_of(run: Place, solvers: Sequence[Row], length: int, sequences: int, piece: int) -> list[Streamed]:
    """A row per member of a run and case: accuracy overall, at the end and by position."""
    rows = []
    for solver in solvers:
        member = notebook.load(run, seed=solver["seed"], learning_rate=solver["learning_rate"])
        case = solver["case"] | {"length": length}
        try:
            jax.eval_shape(lambda key, case=case, task=member.task: task.sample(key, case), jax.random.key(0))
        except (OverflowError, TypeError, ValueError) as error:
            raise InputError(f"--length: there are no sequences of {case_name(case)}") from error
        key = evaluate.case_key(member.config.eval.seed, case)
        sums = stream(member.model, member.task, case, key, sequences, piece)
        count, right = sums["count"], sums["right"]
        if not count.any():
            raise InputError(f"--length: {sequences} sequences of {case_name(case)} have no target")
        late, bins = np.cumsum(count) > 0.75 * count.sum(), evaluate.by_position(sums)
        rows.append(
            {name: solver[name] for name in KEPT}
            | {"case": case, "sequences": sequences}
            | {"chance": float(member.task.chance(case)) if solver["headline"] in WHOLE else None}
            | {"accuracy": float(right.sum() / count.sum())}
            | {"last_quarter_accuracy": float(right[late].sum() / count[late].sum())}
            | {f"{name}_by_position" if name == "accuracy" else name: values for name, values in bins.items()}
        )
        shown = f"{rows[-1]['accuracy']:.4f}, in the last quarter {rows[-1]['last_quarter_accuracy']:.4f}"
        member_name = f"learning rate {solver['learning_rate']:g}, seed {solver['seed']}"
        print(f"{solver['cell']}, {member_name}: {shown}", flush=True)
    return rows


def figure(rows: Sequence[dict[str, Any]]) -> Plot:
    """Accuracy by position: a panel per task and protocol, a line per cell and case.

    A line is the median of its members, its band their spread.
    """
    found: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in rows:
        found.setdefault((row["task"], row["protocol"]), []).append(row)
    tasks = [task for task, _ in found]
    panels = [
        _panel(title(task) if tasks.count(task) == 1 else f"{title(task)} · {protocol}", mine)
        for (task, protocol), mine in found.items()
    ]
    return Plot("far", "Long streams", "", panels)


def _panel(name: str, rows: Sequence[dict[str, Any]]) -> Panel:
    of_line: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in rows:
        of_line.setdefault((row["cell"], case_name(row["case"])), []).append(row)
    firsts = [mine[0] for mine in of_line.values()]
    entries = [{"model": row["model"], "label": name} for row, name in zip(firsts, _labels(firsts))]
    lines = []
    for entry, mine in zip(entries, of_line.values()):
        ends = [*mine[0]["starts"][1:], mine[0]["case"]["length"]]
        values = [pair for row in mine for pair in zip(ends, row["accuracy_by_position"])]
        points = [(x, "", spread) for x, spread in spreads(values).items()]
        lines.append(line(f"{entry['label']} ({len(mine)})", style(entry, entries), points))
    xs = [x for each in lines for x in each.x]
    chances = {row["chance"] for row in rows} - {None}
    return Panel(
        f"{name}: the state carried over {max(row['case']['length'] for row in rows):,} steps",
        "median and band over the members, their number in brackets",
        "position",
        "accuracy",
        lines,
        x_log=10,  # if a solution leaks, accuracy drops early
        x_ticks=log_ticks(xs),
        chance=[(x, chance) for chance in chances for x in (min(xs), max(xs))] if len(chances) == 1 else [],
    )


def _labels(rows: Sequence[dict[str, Any]]) -> list[str]:
    """Per line the model, and what distinguishes it: settings, and the case where the lengths differ."""
    models = labels([{"overrides": {}} | row for row in rows])  # older rows have no overrides
    longest = max(row["case"]["length"] for row in rows)
    found = []
    for row, model in zip(rows, models):
        length = "" if row["case"]["length"] == longest else f"{row['case']['length']:,}"
        rest = case_name({key: value for key, value in row["case"].items() if key != "length"})
        found.append(" ".join(filter(None, [model, length, rest])))
    return found


def _same(row: dict[str, Any]) -> tuple:
    """What a new row takes the place of: the same member on the same case."""
    return row["cell"], row["seed"], row["learning_rate"], case_name(row["case"])


def main(arguments: Sequence[str] | None = None) -> int:
    return terminal.run(command, arguments)


def command(arguments: Sequence[str] | None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m rnnbench.long_streams",
        description=f"Writes {ROWS} and {PLOT}: accuracy along long streams.",
    )
    parser.add_argument("workdirs", metavar="WORKDIR", nargs="+", help="the workdir of a run or of a study")
    for name, default, text in (
        ("length", 100_000, "tokens of a stream"),
        ("sequences", 64, "streams per member"),
        ("piece", 1000, "tokens per piece"),
    ):
        parser.add_argument(f"--{name}", type=int, default=default, help=f"{text} (default {default})")
    parser.add_argument(
        "--solved", type=float, default=0.95, help="smallest headline of a member (default 0.95)"
    )
    parser.add_argument("--out", metavar="FOLDER", help="where to write; by default the first workdir")
    options = parser.parse_args(arguments)
    for name in ("length", "sequences", "piece"):
        if getattr(options, name) < 1:
            raise InputError(f"--{name}: must be at least 1; it is {getattr(options, name)}")
    folder = workdir.writable(options.out or options.workdirs[0], "--out")
    try:
        rows = read_rows(folder / ROWS, Streamed)
        runs = {run: read_rows(run / "results.jsonl", Row) for run in _runs(options.workdirs)}
        if not any(row["final"] for mine in runs.values() for row in mine):
            raise InputError(f"{' '.join(options.workdirs)}: nothing is trained to its end; finish it first")
        solvers = {run: found for run, mine in runs.items() if (found := solved(mine, options.solved))}
        if not solvers:
            raise InputError(f"--solved: no member reaches {options.solved:g}; lower it")
        for run, mine in solvers.items():
            fresh = rows_of(run, mine, options.length, options.sequences, options.piece)
            new = set(map(_same, fresh))
            rows = [row for row in rows if _same(row) not in new] + fresh
            write_jsonl(folder / ROWS, rows)  # after each run, because a stream takes minutes
        write_bytes(folder / PLOT, draw.png(figure(rows)))
    except OSError as error:
        raise InputError(error) from error
    print(f"written: {folder / ROWS}, {folder / PLOT}")
    return 0


def _runs(workdirs: Sequence[str]) -> list[Place]:
    """The runs of these workdirs, with studies as their cells that were begun. InputError without any."""
    found = []
    for folder in map(absolute, workdirs):
        check(folder)
        runs = sorted(file.parent for file in folder.glob("cells/*/config.json")) or [folder]
        if not (runs[0] / "config.json").exists():
            raise InputError(f"{folder}: no run or study here (no config.json, no cells/*/config.json)")
        found += runs
    return found


if __name__ == "__main__":
    sys.exit(main())
