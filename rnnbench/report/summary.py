"""Rows → entries: one per model and setting, at the learning rate that counts, with its spread over seeds."""

import json
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from rnnbench.report.spread import WORST, number, spreads
from rnnbench.report.style import style
from rnnbench.store.rows import case_name, longest, pair, seconds_of

TITLES = {"mqar": "MQAR"}


class Group(NamedTuple):
    """Entries that can be compared: one task, one protocol, the same cases.

    `changes` are the overrides that all of them share, as text; `title` names those that distinguish the
    group from the other groups of its task.
    """

    task: str
    protocol: str
    title: str
    changes: str
    entries: list[dict]

    @property
    def name(self) -> str:
        """The title, with the protocol unless the title names it."""
        ends = self.title.endswith(f"· {self.protocol}")
        return self.title if ends else f"{self.title} · {self.protocol}"

    @property
    def headline(self) -> str:
        return self.entries[0]["headline"].replace("_", " ")

    @property
    def train_case(self) -> dict:
        return self.entries[0]["train_case"]

    @property
    def cases(self) -> dict[str, dict]:
        """Case name → spread of one entry that has it, in the order of tables: by kind, length, pairs."""
        found = {name: spread for entry in self.entries for name, spread in entry["cases"].items()}
        kinds = list(dict.fromkeys(_kind(spread["case"]) for spread in found.values()))
        place = lambda spread: (kinds.index(_kind(spread["case"])), *_size(spread["case"]))
        return dict(sorted(found.items(), key=lambda item: place(item[1])))


def summarise(rows: Sequence[dict]) -> list[dict]:
    """One entry per (task, protocol, model, overrides), in the order of the rows.

    A member's last evaluation counts. The learning rate is the one with the best median headline over seeds
    at the selection case, never at one of extrapolation; ties are broken by the median loss there. A diverged
    member counts as worse than any other; a median, best, min or quartile that falls on one is None.
    """
    found: dict[tuple, list[dict]] = {}
    selection = {_run(row): case_name(row["case"]) for row in rows if row["selection"]}
    for row in rows:
        if _run(row) in selection:
            setting = json.dumps(row["overrides"], sort_keys=True)
            identity = (row["task"], row["protocol"], row["model"], setting, selection[_run(row)])
            found.setdefault(identity, []).append(row)
    entries = [_entry(of_entry) for of_entry in map(last_rows, found.values())]
    for group in groups(entries):
        for entry, label in zip(group.entries, labels(group.entries)):
            entry["label"] = label
    for entry in entries:
        entry["style"] = style(entry, entries)
    return entries


def labels(entries: Sequence[dict]) -> list[str]:
    """Per entry its model and the settings that not all of them share: "lstm dim=64".

    Where that is the same for different settings, also the mixer; where that is not enough, whole keys.
    """
    shared, found = _shared(entries), [""] * len(entries)
    last = lambda key: key.rpartition(".")[2]
    for hidden, name in ((_NAMES, last), (("model.name",), last), ((), str)):
        settings = {(text, json.dumps(e["overrides"], sort_keys=True)) for text, e in zip(found, entries)}
        counts = Counter(text for text, _ in settings)
        for i, entry in enumerate(entries):
            if not found[i] or counts[found[i]] > 1:
                own = {k: v for k, v in entry["overrides"].items() if k not in shared and k not in hidden}
                found[i] = " ".join([entry["model"], *(f"{name(k)}={v}" for k, v in own.items())])
    return found


_NAMES = ("model.name", "model.mixer")  # the entry's label already has the model's name


def groups(entries: Sequence[dict]) -> list[Group]:
    """The entries, grouped so that protocols, settings of the task and cases are never mixed."""
    found: dict[tuple, list[dict]] = {}
    for entry in entries:
        measured = {k: v for k, v in entry["overrides"].items() if k.startswith(("task.", "eval."))}
        key = (json.dumps(measured, sort_keys=True), case_name(entry["train_case"]), entry["headline"])
        found.setdefault((entry["task"], entry["protocol"], *key), []).append(entry)
    made = []
    for (task, protocol, *_), group in found.items():
        rivals = [_shared(g) for (t, *_), g in found.items() if t == task]
        shared = _shared(group)
        settings = words({k.split(".")[-1].replace("_", " "): v for k, v in _telling(shared, rivals).items()})
        name = " · ".join(filter(None, [title(task), settings]))
        made.append(Group(task, protocol, name, ", ".join(f"{k}={v}" for k, v in shared.items()), group))
    for more in (lambda group: group.protocol, lambda group: case_name(group.train_case)):
        titles = [group.title for group in made]
        made = [g._replace(title=f"{g.title} · {more(g)}") if titles.count(g.title) > 1 else g for g in made]
    return made


def title(task: str) -> str:
    return TITLES.get(task, task.replace("_", " ").capitalize())


def _short(value: Any) -> str:
    return "-".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _telling(shared: dict, rivals: Sequence[dict]) -> dict:
    """The fewest settings that distinguish a group from its rivals, the most distinctive first."""
    told: dict = {}
    while shared:
        alike = [rival for rival in rivals if all(rival.get(k) == v for k, v in told.items())]
        differing = {k: sum(rival.get(k) != v for rival in alike) for k, v in shared.items()}
        best = max(differing, key=differing.get)
        if not differing[best]:
            break
        told[best] = shared[best]
    return told


