"""The files of a report."""

import sys
from collections.abc import Sequence
from pathlib import Path

from rnnbench.config import InputError
from rnnbench.report import draw, figures, latex, page
from rnnbench.report.read import frame, read
from rnnbench.report.summary import summarise
from rnnbench.store.paths import place, write_bytes


def write(
    workdirs: Sequence[str | Path], folder: str | Path | None = None, spread: str = ""
) -> tuple[list[dict], list[Path]]:
    """Writes one report of all workdirs into `folder`, by default the first of them.

    With a `spread`, one of latex.SPREADS, also the tables and the figures for a paper.

    Returns the entries and the files written. Lines that cannot be used are reported on stderr and skipped.
    InputError for a workdir without results; then nothing is written.
    """
    folder = place(folder or workdirs[0])
    if folder.is_file():
        raise InputError(f"--out: {folder} is a file; name a folder")
    found = read(workdirs)
    for problem in found.problems:
        print(problem, file=sys.stderr)
    if not (entries := summarise(found.rows)):
        names = ", ".join(map(str, workdirs))
        raise InputError(f"{names}: no rows of the case that selects the learning rate, the training case")
    drawn = figures.plots(entries, found)
    files = {"results.csv": frame(found.rows).to_csv(index=False, lineterminator="\n").encode()}
    for plot in drawn:
        files |= {f"{plot.name}.{kind}": content for kind, content in draw.files(plot).items()}
    if spread:
        files |= {name: text.encode() for name, text in latex.files(entries, found, spread).items()}
        wanted = [plot for plot in drawn if plot.name in ("map", "accuracy_vs_length")]
        files |= {f"{plot.name}.pdf": draw.files(plot, ("pdf",))["pdf"] for plot in wanted}
    files |= {name: text.encode() for name, text in page.render(entries, found, drawn).items()}
    for name, content in files.items():
        write_bytes(folder / name, content)
    return entries, [folder / name for name in files]
