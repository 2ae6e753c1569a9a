"""The tables of the bench for the terminal."""

from collections.abc import Callable, Sequence
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.measure import Measurement
from rich.table import Table

FAMILIES = ("ops", "mixers", "steps")
TITLES = {
    "ops": "Ops",
    "mixers": "Mixers: one layer with its projections",
    "steps": "Train steps on bit parity, sampling included",
    "compare": "A against B, interleaved; above 1, B is faster",
    "peers": "Peers against ours, interleaved; above 1, ours is faster",
    "long": "A step against shorter steps with the same number of tokens",
    "sampling": "Sampling as a share of the train step",
    "population": "A population against its members one after another",
    "devices": "Members on several devices and on one; below 1, several are faster",
}


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


# (heading, cell of a row): the subject, then "T", then the measurements, in order of importance.
Columns = tuple[tuple[str, Callable[[dict[str, Any]], str]], ...]
SINGLE: Columns = (
    ("", lambda row: row["name"]),
    ("", lambda row: row["kind"]),
    ("T", lambda row: str(row["length"])),
    ("ms", lambda row: f"[bold]{milliseconds(row['seconds'])}[/]"),
    ("quartiles", lambda row: f"{milliseconds(row['seconds_low'])}–{milliseconds(row['seconds_high'])}"),
    ("tokens/s", lambda row: prefixed(row["tokens_per_second"])),
    ("FLOP/s", lambda row: prefixed(row["flops_per_second"])),
    ("%", lambda row: f"{100 * row['flops_share']:.1f}"),
    ("bytes/s", lambda row: prefixed(row["bytes_per_second"])),
    ("%", lambda row: f"{100 * row['bytes_share']:.0f}"),
    ("compile", lambda row: f"{row['compile_seconds']:.1f} s"),
    ("memory", lambda row: "" if row["peak_bytes"] is None else prefixed(row["peak_bytes"]) + "B"),
)
PAIR: Columns = (
    ("A", lambda row: row["a"]),
    ("B", lambda row: row["b"]),
    ("", lambda row: row["kind"]),
    ("T", lambda row: str(row["length"])),
    ("A ms", lambda row: milliseconds(row["seconds_a"])),
    ("B ms", lambda row: milliseconds(row["seconds_b"])),
    ("A / B", lambda row: f"[bold]{row['ratio']:.3g}[/]"),
    ("quartiles", lambda row: f"{row['ratio_low']:.3g}–{row['ratio_high']:.3g}"),
)
WORDS = ("", "A", "B", "quartiles")


def draw(what: str, rows: Sequence[dict[str, Any]], leave_out: int = 0) -> Table:
    """The rows of a section without the last `leave_out` columns; only the first row names a subject."""
    columns = SINGLE if what in FAMILIES else PAIR
    columns = columns[: len(columns) - leave_out]
    headings = [heading for heading, _ in columns]
    lead = headings.index("T")
    table = Table(title=TITLES[what], title_justify="left", title_style="bold", box=None, padding=(0, 1))
    for heading in headings:
        justify = "left" if heading in WORDS else "right"
        table.add_column(heading, justify=justify, no_wrap=heading != "quartiles")
    before: list[str] = []
    for row in rows:
        subject = [cell(row) for _, cell in columns[:lead]]
        cells = [*([""] * lead if subject == before else subject), str(row["length"])]
        if row.get("note"):
            gap = headings.index("quartiles") - len(cells)
            cells += ["–"] * gap + [f"[dim italic]{escape(row['note'])}[/]"]
        else:
            cells += [cell(row) for _, cell in columns[lead + 1 :]]
        table.add_row(*cells)
        before = subject
    return table


def fitting(what: str, rows: Sequence[dict[str, Any]], console: Console) -> Table:
    """The columns that fit the console's width: numbers are left out, never cut. Notes may fold."""
    measured = [row for row in rows if not row.get("note")]
    most = len(SINGLE) - 5 if what in FAMILIES else 0  # the quartiles stay
    for leave_out in range(most + 1):
        table = draw(what, measured, leave_out)
        if Measurement.get(console, console.options.update(width=1000), table).maximum <= console.width:
            break
    return draw(what, rows, leave_out)


def machine(hardware: dict[str, Any], versions: dict[str, str], dtype: str, limits: dict[str, float]) -> str:
    """One line about the machine, the software, and the limits in a dtype."""
    flops, moved = limits["matmul_flops_per_second"], limits["copy_bytes_per_second"]
    device, cores = hardware["device"], hardware["cpu_cores"]
    where = f"{hardware['platform']} ({device}), {cores} CPU cores, jax {versions['jax']}"
    line = f"{where}; {dtype} matmul {prefixed(flops)}FLOP/s, copy {prefixed(moved)}B/s"
    if "exponentials_per_second" in limits:
        small, exp = limits["small_matmul_flops_per_second"], limits["exponentials_per_second"]
        line += f"; products of 32×16 by 16×32 {prefixed(small)}FLOP/s, exp {prefixed(exp)}/s"
    return line + "\n"