def _shared(entries: Sequence[dict]) -> dict:
    first, *others = (entry["overrides"] for entry in entries)
    return {k: v for k, v in first.items() if k not in _NAMES and all(o.get(k) == v for o in others)}


def kinds(group: Group) -> Iterator[tuple[str, list[tuple[dict, list[tuple[int, dict]]]]]]:
    """(name of the kind, [(entry, [(length, spread), …]), …]) per kind of case, such as `ones any`.

    One case per length, the one with the most pairs; a range of lengths is placed at its upper end.
    """
    found: dict[tuple, dict[int, dict]] = {}
    for name, spread in group.cases.items():
        for i, entry in enumerate(group.entries):
            if name in entry["cases"]:
                of_kind = found.setdefault(_kind(spread["case"]), {})
                of_kind.setdefault(i, {})[longest(spread["case"])] = entry["cases"][name]
    for kind, of_kind in found.items():
        lines = [(group.entries[i], sorted(by_length.items())) for i, by_length in sorted(of_kind.items())]
        yield words(dict(kind)), lines


def furthest(lines: Sequence[tuple[dict, list[tuple[int, dict]]]]) -> tuple[int, list[tuple[dict, dict]]]:
    """(the longest length of a kind, [(entry, spread there), …] of the entries that have it)."""
    length = max(length for _, line in lines for length, _ in line)
    return length, [(entry, line[-1][1]) for entry, line in lines if line[-1][0] == length]


def _kind(case: dict) -> tuple:
    return tuple((key, _short(value)) for key, value in case.items() if key not in ("length", "pairs"))


def _size(case: dict) -> list:
    """Length, pairs: upper bounds first, so that a range can be compared with a number."""
    values = (case["length"], case.get("pairs", 0))
    bounds = [(max(v), min(v)) if isinstance(v, list | tuple) else (v, v) for v in values]
    return [upper for upper, _ in bounds] + [lower for _, lower in bounds]


def _run(row: dict) -> tuple:
    return row.get("workdir"), row["cell"]


def last_rows(rows: list[dict]) -> list[dict]:
    """Each member's last evaluation that includes the selection case."""
    last_step: dict[tuple, int] = {}
    for row in rows:
        if row["selection"]:
            last_step[pair(row)] = max(row["step"], last_step.get(pair(row), 0))
    newest = {
        (pair(row), case_name(row["case"])): row for row in rows if row["step"] == last_step.get(pair(row))
    }
    return list(newest.values())


def _entry(rows: list[dict]) -> dict:
    selection = [row for row in rows if row["selection"]]
    rates = dict(sorted(_spreads(selection, lambda row: row["learning_rate"]).items()))
    losses = spreads([(row["learning_rate"], row["loss"]) for row in selection], worst=math.inf)
    worse = lambda value, worst: worst if value is None else value
    order = lambda r: (worse(rates[r]["median"], WORST), -worse(losses[r]["median"], math.inf))
    chosen = max(rates, key=order)
    cases = {
        rate: _spreads([r for r in rows if r["learning_rate"] == rate], lambda row: case_name(row["case"]))
        for rate in rates
    }
    kept = [row for row in rows if row["learning_rate"] == chosen]
    at_selection = next(row for row in kept if row["selection"])
    copied = ("task", "protocol", "model", "overrides", "headline", "params", "state_size")
    took = seconds_of(rows)
    members = len({pair(row) for row in rows})
    diverged = {pair(row) for row in rows if row["diverged"]}
    finite = rates[chosen]["median"] is not None
    return {
        **{name: at_selection[name] for name in copied},
        "runs": list(dict.fromkeys(map(_run, rows))),
        "learning_rate": chosen,
        "learning_rates": rates,
        # A better one may lie beyond.
        "at_edge": finite and len(rates) > 2 and chosen in (min(rates), max(rates)),
        "seeds": sorted({row["seed"] for row in kept}),
        "members": members,
        "seconds": took,  # of all members
        "train_seconds": took["train_seconds"] / members,
        "final": all(row["final"] for row in kept),
        "steps": {row["seed"]: row["step"] for row in kept},
        "train_case": at_selection["case"],
        "cases": cases[chosen],
        "other_rates": {rate: cases[rate] for rate in rates if rate != chosen},  # their cases
        "diverged": [{"learning_rate": rate, "seed": seed} for rate, seed in sorted(diverged)],
    }


def _spreads(rows: Sequence[dict], key: Any) -> dict[Any, dict]:
    """The spread of the headline per key, with the values that all rows of that key share."""
    first = {key(row): row for row in reversed(rows)}
    found = spreads((key(row), None if row["diverged"] else row[row["headline"]]) for row in rows)
    copied = ("case", "chance", "state_size")
    return {k: {name: first[k][name] for name in copied} | spread for k, spread in found.items()}


def summary_line(rows: Sequence[dict]) -> str:
    """Summarises a run's rows in one line: the median over seeds of each case at its learning rate."""
    entry = summarise(rows)[0]
    count = len(entry["seeds"])
    which = f"median of {count} seeds" if count > 1 else f"seed {entry['seeds'][0]}"
    cases = [f"{name}: {number(spread['median'])}" for name, spread in entry["cases"].items()]
    return "  ".join([*cases, f"({which} at learning rate {entry['learning_rate']:g})"])


def words(case: dict) -> str:
    """`{"length": [40, 256], "pairs": 64}` → `length 40-256, pairs 64`."""
    return ", ".join(f"{key} {_short(value)}" for key, value in case.items())
