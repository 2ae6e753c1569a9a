"""Workdirs → their content: rows of results, positions and curves, configs, failures."""

import json
from collections.abc import Sequence
from numbers import Real
from pathlib import Path
from typing import Any, NamedTuple

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
    spellings: dict[Any, str] = {}
    for workdir in map(str, workdirs):
        spellings.setdefault(storage.absolute(workdir), workdir)
    for workdir in spellings.values():
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
    planned = _configs(folder / "study.json", _json(folder / "study.json", results).get("cells", {}), results)
    place = {name: i for i, name in enumerate(planned)}
    cells = sorted(folder.glob("cells/*"), key=lambda cell: (place.get(cell.name, len(place)), cell.name))
    before = len(results.rows)
    own, failures = {}, []
    for part in (folder, *cells):
        found = {name: _rows(part / name, workdir, results.problems) for name in FILES}
        results.rows.extend(found["results.jsonl"])
        results.positions.extend(found["positions.jsonl"])
        results.curves.extend(found["metrics.jsonl"])
        if (part / "config.json").exists():
            cell = found["results.jsonl"][0]["cell"] if found["results.jsonl"] else part.name
            config = {cell: _json(part / "config.json", results)}
            own |= _configs(part / "config.json", config, results)
        if (part / "error.json").exists():
            failures.append(
                {"error": "", "traceback": ""} | _json(part / "error.json", results) | {"cell": part.name}
            )
    tables = _json(folder / "configs.json", results)
    configs = own | planned | _configs(folder / "configs.json", tables.get("cells", tables), results)
    results.configs.update({(workdir, cell): config for cell, config in configs.items()})
    results.failures.extend({**failure, "workdir": workdir} for failure in failures)
    rows = results.rows[before:]
    if not rows:
        failed = f"; {len(failures)} cells failed, {failures[0]['cell']} first" if failures else ""
        where = "no results.jsonl, no cells/*/results.jsonl with rows"
        raise InputError(f"{workdir}: no results here ({where}{failed})")
    done = {row["cell"] for row in rows} | {failure["cell"] for failure in failures}
    results.missing.extend((workdir, cell) for cell in planned if cell not in done)


def _configs(path: Path, cells: Any, results: Results) -> dict[str, dict]:
    """The cells of a file that are configs."""
    if not isinstance(cells, dict):
        results.problems.append(f"{path}: its cells are not a JSON object; skipped")
        return {}
    wrong = [cell for cell, config in cells.items() if not _is_config(config)]
    results.problems.extend(f"{path}: {cell} is not a config; skipped" for cell in wrong)
    return {cell: config for cell, config in cells.items() if cell not in wrong}


def _is_config(value: Any) -> bool:
    """Whether a value is a JSON object whose keys, at every depth, have no dots."""
    if not isinstance(value, dict) or any("." in key for key in value):
        return False
    return all(_is_config(part) for part in value.values() if isinstance(part, dict))


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
    for key, least in (("length", 1), ("pairs", 0)):
        if not _is_size(row.get("case", {}).get(key, least), least):
            return f"not a result row ('{key}' of its case is {row['case'][key]!r})"
    if "starts" in row and not all(isinstance(each, Real | None) for each in row["starts"] + row["accuracy"]):
        return "not a result row (its positions are not numbers)"
    if "headline" in row and not isinstance(row.get(row["headline"], ""), Real | None):
        return f"not a result row (it has no {row['headline']!r})"
    return ""


def _is_size(value: Any, least: int) -> bool:
    """Whether a value is a number of at least that, or a range of such."""
    parts = value if isinstance(value, list) else [value]
    return bool(parts) and all(isinstance(part, Real) and part >= least for part in parts)


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
