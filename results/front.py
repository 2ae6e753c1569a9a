"""Makes the README's front table and results/overview.png from the rows of the `small` tables.

python results/front.py
"""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from rnnbench.report import draw, figures  # noqa: E402
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
BLOCK = re.compile(r"(<!-- front table -->\n)(.*?)(?=\n\n)", re.DOTALL)


def rows() -> Results:
    return read([ROOT / "results" / name for name in TABLES])


def table(entries: list[dict]) -> str:
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
    found = rows()
    made = summarise(found.rows)
    readme = ROOT / "README.md"
    readme.write_text(BLOCK.sub(lambda match: match[1] + table(made), readme.read_text()))
    (overview,) = [plot for plot in figures.plots(made, found) if plot.name == "overview"]
    (ROOT / "results" / "overview.png").write_bytes(draw.png(overview))


if __name__ == "__main__":
    main()
