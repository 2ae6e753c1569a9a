"""The page of the bench in Markdown, from what --json wrote in one or several calls:

    python results/bench/page.py FILE … > results/bench/README.md

The targets and what was measured for them come first, then every row. Of what several files hold, the first
file's counts.
"""

import argparse
import io
import json
import shlex
import sys
from collections.abc import Sequence
from typing import Any

import targets
from rich import box
from rich.console import Console
from rich.table import Table

from rnnbench.bench import table
from rnnbench.bench.rows import IDENTITY

GPU = "python results/bench/targets.py gpu --json=results/bench/gpu.json"
ABOUT = """\
All ratios are of samples taken in turn; a time is a median. The limits above are the best of all calls; a
share in % is of those that the row's own call measured."""

ORIGINAL = """\
The original's step is that of its own trainer on bit parity (batch 32, width 64, 4 heads, 2 layers, MLP 128;
LRU without), in turn with ours: how many times as fast ours is, and the milliseconds of both. Below are two
measurements on other machines with two CPU cores, which no command here repeats; the first lacks ours."""
# Milliseconds of the original's step, and of ours then.
EARLIER = {
    "first": {
        256: dict(gpt=376, lstm=548, qlstm=352, linear_transformer=277, lru=183, deltanet=467),
        1024: dict(gpt=8240, lstm=6502, qlstm=2095, linear_transformer=2158, lru=6635, deltanet=5660),
    },
    "second": {
        256: dict(
            gpt=(204, 44), lstm=(266, 36), qlstm=(145, 32), linear_transformer=(284, 43), lru=(109, 19),
            deltanet=(245, 67),
        ),
        1024: dict(
            gpt=(3659, 643), lstm=(3172, 159), qlstm=(812, 132), linear_transformer=(1282, 192),
            lru=(1583, 95), deltanet=(2783, 297),
        ),
    },
}  # fmt: skip
STEPS_AGAIN = """\
Milliseconds, and the larger share of the two limits of its own call, with the code of each call. Calls are
numbered as their files are in the command of this page; the first of a row counts elsewhere on it."""


def results(path: str) -> dict[str, Any]:
    """What a call wrote."""
    try:
        with open(path, encoding="utf-8") as file:
            call = json.load(file)
    except (OSError, ValueError) as error:
        raise argparse.ArgumentTypeError(f"{path} cannot be read: {error}") from None
    if not isinstance(call, dict) or "ceilings" not in call:
        raise argparse.ArgumentTypeError(f"{path} is not a file that --json wrote")
    if "matmul_flops_per_second" in call["ceilings"]:  # an older file, with those of its only dtype
        dtype = next(row["dtype"] for what in table.TITLES for row in call.get(what, []))
        call["ceilings"] = {dtype: call["ceilings"]}
    return call


def markdown(calls: Sequence[dict[str, Any]], command: str) -> str:
    """The page of these calls, made by this command."""
    rows = {what: _merged(what, calls) for what in table.TITLES}
    found = targets.verdicts(rows)
    met = sum(verdict["met"] for verdict in found)
    lines = ["# Speed", "", f"{met} of {len(found)} targets are met in these calls:", ""]
    lines += ["```bash", *dict.fromkeys(call["command"] for call in calls), "```", ""]
    lines += [f"- {line}" for line in (*_machines(calls), *_busy(calls))]
    lines += [f"- {note}" for note in dict.fromkeys(call.get("note", "") for call in calls) if note]
    lines += [f"- {line}" for line in _again(calls)]
    lines += ["", ABOUT, ""]
    if not any(call["machine"]["platform"] == "gpu" for call in calls):
        lines += [
            f"The targets on a GPU are unmeasured; `{GPU}` measures them all in one call. "
            "What was timed on one stands on [its own page](../gpu/README.md).",
            "",
        ]
    lines += [f"This page is the output of `{command}`.", ""]
    lines += ["## Targets", "", render(_verdicts(found))]
    if steps := targets.speedups([row for row in rows["peers"] if not row.get("note")]):
        lines += ["## Times faster than the PyTorch original", "", ORIGINAL, "", render(_speedups(steps))]
    if again := _steps_again(calls):
        lines += ["## Train steps measured again", "", STEPS_AGAIN, "", render(again)]
    for what, title in table.TITLES.items():
        if rows[what]:
            lines += [f"## {title}", "", render(table.draw(what, rows[what]))]
    return "\n".join(lines).rstrip() + "\n"


