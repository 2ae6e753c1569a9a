"""How large the cells of a study are and how long they will take: told before they run, without compiling."""

import statistics
from collections.abc import Callable, Collection, Iterable
from pathlib import Path
from typing import Any, NamedTuple

import jax

from rnnbench import sizes
from rnnbench.config.saved import Pair, pairs, united
from rnnbench.parallel.cores import cores
from rnnbench.store.rows import pair, seconds_of
from rnnbench.tasks.contract import bounds
from rnnbench.train.progress import duration
from rnnbench.train.step import Setup

# Where nothing is measured yet: operations per second of one device (on 2 CPU cores the presets of the
# quickstart ran at 11 to 58 GFLOP/s), the share of them that each of several CPU devices has, and the seconds
# that compiling a cell took there.
OPERATIONS_PER_SECOND = {"cpu": 2e10, "other": 1e12}
SHARE_OF_SEVERAL = 0.75
COMPILE_SECONDS = 10.0


class Size(NamedTuple):
    """Of a cell: `state_size` at its longest case, `operations` over all members, steps and evaluations.

    `left` members are not finished.
    """

    task: str
    model: str
    params: int
    state_size: int
    members: int
    left: int
    steps: int
    operations: float
    devices: int = 1


class Seconds(NamedTuple):
    """What the finished members of a cell took: all but the compiling, and that."""

    work: float
    compile: float
    members: int


def size(setup: Setup, finished: Collection[Pair] = ()) -> Size:
    """The size of a cell of which these members are finished, from shapes alone."""
    config, task = setup.config, setup.task
    params, state = sizes.size(config, task)
    longest = lambda case: bounds(case["length"])[1]
    # A forward pass multiplies and adds each parameter, but for embeddings that are looked up only, and each
    # number of the state once per token; the backward pass costs twice that. A step takes one window.
    looked_up = task.vocab_size - (task.num_classes if config.model.head == "tied" else 0)
    used = params - looked_up * config.model.dim
    forward = lambda case: 2.0 * (used + state[longest(case)]) * longest(case) * config.train.batch_size
    total = sum(weight for _, weight in task.train_cases())
    sequences = sum(weight / total * forward(case) for case, weight in task.train_cases())
    step = 3 * sequences / config.train.windows
    steps, every = config.train.steps, config.eval.every
    evaluations = -(-steps // every) if every else 1
    evaluation = config.eval.batches * sum(map(forward, task.cases()))
    members, there = len(setup.member_names()), set(finished)
    grown = () if there.issuperset(pairs(config.population)) else pairs(united(config, finished).population)
    return Size(
        config.task.name,
        config.model.name,
        params,
        max(state[longest(case)] for case in task.cases()),
        members,
        len(set(grown) - there),
        steps,
        members * (steps * step + evaluations * evaluation),
        setup.mesh.size,
    )


def measured(finished: dict[str, list[dict[str, Any]]]) -> dict[str, Seconds]:
    """What the finished members of cells took, by their final rows."""
    took = {name: seconds_of(rows) for name, rows in finished.items()}
    return {
        name: Seconds(
            of["train_seconds"] + of["eval_seconds"],
            of["compile_seconds"],
            len(set(map(pair, finished[name]))),
        )
        for name, of in took.items()
    }


def predict(name: str, sizes: dict[str, Size], known: dict[str, Seconds]) -> tuple[float, str]:
    """(seconds that the members of a cell that are left will take from their start, where the speed is from).

    The median speed, in operations per second, of the finished members of the cells most like it.
    """
    mine = sizes[name]
    share = lambda cell, members: sizes[cell].operations * members / sizes[cell].members
    left = share(name, mine.left)
    alike: dict[str, Callable[[Size], bool]] = {
        "itself": lambda other: other is mine,
        "task and model": lambda other: (other.task, other.model) == (mine.task, mine.model),
        "model": lambda other: other.model == mine.model,
        "study": lambda other: True,
    }
    for rule, same in alike.items():
        if found := [cell for cell in known if cell in sizes and same(sizes[cell])]:
            speed = statistics.median(
                share(cell, known[cell].members) / max(known[cell].work, 1e-3) for cell in found
            )
            compiling = statistics.median(known[cell].compile for cell in found)
            return compiling + left / speed, rule
    return COMPILE_SECONDS + left / guessed_speed(mine.devices), "guess"


def guessed_speed(devices: int = 1) -> float:
    """Operations per second of so many devices, until something is measured."""
    if jax.default_backend() != "cpu":
        return OPERATIONS_PER_SECOND["other"]
    at_once = min(devices, cores())
    return OPERATIONS_PER_SECOND["cpu"] * max(1, SHARE_OF_SEVERAL * at_once)


def status(folder: Path) -> str:
    """What running a cell that is not finished will do."""
    if any(path.name.isdigit() for path in folder.glob("checkpoints/*")):
        return "resumable"
    return "failed" if (folder / "error.json").exists() else "to do"


def show(
    sizes: dict[str, Size], known: dict[str, Seconds], status: dict[str, str], settings: dict[str, str]
) -> None:
    """Prints a line for each cell that has a status, with its settings, and what they add up to."""
    header = ("cell", "params", "state", "members", "steps", "seconds", "from", "status")
    lines, total = [(*header, "settings" if any(settings.values()) else "")], 0.0
    for name in status:
        mine, (seconds, rule), to_do = sizes[name], predict(name, sizes, known), status[name]
        if not mine.left:
            seconds, rule, to_do = known[name].work + known[name].compile, "itself", "done"
        else:
            total += seconds
            to_do = f"grows by {mine.left}" if name in known else to_do
        shown = (f"{mine.params:,}", f"{mine.state_size:,}", f"{mine.members}", f"{mine.steps:,}")
        lines.append((name, *shown, f"{seconds:.0f}", rule, to_do, settings[name]))
    widths = [max(map(len, column)) for column in zip(*lines)]
    sides = ["<", *">>>>>", *"<<<"]
    for line in lines:
        print("  ".join(f"{text:{side}{w}}" for text, side, w in zip(line, sides, widths)).rstrip())
    done = sum(not sizes[name].left for name in status)
    print(f"{len(status)} cells, {done} done; the others take about {duration(total)}, begun from step 0.")
    print("Seconds are by the speed of what is finished of the cell, of its task and model, of its model or")
    print("the study; a guess is 6 operations per parameter, number of the state and token of training, 2 of")
    speed = guessed_speed(max(mine.devices for mine in sizes.values()))
    print(f"evaluation, at up to {speed / 1e9:.0f} GFLOP/s, and {COMPILE_SECONDS:.0f} s to compile.")


def shares(known: Iterable[dict[str, Any]]) -> str:
    """How much of the time of finished cells was compiling, training and evaluating."""
    rows = list(known)
    took = seconds_of(rows)
    total = sum(took.values())
    names = {"compile": "compile_seconds", "train": "train_seconds", "evaluate": "eval_seconds"}
    shown = ", ".join(f"{part} {100 * took[of] / max(total, 1e-9):.0f} %" for part, of in names.items())
    return f"{len({row['cell'] for row in rows})} cells, {duration(total)} in all: {shown}"
