"""Tests how far a solution extends: trained members on long streams, the state carried between pieces.

    python -m rnnbench.long_streams WORKDIR... --length=100000

A member takes part if its headline is at least `--solved` at the longest evaluation case of its run. Memory
does not grow with the stream, except for attention, whose state does.
"""

import argparse
import functools
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

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
from rnnbench.store.paths import place, write_bytes
from rnnbench.store.rows import case_name, read_jsonl, write_jsonl
from rnnbench.tasks.contract import Batch, Case, Task, bounds
from rnnbench.train import evaluate

ROWS, PLOT = "far.jsonl", "far.png"
KEPT = ("cell", "task", "protocol", "model", "overrides", "seed", "learning_rate", "step")
WHOLE = ("accuracy", "last_accuracy", "last_quarter_accuracy")  # whose chance is that of a position


def solved(rows: Sequence[dict[str, Any]], threshold: float) -> list[dict[str, Any]]:
    """The final rows of the longest case, of members whose headline there is at least the threshold."""
    final = [row for row in rows if row["final"]]
    longest = max((bounds(row["case"]["length"])[1] for row in final), default=0)
    at_end = [row for row in final if bounds(row["case"]["length"])[1] == longest]
    return [row for row in at_end if (row[row["headline"]] or 0.0) >= threshold]


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
    return jnp.sum((logits.argmax(-1) == part.targets) & part.mask, axis=0), state


def rows_of(run: Path, length: int, sequences: int, piece: int, threshold: float) -> list[dict[str, Any]]:
    """A row per solved member of a run: member, case, and accuracy overall, at the end and by position."""
    rows = []
    for solver in solved(read_jsonl(run / "results.jsonl"), threshold):
        member = notebook.load(run, seed=solver["seed"], learning_rate=solver["learning_rate"])
        case = solver["case"] | {"length": length}
        try:
            jax.eval_shape(lambda key, case=case, task=member.task: task.sample(key, case), jax.random.key(0))
        except (TypeError, ValueError) as error:
            raise InputError(f"--length: there are no sequences of {case_name(case)}") from error
        key = evaluate.case_key(member.config.eval.seed, case)
        sums = stream(member.model, member.task, case, key, sequences, piece)
        count, right = sums["count"], sums["right"]
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
    folder = place(options.out or options.workdirs[0])
    try:
        for name in ("length", "sequences", "piece"):
            if getattr(options, name) < 1:
                raise InputError(f"--{name}: must be at least 1; it is {getattr(options, name)}")
        if folder.is_file():
            raise InputError(f"--out: {folder} is a file; name a folder")
        how = options.length, options.sequences, options.piece, options.solved
        rows, streamed = read_jsonl(folder / ROWS), False
        for run in _runs(options.workdirs):
            if fresh := rows_of(run, *how):
                new, streamed = set(map(_same, fresh)), True
                rows = [row for row in rows if _same(row) not in new] + fresh
                write_jsonl(folder / ROWS, rows)  # after each run, because a stream takes minutes
        if not streamed:
            raise InputError(f"--solved: no member reaches {options.solved:g}; lower it")
    except OSError as error:
        raise InputError(error) from error
    write_bytes(folder / PLOT, draw.png(figure(rows)))
    print(f"written: {folder / ROWS}, {folder / PLOT}")
    return 0


def _runs(workdirs: Sequence[str]) -> list[Path]:
    """The runs of these workdirs, with studies as their cells. InputError for a folder that is neither."""
    found = []
    for workdir in map(Path, workdirs):
        runs = sorted(workdir.glob("cells/*")) or [workdir]
        if not (runs[0] / "config.json").exists():
            raise InputError(f"{workdir}: no run or study here (no config.json, no cells)")
        found += runs
    return found


if __name__ == "__main__":
    sys.exit(main())
