"""Entries → the figures of a report, as plain data."""

import math
from collections.abc import Callable, Iterator, Sequence

from rnnbench.report import map as maps
from rnnbench.report.panels import Heatmap, Line, Panel, Plot, log_ticks
from rnnbench.report.read import Results
from rnnbench.report.spread import QUARTILES, number, spreads
from rnnbench.report.style import Style
from rnnbench.report.summary import Group, furthest, groups, kinds, words
from rnnbench.store.rows import longest

SHIFT = 0.2  # octaves from the first to the last of lines over length
POINTS = 200  # of a learning curve: more are indistinguishable
BAND = "median over seeds, and a band between the quartiles, or between worst and best below five seeds"
CAPTIONS = {
    "overview": (
        "Overview",
        "The headline metric at the longest length of each task: the median over seeds, and below it the "
        "worst and the best seed. The colour runs from chance (dark) to 1 (yellow).",
    ),
    "accuracy_vs_length": (
        "Accuracy against length",
        f"The headline metric at each model's own learning rate: {BAND}.",
    ),
    "learning_rates": (
        "Learning-rate window",
        "The headline metric at the longest training length: how wide is the range of learning rates in "
        f"which a model learns? The {BAND}.",
    ),
    "learning_curves": ("Learning curves", f"Training loss at each model's own learning rate: {BAND}."),
    "cost": (
        "Accuracy against cost",
        "The headline metric at the longest length against what it costs: float32 values of state carried "
        "per sequence of that length, parameters, seconds of training per member. Bars: as the bands.",
    ),
    "positions": (
        "Accuracy by position",
        f"Accuracy along the sequence at the longest length: where does a model lose track? The {BAND}.",
    ),
}


def plots(entries: Sequence[dict], results: Results) -> list[Plot]:
    """All figures of a report that have something to show.

    A protocol of many tasks has the map in place of the others: the curves are in its cells.
    """
    mapped = maps.plot(entries, results)
    many = {panel.protocol for panel in mapped.panels} if mapped else set()
    found = [group for group in groups(entries) if group.protocol not in many]
    made = {
        "overview": overviews(found),
        "accuracy_vs_length": _lengths(found),
        "learning_rates": _learning_rates(found),
        "learning_curves": _learning_curves(found, results.curves),
        "cost": _cost(found),
        "positions": _positions(found, results.positions),
    }
    drawn = [Plot(name, *CAPTIONS[name], list(panels)) for name, panels in made.items()]
    return [plot for plot in [*filter(None, [mapped]), *drawn] if plot.panels]


def accuracy_vs_length(entries: Sequence[dict]) -> Plot:
    """A panel per task and protocol, and per kind of case if a task has several of the same length."""
    name = "accuracy_vs_length"
    return Plot(name, *CAPTIONS[name], list(_lengths(groups(entries))))


def line(
    label: str, look: Style, points: Sequence[tuple[float, str, dict]], ends: str = "worst to best"
) -> Line:
    """Builds a line from (x, label of x, spread over seeds); `ends` says what lowest and highest are."""
    xs, names, found = zip(*points)
    y, low, high = ([spread[key] for spread in found] for key in ("median", "low", "high"))
    hover = [f"{name}: {_words(spread, ends)}" for name, spread in zip(names, found)]
    if all(spread["seeds"] == 1 for spread in found):
        low = high = []
    return Line(label, look, list(xs), y, low, high, hover)


def _line(entry: dict, points: Sequence[tuple[float, str, dict]], ends: str = "worst to best") -> Line:
    return line(entry["label"], entry["style"], points, ends)


def _words(spread: dict, ends: str) -> str:
    median, low, high = (number(spread[key]) for key in ("median", "low", "high"))
    what = "quartiles" if spread["seeds"] >= QUARTILES else ends
    return median + (f"<br>{what} of {spread['seeds']} seeds: {low} to {high}" if spread["seeds"] > 1 else "")


def overviews(found: Sequence[Group]) -> Iterator[Heatmap]:
    """Models × the kinds of case at their longest length, one per protocol."""
    for protocol in dict.fromkeys(group.protocol for group in found):
        mine = [group for group in found if group.protocol == protocol]
        columns, at_end = [], []
        for group in mine:
            for kind, lines in kinds(group):
                length, spreads_there = furthest(lines)
                columns.append(
                    (", ".join(filter(None, [*group.title.split(" · "), kind])), f"length {length}")
                )
                at_end.append({entry["label"]: spread for entry, spread in spreads_there})
        rows = list(dict.fromkeys(entry["label"] for group in mine for entry in group.entries))
        cells = [[column.get(label) for column in at_end] for label in rows]
        yield Heatmap("All models", f"protocol {protocol}", rows, columns, cells)


def heading(group: Group, kind: str) -> str:
    return " · ".join(filter(None, [group.title, kind]))


