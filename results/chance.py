"""Recomputes `chance` and `scaled_accuracy` of committed rows by the tasks' current definition of chance.

    python results/chance.py results/dyck results/original results/controlled_bit_parity

Chance used to be that of a constant guess, which is too low for Dyck; it is now what the best guess from the
position alone reaches. This script was run once, at that change. Nothing else in a row depends on chance.
Afterwards `results/remake.py` makes the pages.
"""

import sys
from pathlib import Path
from typing import Any

import rerun

from rnnbench import tasks
from rnnbench.store.rows import read_jsonl, write_jsonl


def rescaled(row: dict[str, Any], task: Any) -> dict[str, Any]:
    """The row with this task's chance; unchanged where the two differ by rounding only."""
    chance, headline = float(task.chance(row["case"])), row[row["headline"]]
    if abs(chance - row["chance"]) < 1e-12:
        return row
    scaled = None if headline is None else (headline - chance) / (1 - chance)
    return row | {"chance": chance, "scaled_accuracy": scaled}


def main(folders: list[str]) -> None:
    for folder in folders:
        path = Path(folder) / "results.jsonl"
        before = read_jsonl(path)
        cells = dict.fromkeys(row["cell"] for row in before)
        of_cell = {cell: tasks.build(rerun.find(folder, cell)[1]) for cell in cells}
        rows = [rescaled(row, of_cell[row["cell"]]) for row in before]
        if rows != before:
            write_jsonl(path, rows)
        print(f"{path}: {sum(a != b for a, b in zip(rows, before))} of {len(rows)} rows changed")


if __name__ == "__main__":
    main(sys.argv[1:])
