"""Workdirs → their content: rows of results, positions and curves, configs, failures."""

import json
from collections.abc import Sequence
from numbers import Real
from pathlib import Path
from typing import NamedTuple

import pandas

from rnnbench.config import InputError
from rnnbench.store import paths as storage
from rnnbench.store.rows import FILES, case_name, jsonl_lines, longest, unlike


class Results(NamedTuple):
    """The content of the workdirs. Every row has its workdir, as given by the user, in `workdir`.

    configs: (workdir, cell) → config.  failures: {"workdir", "cell", "error", "traceback"}.
    missing: (workdir, cell) of a study's cells without rows.  problems: a line of text per skipped line.
    """

    rows: list[dict]
    positions: list[dict]
    curves: list[dict]
    configs: dict[tuple[str, str], dict]
    failures: list[dict]
    missing: list[tuple[str, str]]
    problems: list[str]


def read(workdirs: Sequence[str | Path]) -> Results:
    """The results of runs, studies and folders of tables. InputError for a folder without results.

    A member in two folders, such as a study and the table it was added to, is taken from the first.
    """
    results = Results([], [], [], {}, [], [], [])
    for workdir in dict.fromkeys(map(str, workdirs)):
        _read_workdir(workdir, results)
    first: dict[tuple, str] = {}
    kept, again, seen = [], {}, set()
    for row in results.rows:
        content = (*_member(row), row["step"], case_name(row["case"]), row["loss"])
        if first.setdefault(_member(row), row["workdir"]) == row["workdir"]:
            kept.append(row)
            seen.add(content)
        elif content not in seen:
            again[row["workdir"], row["cell"]] = None
    for workdir, cell in again:
        problem = f"{workdir}: members of {cell} that an earlier folder already has are skipped"
        results.problems.append(problem)
    cells = {row["cell"] for row in kept}
    shown = {(row["workdir"], row["cell"]) for row in kept}
    shown |= {(failure["workdir"], failure["cell"]) for failure in results.failures}
    own = lambda rows: [row for row in rows if first.get(_member(row), row["workdir"]) == row["workdir"]]
    return results._replace(
        rows=kept,
        positions=own(results.positions),
        curves=own(results.curves),
        configs={where: config for where, config in results.configs.items() if where in shown},
        missing=[(workdir, cell) for workdir, cell in results.missing if cell not in cells],
    )


def _member(row: dict) -> tuple:
    return row["cell"], row["seed"], row["learning_rate"]


def _read_workdir(workdir: str, results: Results) -> None:
    folder = storage.place(workdir)
    if not folder.is_dir():
        raise InputError(f"{workdir}: there is no such folder")
    planned = _json(folder / "study.json", results).get("cells", {})
    planned = planned if isinstance(planned, dict) else {}
    place = {name: i for i, name in enumerate(planned)}
    cells = sorted(folder.glob("cells/*"), key=lambda cell: (place.get(cell.name, len(place)), cell.name))
    before = len(results.rows)
    failures = []
    for part in (folder, *cells):
        found = {name: _rows(part / name, workdir, results.problems) for name in FILES}
        results.rows.extend(found["results.jsonl"])
        results.positions.extend(found["positions.jsonl"])
        results.curves.extend(found["metrics.jsonl"])
        if (part / "config.json").exists():
            cell = found["results.jsonl"][0]["cell"] if found["results.jsonl"] else part.name
            results.configs[workdir, cell] = _json(part / "config.json", results)
        if (part / "error.json").exists():
            failures.append(
                {"error": "", "traceback": ""} | _json(part / "error.json", results) | {"cell": part.name}
            )
    tables = _json(folder / "configs.json", results)
    configs = planned | tables.get("cells", tables)
    results.configs.update({(workdir, cell): c for cell, c in configs.items() if isinstance(c, dict)})
    results.failures.extend({**failure, "workdir": workdir} for failure in failures)
    rows = results.rows[before:]
    if not rows:
        failed = f"; {len(failures)} cells failed, {failures[0]['cell']} first" if failures else ""
        where = "no results.jsonl, no cells/*/results.jsonl with rows"
        raise InputError(f"{workdir}: no results here ({where}{failed})")
    done = {row["cell"] for row in rows} | {failure["cell"] for failure in failures}
    results.missing.extend((workdir, cell) for cell in planned if cell not in done)


def _rows(path: Path, workdir: str, problems: list[str]) -> list[dict]:
    rows = []
    for number, row, wrong in jsonl_lines(path):
        if wrong := wrong or _foreign(row, path.name):
            problems.append(f"{path}:{number}: {wrong}; skipped")
        else:
            rows.append({"workdir": workdir} | row)
    return rows


def _foreign(row: dict, file: str) -> str:
    """Why a row is not a result row; "" if it is one."""
    if reason := unlike(row, FILES[file]):
        return f"not a result row ({reason})"
    if "case" in row and "length" not in row["case"]:
        return "not a result row (its case has no 'length')"
    if "headline" in row and not isinstance(row.get(row["headline"], ""), Real | None):
        return f"not a result row (it has no {row['headline']!r})"
    return ""


def _json(path: Path, results: Results) -> dict:
    """A JSON object; an empty one if there is no such file."""
    if not path.exists():
        return {}
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        value = error
    if not isinstance(value, dict):
        results.problems.append(f"{path}: not a JSON object; skipped")
        return {}
    return value


def frame(rows: Sequence[dict]) -> pandas.DataFrame:
    """All rows, at every evaluation: `case` by its name, its longest `length` beside it, objects as JSON."""
    found = pandas.DataFrame(list(rows))
    found.insert(list(found).index("case") + 1, "length", [longest(row["case"]) for row in rows])
    found["case"] = found["case"].map(case_name)
    as_text = lambda value: json.dumps(value) if isinstance(value, dict) else value
    return found.apply(lambda column: column.map(as_text) if column.dtype == object else column)