def subtitle(group: Group, where: str = "", what: str | None = None) -> str:
    seeds = max(len(entry["seeds"]) for entry in group.entries)
    what = group.headline if what is None else what
    seen = f"{seeds} seeds" if seeds > 1 else "one seed"
    return " · ".join(filter(None, [what, where, f"protocol {group.protocol}", seen]))


def _lengths(found: Sequence[Group]) -> Iterator[Panel]:
    for group in found:
        for kind, lines in kinds(group):
            trained = longest(group.train_case)
            lengths = sorted({length for _, line in lines for length, _ in line})
            chance = {length: spread["chance"] for _, line in lines for length, spread in line}
            octaves, last = math.log2(lengths[-1] / lengths[0]), len(lines) - 1
            # Shifted a little, so that equal lines stay visible; all together by no more than SHIFT octaves.
            apart = min(0.011 * max(octaves, 0.3), SHIFT / max(last, 1))
            drawn = []
            for i, (entry, of_entry) in enumerate(lines):
                shift = 2 ** (apart * (i - last / 2))
                points = [(length * shift, words(spread["case"]), spread) for length, spread in of_entry]
                drawn.append(_line(entry, points))
            yield Panel(
                heading(group, kind),
                subtitle(group),
                "sequence length (multiple of training)",
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
        named = lambda entry: [(r, f"learning rate {r:g}", s) for r, s in entry["learning_rates"].items()]
        yield Panel(
            group.title,
            subtitle(group, f"at {words(group.train_case)}"),
            "learning rate",
            group.headline,
            [_line(entry, named(entry)) for entry in group.entries],
            x_log=10,
            x_ticks=[(rate, f"{rate:g}") for rate in rates],
            chance=[(rate, chance) for rate in rates],
        )


def _learning_curves(found: Sequence[Group], curves: Sequence[dict]) -> Iterator[Panel]:
    by_run = _by_run(curves)
    for group in found:
        lines = []
        for entry in group.entries:
            losses = [(row["step"], row["loss"]) for row in _of_chosen(entry, by_run)]
            steps = sorted({step for step, _ in losses})
            kept = set(steps[:: -(-len(steps) // POINTS) or 1])
            lines += _curve(entry, "step", [each for each in losses if each[0] in kept], loss=True)
        if lines:
            where = group.title, subtitle(group, what="")
            yield Panel(*where, "step", "training loss", lines, share=False, loss=True)


def _curve(entry: dict, name: str, values: list[tuple], loss: bool = False) -> list[Line]:
    """The line of (x, value of a seed) pairs; none without pairs."""
    found = sorted(spreads(values, math.inf if loss else -math.inf).items())
    points = [(x, f"{name} {x}", spread) for x, spread in found]
    return [_line(entry, points, "best to worst" if loss else "worst to best")] if found else []


COSTS: dict[str, Callable[[dict, dict], float]] = {
    "state size (float32 values)": lambda entry, spread: spread["state_size"],
    "parameters": lambda entry, spread: entry["params"],
    "training seconds per member": lambda entry, spread: entry["train_seconds"],
}


def _cost(found: Sequence[Group]) -> Iterator[Panel]:
    for group in found:
        kind, lines = next(kinds(group))  # the first kind is that of training
        length, at_end = furthest(lines)
        for name, cost in COSTS.items():
            known = [(e, cost(e, s), s) for e, s in at_end if cost(e, s) > 0]
            if known:
                points = [_line(e, [(value, f"{name} {value:,.4g}", s)]) for e, value, s in known]
                ticks = log_ticks([value for _, value, _ in known])
                where = heading(group, kind), subtitle(group, f"at length {length}")
                yield Panel(*where, name, group.headline, points, x_log=10, x_ticks=ticks)


def _positions(found: Sequence[Group], positions: Sequence[dict]) -> Iterator[Panel]:
    by_run = _by_run(positions)
    for group in found:
        for kind, of_kind in kinds(group):
            length, at_end = furthest(of_kind)
            lines = []
            for entry, spread in at_end:
                values = [
                    (start, value)
                    for row in _of_chosen(entry, by_run)
                    if row["step"] == entry["steps"].get(row["seed"]) and row["case"] == spread["case"]
                    for start, value in zip(row["starts"], row["accuracy"])
                    if value is not None  # supervised there
                ]
                if len({start for start, _ in values}) > 1:
                    lines += _curve(entry, "position", values)
            if lines:
                what = subtitle(group, f"at length {length}", what="accuracy")
                yield Panel(heading(group, kind), what, "position in the sequence", "accuracy", lines)


def _by_run(rows: Sequence[dict]) -> dict[tuple, list[dict]]:
    found: dict[tuple, list[dict]] = {}
    for row in rows:
        found.setdefault((row["workdir"], row["cell"], row["learning_rate"]), []).append(row)
    return found


def _of_chosen(entry: dict, by_run: dict[tuple, list[dict]]) -> Iterator[dict]:
    for run in entry["runs"]:
        yield from by_run.get((*run, entry["learning_rate"]), [])
