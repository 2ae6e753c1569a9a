"""A call of the bench: its command line, its growing tables, and its JSON."""

import argparse
import functools
import json
import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from rnnbench.bench import table
from rnnbench.bench.plan import Section, in_flags
from rnnbench.bench.rows import with_shares
from rnnbench.bench.timing import Budget, ceilings, machine
from rnnbench.bench.trainer import Shape
from rnnbench.config import ConfigError, InputError
from rnnbench.store.paths import write_text
from rnnbench.train.run import versions

SIZES = {"batch": 1, "dim": 1, "heads": 1, "layers": 1, "mlp_dim": 0}  # and the minimum of each


def parser(prog: str, description: str) -> argparse.ArgumentParser:
    """The flags of every command of the bench; every refusal is one line."""
    parser = argparse.ArgumentParser(
        prog=prog,
        usage=argparse.SUPPRESS,
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add, default = parser.add_argument, Shape(1)
    add("--lengths", type=numbers, help="such as 64,256")
    for name, least in SIZES.items():
        add(f"--{name}", type=at_least(least), help=f"default {getattr(default, name)}")
    add("--dtype", choices=("float32", "bfloat16"), help=f"default {default.dtype}")
    add("--repeats", type=at_least(1), default=7, help="samples of each (default 7)")
    help = "seconds of samples per row of lengths (default 60), without compilation; the rest is left out"
    add("--budget", dest="seconds", type=at_least(0, float), default=60.0, help=help)
    add("--json", type=_new_file, help="file for all results")
    add("--note", default="", help="a line for the JSON, such as other load on the machine")
    return parser


def parse(parser: argparse.ArgumentParser, given: Sequence[str]) -> argparse.Namespace:
    """The arguments, with two functions added: `budget()` makes a new budget for a row of lengths, and
    `shapes(*lengths, **sizes)` the shapes of a section, unless the command line sets others.
    """
    args = parser.parse_args(given)
    own = {name: getattr(args, name) for name in (*SIZES, "dtype") if getattr(args, name) is not None}
    args.budget = functools.partial(Budget, args.seconds, args.repeats)
    args.shapes = lambda *lengths, **sizes: [Shape(n, **(sizes | own)) for n in args.lengths or lengths]
    return args


def words(*known: str) -> Callable[[str], tuple[str, ...]]:
    """The type of a flag that takes some of these words, separated by commas."""

    def parse(text: str) -> tuple[str, ...]:
        found = tuple(filter(None, text.split(",")))
        if not found:
            raise argparse.ArgumentTypeError(f"names nothing; choose from: {' '.join(known)}")
        if unknown := [word for word in found if word not in known]:
            raise argparse.ArgumentTypeError(f"unknown {unknown[0]!r}; choose from: {' '.join(known)}")
        return found

    return parse


def at_least(least: float, kind: type = int) -> Callable[[str], Any]:
    """The type of a flag that takes a number."""

    def number(text: str) -> Any:
        if not (value := kind(text)) >= least:
            raise argparse.ArgumentTypeError(f"must be at least {least}; it is {text}")
        return value

    return number


def numbers(text: str) -> tuple[int, ...]:
    """The type of a flag that takes positive numbers, separated by commas."""
    return tuple(map(at_least(1), text.split(",")))


def _new_file(text: str) -> Path:
    path = Path(text)
    if path.is_dir() or not path.absolute().parent.is_dir():
        raise argparse.ArgumentTypeError(f"{path} is a folder, or its folder does not exist")
    return path


def main(
    parser: argparse.ArgumentParser,
    plan: Callable[[argparse.Namespace], list[Section]],
    given: Sequence[str] | None = None,
) -> int:
    """Measures the sections that `plan` makes from the parsed command line; returns the exit code."""
    given = sys.argv[1:] if given is None else given
    args = parse(parser, given)
    sys.stdout.reconfigure(errors="replace")
    try:
        sections = plan(args)
    except ConfigError as error:
        parser.error(in_flags(error))
    except InputError as error:
        parser.error(str(error))
    try:
        _measure(sections, args, shlex.join([*parser.prog.split(), *given]))
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    return 0


def _measure(sections: Sequence[Section], args: argparse.Namespace, command: str) -> None:
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 140)
    results: dict[str, Any] = {"command": command, "versions": versions(), "machine": machine()}
    dtypes = dict.fromkeys(job.dtype for section in sections for job in section.jobs)
    limits = {dtype: ceilings(dtype, args.repeats) for dtype in dtypes}
    results |= {"note": args.note, "ceilings": limits} | {section.what: [] for section in sections}
    for dtype, of_dtype in limits.items():
        line = table.machine(results["machine"], results["versions"], dtype, of_dtype)
        console.print(line, soft_wrap=True)

    def save() -> None:
        if args.json:
            write_text(args.json, json.dumps(results, indent=1) + "\n")

    save()
    for section in sections:
        for _ in show(section, results[section.what], limits, console):
            save()  # after every row, so that an interrupted call keeps what it has


def show(
    section: Section, rows: list[dict[str, Any]], limits: dict[str, dict[str, float]], console: Console
) -> Iterator[dict[str, Any]]:
    """Makes the measurements of a section one by one and adds them to `rows`, `limits` by their dtype.

    On a terminal the table grows with them; elsewhere stderr has a line for each.
    """
    before = len(rows)
    draw = lambda: table.fitting(section.what, rows[before:], console)
    with Live(console=console, refresh_per_second=4, transient=True) as live:
        for job in section.jobs:
            live.update(Group(draw(), Text(f"now: {job.label}", style="dim")))
            if not console.is_terminal:
                print(f"now: {job.label}", file=sys.stderr, flush=True)
            rows.append(with_shares(job.row(), limits[job.dtype]))
            yield rows[-1]
    console.print(draw(), section.footer, soft_wrap=bool(section.footer))
