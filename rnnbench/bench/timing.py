"""The time that a program takes, and the compute and copy rates that this machine reaches."""

import math
import os
import re
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from rnnbench.bench.cost import count

SAMPLE_SECONDS = 0.1  # a sample repeats a short program until it lasts this long
# … and an op or train steps this many times longer: the first of a dispatch maps the memory (up to half of
# its time at T = 1024 on a CPU), and the trainer takes a hundred steps per dispatch.
OPS_LONGER, STEPS_LONGER = 3, 10
MEMINFO = Path("/proc/meminfo")


@dataclass(frozen=True)
class Prepared:
    """A program ready to be timed: `run(n)` does its work n times and waits for the end.

    flops and bytes of one call (see `count`), xla_* by XLA's own analysis, and the peak memory in bytes; None
    if unknown.
    """

    run: Callable[[int], None]
    compile_seconds: float | None = None
    flops: float | None = None
    bytes: float | None = None
    xla_flops: float | None = None
    xla_bytes: float | None = None
    peak_bytes: int | None = None
    longer: int = 1  # a sample lasts this many times SAMPLE_SECONDS


class Skip(Exception):
    """Raised for a size that is not measured; the text says why."""


def prepare(fn: Any, shapes: tuple, make_run: Callable[[Any], Callable[[int], None]]) -> Prepared:
    """Compiles the jitted `fn` for `shapes`; `make_run` turns the compiled program into a `run`.

    Raises Skip, before anything is allocated, if the program needs more memory than there is.
    """
    start = time.perf_counter()
    traced = fn.trace(*shapes)
    compiled = traced.lower().compile()
    seconds = time.perf_counter() - start
    memory, xla = compiled.memory_analysis(), compiled.cost_analysis() or {}
    peak = None
    if memory is not None:
        peak = memory.temp_size_in_bytes + memory.argument_size_in_bytes + memory.output_size_in_bytes
        peak -= memory.alias_size_in_bytes
        if peak > (there := available_memory()):
            raise Skip(f"needs {peak / 2**30:.1f} GiB of memory, {there / 2**30:.1f} are free")
    flops, moved = count(traced.jaxpr.jaxpr)
    xla_cost = xla.get("flops"), xla.get("bytes accessed")
    return Prepared(make_run(compiled), seconds, flops, moved, *xla_cost, peak)


def repeated(fn: Any) -> Any:
    """A jitted `(n, *inputs) -> fn(*inputs)` that computes n times, in memory that it maps once.

    On a CPU every call of a program begins with fresh pages, which the system clears. That takes up to half
    of the time of a single op, and is no part of the op: within a train step its memory is there.
    """

    def run(n: jax.Array, *inputs: Any) -> Any:
        # The counter keeps the compiler from computing once, before the loop.
        again = lambda i, _: fn(*jax.lax.optimization_barrier((inputs, i))[0])
        nothing = lambda x: jnp.zeros(x.shape, x.dtype)
        return jax.lax.fori_loop(0, n, again, jax.tree.map(nothing, jax.eval_shape(fn, *inputs)))

    return jax.jit(run)


def repeat(compiled: Any, inputs: tuple) -> Callable[[int], None]:
    """`run` of a compiled `repeated`."""
    return lambda n: jax.block_until_ready(compiled(np.int32(n), *inputs))


def available_memory() -> int:
    """Free bytes on the device, or in main memory; unlimited if unknown."""
    stats = jax.local_devices()[0].memory_stats() or {}
    if "bytes_limit" in stats:
        return stats["bytes_limit"] - stats.get("bytes_in_use", 0)
    if MEMINFO.exists() and (found := re.search(r"MemAvailable: +(\d+) kB", MEMINFO.read_text())):
        return 1024 * int(found[1])  # with the cache of files, which the system gives up
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError, AttributeError):
        return 2**63


def calibrate(prepared: Prepared) -> int:
    """Number of calls that make a sample long enough to time."""
    return calls(sample(prepared, 1), prepared.longer)


def calls(seconds: float, longer: int) -> int:
    """`calibrate` of a program whose call takes this long."""
    return max(1, min(1000, math.ceil(longer * SAMPLE_SECONDS / seconds)))


def sample(prepared: Prepared, n: int) -> float:
    """Seconds per call, over n calls."""
    start = time.perf_counter()
    prepared.run(n)
    return (time.perf_counter() - start) / n


