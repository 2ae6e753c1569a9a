"""Entries → the map: recurrences × tasks, each cell how far beyond its training length a model holds."""

import math
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from rnnbench import tasks
from rnnbench.config import ConfigError
from rnnbench.config.saved import from_saved
from rnnbench.mixers import PRESETS
from rnnbench.report.panels import Plot
from rnnbench.report.read import Results
from rnnbench.report.spread import number, skill
from rnnbench.report.summary import groups, title
from rnnbench.report.text import HOLDS
from rnnbench.store.rows import longest
from rnnbench.tasks.contract import Task
from rnnbench.tasks.theory import CLASSES, verdict

MULTIPLES = (1, 2, 4, 8)  # of the longest training length
MANY = 6  # tasks beyond which the overview is drawn as a map
SPREAD = ("median", "min", "best")
OTHER = "other"  # the family and the class of what does not say its own
CAPTION = (
    "How far each recurrence holds: the largest of 1, 2, 4 and 8 times the longest training length up to "
    f"which its scaled accuracy (0 at chance, 1 when perfect) is at least {HOLDS:g}. At 1× that is of the "
    "training case, beyond it of the hardest case of the length. Colour and number: the median over seeds at "
    "the learning rate whose median is best at 1×; below, the worst and the best seed, if they differ. 0: it "
    "does not learn the training length. Ring: theory says that it can, at some depth and width, and no seed "
    "of any learning rate holds the longest. Cross: theory says that it cannot at every length, and a seed "
    "holds the longest here. White: not run."
)


@dataclass(frozen=True)
class Reach:
    """A cell: up to which multiple the median, the worst and the best seed hold, 0 for none.

    `any` is the best seed of any learning rate, `longest` the largest multiple tested, `theory` the verdict
    for every length.
    """

    median: int
    min: int
    best: int
    any: int
    longest: int
    theory: str
    entry: dict

    @property
    def mark(self) -> str:
        """ "ring": theory says that it can, but no seed does; "cross": that it cannot, but a seed does."""
        if self.theory == "yes" and self.any < self.longest:
            return "ring"
        return "cross" if self.theory == "no" and self.any == self.longest > 1 else ""

    @property
    def text(self) -> str:
        return f"{self.median}×" if self.median else "0"

    @property
    def between(self) -> str:
        """The worst and the best seed, "" if they reach as far as the median."""
        return "" if self.min == self.best else f"{self.min}–{self.best}"


@dataclass(frozen=True)
class Map:
    """cells[model, task], in families [(name, its models), …] and classes [(name, its tasks), …].

    names: what a row is called in the picture, where that is not the model.
    """

    title: str
    protocol: str
    subtitle: str
    families: list[tuple[str, list[str]]]
    classes: list[tuple[str, list[str]]]
    cells: dict[tuple[str, str], Reach] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)


def plot(entries: Sequence[dict], found: Results, whole: bool = False) -> Plot | None:
    """A map for every protocol with more than MANY tasks.

    whole: of every protocol, and with all presets and tasks of the package, also those not run yet.
    """
    made = []
    for protocol in dict.fromkeys(entry["protocol"] for entry in entries):
        mine = [entry for entry in entries if entry["protocol"] == protocol]
        if whole or len({entry["task"] for entry in mine}) > MANY:
            made.append(of_protocol(protocol, mine, found, whole))
    return Plot("map", "Map", CAPTION, made) if made else None


def of_protocol(protocol: str, entries: Sequence[dict], found: Results, whole: bool = False) -> Map:
    columns = {title(name): kind().language for name, kind in tasks.TASKS.items()} if whole else {}
    cells = {}
    for group in groups(entries):
        task = task_of(group.entries[0], found)
        columns[group.title] = getattr(task, "language", OTHER)
        for entry in group.entries:
            cells[entry["label"], group.title] = reach(entry, verdict_of(entry, task))
    models = list(dict.fromkeys([*(PRESETS if whole else ()), *(label for label, _ in cells)]))
    models.sort(key=lambda label: list(PRESETS).index(label) if label in PRESETS else len(PRESETS))
    counts = {len(entry["seeds"]) for entry in entries}
    seeds = "–".join(map(str, sorted({min(counts), max(counts)})))
    return Map(
        "How far beyond its training length does it hold?",
        protocol,
        f"protocol {protocol} · {len(cells)} of {len(models) * len(columns)} cells · {seeds} seeds",
        _grouped(models, _family, FAMILIES),
        _grouped(list(columns), columns.get, (*CLASSES, OTHER)),
        cells,
    )


def _grouped(names: list[str], of: Any, order: Sequence[str]) -> list[tuple[str, list[str]]]:
    found = [(group, [name for name in names if of(name) == group]) for group in order]
    return [(group, members) for group, members in found if members]


FAMILIES = (
    "attention", "hybrid", "diagonal, constant", "diagonal, selective", "diagonal + rank", "dense",
    "nonlinear", OTHER,
)  # fmt: skip


