"""Rows → entries: one per model and setting, at the learning rate that counts, with its spread over seeds."""

import json
import math
import statistics
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from rnnbench.store.rows import case_name

WORST = -math.inf  # where a diverged member stands among the others
TITLES = {"mqar": "MQAR"}
SECONDS = ("compile_seconds", "train_seconds", "eval_seconds")


class Group(NamedTuple):
    """The entries that may be held against each other: one task, one protocol, the same cases.

    `changes` are the overrides that all of them share, as text; `title` names those that tell the group from
    others of the same task and protocol.
    """

    task: str
    protocol: str
    title: str
    changes: str
    entries: list[dict]

    @property
    def headline(self) -> str:
        return self.entries[0]["headline"].replace("_", " ")

    @property
    def train_case(self) -> dict:
        return self.entries[0]["train_case"]


def summarise(rows: Sequence[dict]) -> list[dict]:
    """One entry per (task, protocol, model, overrides), in the order of the rows.

    A member's last evaluation counts. The learning rate is the one with the best median headline over seeds
    at the selection case, never at a case of extrapolation; ties are broken by the median loss there. A
    diverged member counts as worse than any other; a median, best, min or quartile that falls on one is None.
    """
    found: dict[tuple, list[dict]] = {}
    selection = {_run(row): case_name(row["case"]) for row in rows if row["selection"]}
    for row in rows:
        if _run(row) in selection:
            setting = json.dumps(row["overrides"], sort_keys=True)
            identity = (row["task"], row["protocol"], row["model"], setting, selection[_run(row)])
            found.setdefault(identity, []).append(row)
    entries = [_entry(of_entry) for of_entry in map(_last_rows, found.values())]
    for group in groups(entries):
        shared = _shared(group.entries)
        for entry in group.entries:
            own = {k: v for k, v in entry["overrides"].items() if k not in shared and k not in _NAMES}
            entry["label"] = " ".join([entry["model"], *(f"{k}={v}" for k, v in own.items())])
    return entries


_NAMES = ("model.name", "model.mixer")  # the model's name says it already


def groups(entries: Sequence[dict]) -> list[Group]:
    """The entries, parted so that neither protocols nor settings of the task or its cases are ever mixed."""
    found: dict[tuple, list[dict]] = {}
    for entry in entries:
        measured = {k: v for k, v in entry["overrides"].items() if k.startswith(("task.", "eval."))}
        key = (json.dumps(measured, sort_keys=True), case_name(entry["train_case"]), entry["headline"])
        found.setdefault((entry["task"], entry["protocol"], *key), []).append(entry)
    made = []
    for (task, protocol, *_), group in found.items():
        rivals = [_shared(g) for (t, p, *_), g in found.items() if (t, p) == (task, protocol)]
        shared = _shared(group)
        own = {k: v for k, v in shared.items() if any(rival.get(k) != v for rival in rivals)}
        made.append(Group(task, protocol, f"{title(task)} {_text(own)}".strip(), _text(shared), group))
    return made


def title(task: str) -> str:
    return TITLES.get(task, task.replace("_", " ").capitalize())


def _text(changes: dict) -> str:
    return ", ".join(f"{key}={value}" for key, value in changes.items())


def _shared(entries: Sequence[dict]) -> dict:
    first, *others = (entry["overrides"] for entry in entries)
    return {k: v for k, v in first.items() if k not in _NAMES and all(o.get(k) == v for o in others)}


def kinds(group: Group) -> Iterator[tuple[str, list[tuple[dict, list[tuple[int, dict]]]]]]:
    """(name of the kind, [(entry, [(length, spread), …]), …]) per kind of case, such as `ones any`.

    One case per length, the one with most pairs; a range of lengths stands at its upper end.
    """
    found: dict[tuple, dict[int, dict]] = {}
    for i, entry in enumerate(group.entries):
        for spread in sorted(entry["cases"].values(), key=lambda s: s["case"].get("pairs", 0)):
            kind = tuple((k, v) for k, v in spread["case"].items() if k not in ("length", "pairs"))
            length = longest(spread["case"])
            found.setdefault(kind, {}).setdefault(i, {})[length] = spread
    for kind, of_kind in found.items():
        lines = [(group.entries[i], sorted(by_length.items())) for i, by_length in sorted(of_kind.items())]
        yield ", ".join(f"{name} {value}" for name, value in kind), lines


