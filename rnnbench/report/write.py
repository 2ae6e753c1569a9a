"""The files of a report."""

import sys
from collections.abc import Sequence
from pathlib import Path

from rnnbench.config import InputError
from rnnbench.report import draw, figures, page, text
from rnnbench.report.read import read, to_csv
from rnnbench.report.summary import summarise
from rnnbench.store.paths import place, write_bytes


def write(workdirs: Sequence[str | Path], folder: str | Path | None = None) -> tuple[list[dict], list[Path]]:
    """Writes one report of all workdirs into `folder`, by default the first of them.

    Returns the entries and the files written. Lines that cannot be used are named on stderr and skipped.
    InputError for a workdir without results; then nothing is written.
    """
    folder = place(folder or workdirs[0])
    if folder.is_file():
        raise InputError(f"--out: {folder} is a file; name a folder")
    found = read(workdirs)
    for problem in found.problems:
        print(problem, file=sys.stderr)
    entries = summarise(found.rows)
    drawn = figures.plots(entries, found)
    files: dict[str, bytes] = {"results.csv": to_csv(found.rows).encode()}
    for plot in drawn:
        figure = draw.draw(plot)
        files |= {f"{plot.name}.png": draw.png(figure), f"{plot.name}.svg": draw.svg(figure)}
    files["report.md"] = text.markdown(entries, found, drawn).encode()
    if lacking := page.lacking():
        print(f"report.html left out: {lacking}", file=sys.stderr)
    else:
        files["report.html"] = page.html(entries, found, drawn).encode()
    for name, content in files.items():
        write_bytes(folder / name, content)
    return entries, [folder / name for name in files]
