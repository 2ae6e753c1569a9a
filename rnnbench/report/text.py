"""The words of a report, computed from its entries."""

import sys
from collections.abc import Collection, Sequence

from rnnbench.report.read import Results
from rnnbench.report.spread import skill
from rnnbench.report.summary import Group, furthest, groups, kinds, title, words
from rnnbench.report.tables import EDGE
from rnnbench.store.rows import longest
from rnnbench.tasks import TASKS

HOLDS = 0.9  # scaled accuracy: 0 at chance, 1 when perfect


def introduction(entries: Sequence[dict]) -> str:
    """Introduces the page to someone who has never seen the project."""
    models = len(dict.fromkeys(entry["label"] for entry in entries))
    tasks = list(dict.fromkeys(title(entry["task"]) for entry in entries))
    members = sum(entry["members"] for entry in entries)
    return (
        "rnnbench trains small sequence models on tasks that need memory, then tests them on sequences "
        f"longer than any in training. This report compares {_count(models, 'model')} on "
        f"{_count(len(tasks), 'task')} ({', '.join(tasks)}): {_count(members, 'trained member')}, one per "
        "learning rate and seed. Each model is shown at its own learning rate, the one with the best median "
        "over seeds at the longest training length; longer sequences do not affect that choice."
    )


def about(entries: Sequence[dict]) -> list[tuple[str, str]]:
    """(task, what it asks) for the built-in tasks of the report, from the first line of a task's file."""
    names = dict.fromkeys(entry["task"] for entry in entries)
    lines = {name: sys.modules[TASKS[name].__module__].__doc__ for name in names if name in TASKS}
    return [(title(name), line.splitlines()[0].partition(": ")[2]) for name, line in lines.items()]


def missing(found: Results) -> str:
    number = len(found.missing)
    return (
        f"{_count(number, 'cell')} of the study {'has' if number == 1 else 'have'} no results yet."
        if number
        else ""
    )


def findings(entries: Sequence[dict]) -> list[tuple[str, list[str]]]:
    """(task and setting, sentences) per group: who holds the longest length, whose rate is at the edge."""
    return [
        (group.title, [_holders(group, kind, lines) for kind, lines in kinds(group)] + _edges(group))
        for group in groups(entries)
    ]


def holding() -> str:
    return (
        f"A seed holds a length if its scaled accuracy there is at least {HOLDS:g} "
        "(0 at chance, 1 when perfect)."
    )


def _holders(group: Group, kind: str, lines: list) -> str:
    length, at_end = furthest(lines)
    reaches = lambda spread, which: (skill(spread, which) or 0.0) >= HOLDS
    every = [entry["label"] for entry, spread in at_end if reaches(spread, "min")]
    some = [e["label"] for e, spread in at_end if reaches(spread, "best") and not reaches(spread, "min")]
    times = length / longest(group.train_case)
    where = f"Length {length}" + (f", {times:.3g} times training" if times != 1 else "")
    where += f" ({kind})" if kind else ""
    several = any(spread["seeds"] > 1 for _, spread in at_end)
    parts = [f"{'every seed of ' if several else ''}{_names(every)}"] if every else []
    parts += [f"some seeds of {_names(some)}"] if some else []
    return f"{where}: held by {'; by '.join(parts) or 'no model'}."


def _edges(group: Group) -> list[str]:
    names = [entry["label"] for entry in group.entries if entry["at_edge"]]
    return [f"Best learning rate at the edge of those tried: {_names(names)}."] if names else []


def note(group: Group) -> str:
    """How to read the table of results."""
    chances = sorted({spread["chance"] for spread in group.cases.values()})
    shown = " to ".join(f"{value:.3g}" for value in dict.fromkeys((chances[0], chances[-1])))
    several = any(len(entry["seeds"]) > 1 for entry in group.entries)
    edge = (
        f", {EDGE} if it is the smallest or largest tried" if any(e["at_edge"] for e in group.entries) else ""
    )
    return (
        f"Headline: {group.headline}{', median (worst–best) over seeds' if several else ''}; chance {shown}. "
        f"Learning rate: chosen at {words(group.train_case)}, the longest training length{edge}. "
        "State size: float32 values carried per sequence at that length. Train seconds: per member, the "
        "run's time divided by its members."
    )


def warnings(entries: Sequence[dict]) -> list[str]:
    """Runs that are not finished, a line each."""
    return [
        f"{entry['label']} is not finished; numbers are from {_steps(entry['steps'].values())}."
        for entry in entries
        if not entry["final"]
    ]


def _steps(steps: Collection[int]) -> str:
    first, last = min(steps), max(steps)
    return f"step {last}" if first == last else f"steps {first} to {last}"


def cost(entries: Sequence[dict]) -> str:
    sums = [sum(entry["seconds"][name] for entry in entries) for name in entries[0]["seconds"]]
    total = sum(sums) or 1.0
    compiling, training, evaluating = (f"{value / total:.0%}" for value in sums)
    members = sum(entry["members"] for entry in entries)
    return (
        f"{_duration(sum(sums))} in all for {_count(members, 'trained member')}: {compiling} compiling, "
        f"{training} training, {evaluating} evaluating."
    )


def _duration(seconds: float) -> str:
    minutes, hours = seconds / 60, seconds / 3600
    return f"{seconds:.0f} s" if minutes < 2 else f"{minutes:.0f} min" if hours < 2 else f"{hours:.1f} h"


def _count(number: int, name: str) -> str:
    return f"{number} {name}" if number == 1 else f"{number} {name}s"


def _names(names: Sequence[str]) -> str:
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))
