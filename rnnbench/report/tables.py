"""Entries → tables as plain data, which report.md and the page both show, and the terminal's table."""

import json
from collections.abc import Sequence
from typing import NamedTuple

from ml_collections import ConfigDict
from rich.box import SIMPLE_HEAD
from rich.console import Group as Stack
from rich.console import RenderableType
from rich.table import Table as TerminalTable
from rich.text import Text

from rnnbench.config.build import flat
from rnnbench.report.read import Results
from rnnbench.report.summary import Group, groups, skill
from rnnbench.store.rows import case_name

Value = float | int | str | None


class Cell(NamedTuple):
    """What it shows, the value that it is sorted by, and what may stand smaller beside it."""

    text: str
    value: Value
    detail: str = ""


class Table(NamedTuple):
    columns: list[str]
    lines: list[list[Cell]]


def results(group: Group) -> Table:
    """Models × cases, with learning rate, seeds and sizes."""
    cases = _cases(group)
    columns = [
        "model",
        *(_heading(spread, group.train_case, " (", ")") for spread in cases.values()),
        "learning rate",
        "seeds",
        "parameters",
        "state size",
        "train seconds",
    ]
    lines = []
    for entry in group.entries:
        spreads = [entry["cases"].get(name) for name in cases]
        rate, count = entry["learning_rate"], len(entry["seeds"])
        lines.append(
            [
                _word(entry["label"]),
                *(Cell(_median(s), s and s["median"], _range(s)) for s in spreads),
                Cell(f"{rate:g}", rate),
                Cell(str(count), count),
                *(Cell(f"{entry[name]:,}", entry[name]) for name in ("params", "state_size")),
                Cell(f"{entry['train_seconds']:.0f}", entry["train_seconds"]),
            ]
        )
    return Table(columns, lines)


def _word(text: str) -> Cell:
    return Cell(text, text)


def learning_rates(group: Group) -> Table | None:
    """Median headline at the longest training length per learning rate; None where there is only one."""
    rates = sorted({rate for entry in group.entries for rate in entry["learning_rates"]})
    if len(rates) < 2:
        return None
    lines = []
    for entry in group.entries:
        spreads = [entry["learning_rates"].get(rate) for rate in rates]
        cells = [Cell(_median(spread), spread and spread["median"]) for spread in spreads]
        lines.append([_word(entry["label"]), *cells])
    return Table(["model", *(f"{rate:g}" for rate in rates)], lines)


def diverged(entries: Sequence[dict]) -> Table | None:
    lines = [
        [*map(_word, (group.title, group.protocol, entry["label"]))]
        + [Cell(f"{member[key]:g}", member[key]) for key in ("learning_rate", "seed")]
        for group in groups(entries)
        for entry in group.entries
        for member in entry["diverged"]
    ]
    return Table(["task", "protocol", "model", "learning rate", "seed"], lines) if lines else None


def failures(found: Results) -> Table | None:
    lines = [[_word(failure[key]) for key in ("workdir", "cell", "error")] for failure in found.failures]
    return Table(["workdir", "cell", "error"], lines) if lines else None


def cost(entries: Sequence[dict]) -> Table:
    """Seconds of each entry's runs, all members together."""
    total = sum(sum(entry["seconds"].values()) for entry in entries) or 1.0
    lines = []
    for group in groups(entries):
        for entry in group.entries:
            seconds = [*entry["seconds"].values(), sum(entry["seconds"].values())]
            lines.append(
                [
                    *map(_word, (group.title, group.protocol, entry["label"])),
                    Cell(str(entry["members"]), entry["members"]),
                    *(Cell(f"{value:,.0f}", value) for value in seconds),
                    Cell(f"{seconds[-1] / total:.0%}", seconds[-1]),
                ]
            )
    names = ["task", "protocol", "model", "members", "compile s", "train s", "evaluate s", "all s", "share"]
    return Table(names, lines)


def cost_sentence(entries: Sequence[dict]) -> str:
    sums = [sum(entry["seconds"][name] for entry in entries) for name in entries[0]["seconds"]]
    total = sum(sums) or 1.0
    compiling, training, evaluating = (f"{value / total:.0%}" for value in sums)
    members = sum(entry["members"] for entry in entries)
    return (
        f"{duration(sum(sums))} in all for {members} trained members: {compiling} compiling, {training} "
        f"training, {evaluating} evaluating."
    )


def duration(seconds: float) -> str:
    minutes, hours = seconds / 60, seconds / 3600
    return f"{seconds:.0f} s" if minutes < 2 else f"{minutes:.0f} min" if hours < 2 else f"{hours:.1f} h"


def note(group: Group) -> str:
    """How to read the table of results."""
    chances = sorted({spread["chance"] for spread in _cases(group).values()})
    shown = " to ".join(f"{value:.3g}" for value in dict.fromkeys((chances[0], chances[-1])))
    several = any(len(entry["seeds"]) > 1 for entry in group.entries)
    return (
        f"Headline: {group.headline}{', median (min–max) over seeds' if several else ''}; chance {shown}. "
        f"The learning rate is chosen at {case_name(group.train_case)}, the longest length of training. "
        "State size: float32 values carried per sequence at that length. Train seconds: per member, the "
        "run's time divided by its members."
    )


