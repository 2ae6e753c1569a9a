"""Adds members to a run: finds those that are missing and merges the rows of all of them.

WORKDIR            the run as it was begun
WORKDIR/grown/1    a run of members added later, and so on; WORKDIR's files contain its rows too

Each is a run of its own, a product of learning rates and seeds. Every config.json describes the checkpoints
beside it.
"""

from collections.abc import Collection, Iterable
from itertools import count
from typing import Any, NamedTuple

from ml_collections import ConfigDict

from rnnbench.config import ConfigError
from rnnbench.config.build import validate
from rnnbench.config.saved import Pair, pairs, united, with_population
from rnnbench.parallel.hosts import is_main, together
from rnnbench.store import workdir
from rnnbench.store.paths import Place
from rnnbench.store.rows import FILES, Row, case_name, pair, write_jsonl
from rnnbench.train import profile as profiling
from rnnbench.train.checkpoint import Checkpoints
from rnnbench.train.population import prepare
from rnnbench.train.step import Setup


class Part(NamedTuple):
    """One of the runs that make up a run: its setup, its newest step, its final rows if it is finished."""

    setup: Setup
    step: int | None
    rows: list[Row] | None


def begun(folder: Place) -> list[Place]:
    """The runs in a workdir that have rows or a checkpoint, in the order in which they were begun."""
    run = lambda place: (place / "config.json").exists() and workdir.begun(place)
    return [place for place in _places(folder) if run(place)]


def runs(config: ConfigDict, folder: Place, have: Collection[Pair] = ()) -> dict[Place, ConfigDict]:
    """The runs that together have the members of `config`: those begun in the workdir, then the missing ones.

    `have` are members that are finished elsewhere. Every learning rate is trained with every seed, including
    those of the runs begun and of `have`. Raises ConfigError if a population that stops early would grow.
    """
    default = {"population": config.population}
    saved = {place: default | workdir.read_config(place / "config.json") for place in begun(folder)}
    found = {place: with_population(config, each["population"]) for place, each in saved.items()}
    there = [pair for each in found.values() for pair in pairs(each.population)] + sorted(have)
    wanted = pairs(united(config, there).population)
    missing: dict[float, list[int]] = {}
    for rate, seed in wanted:
        if (rate, seed) not in set(there):
            missing.setdefault(rate, []).append(seed)
    if there and missing and config.train.stop_accuracy:
        reason = "must be 0.0 to add members (all members of a population stop together)"
        raise ConfigError("train.stop_accuracy", f"{reason}; choose another --workdir")
    free = (place for place in _places(folder, new=True) if place not in found)
    for seeds in dict.fromkeys(map(tuple, missing.values())):
        rates = [rate for rate, without in missing.items() if tuple(without) == seeds]
        found[next(free)] = with_population(config, {"learning_rates": rates, "seeds": seeds})
    return found


def look(
    config: ConfigDict,
    folder: Place,
    profile: tuple[int, int] | None = None,
    have: Collection[Pair] = (),
) -> dict[Place, Part]:
    """The parts of a run by folder, as this process sees them. Raises InputError if one cannot run."""

    def part(place: Place, config: ConfigDict) -> Part:
        setup = prepare(config)
        workdir.check(place, config)
        checkpoints = Checkpoints(place / "checkpoints")
        try:
            step = checkpoints.latest()
        finally:
            checkpoints.close()
        return Part(setup, step, workdir.finished(place, config, step))

    validate(config)
    workdir.check_writable(folder)
    found = {place: part(place, each) for place, each in runs(config, folder, have).items()}
    if profile:
        profiling.check(profile, folder, min(part.step or 0 for part in found.values()))
    return found


def merge(config: ConfigDict, folder: Place, parts: dict[Place, Part], done: list[Place]) -> list[Row]:
    """Merges the rows of the parts that are done into the files of the workdir; returns the final rows."""
    every = [pair for part in parts.values() for pair in pairs(part.setup.config.population)]
    members = {pair: i for i, pair in enumerate(pairs(united(config, every).population))}
    cases = {case_name(case): i for i, case in enumerate(parts[done[0]].setup.task.cases())}

    def place(row: dict[str, Any]) -> tuple[int, int, int]:
        """The row's place in the file of a single run of all members."""
        case = cases[case_name(row["case"])] if "case" in row else 0
        return row["step"], case, members[pair(row)]

    def write() -> None:
        others = [part for part in done if part != folder]
        for name in FILES if others else ():
            rows = workdir.read_rows(folder / name)
            there = set(map(place, rows))
            new = [
                row for part in others for row in workdir.read_rows(part / name) if place(row) not in there
            ]
            if new:
                write_jsonl(folder / name, sorted(rows + new, key=place))

    together(lambda: is_main() and write())
    return [row for row in workdir.read_rows(folder / "results.jsonl") if row["final"]]


def _places(folder: Place, new: bool = False) -> Iterable[Place]:
    """The workdir, then the folders of its parts: those that exist, or with `new` without end."""
    yield folder
    for number in count(1):
        part = folder / "grown" / str(number)
        if not (new or part.exists()):
            return
        yield part
