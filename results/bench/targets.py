"""What this benchmark wants of its own speed: the measurements behind each target, and the verdicts.

    python results/bench/targets.py cpu --original=../modern_rnns --json=results/bench/cpu.json
    python results/bench/targets.py gpu --json=results/bench/gpu.json

All that the targets of a CPU, or of a GPU, need in one call; `--original` is that of `peers.py`. `page.py`
makes the page of its JSON.
"""

import argparse
import dataclasses
import math
import sys
from collections.abc import Iterable, Sequence
from typing import Any

import peers

from rnnbench.bench import run, trainer
from rnnbench.bench.plan import DISTINCT, Couple, Job, Section, comparisons, populations, sampling, singles
from rnnbench.bench.subjects import Subject, parse
from rnnbench.bench.trainer import Shape
from rnnbench.config import InputError

ORIGINAL = tuple(name.partition(":")[2] for name in peers.PEERS if name.startswith("original:"))
FASTER = {256: 8, 1024: 16}  # than the original, by length
POPULATIONS = ("lstm", "deltanet")

Row = dict[str, Any]
Rows = list[Row]
Verdict = dict[str, Any]


def cpu(args: argparse.Namespace) -> list[Section]:
    usual, short = args.shapes(256, 1024), args.shapes(64, 256)
    presets = [name for name in DISTINCT if name in (args.names or DISTINCT)]
    recurrent = [name for name in presets if name != "gpt"]
    steps = [parse(f"step:{name}", usual[0]) for name in presets]
    against = peers.couples(("lstm",), usual[0], ("gradient",)) + peers.couples((), usual[0], ("step",))
    return [
        Section("steps", singles(steps, usual, args.budget)),
        Section("peers", comparisons(against, usual, args.budget), peers.not_timed()),
        Section("long", long(recurrent, args.shapes(1024, batch=1), args)),
        Section("population", comparisons(populations(POPULATIONS, short), short, patient(args))),
        Section("sampling", comparisons(sampling(("lstm",), short), short, args.budget)),
    ]


def gpu(args: argparse.Namespace) -> list[Section]:
    # The Triton kernel of the delta rule takes no float32; the LSTM of PyTorch is cuDNN's there.
    heads = args.shapes(2048, batch=8, dim=512, heads=8, dtype="bfloat16")
    channels = args.shapes(2048, batch=8, dim=1024)
    ops: list[Job] = []
    against: list[Job] = []
    for names, shapes in ((("delta_rule", "linear_attention"), heads), (("selective_scan",), channels)):
        ops += singles([parse(name, shapes[0]) for name in names], shapes, args.budget)
        against += comparisons(peers.couples(names, shapes[0], ("gradient",)), shapes, args.budget)
    lstm = args.shapes(256, 1024, dim=512)
    against += comparisons(peers.couples(("lstm",), lstm[0], ("gradient",)), lstm, args.budget)
    small = args.shapes(256, dim=128)
    return [
        Section("population", comparisons(populations(DISTINCT, small, 16), small, patient(args))),
        Section("ops", ops),
        Section("peers", against, peers.not_timed()),
    ]


def patient(args: argparse.Namespace) -> Any:
    """Budgets for populations: a sample of one is 64 steps."""
    return lambda: dataclasses.replace(args.budget(), seconds=8 * args.seconds)


def long(presets: Sequence[str], shapes: Sequence[Shape], args: argparse.Namespace) -> list[Job]:
    """A step at 16 times the length against 16 steps at the length: the same tokens."""
    jobs = []
    for name in presets:
        for shape in shapes:
            whole = dataclasses.replace(shape, length=16 * shape.length)
            jobs += comparisons([_whole_and_parts(name, shape.length)], [whole], args.budget)
    return jobs


def _whole_and_parts(preset: str, length: int) -> Couple:
    one = lambda _, shape: trainer.tokens_of(preset, shape, shape.length)
    many = lambda _, shape: trainer.tokens_of(preset, shape, length)
    parts = Subject(f"16 steps at T = {length}", ("step",), many)
    return Subject(f"step:{preset}", ("step",), one), parts


PLANS = {"cpu": cpu, "gpu": gpu}


def plan(args: argparse.Namespace) -> list[Section]:
    peers.find_original(args.original)
    sections = PLANS[args.machine](args)
    chosen = [section for section in sections if section.what in (args.what or (section.what,))]
    if not chosen:
        there = " ".join(section.what for section in sections)
        raise InputError(f"--what: none of them for a {args.machine}; choose from: {there}")
    return chosen