def warnings(entries: Sequence[dict]) -> list[str]:
    """Members that diverged, and runs that are not finished, a line each."""
    lines = []
    for entry in entries:
        for member in entry["diverged"]:
            where = f"learning rate {member['learning_rate']:g}, seed {member['seed']}"
            lines.append(f"{entry['label']} diverged at {where}.")
        if not entry["final"]:
            lines.append(f"{entry['label']} is not finished: figures of step {entry['step']}.")
    return lines


def configs(found: Results) -> tuple[list[tuple[str, str]], list[tuple[str, list[tuple[str, str]]]]]:
    """(keys and values that all configs share, [(cell, its other keys and values), …])."""
    leaves = {where: flat(ConfigDict(config)) for where, config in found.configs.items()}
    text = {where: {key: json.dumps(value) for key, value in leaf.items()} for where, leaf in leaves.items()}
    if not text:
        return [], []
    first, *others = text.values()
    shared = {k: v for k, v in first.items() if all(other.get(k) == v for other in others)}
    several = len({workdir for workdir, _ in text}) > 1
    own = [
        (f"{workdir}: {cell}" if several else cell, [(k, v) for k, v in keys.items() if k not in shared])
        for (workdir, cell), keys in text.items()
    ]
    return list(shared.items()), own


def versions(found: Results) -> list[str]:
    """What the rows were made with, a line for each combination."""
    made = {
        (json.dumps(row.get("versions", {})), row.get("device", "unknown device")): None for row in found.rows
    }
    return [
        ", ".join([*(f"{name} {number}" for name, number in json.loads(versions).items()), f"on {device}"])
        for versions, device in made
    ]


def _cases(group: Group) -> dict[str, dict]:
    """Case name → spread of any entry that has it."""
    return {name: spread for entry in group.entries for name, spread in entry["cases"].items()}


def _heading(spread: dict, train_case: dict, before: str, after: str = "") -> str:
    """`256 (4×)` where the case is the training case at another length, else `512, pairs=64`."""
    case = dict(spread["case"])
    length = case.pop("length")
    heading = "-".join(map(str, length)) if isinstance(length, (list, tuple)) else str(length)
    if case:
        heading += f", {case_name(case)}"
    trained = train_case["length"]
    if isinstance(length, int) and isinstance(trained, int):
        heading += f"{before}{length / trained:.3g}×{after}"
    return heading


def _median(spread: dict | None) -> str:
    if spread is None:
        return ""
    return "diverged" if spread["median"] is None else f"{spread['median']:.3f}"


def _range(spread: dict | None) -> str:
    if spread is None or spread["seeds"] == 1:
        return ""
    return "–".join("diverged" if spread[k] is None else f"{spread[k]:.3f}" for k in ("min", "best"))


def terminal(entries: Sequence[dict]) -> RenderableType:
    """Models × cases for the terminal, one table per group, coloured from chance to 1."""
    stack = []
    for group in groups(entries):
        title = f"{group.task} · {group.protocol} · {group.entries[0]['headline']}, median over seeds"
        look = dict(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 0, 0, 1), header_style="dim")
        result = TerminalTable(title=title, title_justify="left", title_style="bold", **look)
        result.add_column("length", no_wrap=True)
        for spread in _cases(group).values():
            result.add_column(_heading(spread, group.train_case, "\n"), justify="right", no_wrap=True)
        for name in ("\nlr", "\nseeds", "train\nseconds"):
            result.add_column(name, justify="right", no_wrap=True)
        for entry in group.entries:
            cells = [_cell(entry["cases"].get(name)) for name in _cases(group)]
            rest = [f"{entry['learning_rate']:g}", str(len(entry["seeds"])), f"{entry['train_seconds']:.0f}"]
            result.add_row(entry["label"], *cells, *rest)
        stack.append(result)
    return Stack(*stack)


def _cell(spread: dict | None) -> Text:
    if spread is None:
        return Text("")
    if spread["median"] is None:
        return Text("diverged", style="red")
    return Text(f" {spread['median']:.3f} ", style=_heat(min(max(skill(spread), 0.0), 1.0)))


def _heat(share: float) -> str:
    """A style from dark blue (chance) over green to yellow (1): the order survives colour blindness."""
    stops = [(59, 58, 110), (49, 104, 142), (33, 145, 140), (94, 201, 98), (250, 220, 60)]
    place = share * (len(stops) - 1)
    i = min(int(place), len(stops) - 2)
    colour = [round(a + (place - i) * (b - a)) for a, b in zip(stops[i], stops[i + 1])]
    return f"{'black' if share > 0.6 else 'white'} on rgb({','.join(map(str, colour))})"
