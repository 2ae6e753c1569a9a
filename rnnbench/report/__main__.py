"""The command line of the report."""

import argparse
import sys
from collections.abc import Sequence

from rnnbench import terminal
from rnnbench.config import InputError
from rnnbench.report import console, latex
from rnnbench.report.write import write


def main(arguments: Sequence[str] | None = None) -> int:
    return terminal.run(command, arguments)


def command(arguments: Sequence[str] | None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m rnnbench.report",
        description="Writes one report of all workdirs: report.html, report.md, results.csv, PNG, SVG.",
    )
    help = "the workdir of a run or of a study, or a folder with a results.jsonl"
    parser.add_argument("workdirs", metavar="WORKDIR", nargs="+", help=help)
    parser.add_argument("--out", metavar="FOLDER", help="where to write; by default the first workdir")
    help = "also write tables.tex (booktabs), tables.csv and PDF figures"
    parser.add_argument("--latex", action="store_true", help=help)
    help = "in those tables: median (worst-best), median (quartiles) or mean ± standard error over the seeds"
    parser.add_argument("--spread", choices=latex.SPREADS, help=f"{help} (default: range)")
    options = parser.parse_args(arguments)
    if options.spread and not options.latex:
        raise InputError("--spread: is for the tables of --latex, which is missing")
    spread = (options.spread or "range") if options.latex else ""
    try:
        entries, files = write(options.workdirs, options.out, spread)
    except OSError as error:
        raise InputError(error) from error
    console.show(entries)
    page = next(file for file in files if file.name == "report.html")
    print(f"written: {page} and {len(files) - 1} files beside it")
    return 0


if __name__ == "__main__":
    sys.exit(main())
