"""One measurement as a plain row, of one subject or of two in turn; or the reason why there is none."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import jax

from rnnbench.bench.subjects import Subject
from rnnbench.bench.timing import Budget, Prepared, Skip, interleave, measure, spread
from rnnbench.bench.trainer import Shape

SINGLE = (
    *("repeats", "seconds", "seconds_low", "seconds_high", "tokens_per_second"),
    *("flops", "flops_per_second", "flops_share", "bytes", "bytes_per_second", "bytes_share"),
    *("xla_flops", "xla_bytes", "compile_seconds", "peak_bytes", "note"),
)
PAIR = (
    *("repeats", "seconds_a", "seconds_b", "ratio", "ratio_low", "ratio_high"),
    *("compile_seconds_a", "compile_seconds_b", "peak_bytes_a", "peak_bytes_b", "note"),
)


@dataclass(frozen=True)
class Job:
    """A measurement to be made: what it is, in words, and the function that makes its row."""

    label: str
    row: Callable[[], dict[str, Any]]


def single(
    subject: Subject, kind: str, shape: Shape, budget: Budget, limits: Callable[[], dict[str, float]]
) -> dict[str, Any]:
    """Median and quartiles of a subject, and its rates as shares of `limits()`, the machine's ceilings."""

    def values() -> dict[str, Any]:
        prepared = subject.prepare(kind, shape)
        low, median, high = spread(measure(prepared, budget.repeats))
        budget.add(shape.length, median, prepared.compile_seconds)
        flops, moved = prepared.flops / median, prepared.bytes / median
        copied = ("flops", "bytes", "xla_flops", "xla_bytes", "compile_seconds", "peak_bytes")
        return {
            "repeats": budget.repeats,
            "seconds": median,
            "seconds_low": low,
            "seconds_high": high,
            "tokens_per_second": shape.batch * shape.length / median,
            "flops_per_second": flops,
            "flops_share": flops / limits()["matmul_flops_per_second"],
            "bytes_per_second": moved,
            "bytes_share": moved / limits()["copy_bytes_per_second"],
            **{name: getattr(prepared, name) for name in copied},
        }

    row = {"name": subject.name, "kind": kind, **asdict(shape), **dict.fromkeys(SINGLE)}
    return row | _or_note(values, shape, budget)


def pair(
    names: tuple[str, str, str],
    a: Callable[[Shape], Prepared],
    b: Callable[[Shape], Prepared],
    shape: Shape,
    budget: Budget,
) -> dict[str, Any]:
    """Median and quartiles of the ratios A / B of samples taken in turn. names: of A, of B, and the kind."""

    def values() -> dict[str, Any]:
        first, second = a(shape), b(shape)
        of_a, of_b = interleave(first, second, budget.repeats)
        low, ratio, high = spread([x / y for x, y in zip(of_a, of_b, strict=True)])
        median_a, median_b = spread(of_a)[1], spread(of_b)[1]
        compiling = (first.compile_seconds, second.compile_seconds)
        budget.add(shape.length, median_a + median_b, sum(seconds or 0.0 for seconds in compiling))
        peaks = (first.peak_bytes, second.peak_bytes)
        measured = (budget.repeats, median_a, median_b, ratio, low, high, *compiling, *peaks)
        return dict(zip(PAIR, measured, strict=False))

    row = {"a": names[0], "b": names[1], "kind": names[2], **asdict(shape), **dict.fromkeys(PAIR)}
    return row | _or_note(values, shape, budget)


def _or_note(values: Callable[[], dict[str, Any]], shape: Shape, budget: Budget) -> dict[str, Any]:
    try:
        budget.check(shape.length)
        return values()
    except Skip as skip:
        return {"note": str(skip)}
    except jax.errors.JaxRuntimeError as error:  # out of memory, mostly
        return {"note": str(error).splitlines()[0]}
