"""Entries → the figures of a report, as plain data."""

import math
from collections.abc import Callable, Iterator, Sequence

from rnnbench.report.panels import (
    Heatmap,
    Panel,
    Plot,
    heading,
    log_ticks,
    of_seeds,
    of_spreads,
    subtitle,
)
from rnnbench.report.read import Results
from rnnbench.report.summary import Group, groups, kinds, longest, skill
from rnnbench.store.rows import case_name

POINTS = 200  # of a learning curve: more cannot be told apart
CAPTIONS = {
    "overview": (
        "Overview",
        "Each model's headline metric at the longest evaluated length of each task: the median over seeds, "
        "and below it the least and the best seed. The colour runs from chance to 1.",
    ),
    "accuracy_vs_length": (
        "Accuracy against length",
        "The headline metric against the length of the sequences, at each model's learning rate: median over "
        "seeds, band between the quartiles; the lengths of training are shaded, the dotted line is chance.",
    ),
    "learning_rates": (
        "Learning-rate window",
        "The headline metric at the longest length of training against the learning rate: how wide is the "
        "range in which a model learns? Median over seeds, band between the quartiles.",
    ),
    "learning_curves": (
        "Learning curves",
        "Training loss against optimiser steps at each model's learning rate: median over seeds, band "
        "between the quartiles.",
    ),
    "cost": (
        "Accuracy against cost",
        "The headline metric at the longest length against what it costs: float32 values of state carried "
        "per sequence of that length, parameters, seconds of training per member. The bars are quartiles.",
    ),
    "positions": (
        "Accuracy by position",
        "Accuracy along the sequence at the longest length: where does a model lose track? Median over "
        "seeds, band between the quartiles.",
    ),
}


def plots(entries: Sequence[dict], results: Results) -> list[Plot]:
    """All figures of a report that have something to show."""
    found = groups(entries)
    made = {
        "overview": _overview(found),
        "accuracy_vs_length": _lengths(found),
        "learning_rates": _learning_rates(found),
        "learning_curves": _learning_curves(found, results.curves),
        "cost": _cost(found),
        "positions": _positions(found, results.positions),
    }
    drawn = [Plot(name, *CAPTIONS[name], list(panels)) for name, panels in made.items()]
    return [plot for plot in drawn if plot.panels]


def accuracy_vs_length(entries: Sequence[dict]) -> Plot:
    """A panel per task and protocol, and per kind of case where a task has several of the same length."""
    name = "accuracy_vs_length"
    return Plot(name, *CAPTIONS[name], list(_lengths(groups(entries))))


def _overview(found: Sequence[Group]) -> Iterator[Heatmap]:
    for protocol in dict.fromkeys(group.protocol for group in found):
        columns: dict[str, dict[str, dict]] = {}
        for group in found:
            for kind, lines in kinds(group):
                if group.protocol == protocol:
                    furthest = max(length for _, line in lines for length, _ in line)
                    words = group.title.replace(" ", "<br>") if len(group.title) > 12 else group.title
                    name = "<br>".join(filter(None, [words, kind, f"length {furthest}"]))
                    while name in columns:
                        name += " "  # the same task with other settings
                    at_end = {e["label"]: line[-1][1] for e, line in lines if line[-1][0] == furthest}
                    columns[name] = at_end
        mine = [group for group in found if group.protocol == protocol]
        rows = list(dict.fromkeys(entry["label"] for group in mine for entry in group.entries))
        cells = [[column.get(label) for column in columns.values()] for label in rows]
        yield Heatmap(
            "All models",
            f"protocol {protocol}",
            rows,
            list(columns),
            [[cell and _clipped(skill(cell)) for cell in row] for row in cells],
            [[_cell_text(cell) for cell in row] for row in cells],
        )


def _clipped(value: float | None) -> float | None:
    return None if value is None else min(max(value, 0.0), 1.0)


def _cell_text(spread: dict | None) -> str:
    if spread is None:
        return ""
    median, least, best = (
        "div." if spread[k] is None else f"{spread[k]:.2f}" for k in ("median", "min", "best")
    )
    return median if spread["seeds"] == 1 else f"{median}<br>{least}–{best}"