def parser() -> argparse.ArgumentParser:
    parser = run.parser("python results/bench/targets.py", __doc__)
    peers.add_original(parser)
    parser.add_argument("machine", choices=tuple(PLANS))
    what = run.words("steps", "ops", "peers", "long", "population", "sampling")
    parser.add_argument("--what", type=what, help="only these tables")
    help = "presets, in place of all, whose steps and long sequences a CPU times"
    parser.add_argument("--names", type=run.words(*DISTINCT), default=(), help=help)
    return parser


def main(given: Sequence[str] | None = None) -> int:
    return run.main(parser(), plan, given)


def verdicts(results: dict[str, Rows]) -> list[Verdict]:
    """Every target that the rows say something about: what is wanted, what was measured, whether met."""
    rows = {what: [row for row in found if not row.get("note")] for what, found in results.items()}
    return [
        *_against_original(rows.get("peers", [])),
        *_against_peers(rows.get("peers", [])),
        *_long(rows.get("long", [])),
        *_populations(rows.get("population", [])),
        *_sampling(rows.get("sampling", [])),
    ]


def _verdict(target: str, wanted: str, measured: str, met: bool) -> Verdict:
    return {"target": target, "wanted": wanted, "measured": measured, "met": met}


def speedups(peers: Rows) -> dict[int, dict[str, Row]]:
    """The rows of the PyTorch original's train steps at its sizes, by length and preset."""
    sizes = {name: value for name, value in dataclasses.asdict(Shape(0)).items() if name != "length"}
    found: dict[int, dict[str, Row]] = {}
    for row in peers:
        whose, _, preset = row["a"].partition(":")
        if whose == "original" and all(row[name] == value for name, value in sizes.items()):
            found.setdefault(row["length"], {})[preset] = row
    return found


def _against_original(peers: Rows) -> Iterable[Verdict]:
    for length, rows in sorted(speedups(peers).items()):
        if length not in FASTER or len(rows) < len(ORIGINAL):
            continue
        ratios = {preset: row["ratio"] for preset, row in rows.items()}
        mean = math.exp(sum(map(math.log, ratios.values())) / len(ratios))
        least = min(ratios, key=ratios.get)
        name, wanted = f"train step against the PyTorch original, T = {length}", FASTER[length]
        yield _verdict(f"{name}: geometric mean", f"≥ {wanted}×", f"{mean:.1f}×", mean >= wanted)
        measured = f"{ratios[least]:.1f}× ({least})"
        yield _verdict(f"{name}: slowest of six", "≥ 5×", measured, ratios[least] >= 5)


def _against_peers(rows: Rows) -> Iterable[Verdict]:
    for row in rows:
        if row["kind"] != "gradient":
            continue
        short = row["a"] == "torch:lstm" and row["length"] < 1024
        wanted = 0.5 if row["platform"] != "cpu" else 0.7 if short else 1.0
        target = f"{row['b']} forward and gradient against {row['a']}, T = {row['length']}"
        yield _verdict(target, f"≥ {wanted:g}×", f"{row['ratio']:.2f}×", row["ratio"] >= wanted)


def _long(rows: Rows) -> Iterable[Verdict]:
    for row in rows:
        lengths = f"T = {row['length']} against T = {row['length'] // 16}"
        target = f"{row['a']}: time per token at {lengths}, batch {row['batch']}"
        yield _verdict(target, "≤ 1.3×", f"{row['ratio']:.2f}×", row["ratio"] <= 1.3)
        if row["peak_bytes_a"] and row["peak_bytes_b"]:
            power = math.log(row["peak_bytes_a"] / row["peak_bytes_b"], 16)
            target = f"{row['a']}: memory grows with T to the power of"
            yield _verdict(target, "≤ 1.05", f"{power:.3f}", power <= 1.05)


def _populations(rows: Rows) -> Iterable[Verdict]:
    for row in rows:
        at = f"T = {row['length']}"
        if row["platform"] == "gpu" and row["a"].startswith("16 "):
            ratio = 1 / row["ratio"]
            target = f"{row['a']}, one after another against together, {at}"
            yield _verdict(target, "≥ 8×", f"{ratio:.1f}×", ratio >= 8)
        else:
            target = f"{row['a']} against {row['b']}, {at}"
            yield _verdict(target, "≤ 1.05×", f"{row['ratio']:.3f}×", row["ratio"] <= 1.05)


def _sampling(rows: Rows) -> Iterable[Verdict]:
    for row in rows:
        target = f"sampling of {row['kind']} in a {row['b']}, T = {row['length']}"
        yield _verdict(target, "< 5 %", f"{100 * row['ratio']:.1f} %", row["ratio"] < 0.05)


if __name__ == "__main__":
    sys.exit(main())