def _family(label: str) -> str:
    """The structure of a preset's transition; of a diagonal one also whether it depends on the input."""
    preset = PRESETS.get(label.split()[0])
    structure = preset.structure if preset else ""
    if structure == "diagonal":
        return "diagonal, selective" if preset.selective else "diagonal, constant"
    found = structure.rpartition(" ")[0] if structure.startswith("diagonal + rank") else structure
    return found if found in FAMILIES else OTHER


def task_of(entry: dict, found: Results) -> Any:
    """The task of an entry with its settings; None without its config or its code."""
    config = next((found.configs[run] for run in entry["runs"] if run in found.configs), None)
    # A mixer or task of another project need not be here, nor its config be one of ours.
    with suppress(ConfigError, LookupError, TypeError, ValueError, AttributeError):
        return config and tasks.build(from_saved(config))


def verdict_of(entry: dict, task: Task | None) -> str:
    """Whether theory says that an entry's preset solves the task at every length: "yes", "no" or "open".

    A preset whose mixer or options are changed is another recurrence.
    """
    preset = PRESETS.get(entry["model"])
    changed = any(
        key.startswith("model.options.") or key in ("model.mixer", "model.pattern")
        for key in entry["overrides"]
    )
    if task is None or preset is None or changed:
        return "open"
    properties = preset.spectrum, preset.structure, preset.selective
    return verdict(getattr(task, "theory", ()), *properties, entry["model"])


def reach(entry: dict, theory: str = "open") -> Reach:
    """How far an entry holds, from its cases at the multiples of its training length."""
    at = shares(entry)
    held = _held(at)
    others = (_held(shares(entry, rate))["best"] for rate in entry["other_rates"])
    return Reach(*held.values(), max([held["best"], *others]), max(at), theory, entry)


def _held(at: dict[int, dict[str, float]]) -> dict[str, int]:
    """The multiple up to which the median, the worst and the best seed hold."""
    held = {}
    for which in SPREAD:
        holds = [multiple for multiple, share in at.items() if share[which] >= HOLDS]
        lost = [multiple for multiple in at if multiple not in holds]
        held[which] = max((m for m in holds if not lost or m < min(lost)), default=0)
    return held


def shares(entry: dict, rate: float | None = None) -> dict[int, dict[str, float]]:
    """{multiple: {"median", "min", "best"}} of the scaled accuracy, -inf where it diverged.

    At 1× that of the training case, beyond it that of the hardest case of the length. rate: one of the
    learning rates that do not count, in place of the one that does.
    """
    trained, found = longest(entry["train_case"]), {}
    cases = entry["cases"] if rate is None else entry["other_rates"][rate]
    for spread in cases.values():
        times, of_training = longest(spread["case"]) / trained, spread["case"] == entry["train_case"]
        # A task may have no sequence of exactly that length, such as an addition of 82 tokens.
        multiple = min(MULTIPLES, key=lambda multiple: abs(multiple - times))
        if abs(times / multiple - 1) > 0.05 or (multiple == 1 and not of_training):
            continue
        at = found.setdefault(multiple, dict.fromkeys(SPREAD, math.inf))
        for which in SPREAD:
            share = skill(spread, which)
            at[which] = min(at[which], -math.inf if share is None else share)
    return dict(sorted(found.items()))


def details(cell: Reach) -> dict[str, Any]:
    """What the page shows of a cell: its words, its curves over the multiples, its cases and its command."""
    entry, at = cell.entry, shares(cell.entry)
    told = {"yes": "says that it can", "no": "says that it cannot at every length", "open": "leaves it open"}
    finite = lambda value: None if math.isinf(value) else round(value, 4)
    # Of a setting without a protocol no flags are known that make it.
    command = (
        f"python launch.py --config=configs/{entry['task']}.py:{entry['model']},{entry['protocol']} "
        f"--workdir=runs/{entry['task']}-{entry['model']}"
    )
    return {
        "title": f"{entry['label']} on {title(entry['task'])}",
        "words": f"{_holding(cell)}; learning rate {entry['learning_rate']:g}{_at_others(entry)}. "
        f"Theory {told[cell.theory]}.",
        "x": list(at),
        **{which: [finite(share[which]) for share in at.values()] for which in SPREAD},
        "cases": [
            f"{name}: {number(spread['median'])} ({number(spread['min'])}–{number(spread['best'])}), "
            f"chance {spread['chance']:.3g}"
            for name, spread in entry["cases"].items()
        ],
        "command": "" if entry["overrides"] else command,
    }


def _at_others(entry: dict) -> str:
    """How far the median holds at the other learning rates."""
    held = {rate: _held(shares(entry, rate))["median"] for rate in entry["other_rates"]}
    return "".join(
        f" (at {rate:g} the median holds {f'{m}×' if m else 'nothing'})" for rate, m in held.items()
    )


def _holding(cell: Reach) -> str:
    if not cell.best and cell.any:
        return f"No seed of this learning rate learns the training length, one of another holds {cell.any}×"
    if not cell.best:
        return "No seed learns the training length"
    seeds = len(cell.entry["seeds"])
    median, worst, best = (f"{m}×" if m else "nothing" for m in (cell.median, cell.min, cell.best))
    if seeds == 1:
        return f"The only seed holds {best}"
    return f"Of {seeds} seeds the median holds {median}, the worst {worst}, the best {best}"
