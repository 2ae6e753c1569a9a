"""The tables of a report, for the terminal and for report.md, from the entries of `report.summarise`."""

from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from rnnbench.metrics import case_name


def _tables(summary: list[dict]):
    """((task, protocol), entries, case name → spread of any entry) per table: protocols are never mixed."""
    for key in dict.fromkeys((entry["task"], entry["protocol"]) for entry in summary):
        entries = [entry for entry in summary if (entry["task"], entry["protocol"]) == key]
        cases = {name: spread for entry in entries for name, spread in entry["cases"].items()}
        yield key, entries, cases


def _heading(spread: dict, train_case: dict, line_break: str) -> str:
    """`256` over `4×` where the case is the training case at another length, else `512, pairs=64`."""
    case = dict(spread["case"])
    length = case.pop("length")
    heading = "-".join(map(str, length)) if isinstance(length, (list, tuple)) else str(length)
    if case:
        heading += f", {case_name(case)}"
    trained = train_case["length"]
    if isinstance(length, int) and isinstance(trained, int):
        heading += f"{line_break}{length / trained:g}×"
    return heading


def table(summary: list[dict]) -> RenderableType:
    """Models × cases for the terminal, one table per task and protocol, coloured from chance to 1."""
    tables = []
    for (task, protocol), entries, cases in _tables(summary):
        title = f"{task} · {protocol} · {entries[0]['headline']}, median over seeds"
        look = dict(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 0, 0, 1), header_style="dim")
        result = Table(title=title, title_justify="left", title_style="bold", **look)
        result.add_column("length", no_wrap=True)
        for spread in cases.values():
            result.add_column(_heading(spread, entries[0]["train_case"], "\n"), justify="right", no_wrap=True)
        for name in ("\nlr", "\nseeds", "train\nseconds"):
            result.add_column(name, justify="right", no_wrap=True)
        for entry in entries:
            cells = [_cell(entry["cases"].get(name)) for name in cases]
            rest = [f"{entry['learning_rate']:g}", str(len(entry["seeds"])), f"{entry['train_seconds']:.0f}"]
            result.add_row(entry["label"], *cells, *rest)
        tables.append(result)
    return Group(*tables)


def _cell(spread: dict | None) -> Text:
    if spread is None:
        return Text("")
    if spread["median"] is None:
        return Text("diverged", style="red")
    skill = (spread["median"] - spread["chance"]) / (1 - spread["chance"])
    return Text(f" {spread['median']:.3f} ", style=_heat(min(max(skill, 0.0), 1.0)))


def _heat(skill: float) -> str:
    """A style from dark blue (chance) over green to yellow (1): the order survives colour blindness."""
    stops = [(59, 58, 110), (49, 104, 142), (33, 145, 140), (94, 201, 98), (250, 220, 60)]
    place = skill * (len(stops) - 1)
    i = min(int(place), len(stops) - 2)
    colour = [round(a + (place - i) * (b - a)) for a, b in zip(stops[i], stops[i + 1])]
    return f"{'black' if skill > 0.6 else 'white'} on rgb({','.join(map(str, colour))})"


def markdown(summary: list[dict], plot: str | None = None) -> str:
    """The text of report.md; `plot` is the file name of the figure."""
    parts = ["# Accuracy against length"]
    if plot:
        parts.append(f"![Accuracy against sequence length, a line per model]({plot})")
    for (task, protocol), entries, cases in _tables(summary):
        parts += [f"## {task}, protocol {protocol}", _markdown_table(entries, cases), _notes(entries, cases)]
        rates = dict.fromkeys(rate for entry in entries for rate in sorted(entry["learning_rates"]))
        if len(rates) > 1:
            parts.append(_learning_rate_table(entries, sorted(rates)))
    return "\n\n".join(parts) + "\n"


def _markdown_table(entries: list[dict], cases: dict) -> str:
    headings = [_heading(spread, entries[0]["train_case"], " (") for spread in cases.values()]
    headings = [text + ")" if "(" in text else text for text in headings]
    columns = ["model", *headings, "learning rate", "seeds", "parameters", "state size", "train seconds"]
    lines = []
    for entry in entries:
        cells = [_markdown_cell(entry["cases"].get(name)) for name in cases]
        rest = (f"{entry['learning_rate']:g}", len(entry["seeds"]), f"{entry['params']:,}")
        rest += (f"{entry['state_size']:,}", f"{entry['train_seconds']:.0f}")
        lines.append([entry["label"], *cells, *map(str, rest)])
    return _pipe_table(columns, lines)


def _pipe_table(columns: list[str], lines: list[list[str]]) -> str:
    rule = ["---", *["---:"] * (len(columns) - 1)]
    return "\n".join(f"| {' | '.join(line)} |" for line in (columns, rule, *lines))


def _markdown_cell(spread: dict | None) -> str:
    if spread is None:
        return ""
    median, best, least = (
        "diverged" if spread[k] is None else f"{spread[k]:.3f}" for k in ("median", "best", "min")
    )
    return median if spread["seeds"] == 1 else f"{median} ({least}–{best})"


def _notes(entries: list[dict], cases: dict) -> str:
    chances = {f"{spread['chance']:.3g}" for spread in cases.values()}
    listed = ", ".join(f"{spread['chance']:.3g} at {name}" for name, spread in cases.items())
    several = any(len(entry["seeds"]) > 1 for entry in entries)
    headline = entries[0]["headline"].replace("_", " ")
    notes = [
        f"Headline: {headline}{', median (min–max) over seeds' if several else ''}; "
        f"chance {chances.pop() if len(chances) == 1 else listed}. The learning rate is chosen at "
        f"{case_name(entries[0]['train_case'])}, the longest length of training. "
        "State size: float32 values carried per sequence at that length."
    ]
    for entry in entries:
        for member in entry["diverged"]:
            where = f"learning rate {member['learning_rate']:g}, seed {member['seed']}"
            notes.append(f"- {entry['label']} diverged at {where}.")
        if not entry["final"]:
            notes.append(f"- {entry['label']} is not finished: figures of step {entry['step']}.")
    return notes[0] + ("\n\n" + "\n".join(notes[1:]) if notes[1:] else "")


def _learning_rate_table(entries: list[dict], rates: list[float]) -> str:
    lines = []
    for entry in entries:
        scores = [entry["learning_rates"].get(rate, "") for rate in rates]
        cells = ["diverged" if score is None else score and f"{score:.3f}" for score in scores]
        lines.append([entry["label"], *cells])
    headline, case = entries[0]["headline"].replace("_", " "), case_name(entries[0]["train_case"])
    text = f"Median {headline} at {case} per learning rate:"
    return text + "\n\n" + _pipe_table(["model", *(f"{rate:g}" for rate in rates)], lines)
