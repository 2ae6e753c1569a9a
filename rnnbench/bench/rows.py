"""One measurement as a plain row, of one subject or of two in turn, or a note that says why there is none."""

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import jax

from rnnbench.bench.subjects import Subject
from rnnbench.bench.timing import Budget, Skip, interleave, spread
from rnnbench.bench.trainer import Shape

Row = dict[str, Any]
# The keys that identify a row, together with its sizes.
IDENTITY = ("name", "a", "b", "kind", "batch", "length", "dim", "heads", "layers", "mlp_dim", "dtype")


def single(subject: Subject, kind: str, shape: Shape, budget: Budget) -> Row:
    """Median and quartiles of a subject, and its rates."""

    def values() -> Row:
        prepared = subject.prepare(kind, shape)
        low, median, high = spread(*interleave([prepared], budget))
        budget.add(shape.length, [(median, prepared.longer)])
        copied = ("flops", "bytes", "xla_flops", "xla_bytes", "compile_seconds", "peak_bytes")
        return {
            "repeats": budget.repeats,
            "seconds": median,
            "seconds_low": low,
            "seconds_high": high,
            "tokens_per_second": shape.batch * shape.length / median,
            "flops_per_second": prepared.flops / median,
            "bytes_per_second": prepared.bytes / median,
            **{name: getattr(prepared, name) for name in copied},
        }

    return {"name": subject.name, "kind": kind, **asdict(shape)} | _or_note(values, shape, budget)


def pair(a: Subject, b: Subject, kind: str, shape: Shape, budget: Budget) -> Row:
    """Median and quartiles of the ratios A / B of samples taken in turn."""

    def values() -> Row:
        first, second = a.prepare(kind, shape), b.prepare(kind, shape)
        of_a, of_b = interleave([first, second], budget)
        low, ratio, high = spread([x / y for x, y in zip(of_a, of_b, strict=True)])
        median_a, median_b = spread(of_a)[1], spread(of_b)[1]
        budget.add(shape.length, [(median_a, first.longer), (median_b, second.longer)])
        return {
            "repeats": budget.repeats,
            "seconds_a": median_a,
            "seconds_b": median_b,
            "ratio": ratio,
            "ratio_low": low,
            "ratio_high": high,
            "compile_seconds_a": first.compile_seconds,
            "compile_seconds_b": second.compile_seconds,
            "peak_bytes_a": first.peak_bytes,
            "peak_bytes_b": second.peak_bytes,
        }

    return {"a": a.name, "b": b.name, "kind": kind, **asdict(shape)} | _or_note(values, shape, budget)


def with_shares(row: Row, limits: dict[str, float]) -> Row:
    """A row with its rates as shares of the machine's ceilings."""
    if "flops_per_second" not in row:
        return row
    shares = {
        "flops_share": row["flops_per_second"] / limits["matmul_flops_per_second"],
        "bytes_share": row["bytes_per_second"] / limits["copy_bytes_per_second"],
    }
    return row | shares


def _or_note(values: Callable[[], Row], shape: Shape, budget: Budget) -> Row:
    try:
        budget.check(shape.length)
        return values()
    except Skip as skip:
        return {"note": str(skip)}
    except jax.errors.JaxRuntimeError as error:  # out of memory, mostly
        return {"note": str(error).splitlines()[0]}