def spread(values: list[float]) -> tuple[float, float, float]:
    """Lower quartile, median, upper quartile."""
    if len(values) == 1:
        return (values[0],) * 3
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return low, middle, high


@dataclass
class Budget:
    """The number of samples of each subject, and the seconds that all lengths of a row may take.

    A length that does not fit is refused before it starts. Only samples count: neither compilation nor the
    first call of a program, in which a Triton kernel tries its tilings for minutes.
    """

    seconds: float
    repeats: int
    spent: float = 0.0
    # Length, and of each program that is sampled in turn the seconds per call and `longer`.
    done: list[tuple[int, list[tuple[float, int]]]] = field(default_factory=list)

    def check(self, length: int) -> None:
        """Raises Skip if `length` will not fit, extrapolated from the shorter lengths."""
        left = self.seconds - self.spent
        expected = sum(each * (1 + self.repeats * calls(each, longer)) for each, longer in self._at(length))
        if left <= 0 or expected > left:
            raise Skip(f"--budget={self.seconds:g}: about {expected:.0f} s more, {max(left, 0):.0f} s left")

    def _at(self, length: int) -> list[tuple[float, int]]:
        """What `done` would have for `length`; nothing before the first length."""
        if not self.done:
            return []
        last, programs = self.done[-1]
        power = 1.0
        if len(self.done) > 1 and last > self.done[-2][0]:
            before, earlier = self.done[-2]
            growth = sum(each for each, _ in programs) / sum(each for each, _ in earlier)
            power = math.log(growth) / math.log(last / before)
        factor = (length / last) ** min(max(power, 1.0), 2.0)
        return [(factor * each, longer) for each, longer in programs]

    def add(self, length: int, programs: list[tuple[float, int]]) -> None:
        self.done.append((length, programs))


def interleave(programs: Sequence[Prepared], budget: Budget) -> list[list[float]]:
    """Samples of all, taken in turn, A B A B …, so that other load on the machine affects all alike."""
    for program in programs:
        program.run(1)
    start = time.perf_counter()
    times = [calibrate(program) for program in programs]
    rounds = [list(map(sample, programs, times)) for _ in range(budget.repeats)]
    budget.spent += time.perf_counter() - start
    return [list(samples) for samples in zip(*rounds)]


def ceilings(dtype: str, repeats: int) -> dict[str, float]:
    """The best of several tries: FLOP/s of a square matmul in `dtype`, bytes/s of a pass over memory.

    Shares relate to these two. What has no large product is limited by the others: the FLOP/s of products as
    small as those of a chunk of 32 tokens with 16 channels per head, and exponentials/s.
    """
    size = 1024 if jax.default_backend() == "cpu" else 8192
    square, small = jnp.ones((size, size), dtype), jnp.ones((size, 32, 16), dtype)
    compiled = lambda function, x: repeat(repeated(function).lower(np.int32(1), x).compile(), (x,))
    matmul = compiled(lambda x: x @ x, square)
    products = compiled(lambda x: x @ jnp.swapaxes(x, 1, 2), small)
    exponentials = compiled(jnp.exp, jnp.ones(size**2, dtype))
    long = jnp.ones((2**25 if jax.default_backend() == "cpu" else 2**28,), jnp.float32)
    # In place: with a new result for every call, most of the time would be the mapping of its pages.
    one_pass = jax.jit(lambda x: x + 1, donate_argnums=0).lower(long).compile()
    nbytes = 2 * long.nbytes

    def copy(n: int) -> None:
        nonlocal long
        for _ in range(n):
            long = one_pass(long)
        long.block_until_ready()

    programs = list(map(Prepared, (matmul, copy, products, exponentials)))
    samples = interleave(programs, Budget(math.inf, repeats))
    of_matmul, of_copy, of_products, of_exponentials = map(min, samples)
    return {
        "matmul_flops_per_second": 2 * size**3 / of_matmul,
        "copy_bytes_per_second": nbytes / of_copy,
        "small_matmul_flops_per_second": 2 * small.size * 32 / of_products,
        "exponentials_per_second": size**2 / of_exponentials,
    }


def machine() -> dict[str, Any]:
    """The hardware in general terms."""
    device = jax.local_devices()[0]
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {"platform": device.platform, "device": device.device_kind, "devices": 1, "cpu_cores": cores}
