"""Makes every table and plot of results/ again from its rows, without training.

    python results/remake.py results/*

For a folder of rows that is a report: report.md and its PNGs, or, where a README stands without a report.md,
those PNGs that are there. A folder with a plot.py has its own pages: `pages(rows)` there gives {file name:
Plot or text}. Streams (far.jsonl) get their plot.
"""

import argparse
import importlib.util
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rnnbench import long_streams
from rnnbench.config import InputError
from rnnbench.report import draw
from rnnbench.report.panels import Plot
from rnnbench.report.write import write
from rnnbench.store.paths import write_bytes
from rnnbench.store.rows import read_jsonl

sys.path.append(str(Path(__file__).parents[1]))  # where configs lies, which a folder's study.py imports

KEPT = (".md", ".png")  # of a report's files; `python -m rnnbench.report` also writes the larger ones


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python results/remake.py", description=__doc__.splitlines()[0])
    parser.add_argument("folders", metavar="FOLDER", nargs="+", help="such as results/*")
    try:
        for folder in map(Path, parser.parse_args(arguments).folders):
            if not folder.exists():
                raise InputError(f"{folder}: there is no such folder")
            for file in remake(folder):
                print(file)
    except (InputError, OSError) as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def remake(folder: Path) -> list[Path]:
    """Writes the pages of a folder's rows and returns their paths. A folder without rows has none."""
    files: dict[str, bytes] = {}
    if rows := read_jsonl(folder / "results.jsonl"):
        own = folder / "plot.py"
        files = _own(own, rows) if own.exists() else _report(folder)
    if streamed := read_jsonl(folder / long_streams.ROWS):
        files[long_streams.PLOT] = draw.png(long_streams.figure(streamed))
    for name, content in files.items():
        write_bytes(folder / name, content)
    return [folder / name for name in files]


def _report(folder: Path) -> dict[str, bytes]:
    there = {file.name for file in folder.iterdir()}
    partly = "README.md" in there and "report.md" not in there
    with tempfile.TemporaryDirectory() as scratch:
        _, written = write([folder], scratch)
        kept = [file for file in written if file.suffix in KEPT and not (partly and file.name not in there)]
        return {file.name: file.read_bytes() for file in kept}


def _own(path: Path, rows: list[dict[str, Any]]) -> dict[str, bytes]:
    spec = importlib.util.spec_from_file_location(f"{path.parent.name}_plot", path)
    module, beside = importlib.util.module_from_spec(spec), str(path.parent.resolve())
    # Every folder has a study.py: this plot gets its own, not that of a folder before it.
    names = [file.stem for file in path.parent.glob("*.py")]
    others = {name: sys.modules.pop(name) for name in names if name in sys.modules}
    sys.path.insert(0, beside)
    try:
        spec.loader.exec_module(module)
        pages = module.pages(rows)
    finally:
        sys.path.remove(beside)
        for name in names:
            sys.modules.pop(name, None)
        sys.modules.update(others)
    drawn = lambda name, plot: draw.files(plot, (name.rpartition(".")[2],)).popitem()[1]
    return {k: drawn(k, page) if isinstance(page, Plot) else page.encode() for k, page in pages.items()}


if __name__ == "__main__":
    sys.exit(main())
