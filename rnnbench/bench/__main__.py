"""What the recurrences cost on this machine: ops, mixers and train steps, timed, as shares of its limits.

    python -m rnnbench.bench                                          all, T = 64 … 16384: half an hour
    python -m rnnbench.bench --what=steps --names=gpt,lstm --lengths=256,1024
    python -m rnnbench.bench --compare delta_rule:sequential delta_rule:chunked:16 --lengths=1024
    python -m rnnbench.bench --compare step:gpt step:lstm             the ratio of two train steps
    python -m rnnbench.bench --what=none --peers                      ours against torch, fla, mamba_ssm, jla
    python -m rnnbench.bench --sampling --population                  shares of the trainer
    python -m rnnbench.bench --json=bench.json                        the same for machines
    python -m rnnbench.bench --targets=cpu --json=cpu.json            what is wanted of our speed; or gpu
    python -m rnnbench.bench --from_json=cpu.json > README.md         a page of results, nothing measured

A time is the median of --repeats samples, compilation apart; a sample repeats a short program for a tenth
of a second (a train step: for a second, in one dispatch). FLOPs and bytes are counted in the traced program,
as XLA's own analysis (xla_* in the JSON) takes a loop's body once. Shares are of the best matmul and copy
that this machine did in the same call; bytes that a cache serves can exceed what a copy through memory
reaches. A size that would not fit into --budget or into memory is left out with a note. Peers are timed where
they are installed; every ratio is of samples taken in turn.
"""

import argparse
import functools
import json
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from rnnbench.bench import page, peers, table, targets
from rnnbench.bench.plan import FAMILIES, LENGTHS, Section, in_flags, plan
from rnnbench.bench.subjects import OPS
from rnnbench.bench.table import TITLES
from rnnbench.bench.timing import ceilings, machine
from rnnbench.config import ConfigError, InputError
from rnnbench.mixers import PRESETS
from rnnbench.store.paths import write_text
from rnnbench.train.run import versions


class Parser(argparse.ArgumentParser):
    def error(self, message: str) -> None:
        raise InputError(message.removeprefix("argument "))