def _lengths(found: Sequence[Group]) -> Iterator[Panel]:
    for group in found:
        for kind, lines in kinds(group):
            trained = longest(group.train_case)
            lengths = sorted({length for _, line in lines for length, _ in line})
            chance = {length: spread["chance"] for _, line in lines for length, spread in line}
            octaves = math.log2(lengths[-1] / lengths[0])
            drawn = []
            for i, (entry, line) in enumerate(lines):
                # A little to the side, so that equal lines stay visible.
                shift = 2 ** (0.011 * max(octaves, 0.3) * (i - (len(lines) - 1) / 2))
                points = [(length * shift, case_name(spread["case"]), spread) for length, spread in line]
                drawn.append(of_spreads(entry, group, points))
            yield Panel(
                heading(group, kind),
                subtitle(group),
                "sequence length, and as a multiple of the longest in training",
                group.headline,
                drawn,
                x_log=2,
                x_ticks=[(length, f"{length}\n{length / trained:.3g}×") for length in lengths],
                chance=sorted(chance.items()),
                trained=trained,
            )


def _learning_rates(found: Sequence[Group]) -> Iterator[Panel]:
    for group in found:
        rates = sorted({rate for entry in group.entries for rate in entry["learning_rates"]})
        if len(rates) < 2:
            continue
        chance = next(iter(group.entries[0]["learning_rates"].values()))["chance"]
        yield Panel(
            group.title,
            subtitle(group, f"at {case_name(group.train_case)}"),
            "learning rate",
            group.headline,
            [
                of_spreads(e, group, [(r, f"learning rate {r:g}", s) for r, s in e["learning_rates"].items()])
                for e in group.entries
            ],
            x_log=10,
            x_ticks=[(rate, f"{rate:g}") for rate in rates],
            chance=[(rate, chance) for rate in rates],
        )


def _learning_curves(found: Sequence[Group], curves: Sequence[dict]) -> Iterator[Panel]:
    by_run = _by_run(curves)
    for group in found:
        lines = []
        for entry in group.entries:
            by_step: dict[float, list] = {}
            for row in _of_chosen(entry, by_run):
                by_step.setdefault(row["step"], []).append(row["loss"])
            steps = sorted(by_step)
            steps = steps[:: -(-len(steps) // POINTS) or 1]
            if steps:
                lines.append(
                    of_seeds(entry, group, "step", {step: by_step[step] for step in steps}, low_is_bad=False)
                )
        if lines:
            yield Panel(group.title, subtitle(group, what=""), "step", "training loss", lines, share=False)


COSTS: dict[str, Callable[[dict, dict], float]] = {
    "state size (float32 values)": lambda entry, spread: spread["state_size"],
    "parameters": lambda entry, spread: entry["params"],
    "training seconds per member": lambda entry, spread: entry["train_seconds"],
}


def _cost(found: Sequence[Group]) -> Iterator[Panel]:
    for group in found:
        kind, lines = next(kinds(group))  # the kind that comes first is the one of training
        furthest = max(length for _, line in lines for length, _ in line)
        last = [(entry, line[-1][1]) for entry, line in lines if line[-1][0] == furthest]
        for name, cost in COSTS.items():
            known = [(e, cost(e, s), s) for e, s in last if cost(e, s) > 0]
            if known:
                points = [of_spreads(e, group, [(value, f"{name} {value:,.4g}", s)]) for e, value, s in known]
                ticks = log_ticks([value for _, value, _ in known])
                where = heading(group, kind), subtitle(group, f"at length {furthest}")
                yield Panel(*where, name, group.headline, points, x_log=10, x_ticks=ticks)


def _positions(found: Sequence[Group], positions: Sequence[dict]) -> Iterator[Panel]:
    by_run = _by_run(positions)
    for group in found:
        for kind, of_kind in kinds(group):
            furthest = max(length for _, line in of_kind for length, _ in line)
            lines = []
            for entry, line in of_kind:
                by_start: dict[float, list] = {}
                for row in _of_chosen(entry, by_run):
                    if row["step"] == entry["step"] and row["case"] == line[-1][1]["case"]:
                        for start, value in zip(row["starts"], row["accuracy"]):
                            if value is not None:  # asked there
                                by_start.setdefault(start, []).append(value)
                if line[-1][0] == furthest and len(by_start) > 1:
                    lines.append(of_seeds(entry, group, "position", dict(sorted(by_start.items()))))
            if lines:
                what = subtitle(group, f"at length {furthest}", what="accuracy")
                yield Panel(heading(group, kind), what, "position in the sequence", "accuracy", lines)


def _by_run(rows: Sequence[dict]) -> dict[tuple, list[dict]]:
    found: dict[tuple, list[dict]] = {}
    for row in rows:
        found.setdefault((row["workdir"], row["cell"], row["learning_rate"]), []).append(row)
    return found


def _of_chosen(entry: dict, by_run: dict[tuple, list[dict]]) -> Iterator[dict]:
    for run in entry["runs"]:
        yield from by_run.get((*run, entry["learning_rate"]), [])
