"""The command line of the report."""

import argparse
import sys
from collections.abc import Sequence

from rich.console import Console

from rnnbench.config import InputError
from rnnbench.report import tables
from rnnbench.report.write import write


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m rnnbench.report",
        description="Writes one report of all workdirs: report.html, report.md, results.csv, PNG, SVG.",
    )
    help = "the workdir of a run or of a study, or a folder with a results.jsonl"
    parser.add_argument("workdirs", metavar="WORKDIR", nargs="+", help=help)
    parser.add_argument("--out", metavar="FOLDER", help="where to write; by default the first workdir")
    options = parser.parse_args(arguments)
    try:
        entries, files = write(options.workdirs, options.out)
    except (InputError, OSError) as error:
        print(error, file=sys.stderr)
        return 2
    console = Console()
    console.print(tables.terminal(entries))
    best = next((file for file in files if file.name == "report.html"), files[-1])
    console.print(f"written: {best} and {len(files) - 1} files beside it", soft_wrap=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
