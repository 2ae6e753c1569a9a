"""What this benchmark wants of its own speed: the measurements behind each target, and the verdicts."""

import argparse
import dataclasses
import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from rnnbench.bench import peers, trainer
from rnnbench.bench.plan import DISTINCT, Section, comparisons, pairs, populations, sampling, singles
from rnnbench.bench.rows import Job
from rnnbench.bench.subjects import parse
from rnnbench.bench.timing import Budget
from rnnbench.bench.trainer import Shape

# The training step of the PyTorch original in milliseconds, on two CPU cores and not in this run: batch 32,
# width 64, 4 heads, 2 layers, MLP 128 (LRU: none), bit parity.
PYTORCH = {
    256: dict(gpt=376, lstm=548, qlstm=352, linear_transformer=277, lru=183, deltanet=467),
    1024: dict(gpt=8240, lstm=6502, qlstm=2095, linear_transformer=2158, lru=6635, deltanet=5660),
}
RECURRENT = tuple(name for name in DISTINCT if name != "gpt")
POPULATIONS = ("lstm", "deltanet")

Rows = list[dict[str, Any]]
Verdict = dict[str, Any]


def plan(args: argparse.Namespace, limits: Any) -> list[Section]:
    """The measurements for the targets of `args.targets`, cpu or gpu; sizes and lengths given go first."""
    budget = lambda: Budget(args.budget, args.repeats)

    def shapes(*lengths: int, **sizes: int | str) -> list[Shape]:
        known = {"batch": args.batch, "dim": args.dim, "heads": args.heads, "layers": args.layers}
        sizes = known | {"mlp_dim": args.mlp_dim, "dtype": args.dtype} | sizes | args.given
        return [Shape(length=length, **sizes) for length in args.lengths or lengths]

    patient = lambda: Budget(8 * args.budget, args.repeats)  # a sample of a population is 64 steps
    sections = (cpu if args.targets == "cpu" else gpu)(shapes, budget, patient, limits)
    return [section for section in sections if section.what in args.what]


def cpu(shapes: Callable[..., list[Shape]], budget: Any, patient: Any, limits: Any) -> list[Section]:
    usual = shapes(256, 1024)
    steps = [parse(f"step:{name}", usual[0]) for name in DISTINCT]
    jobs = [job for name in RECURRENT for job in long(name, shapes(1024, batch=1), budget)]
    return [
        Section("steps", singles(steps, usual, budget, limits)),
        Section("peers", comparisons(peers.couples(("lstm",), usual[0]), usual, budget, "gradient")),
        Section("long", jobs),
        Section("population", populations(POPULATIONS, shapes(64, 256), patient)),
        Section("sampling", sampling(("lstm",), shapes(64, 256), budget)),
    ]


def gpu(shapes: Callable[..., list[Shape]], budget: Any, patient: Any, limits: Any) -> list[Section]:
    # The Triton kernel of the delta rule takes no float32.
    heads = shapes(2048, batch=8, dim=512, heads=8, dtype="bfloat16")
    channels = shapes(2048, batch=8, dim=1024)
    against = [(("delta_rule", "linear_attention"), heads), (("selective_scan",), channels)]
    jobs = [
        job
        for names, at in against
        for job in comparisons(peers.couples(names, at[0]), at, budget, "gradient")
    ]
    small = shapes(256, dim=128)
    ours = [
        job
        for names, at in against
        for job in singles([parse(name, at[0]) for name in names], at, budget, limits)
    ]
    return [
        Section("population", populations(DISTINCT, small, patient, 16)),
        Section("ops", ours),
        Section("peers", jobs),
    ]


def long(preset: str, shapes: Sequence[Shape], budget: Any) -> list[Job]:
    """A step at 16 times the length against 16 steps at the length: the same tokens."""
    jobs = []
    for shape in shapes:
        whole = dataclasses.replace(shape, length=16 * shape.length)
        a = lambda shape: trainer.tokens_of(preset, shape, shape.length)
        b = lambda whole, length=shape.length: trainer.tokens_of(preset, whole, length)
        names = f"step:{preset}", f"16 steps at T = {shape.length}", "step"
        jobs += pairs(names, a, b, [whole], budget)
    return jobs


def verdicts(results: dict[str, Rows]) -> list[Verdict]:
    """Every target that the rows say something about: what is wanted, what was measured, whether met."""
    rows = {what: [row for row in found if not row["note"]] for what, found in results.items()}
    return [
        *_against_pytorch(rows.get("steps", [])),
        *_against_peers(rows.get("peers", [])),
        *_long(rows.get("long", [])),
        *_populations(rows.get("population", [])),
        *_sampling(rows.get("sampling", [])),
    ]


def _verdict(target: str, wanted: str, measured: str, met: bool) -> Verdict:
    return {"target": target, "wanted": wanted, "measured": measured, "met": met}


def speedups(steps: Rows) -> dict[int, dict[str, float]]:
    """Times faster than the PyTorch original, by length and preset, in steps on a CPU at its sizes."""
    sizes = {"batch": 32, "dim": 64, "heads": 4, "layers": 2, "mlp_dim": 128, "dtype": "float32"}
    same = [row for row in steps if all(row[name] == size for name, size in sizes.items())]
    found: dict[int, dict[str, float]] = {}
    for row in same:
        theirs = PYTORCH.get(row["length"], {}).get(row["name"].removeprefix("step:"))
        if theirs:
            name = row["name"].removeprefix("step:")
            found.setdefault(row["length"], {})[name] = theirs / (1000 * row["seconds"])
    return found


def _against_pytorch(steps: Rows) -> Iterable[Verdict]:
    for length, ratios in sorted(speedups(steps).items()):
        if len(ratios) < len(PYTORCH[length]):
            continue
        mean = math.exp(sum(map(math.log, ratios.values())) / len(ratios))
        least = min(ratios, key=ratios.get)
        wanted = {256: 3, 1024: 6}[length]
        name = f"train step against the PyTorch original, T = {length}"
        yield _verdict(f"{name}: geometric mean", f"≥ {wanted}×", f"{mean:.1f}×", mean >= wanted)
        measured = f"{ratios[least]:.1f}× ({least})"
        yield _verdict(f"{name}: slowest of six", "≥ 1.5×", measured, ratios[least] >= 1.5)


def _against_peers(rows: Rows) -> Iterable[Verdict]:
    for row in rows:
        if row["kind"] != "gradient":
            continue
        wanted = 0.5 if row["a"] != "torch:lstm" else 0.7 if row["length"] < 1024 else 1.0
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
        if row["a"].startswith("16 "):
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
