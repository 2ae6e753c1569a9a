"""Makes the front tables, of the README and of results/README.md, and results/overview.png.

python results/front.py

The README has one of the map: how many presets learn a task and hold it. results/README.md has the figures
of the nine presets that four `small` tables share.
"""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from rnnbench.report import draw, figures  # noqa: E402
from rnnbench.report import map as maps  # noqa: E402
from rnnbench.report.read import Results, read  # noqa: E402
from rnnbench.report.summary import summarise  # noqa: E402

TABLES = ("parity", "controlled_bit_parity", "dyck", "mqar")
COLUMNS = (  # heading, task, case
    ("parity, 320 (8×)", "bit_parity", "length=320"),
    ("controlled, 320 (8×), any number of ones", "controlled_bit_parity", "length=320,ones=any"),
    ("Dyck, 320 (8×)", "dyck", "length=320"),
    ("Dyck, 160 (4×), twice as deep", "dyck", "length=160,depth=8"),
    ("MQAR, 16 pairs", "mqar", "length=64,pairs=16"),
    ("MQAR, 128 (2×), 32 pairs", "mqar", "length=128,pairs=32"),
)
FEW = 9  # names in a cell of the README's table
BLOCK = re.compile(r"(<!-- front table -->\n)(.*?)(?=\n\n)", re.DOTALL)


def of_map() -> str:
    """A row per task: its class, how many presets learn it, and which of them hold 8 times the length."""
    found = read([ROOT / "results" / "map"])
    (panel,) = maps.plot(summarise(found.rows), found, whole=True).panels
    lines = [("task", "class", "presets", "learn it", "hold 8×"), ("---",) * 2 + ("---:",) * 2 + ("---",)]
    for kind, tasks in panel.classes:
        for task in tasks:
            cells = {model: cell for (model, at), cell in panel.cells.items() if at == task}
            learned = sum(cell.median >= 1 for cell in cells.values())
            lines.append((task, kind, str(len(cells)), str(learned), holders(cells)))
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def holders(cells: dict[str, maps.Reach]) -> str:
    """The presets whose median seed holds 8 times the length, in bold those whose every seed does."""
    held = [model for model, cell in cells.items() if cell.median == 8]
    every = [model for model in held if cells[model].min == 8]
    if len(held) > FEW:
        return f"{len(held)} presets, {len(every)} with every seed"
    return " ".join(f"**`{model}`**" if model in every else f"`{model}`" for model in held) or "none"


def small() -> Results:
    return read([ROOT / "results" / name for name in TABLES])


def of_small(entries: list[dict]) -> str:
    """A row of chance, and a row per model: median (worst–best) over the seeds, at its learning rate."""
    cases = {(each["task"], each["model"]): each["cases"] for each in entries}
    headings = ["preset", *(heading for heading, *_ in COLUMNS)]
    lines = ["| " + " | ".join(headings) + " |", "|---" * len(headings) + "|"]
    first = next(each["model"] for each in entries)
    chances = (f"{cases[task, first][case]['chance']:.2g}" for _, task, case in COLUMNS)
    lines.append("| *chance* | " + " | ".join(chances) + " |")
    for model in dict.fromkeys(each["model"] for each in entries):
        spreads = [cases[task, model][case] for _, task, case in COLUMNS]
        values = (f"{s['median']:.2f} ({s['min']:.2f}–{s['best']:.2f})" for s in spreads)
        lines.append(f"| `{model}` | " + " | ".join(values) + " |")
    return "\n".join(lines)


def main() -> None:
    found = small()
    entries = summarise(found.rows)
    for page, table in {"README.md": of_map(), "results/README.md": of_small(entries)}.items():
        text = (ROOT / page).read_text()
        (ROOT / page).write_text(BLOCK.sub(lambda match, table=table: match[1] + table, text))
    (overview,) = [plot for plot in figures.plots(entries, found) if plot.name == "overview"]
    (ROOT / "results" / "overview.png").write_bytes(draw.png(overview))


if __name__ == "__main__":
    main()
