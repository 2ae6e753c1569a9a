"""Running the cells of a study in one workdir: each once, whatever happens to the others."""

import json
import sys
import traceback
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path
from typing import Any

import jax
from ml_collections import ConfigDict

from rnnbench.config import ConfigError, first_line, told
from rnnbench.config.saved import Pair, differences, pairs, united
from rnnbench.config.values import plain
from rnnbench.parallel.hosts import from_main, is_main, together
from rnnbench.report import console
from rnnbench.report.write import write
from rnnbench.store import workdir
from rnnbench.store.paths import absolute, write_text
from rnnbench.store.rows import pair
from rnnbench.study import forecast
from rnnbench.study import table as tables
from rnnbench.study.cells import settings
from rnnbench.train import grow
from rnnbench.train import run as train
from rnnbench.train.population import prepare
from rnnbench.train.progress import Progress
from rnnbench.train.step import Setup

Rows = list[dict[str, Any]]


def run(
    cells: dict[str, ConfigDict],
    folder: str | Path,
    table: str | Path = "",
    shard: tuple[int, int] = (1, 1),
    positions: bool = True,
) -> tuple[Rows, list[str]]:
    """Runs the cells of a shard in turn and writes the report: (all their final rows, the cells that failed).

    Every cell is checked before the first one runs. Finished ones are skipped, half-finished ones resumed,
    those that another process is at left to it. `table` is a folder whose cells count as finished, and to
    which those finished here are added, with their accuracy by position or without; "" is none. An error
    ends a cell, not the study.
    """
    folder, table = absolute(folder), absolute(table) if table else None
    saved = {name: cell.to_dict() for name, cell in cells.items()}
    setups = together(lambda: check(folder, cells, table), seen=lambda _: (saved, shard))
    together(lambda: is_main() and workdir.claim(folder, "study.json", lambda old: grown(folder, old, cells)))
    together(lambda: workdir.check_shared(folder / "study.json"))
    mine, found, failed = part(cells, shard), {}, []
    known, sizes = finished(folder, table, setups)
    with Progress(len(mine)) as progress:
        for name in mine:
            progress.expect(*ahead(name, list(mine), sizes, known))
            in_table = tables.rows(table) if table else {}
            there = tables.done(in_table, setups[name])
            if from_main(bool(there)):
                progress.skip(name, "", f"already in {table}")
                if is_main():
                    (folder / "cells" / name / "error.json").unlink(missing_ok=True)
                found[name] = there
                continue
            have = tables.members(in_table, setups[name])
            found[name] = attempt(name, cells[name], folder / "cells" / name, progress, have)
            if found[name] is None:
                failed.append(name)
            elif found[name]:
                known[name] = found[name]
                if table and is_main():
                    try:
                        place = folder / "cells" / name if positions else None
                        tables.add(table, list(cells), cells[name], found[name], place)
                    except OSError as error:
                        raise ConfigError("study.table", f"{table} cannot be written to: {error}") from None
    rows = [row for of_cell in found.values() for row in of_cell or []]
    if is_main():
        report(folder, table)
        if rows:
            print(forecast.shares(rows))
    return rows, failed


def plan(
    cells: dict[str, ConfigDict], folder: str | Path, table: str | Path = "", shard: tuple[int, int] = (1, 1)
) -> None:
    """Prints what `run` would do, after the same checks; writes nothing."""
    folder, table = absolute(folder), absolute(table) if table else None
    setups = check(folder, cells, table)
    known, sizes = finished(folder, table, setups)
    status = {name: forecast.status(folder / "cells" / name) for name in part(cells, shard)}
    forecast.show(sizes, forecast.measured(known), status, settings(cells))


def finished(
    folder: Path, table: Path | None, setups: dict[str, Setup]
) -> tuple[dict[str, Rows], dict[str, forecast.Size]]:
    """The final rows of members that are finished, in the table or in the workdir, and the cells' sizes."""
    known, found, in_table = {}, {}, tables.rows(table) if table else {}
    for name, setup in setups.items():
        here = tables.by_cell(workdir.read_rows(folder / "cells" / name / "results.jsonl"))
        if rows := tables.final(in_table, setup) + tables.final(here, setup):
            known[name] = rows
        found[name] = forecast.size(setup, set(map(pair, rows)))
    return known, found


