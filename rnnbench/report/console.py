"""The tables of a report on a terminal: numbers are never cut, at any width."""

from collections.abc import Sequence

from rich.box import SIMPLE_HEAD
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from rnnbench.report.spread import number, skill
from rnnbench.report.style import heat
from rnnbench.report.summary import Group, groups
from rnnbench.report.tables import case_heading

Column = tuple[Text, list[Text]]  # heading, a cell per model


def show(entries: Sequence[dict], console: Console | None = None) -> None:
    """Prints models × cases, coloured from chance to 1; wide groups are printed as several tables."""
    console = console or Console(highlight=False)
    for group in groups(entries):
        counts = sorted({len(entry["seeds"]) for entry in group.entries})
        seeds = "-".join(str(count) for count in dict.fromkeys((counts[0], counts[-1])))
        what = group.headline + (f", median over {seeds} seeds" if seeds != "1" else "")
        console.print(Text(f"{group.name} · {what}", style="bold"), soft_wrap=True)
        names = [Text(entry["label"]) for entry in group.entries]
        for columns in _packed(group, names, console.width):
            table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 0, 0, 1), header_style="dim")
            table.add_column("model", overflow="fold")
            for heading, _ in columns:
                table.add_column(heading, justify="right", no_wrap=True)
            for name, *cells in zip(names, *(cells for _, cells in columns)):
                table.add_row(name, *cells)
            console.print(table)
        if any(entry["at_edge"] for entry in group.entries):
            console.print(Text("* at the edge of the learning rates tried", style="dim"))
        console.print()


def _packed(group: Group, names: Sequence[Text], width: int) -> list[list[Column]]:
    """The columns in as few tables as fit in `width` beside the names, which count at most half of it.

    The seconds are left out if they would need a separate table.
    """
    entries = group.entries
    columns = [
        (Text(case_heading(spread, group, "\n")), [_cell(e["cases"].get(name)) for e in entries])
        for name, spread in group.cases.items()
    ]
    columns.append((Text("lr"), [Text(f"{e['learning_rate']:g}" + "*" * e["at_edge"]) for e in entries]))
    seconds = Text("train\nseconds"), [Text(f"{e['train_seconds']:.0f}") for e in entries]
    wide = lambda text: max(cell_len(line) for line in text.plain.splitlines() or [""])
    left = width - 2 - min(max(map(wide, [Text("model"), *names])), width // 2)
    tables: list[list[Column]] = [[]]
    room = left
    for column in (*columns, seconds):
        need = 2 + max(map(wide, [column[0], *column[1]]))
        if need > room and tables[-1]:
            if column is seconds:
                break
            tables.append([])
            room = left
        tables[-1].append(column)
        room -= need
    return tables


def _cell(spread: dict | None) -> Text:
    share = spread and skill(spread)
    if spread is None or share is None:
        return Text("" if spread is None else "diverged", style="red")
    (red, green, blue), ink = heat(share)
    return Text(f" {number(spread['median'])} ", style=f"{ink} on rgb({red},{green},{blue})")