def longest(case: dict) -> int:
    length = case["length"]
    return max(length) if isinstance(length, (list, tuple)) else length


def skill(spread: dict) -> float | None:
    """(median − chance) / (1 − chance): 0 at chance, 1 at best; None for a diverged one."""
    if spread["median"] is None:
        return None
    return (spread["median"] - spread["chance"]) / (1 - spread["chance"])


def _run(row: dict) -> tuple:
    return row.get("workdir"), row["cell"]


def _member(row: dict) -> tuple:
    return row["learning_rate"], row["seed"]


def _last_rows(rows: list[dict]) -> list[dict]:
    """Of every member its last evaluation that has the selection case."""
    last_step: dict[tuple, int] = {}
    for row in rows:
        if row["selection"]:
            last_step[_member(row)] = max(row["step"], last_step.get(_member(row), 0))
    newest = {
        (_member(row), case_name(row["case"])): row
        for row in rows
        if row["step"] == last_step.get(_member(row))
    }
    return list(newest.values())


def _entry(rows: list[dict]) -> dict:
    selection = [row for row in rows if row["selection"]]
    rates, losses = {}, {}
    for rate in sorted({row["learning_rate"] for row in selection}):
        at_rate = [row for row in selection if row["learning_rate"] == rate]
        losses[rate] = statistics.median(math.inf if row["loss"] is None else row["loss"] for row in at_rate)
        rates[rate] = _spread(at_rate)
    order = lambda rate: (WORST if rates[rate]["median"] is None else rates[rate]["median"], -losses[rate])
    chosen = max(rates, key=order)
    kept = [row for row in rows if row["learning_rate"] == chosen]
    by_case: dict[str, list[dict]] = {}
    for row in kept:
        by_case.setdefault(case_name(row["case"]), []).append(row)
    at_selection = next(row for row in kept if row["selection"])
    copied = ("task", "protocol", "model", "overrides", "headline", "params", "state_size")
    runs = {_run(row): [each for each in rows if _run(each) == _run(row)] for row in rows}
    seconds = {name: sum(max(r.get(name, 0) for r in run) for run in runs.values()) for name in SECONDS}
    members = len({_member(row) for row in rows})
    diverged = {_member(row) for row in rows if row["diverged"]}
    return {
        **{name: at_selection[name] for name in copied},
        "runs": list(runs),
        "learning_rate": chosen,
        "learning_rates": rates,
        "seeds": sorted({row["seed"] for row in kept}),
        "members": members,
        "seconds": seconds,  # of the whole population
        "train_seconds": seconds["train_seconds"] / members,
        "final": all(row["final"] for row in kept),
        "step": max(row["step"] for row in kept),
        "train_case": at_selection["case"],
        "cases": {name: _spread(of_case) for name, of_case in by_case.items()},
        "diverged": [{"learning_rate": rate, "seed": seed} for rate, seed in sorted(diverged)],
    }


def _spread(rows: list[dict]) -> dict:
    scores = [_score(row) for row in rows]
    return {
        "case": rows[0]["case"],
        "chance": rows[0]["chance"],
        "state_size": rows[0]["state_size"],
        "median": _shown(statistics.median(scores)),
        "best": _shown(max(scores)),
        "min": _shown(min(scores)),
        "low": _shown(quantile(scores, 0.25)),
        "high": _shown(quantile(scores, 0.75)),
        "seeds": len(rows),
    }


def quantile(scores: Sequence[float], share: float) -> float:
    """Linear between neighbours; next to a diverged member, its own."""
    ordered = sorted(scores)
    below = math.floor(place := (len(ordered) - 1) * share)
    if place == below or not math.isfinite(ordered[below]):
        return ordered[below]
    return ordered[below] + (ordered[below + 1] - ordered[below]) * (place - below)


def _score(row: dict) -> float:
    value = row[row["headline"]]
    return WORST if row["diverged"] or value is None else value


def _shown(score: float) -> float | None:
    return score if math.isfinite(score) else None