def parse(given: Sequence[str] | None) -> argparse.Namespace:
    """The command line, checked."""
    parser = Parser(
        prog="python -m rnnbench.bench",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--what", type=_words, help="of ops,mixers,steps, or none (default: all; none beside a comparison)")
    add("--names", type=_words, default=(), help="only these ops and presets")
    add("--lengths", type=_words, help=f"default {','.join(map(str, LENGTHS))}; of the trainer 64,256")
    sizes = {"batch": 32, "dim": 64, "heads": 4, "layers": 2, "mlp_dim": 128, "repeats": 7}
    for name, default in sizes.items():
        add(f"--{name}", type=int, help=f"default {default}")
    add("--dtype", choices=("float32", "bfloat16"), help="default float32")
    add(
        "--budget",
        type=float,
        default=60.0,
        help="seconds per row (default 60); greater lengths are left out",
    )
    add("--compare", nargs=2, metavar=("A", "B"), help="op[:impl[:chunk]], mixer:PRESET or step:PRESET")
    add("--peers", action="store_true", help="ours against what else is installed")
    add("--sampling", action="store_true", help="share of the train step that sampling takes, per task")
    add("--population", action="store_true", help="eight members against eight single runs")
    add("--targets", choices=("cpu", "gpu"), help="all that its targets need; --what: only these tables")
    add("--json", type=Path, help="file for all results")
    add("--note", default="", help="a line for that page, such as what else the machine did")
    add("--from_json", type=_words, help="print these files of --json as a page in Markdown, measure nothing")
    args = parser.parse_args(given)
    sizes["dtype"] = "float32"
    args.given = {name: getattr(args, name) for name in sizes if getattr(args, name) is not None}
    vars(args).update(sizes | args.given)
    args.given.pop("repeats", None)
    if args.what is None:
        alone = args.compare or args.sampling or args.population
        args.what = tuple(TITLES) if args.targets else () if alone else FAMILIES
    if "none" in args.what and len(args.what) > 1:
        raise InputError(f"--what: none goes with no other; it is {','.join(args.what)!r}")
    args.what = () if args.what == ("none",) else args.what
    if args.lengths is not None:
        args.lengths = _numbers(args.lengths)
    _check(args)
    return args


def _words(text: str) -> tuple[str, ...]:
    return tuple(filter(None, text.split(",")))


def _numbers(words: Sequence[str]) -> tuple[int, ...]:
    if not words or not all(word.isdecimal() and int(word) >= 1 for word in words):
        raise InputError(
            f"--lengths: must be lengths of at least 1 such as 64,256; it is {','.join(words)!r}"
        )
    return tuple(map(int, words))


def _check(args: argparse.Namespace) -> None:
    for name, least in dict(batch=1, dim=1, heads=1, layers=1, mlp_dim=0, repeats=1, budget=0).items():
        if not getattr(args, name) >= least:
            raise InputError(f"--{name}: must be at least {least}; it is {getattr(args, name)}")
    if args.dim % args.heads:
        raise InputError(f"--heads: must divide --dim={args.dim}; it is {args.heads}")
    for flag, given, known in (
        ("what", args.what, [*(TITLES if args.targets else FAMILIES), "none"]),
        ("names", args.names, [*OPS, *PRESETS]),
    ):
        if unknown := [word for word in given if word not in known]:
            raise InputError(f"--{flag}: unknown {unknown[0]!r}; choose from: {' '.join(known)}")
    for name in ("names", "compare", "peers", "sampling", "population"):
        if args.targets and getattr(args, name):
            raise InputError(f"--{name}: --targets has a list of its own, which --what can shorten")
    if args.json and not args.json.absolute().parent.is_dir():
        raise InputError(f"--json: there is no folder {args.json.absolute().parent}")
    if args.json and args.json.is_dir():
        raise InputError(f"--json: {args.json} is a folder; name a file")


def show(section: Section, console: Console) -> list[dict[str, Any]]:
    """Makes the measurements of a section one by one, its table growing on a terminal."""
    rows: list[dict[str, Any]] = []
    draw = table.measured if section.what in FAMILIES else table.pairs
    with Live(console=console, refresh_per_second=4, transient=True) as live:
        for job in section.jobs:
            live.update(Group(draw(section.what, rows), Text(f"now: {job.label}", style="dim")))
            rows.append(job.row())
    console.print(draw(section.what, rows), "")
    return rows


def bench(given: Sequence[str] | None) -> None:
    args = parse(given)
    if args.from_json:
        print(page.markdown(page.load([Path(file) for file in args.from_json])), end="")
        return
    limits = functools.cache(lambda: ceilings(args.dtype, args.repeats))
    try:
        sections = targets.plan(args, limits) if args.targets else plan(args, limits)
    except ConfigError as error:
        raise InputError(in_flags(error)) from None
    terminal = sys.stdout.isatty()
    console = Console(highlight=False, width=None if terminal else 140)
    command = shlex.join(["python", "-m", "rnnbench.bench", *(sys.argv[1:] if given is None else given)])
    results: dict[str, Any] = {"command": command, "versions": versions(), "machine": machine()}
    results["note"] = args.note
    console.print(table.machine(results["machine"], results["versions"], limits()))
    results |= {"ceilings": limits(), "missing": peers.missing() if args.peers or args.targets else {}}
    for section in sections:
        results.setdefault(section.what, []).extend(show(section, console))
        if args.json:  # after every section, so that a long call that is stopped leaves what it has
            write_text(args.json, json.dumps(results, indent=1) + "\n")
    if results["missing"]:
        by_reason: dict[str, list[str]] = {}
        for name, reason in results["missing"].items():
            by_reason.setdefault(reason, []).append(name)
        absent = "; ".join(f"{reason}: {', '.join(names)}" for reason, names in by_reason.items())
        console.print(f"not timed: {absent}", soft_wrap=True)


def main(given: Sequence[str] | None = None) -> int:
    try:
        bench(given)
    except InputError as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
