"""Trains a cell of a committed table again and compares its figures with the committed ones.

    python results/rerun.py results/parity bit_parity-small-lstm [--seeds=3,4] [--tolerance=0.02]

The cell's config comes from the table's configs.json. With the seeds of the table each member is compared
with its counterpart, and the greatest difference decides. Other seeds show whether a figure depends on its
seeds: from worst to best they must overlap with the committed ones of the same case and learning rate, or
miss them by no more than the tolerance. Three seeds and three others of the same distribution do not overlap
one time in ten.
"""

import argparse
import statistics
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict
from rich.console import Console
from rich.table import Table

from rnnbench.config import InputError
from rnnbench.config.saved import from_saved, pairs
from rnnbench.store.rows import case_name, read_jsonl
from rnnbench.store.workdir import read_config
from rnnbench.train import run as train

Rows = list[dict[str, Any]]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python results/rerun.py",
        description="Trains a cell of a table again and compares the figures. Exit code 1 if they deviate.",
    )
    parser.add_argument("table", metavar="TABLE", help="a folder with results.jsonl and configs.json")
    parser.add_argument("cell", metavar="CELL", help="the name of one of its cells")
    parser.add_argument("--seeds", help="such as 0,1,2; by default those of the table")
    parser.add_argument("--learning_rates", help="such as 0.003; by default those of the table")
    parser.add_argument("--tolerance", type=float, default=0.02, help="greatest difference (default 0.02)")
    parser.add_argument("--workdir", help="keep the run here; by default it is deleted")
    options = parser.parse_args(arguments)
    try:
        committed, config = find(options.table, options.cell)
        choose(config, committed, options.seeds, options.learning_rates)
        with tempfile.TemporaryDirectory() as folder:
            rows = train.run_alone(config, options.workdir or Path(folder) / "run")
    except (InputError, OSError) as error:
        print(error, file=sys.stderr)
        return 2
    # A workdir that is kept may have other members, of an earlier call.
    asked = pairs(config.population)
    rows = [row for row in rows if (row["learning_rate"], row["seed"]) in asked]
    known = {_case(row) for row in committed}
    for case, rate in dict.fromkeys(_case(row) for row in rows if _case(row) not in known):
        print(f"{case}: the table has none at learning rate {rate:g}; not compared", file=sys.stderr)
    if not (lines := compare(committed, [row for row in rows if _case(row) in known])):
        return 2
    Console().print(table(lines, options.tolerance))
    worst = max(line["difference"] for line in lines)
    verdict = "holds" if worst <= options.tolerance else "DEVIATES"
    print(f"greatest difference {worst:.4f}, tolerance {options.tolerance:g}: {verdict}")
    return 0 if worst <= options.tolerance else 1


def find(folder: str, cell: str) -> tuple[Rows, ConfigDict]:
    """The committed final rows of a cell and its config. InputError where the table lacks one of them."""
    rows = [row for row in read_jsonl(Path(folder) / "results.jsonl") if row["final"]]
    path = Path(folder) / "configs.json"
    if not rows or not path.exists():
        raise InputError(f"{folder}: no table here (no results.jsonl with final rows, or no configs.json)")
    configs = read_config(path)
    if cell not in configs:
        raise InputError(f"{cell}: no such cell in {folder}; there are: {' '.join(configs)}")
    if not (committed := [row for row in rows if row["cell"] == cell]):
        raise InputError(f"{cell}: {folder} has its config, but no final rows to compare with")
    if (plug_ins := str(Path(folder).resolve())) not in sys.path:
        sys.path.append(plug_ins)  # as launch.py does with what lies beside a config file
    return committed, from_saved(configs[cell])


def choose(config: ConfigDict, committed: Rows, seeds: str | None, rates: str | None) -> None:
    """Puts the seeds and learning rates asked for into the config. InputError for a rate not committed."""
    if seeds:
        config.population.seeds = _numbers("--seeds", seeds, int)
    if rates:
        config.population.learning_rates = _numbers("--learning_rates", rates, float)
    if strange := set(config.population.learning_rates) - {row["learning_rate"] for row in committed}:
        raise InputError(f"--learning_rates: this cell has no {min(strange):g} in the table")


def _numbers(flag: str, text: str, kind: type) -> tuple:
    try:
        return tuple(kind(part) for part in text.split(","))
    except ValueError:
        raise InputError(f"{flag}: must be numbers separated by commas; it is {text!r}") from None


def compare(committed: Rows, rows: Rows) -> list[dict[str, Any]]:
    """{"case", "learning_rate", "seed", "before", "now", "difference"} per case and member.

    "before" and "now" are sorted values: that of the member or, if a seed was not committed, those of all
    seeds of a case and learning rate, and "seed" is "all". The difference is the gap between the two. The
    headline of a diverged member counts as 0.
    """
    before, now = _headlines(committed), _headlines(rows)
    if not now.keys() <= before.keys():
        before, now = _headlines(committed, "all"), _headlines(rows, "all")
    return [
        {"case": case, "learning_rate": rate, "seed": seed}
        | {"before": before[case, rate, seed], "now": values}
        | {"difference": gap(before[case, rate, seed], values)}
        for (case, rate, seed), values in now.items()
    ]


def gap(a: list[float], b: list[float]) -> float:
    """How far the ranges of two sorted lists lie apart; 0 if they overlap."""
    return max(0.0, b[0] - a[-1], a[0] - b[-1])


def _case(row: dict[str, Any]) -> tuple[str, float]:
    return case_name(row["case"]), row["learning_rate"]


def _headlines(rows: Rows, seed: str = "") -> dict[tuple, list[float]]:
    """{(case, learning rate, seed): sorted headlines}, every seed under the one given, if one is."""
    found: dict[tuple, list[float]] = {}
    for row in rows:
        key = *_case(row), seed or row["seed"]
        found.setdefault(key, []).append(row[row["headline"]] or 0.0)
    return {key: sorted(values) for key, values in found.items()}


def spread(values: list[float]) -> str:
    """The median, and the worst and best if there are several."""
    if len(values) == 1:
        return f"{values[0]:.4f}"
    return f"{statistics.median(values):.3f} ({values[0]:.3f}–{values[-1]:.3f})"


def table(lines: list[dict[str, Any]], tolerance: float) -> Table:
    """The comparison for the terminal; deviating lines are red."""
    shown = Table(box=None, pad_edge=False)
    shown.add_column("case", overflow="fold")
    for name in ("rate", "seed", "committed", "now", "difference"):
        shown.add_column(name, justify="right")
    for line in lines:
        figures = spread(line["before"]), spread(line["now"]), f"{line['difference']:.4f}"
        style = "" if line["difference"] <= tolerance else "red"
        shown.add_row(line["case"], f"{line['learning_rate']:g}", str(line["seed"]), *figures, style=style)
    return shown


if __name__ == "__main__":
    sys.exit(main())
