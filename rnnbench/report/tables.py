"""Entries → tables as plain data, for both report.md and the page."""

import json
from collections.abc import Sequence
from typing import NamedTuple

from ml_collections import ConfigDict

from rnnbench.config.build import flat
from rnnbench.report.read import Results
from rnnbench.report.spread import number, skill
from rnnbench.report.style import heat
from rnnbench.report.summary import Group, groups, words

EDGE = "edge"  # marks a learning rate at the edge of those tried


class Cell(NamedTuple):
    """A table cell: text, sort value, small text beside it, CSS colour."""

    text: str
    value: float | int | str | None
    detail: str = ""
    colour: str = ""


class Table(NamedTuple):
    columns: list[str]
    lines: list[list[Cell]]


def results(group: Group) -> Table:
    """Models × cases, with learning rate, seeds and sizes."""
    cases = group.cases
    columns = ["model", *(case_heading(spread, group, " ") for spread in cases.values())]
    columns += ["learning rate", "seeds", "parameters", "state size", "train seconds"]
    lines = []
    for entry in group.entries:
        rate, count = entry["learning_rate"], len(entry["seeds"])
        lines.append(
            [
                _word(entry["label"]),
                *(metric(entry["cases"].get(name)) for name in cases),
                Cell(f"{rate:g}", rate, EDGE if entry["at_edge"] else ""),
                Cell(str(count), count),
                *(Cell(f"{entry[name]:,}", entry[name]) for name in ("params", "state_size")),
                Cell(f"{entry['train_seconds']:.0f}", entry["train_seconds"]),
            ]
        )
    return Table(columns, lines)


def _word(text: str) -> Cell:
    return Cell(text, text)


def metric(spread: dict | None, digits: int = 3) -> Cell:
    """The median over seeds; beside it, in small text, the worst and the best seed."""
    if spread is None:
        return Cell("", None)
    least, best = (number(spread[name], digits) for name in ("min", "best"))
    share, colour = skill(spread), ""
    if share is not None:
        (red, green, blue), ink = heat(share)
        colour = f"background:rgb({red} {green} {blue});color:{ink}"
    return Cell(
        number(spread["median"], digits), spread["median"], f"{least}–{best}" * (spread["seeds"] > 1), colour
    )


def case_heading(spread: dict, group: Group, line_break: str) -> str:
    """`256 (4×)` if lengths are plain numbers, then the case's other keys: `512 (2×) pairs 64`."""
    case, trained = dict(spread["case"]), group.train_case["length"]
    length = case.pop("length")
    parts = ["-".join(map(str, length)) if isinstance(length, list | tuple) else str(length)]
    if isinstance(length, int) and isinstance(trained, int):
        parts.append(f"({length / trained:.3g}×)")
    return line_break.join([*parts, *(words({key: value}) for key, value in case.items())])


def diverged(entries: Sequence[dict]) -> Table | None:
    lines = [
        [*map(_word, (group.title, group.protocol, entry["label"]))]
        + [Cell(f"{member[key]:g}", member[key]) for key in ("learning_rate", "seed")]
        for group in groups(entries)
        for entry in group.entries
        for member in entry["diverged"]
    ]
    return Table(["task", "protocol", "model", "learning rate", "seed"], lines) if lines else None


def cost(entries: Sequence[dict]) -> Table:
    """Seconds of each entry's runs, all members together."""
    total = sum(sum(entry["seconds"].values()) for entry in entries) or 1.0
    lines = []
    for group in groups(entries):
        for entry in group.entries:
            seconds = [*entry["seconds"].values(), sum(entry["seconds"].values())]
            shown = [Cell(f"{value:,.0f}", value) for value in seconds]
            shown = [Cell(str(entry["members"]), entry["members"]), *shown]
            shown.append(Cell(f"{seconds[-1] / total:.0%}", seconds[-1]))
            lines.append([*map(_word, (group.title, group.protocol, entry["label"])), *shown])
    names = ["task", "protocol", "model", "members", "compile s", "train s", "evaluate s", "all s", "share"]
    return Table(names, lines)


def configs(found: Results) -> list[tuple[str, list[tuple[str, str]]]]:
    """[(cell, its keys and values), …], starting with those that all configs share."""
    leaves = {where: flat(ConfigDict(config)) for where, config in found.configs.items()}
    text = {where: {key: json.dumps(value) for key, value in leaf.items()} for where, leaf in leaves.items()}
    first = next(iter(text.values()), {})
    shared = {k: v for k, v in first.items() if all(other.get(k) == v for other in text.values())}
    several = len({workdir for workdir, _ in text}) > 1
    parts = [(f"All cells: {len(shared)} keys that they share", list(shared.items()))]
    for (workdir, cell), keys in text.items():
        own = [(key, value) for key, value in keys.items() if key not in shared]
        parts.append((f"{workdir}: {cell}" if several else cell, own))
    return [(name, keys) for name, keys in parts if keys]


def versions(found: Results) -> list[str]:
    """The versions and devices of the rows, a line for each combination."""
    made = {(json.dumps(row.get("versions", {})), row.get("device", "unknown device")) for row in found.rows}
    named = lambda text: [f"{name} {number}" for name, number in json.loads(text).items()]
    return [", ".join([*named(versions), f"on {device}"]) for versions, device in sorted(made)]