def ahead(
    name: str, order: list[str], sizes: dict[str, forecast.Size], known: dict[str, Rows]
) -> tuple[float, float]:
    """The seconds that a cell will take and those after it in this order, as far as they are not finished."""
    speeds = forecast.measured(known)
    seconds = lambda cell: forecast.predict(cell, sizes, speeds)[0] if sizes[cell].left else 0.0
    return seconds(name), sum(map(seconds, order[order.index(name) + 1 :]))


def report(folder: Path, table: Path | None) -> None:
    """Writes the report of the rows that there are, those of cells that are only in the table included."""
    here = {path.parent.name for path in folder.glob("cells/*/results.jsonl")}
    there = tables.rows(table).keys() if table else set()
    planned = workdir.read_config(folder / "study.json")["cells"]
    places = [folder] * bool(here) + [table] * bool(there & planned.keys() - here)
    try:
        if places:
            console.show(write(places, folder)[0])
    except Exception as error:  # whatever a figure may fail for: all rows are on disk
        reason = f"{type(error).__name__}: {first_line(error)}"
        print(f"rnnbench: no report ({reason}); try python -m rnnbench.report {folder}", file=sys.stderr)


def part(cells: dict[str, ConfigDict], shard: tuple[int, int]) -> dict[str, ConfigDict]:
    """The cells of shard (i, n): the i-th of every n, so that each has some of every task."""
    number, count = shard
    return dict(list(cells.items())[number - 1 :: count])


def attempt(
    name: str, cell: ConfigDict, folder: Path, progress: Progress, have: Collection[Pair] = ()
) -> Rows | None:
    """The final rows of a cell; [] if another process is at it, None if it has failed.

    `have` are members finished elsewhere. An error is written to error.json in the cell's folder, and removed
    once the cell succeeds.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with workdir.held_by_main(folder / ".lock") as held:
            if not held:
                progress.skip(name, "", "left to the process that is running it")
                return []
            rows = train.run(cell, folder, progress, have=have)
            if is_main():
                (folder / "error.json").unlink(missing_ok=True)
            return rows
    except Exception as error:
        reason = told(error)
        progress.fail(name, reason)
        content = {"cell": name, "error": reason, "traceback": traceback.format_exc()}
        with suppress(OSError):  # a disk that is full may well be the error
            write_text(folder / "error.json", json.dumps(content, indent=1) + "\n")
        if jax.process_count() > 1:
            raise  # the others wait for this process within the cell
        return None


def check(folder: Path, cells: dict[str, ConfigDict], table: Path | None = None) -> dict[str, Setup]:
    """Refuses what cannot run to its end, naming the cell; writes nothing. Returns the cells' setups."""
    workdir.check_writable(folder)
    if (folder / "config.json").exists():
        raise workdir.WorkdirError(f"{folder} holds a single run; choose another folder")
    if (folder / "study.json").exists():
        grown(folder, workdir.read_config(folder / "study.json"), cells)
    if table:
        if table == folder:
            raise ConfigError("study.table", f"{table} is the workdir too; choose another folder")
        tables.check(table, cells)
    setups = {}
    for name, cell in cells.items():
        try:
            setups[name] = prepare(cell)
        except ConfigError as error:
            raise ConfigError(error.key, f"{error.message} (cell {name})") from error
    in_table = tables.rows(table) if table else {}
    for name, setup in setups.items():
        have = tables.members(in_table, setup)
        for place, cell in grow.runs(cells[name], folder / "cells" / name, have).items():
            workdir.check(place, cell)
    return setups


def grown(folder: Path, before: dict[str, Any], cells: dict[str, ConfigDict]) -> dict[str, Any]:
    """The content of study.json, `before`, with these cells added. Refuses the cells of another study."""
    old = before.get("cells", {})
    if old and not old.keys() & cells.keys():
        reason = f"holds another study ({min(old)} and no cell of this one); choose another folder"
        raise workdir.WorkdirError(f"{folder} {reason}")
    for name in old.keys() & cells.keys():
        if keys := differences(old[name], cells[name], but=("population",)):
            raise workdir.WorkdirError(f"{folder} holds another study ({name} differs in {keys[0]})")
    members = lambda name: pairs(old[name]["population"]) if name in old else []
    if all(set(pairs(cell.population)) <= set(members(name)) for name, cell in cells.items()):
        return before
    new = {name: plain(united(cell, members(name)).to_dict()) for name, cell in cells.items()}
    return {"cells": new | {name: cell for name, cell in old.items() if name not in new}}
