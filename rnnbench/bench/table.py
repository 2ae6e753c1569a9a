"""The tables of the bench, as a person reads them."""

from collections.abc import Sequence
from typing import Any

from rich.table import Table

TITLES = {
    "ops": "Ops",
    "mixers": "Mixers: one layer with its projections",
    "steps": "Train steps on bit parity, sampling included",
    "compare": "A against B, interleaved; above 1, B is faster",
    "peers": "Peers against ours, interleaved; above 1, ours is faster",
    "long": "A step against as many shorter ones as take its tokens",
    "sampling": "Sampling as a share of the train step",
    "population": "A population against its members one after another",
}


def measured(what: str, rows: Sequence[dict[str, Any]]) -> Table:
    """Rows of single subjects."""
    table = _table(
        what, ("", "", "T", "ms", "quartiles", "tokens/s", "FLOP/s", "%", "bytes/s", "%", "compile", "memory")
    )
    for row, before in zip(rows, [None, *rows], strict=False):
        again = before is not None and (before["name"], before["kind"]) == (row["name"], row["kind"])
        start = ("", "") if again else (row["name"], row["kind"])
        if row["note"]:
            table.add_row(*start, str(row["length"]), "–", f"[dim italic]{row['note']}[/]")
            continue
        table.add_row(
            *start,
            str(row["length"]),
            f"[bold]{milliseconds(row['seconds'])}[/]",
            f"{milliseconds(row['seconds_low'])}–{milliseconds(row['seconds_high'])}",
            prefixed(row["tokens_per_second"]),
            prefixed(row["flops_per_second"]),
            f"{100 * row['flops_share']:.1f}",
            prefixed(row["bytes_per_second"]),
            f"{100 * row['bytes_share']:.0f}",
            f"{row['compile_seconds']:.1f} s",
            "" if row["peak_bytes"] is None else prefixed(row["peak_bytes"]) + "B",
        )
    return table


def pairs(what: str, rows: Sequence[dict[str, Any]]) -> Table:
    """Rows of two subjects."""
    table = _table(what, ("A", "B", "", "T", "A ms", "B ms", "A / B", "quartiles"))
    for row in rows:
        start = (row["a"], row["b"], row["kind"], str(row["length"]))
        if row["note"]:
            table.add_row(*start, "–", "–", "–", f"[dim italic]{row['note']}[/]")
            continue
        times = (milliseconds(row["seconds_a"]), milliseconds(row["seconds_b"]))
        quartiles = f"{row['ratio_low']:.3g}–{row['ratio_high']:.3g}"
        table.add_row(*start, *times, f"[bold]{row['ratio']:.3g}[/]", quartiles)
    return table


def _table(what: str, columns: Sequence[str]) -> Table:
    table = Table(title=TITLES[what], title_justify="left", title_style="bold", box=None, padding=(0, 1))
    for column in columns:
        words = column in ("", "A", "B", "quartiles")
        table.add_column(column, justify="left" if words else "right", no_wrap=column != "quartiles")
    return table


def milliseconds(seconds: float) -> str:
    """Three digits: 0.123, 4.56, 78.9, 1234."""
    value = 1000 * seconds
    digits = 3 if value < 1 else 2 if value < 10 else 1 if value < 100 else 0
    return f"{value:.{digits}f}"


def prefixed(value: float) -> str:
    """Three digits and a prefix: 1.23 G."""
    for prefix, size in (("T", 1e12), ("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if value >= size:
            value /= size
            return f"{value:.{2 if value < 10 else 1 if value < 100 else 0}f} {prefix}"
    return f"{value:.0f} "


def machine(hardware: dict[str, Any], versions: dict[str, str], limits: dict[str, float]) -> str:
    """One line of what was measured on."""
    flops, moved = limits["matmul_flops_per_second"], limits["copy_bytes_per_second"]
    device, cores = hardware["device"], hardware["cpu_cores"]
    where = f"{hardware['platform']} ({device}), {cores} CPU cores, jax {versions['jax']}"
    return f"{where}; matmul {prefixed(flops)}FLOP/s, copy {prefixed(moved)}B/s\n"
