"""A table of results that grows over days and machines: the final rows of finished cells, in one folder.

results.jsonl     the final rows, cell by cell
positions.jsonl   accuracy by position at the final step, unless the study says study.positions=False
configs.json      {cell: its whole config}: what else may be put into this table
"""

import json
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from rnnbench.config import ConfigError, InputError
from rnnbench.config.saved import Pair, differences, pairs, united
from rnnbench.config.values import plain
from rnnbench.store.paths import write_text
from rnnbench.store.rows import case_name, pair, read_jsonl, write_jsonl
from rnnbench.store.workdir import check_writable, locked, read_config
from rnnbench.train.run import cell_name
from rnnbench.train.step import Setup

Rows = list[dict[str, Any]]
FILES = ("positions.jsonl", "results.jsonl")


def check(folder: Path, cells: dict[str, ConfigDict]) -> None:
    """ConfigError if the table is unusable, or has one of these cells with another config; writes nothing."""
    try:
        check_writable(folder)
        saved = _configs(folder)
        there = {row.get("cell", "") for name in FILES for row in read_jsonl(folder / name)}
    except (InputError, OSError) as error:
        raise ConfigError("study.table", str(error).removeprefix("--workdir: ")) from None
    for name, cell in cells.items():
        if name in saved and (keys := differences(saved[name], cell, but=("population",))):
            raise ConfigError(
                "study.table", f"{folder} has the cell {name} with another config ({', '.join(keys[:6])})"
            )
    if strange := sorted(there - set(saved)):
        raise ConfigError(
            "study.table", f"{folder} has rows of {strange[0]!r} but not its config in configs.json"
        )


def rows(folder: Path) -> dict[str, Rows]:
    """The rows of a table by their cell."""
    return by_cell(read_jsonl(folder / "results.jsonl"))


def by_cell(rows: Rows) -> dict[str, Rows]:
    found: dict[str, Rows] = {}
    for row in rows:
        found.setdefault(row["cell"], []).append(row)
    return found


def members(rows: dict[str, Rows], setup: Setup) -> set[Pair]:
    """The members of a cell that have a final row for every case."""
    name, cases = cell_name(setup.config), {case_name(case) for case in setup.task.cases()}
    found: dict[Pair, set[str]] = {}
    for row in rows.get(name, []):
        if row["final"]:
            found.setdefault(pair(row), set()).add(case_name(row["case"]))
    return {member for member, its in found.items() if cases <= its}


def done(rows: dict[str, Rows], setup: Setup) -> Rows:
    """The final rows of a cell if all of its members are there, maybe with others, else []."""
    there = members(rows, setup)
    return final(rows, setup) if there.issuperset(pairs(setup.config.population)) else []


def final(rows: dict[str, Rows], setup: Setup) -> Rows:
    """The final rows of those members of a cell that have one for every case."""
    there = members(rows, setup)
    own = rows.get(cell_name(setup.config), [])
    return [row for row in own if row["final"] and pair(row) in there]


def add(folder: Path, order: list[str], config: ConfigDict, final: Rows, run: Path | None) -> None:
    """Puts the final rows of a finished cell in place of those of its members.

    From `run`, its workdir, comes its accuracy by position; None leaves that out.

    Cells come in `order`, the study's, where the table has its first one; others keep their places. Members
    come in the order of `config`, those that it lacks at the end.
    """
    name = final[0]["cell"]
    step = {pair(row): row["step"] for row in final}
    every = read_jsonl(run / "positions.jsonl") if run else []
    at_end = [row for row in every if row["step"] == step[pair(row)]]
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder / ".lock"):
        old = {file: read_jsonl(folder / file) for file in FILES}
        # Of both files: after a kill between them, one has members that the other lacks.
        there = [pair(row) for file in FILES for row in old[file] if row["cell"] == name]
        config = united(config, [*there, *step])
        saved = _configs(folder) | {name: plain(config.to_dict())}
        sequence = _sequence(list(saved), order)
        cases = list(dict.fromkeys(case_name(row["case"]) for row in final))
        inner = {member: i for i, member in enumerate(pairs(config.population))}

        def place(row: dict[str, Any]) -> tuple[int, ...]:
            """Sorting is stable: the rows of another cell stay in their order."""
            if row["cell"] != name:
                return (sequence.index(row["cell"]),)
            return sequence.index(name), cases.index(case_name(row["case"])), inner[pair(row)]

        # The configs first: rows whose config is not known would be refused after a kill in between.
        lines = [f"{json.dumps(cell)}: {json.dumps(saved[cell])}" for cell in sequence]
        write_text(folder / "configs.json", "{\n" + ",\n".join(lines) + "\n}\n")
        for file, new in zip(FILES, ([_rounded(row) for row in at_end], final)):
            kept = [row for row in old[file] if row["cell"] != name or pair(row) not in step]
            write_jsonl(folder / file, sorted([*kept, *new], key=place))


def _configs(folder: Path) -> dict[str, Any]:
    file = folder / "configs.json"
    return read_config(file) if file.exists() else {}


def _sequence(there: list[str], order: list[str]) -> list[str]:
    """The cells of a table with those of `order` side by side, in that order."""
    first = next(i for i, name in enumerate(there) if name in order)
    mine = [name for name in order if name in there]
    return there[:first] + mine + [name for name in there[first:] if name not in order]


def _rounded(row: dict[str, Any]) -> dict[str, Any]:
    """Four digits are enough for a plot, and make the file half as large."""
    return row | {"accuracy": [None if value is None else round(value, 4) for value in row["accuracy"]]}