def _merged(what: str, calls: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows of all calls, by subject and length; of what was measured more than once the first."""
    found: dict[str, dict[int, dict[str, Any]]] = {}
    for call in calls:
        for row in call.get(what, []):
            subject = [row.get(name) for name in IDENTITY if name != "length"]
            by_length = found.setdefault(json.dumps([call["machine"], subject]), {})
            if row["length"] not in by_length or by_length[row["length"]].get("note"):
                by_length[row["length"]] = row | {"platform": call["machine"]["platform"]}
    return [by_length[length] for by_length in found.values() for length in sorted(by_length)]


def _again(calls: Sequence[dict[str, Any]]) -> list[str]:
    """A line for each pair that several calls compared: targets and tables have its first ratio only."""
    lines = []
    for rows in _repeated("peers", calls):
        machine, row = calls[min(rows)]["machine"], rows[min(rows)]
        pair = f"{row['b']} against {row['a']}, {row['kind']}, T = {row['length']}"
        sizes = f"batch {row['batch']}, width {row['dim']}, {row['heads']} heads, {row['dtype']}"
        first, *later = (f"{row['ratio']:.3g}×" for row in rows.values())
        where = f"{machine['device']}, {machine['cpu_cores']} CPU cores"
        lines.append(f"measured again, {where}: {pair}, {sizes}: {first}, in later calls {', '.join(later)}")
    return lines


def _repeated(what: str, calls: Sequence[dict[str, Any]]) -> list[dict[int, dict[str, Any]]]:
    """The rows of what several calls measured on one kind of machine, each row by the index of its call."""
    found: dict[str, dict[int, dict[str, Any]]] = {}
    for index, call in enumerate(calls):
        for row in call.get(what, []):
            if not row.get("note"):
                subject = json.dumps([call["machine"], [row.get(name) for name in IDENTITY]])
                found.setdefault(subject, {}).setdefault(index, row)
    return [rows for rows in found.values() if len(rows) > 1]


def _machines(calls: Sequence[dict[str, Any]]) -> list[str]:
    """A line for each kind of machine and dtype, with the best it did in any of its calls."""
    limits: dict[str, dict[str, float]] = {}
    for call in calls:
        for dtype, reached in call["ceilings"].items():
            of = limits.setdefault(json.dumps([call["machine"], call["versions"], dtype]), {})
            of |= {name: max(value, of.get(name, 0.0)) for name, value in reached.items()}
    return [table.machine(*json.loads(kind), best).strip() for kind, best in limits.items()]


def _busy(calls: Sequence[dict[str, Any]]) -> list[str]:
    """A line for each call whose matmul in a dtype reached less than half of the best on such a machine."""
    lines = []
    for call in calls:
        alike = [other["ceilings"] for other in calls if other["machine"] == call["machine"]]
        for dtype, reached in call["ceilings"].items():
            best = max(limits[dtype]["matmul_flops_per_second"] for limits in alike if dtype in limits)
            share = reached["matmul_flops_per_second"] / best
            if share < 0.5:
                said = f"its {dtype} matmul reached {share:.0%} of that"
                lines.append(f"other work ran during `{call['command']}`: {said}, and only ratios count")
    return lines


def render(drawn: Table) -> str:
    """A table as Markdown."""
    drawn.title, drawn.box = None, box.MARKDOWN
    console = Console(file=io.StringIO(), width=400, highlight=False, color_system=None)
    console.print(drawn)
    return "".join(line.strip() + "\n" for line in console.file.getvalue().splitlines() if line.strip())


def _verdicts(found: Sequence[targets.Verdict]) -> Table:
    drawn = Table("target", "wanted", "measured", "")
    for verdict in found:
        met = "met" if verdict["met"] else "missed"
        drawn.add_row(verdict["target"], verdict["wanted"], verdict["measured"], met)
    return drawn


def _speedups(found: dict[int, dict[str, dict[str, Any]]]) -> Table:
    """The original's steps beside ours in these calls, and as measured elsewhere."""
    drawn = Table("T", "measured", *targets.ORIGINAL)
    cell = lambda ratio, theirs, ours: f"{ratio:.1f}× ({theirs:.4g} / {ours:.3g})"
    both = lambda ms: cell(ms[0] / ms[1], *ms) if isinstance(ms, tuple) else f"{ms}"
    for length, rows in sorted(found.items()):
        here = {
            name: cell(row["ratio"], 1000 * row["seconds_a"], 1000 * row["seconds_b"])
            for name, row in rows.items()
        }
        cells = {"here": here}
        for when, lengths in EARLIER.items():
            cells[when] = {name: both(ms) for name, ms in lengths.get(length, {}).items()}
        for when, of in cells.items():
            if of:
                drawn.add_row(str(length), when, *(of.get(name, "–") for name in targets.ORIGINAL))
    return drawn


def _steps_again(calls: Sequence[dict[str, Any]]) -> Table | None:
    """The train steps that several calls measured on one kind of machine, in the order of the calls."""
    again = _repeated("steps", calls)
    if not again:
        return None
    indices = sorted(set().union(*again))
    drawn = Table("step", "T", *(f"call {index + 1}" for index in indices))
    share = lambda row: 100 * max(row["flops_share"], row["bytes_share"])
    cell = lambda row: f"{table.milliseconds(row['seconds'])} ms, {share(row):.0f} %" if row else "–"
    for rows in again:
        row = rows[min(rows)]
        drawn.add_row(row["name"], str(row["length"]), *(cell(rows.get(index)) for index in indices))
    return drawn


def main(given: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python results/bench/page.py", usage=argparse.SUPPRESS)
    parser.add_argument("files", metavar="FILE", nargs="+", type=results, help="what --json wrote")
    given = sys.argv[1:] if given is None else given
    calls = parser.parse_args(given).files
    print(markdown(calls, shlex.join([*parser.prog.split(), *given])), end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
