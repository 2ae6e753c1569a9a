"""The rows that a run leaves on disk: JSONL, read and written whole; the names of cases and members."""

import functools
import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from numbers import Real
from types import UnionType
from typing import Any, NotRequired, TypedDict, get_args, get_origin, get_type_hints

from rnnbench.config import InputError
from rnnbench.store.paths import place, write_text


class Member(TypedDict):
    """Identifies the member of a row and its optimiser step."""

    cell: str
    seed: int
    learning_rate: float
    step: int


class Row(Member):
    """A line of results.jsonl: the metrics of one member on one case, None if it diverged.

    Seconds are those of all members that were trained together.
    """

    task: str
    protocol: str
    model: str
    overrides: dict[str, Any]
    final: bool
    case: dict[str, Any]
    selection: bool
    sequences: int
    loss: float | None
    accuracy: float | None
    last_accuracy: float | None
    last_quarter_accuracy: float | None
    sequence_accuracy: float | None
    balanced_accuracy: NotRequired[float | None]
    f1: NotRequired[float | None]
    headline: str
    chance: float
    scaled_accuracy: float | None
    diverged: bool
    params: int
    state_size: int
    train_seconds: float
    compile_seconds: float
    eval_seconds: float
    device: str
    versions: dict[str, str]


class Positions(Member):
    """A line of positions.jsonl: accuracy in bins along the sequence, None where none is supervised."""

    case: dict[str, Any]
    starts: list[int]
    accuracy: list[float | None]


class Curve(Member):
    """A line of metrics.jsonl: means over the steps since the previous line; None once diverged."""

    loss: float | None
    accuracy: float | None
    grad_norm: float | None
    tokens_per_second: float


# In the order in which they are replaced: a reader of a new results.jsonl finds the other files up to date.
FILES = {"metrics.jsonl": Curve, "positions.jsonl": Positions, "results.jsonl": Row}
SECONDS = ("compile_seconds", "train_seconds", "eval_seconds")


_hints = functools.cache(get_type_hints)


def unlike(row: Mapping, kind: type) -> str:
    """The first reason why a line is not a valid row ("it has no 'seed'"); "" if it is."""
    for key, hint in _hints(kind).items():
        if key not in row:
            if key in kind.__required_keys__:
                return f"it has no {key!r}"
        elif not _fits(row[key], hint):
            return f"{key!r} is {row[key]!r}"
    return ""


def _fits(value: Any, hint: Any) -> bool:
    if isinstance(hint, UnionType):
        return any(_fits(value, part) for part in get_args(hint))
    return isinstance(value, Real if hint is float else get_origin(hint) or hint)


def finite(value) -> float | None:
    """The value as a Python float; None if it is missing or not finite, since NaN is not JSON."""
    if value is None:
        return None
    value = float(value)
    return value if math.isfinite(value) else None


def case_name(case: Mapping) -> str:
    """`{"length": [40, 256], "pairs": 64}` → `length=40-256,pairs=64`: readable, and valid as a tag."""

    def text(value):
        return "-".join(str(v) for v in value) if isinstance(value, (list, tuple)) else str(value)

    return ",".join(f"{key}={text(value)}" for key, value in case.items())


def longest(case: Mapping) -> int:
    """The length of a case; for a range, its upper bound."""
    length = case["length"]
    return max(length) if isinstance(length, (list, tuple)) else length


def seconds_of(rows: Iterable[Mapping]) -> dict[str, float]:
    """{"compile_seconds", "train_seconds", "eval_seconds"}: what training the members of these rows took.

    Members of a cell that were trained together share their seconds; those of parts trained apart add up.
    """
    parts = {(row.get("workdir"), row["cell"], *(row.get(name, 0.0) for name in SECONDS)) for row in rows}
    return {name: sum(part[2 + i] for part in parts) for i, name in enumerate(SECONDS)}


def member_name(member: Mapping) -> str:
    """The name of a member's TensorBoard run: `lr=0.003,seed=0`."""
    return f"lr={member['learning_rate']:g},seed={member['seed']}"


def pair(row: Mapping) -> tuple[float, int]:
    """The member of a row within its cell: its learning rate and its seed."""
    return row["learning_rate"], row["seed"]


def read_jsonl(path) -> list[dict]:
    """The rows of a JSONL file; none if there is no such file.

    Raises InputError, naming the line, for anything that is not a JSON object.
    """
    rows = []
    for number, row, wrong in jsonl_lines(path):
        if row is None:
            raise InputError(f"{path}:{number}: {wrong}")
        rows.append(row)
    return rows


def read_rows(file, kind: type) -> list[dict]:
    """`read_jsonl` of a file whose lines are all of this kind; InputError for one that is not."""
    rows = read_jsonl(file)
    for number, row in enumerate(rows, start=1):
        if wrong := unlike(row, kind):
            raise InputError(f"{file}:{number}: not a row of such a file ({wrong})")
    return rows


def jsonl_lines(path) -> Iterator[tuple[int, dict | None, str]]:
    """(line number, row, "") per line of a JSONL file, or (line number, None, what is wrong with it)."""
    path = place(path)
    if not path.exists():
        return
    for number, line in enumerate(path.read_bytes().decode(errors="replace").splitlines(), start=1):
        try:
            row = json.loads(line, parse_constant=_no_number)
        except ValueError as error:
            yield number, None, f"not a line of JSON ({getattr(error, 'msg', error)})"
            continue
        yield (number, row, "") if isinstance(row, dict) else (number, None, "not a JSON object")


def _no_number(name: str) -> None:
    raise ValueError(f"{name} is not a number in JSON")


def write_jsonl(path, rows: Sequence[Mapping]) -> None:
    """Replaces the whole file: object stores cannot append, and a reader never sees half of it."""
    write_text(path, "".join(json.dumps(row, allow_nan=False) + "\n" for row in rows))
