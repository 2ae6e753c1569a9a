"""The contract of a task: its `Batch`, its cases, its members, and the check of a task against it.

A *case* is a JSON-able dict that says which sequences to draw: `{"length": 64}`, `{"length": [3, 40]}`.
"""

from collections.abc import Iterable
from dataclasses import MISSING, Field, field, fields
from typing import Any, NamedTuple, Protocol

import jax
import numpy as np

from rnnbench.errors import ConfigError, ContractError

Case = dict[str, int | list[int] | str]
HEADLINES = ("accuracy", "last_accuracy", "last_quarter_accuracy", "sequence_accuracy", "balanced_accuracy")


class Batch(NamedTuple):
    """One sequence (or, vmapped, a batch of them) with its targets and their positions.

    inputs:  [T] int32 token ids in [0, vocab_size); 0 after the end of a sequence shorter than T
    targets: [T] int32 class ids in [0, num_classes); 0 where `mask` is off
    mask:    [T] bool, the supervised positions
    """

    inputs: jax.Array
    targets: jax.Array
    mask: jax.Array


class Task(Protocol):
    """A frozen dataclass whose fields are its options; `eval_*` fields come from `config.eval`.

    headline            the metric, one of HEADLINES, by which members are compared
    sample(key, case)   one sequence of a case, as a `Batch`; traceable, all randomness from the key
    cases()             the evaluation cases, each once
    train_cases()       ((case, weight), …): a step draws its case by the weights
    selection_case()    the one of cases() that chooses the learning rate, at the longest training length
    supervised(case)    the largest number of supervised positions in a sequence of the case
    chance(case)        the headline of a guess, in [0, 1)

    Optional members:

    class_tokens        the token of each class, for a tied head
    token_names         a name without spaces for each token, for `--show_batch`; by default its number
    class_names         the same for each class; by default the names of class_tokens
    language, theory    the task's class and the theorems about it (theory.py)
    bench(length)       the settings that the bench times
    """

    @property
    def vocab_size(self) -> int: ...
    @property
    def num_classes(self) -> int: ...
    @property
    def headline(self) -> str: ...
    def sample(self, key: jax.Array, case: Case) -> Batch: ...
    def cases(self) -> tuple[Case, ...]: ...
    def train_cases(self) -> tuple[tuple[Case, float], ...]: ...
    def selection_case(self) -> Case: ...
    def supervised(self, case: Case) -> int: ...
    def chance(self, case: Case) -> float: ...


MEMBERS = tuple(name for name in vars(Task) if not name.startswith("_"))


def option(default: Any, help: str, unless: str = "", only: str = "") -> Any:
    """A field of a task: its default and its meaning.

    unless: the field that, once set, makes it meaningless. only: the value of a field without which it is
    meaningless, such as "mode=balanced".
    """
    return field(default=default, metadata={"help": help, "unless": unless, "only": only})


def fields_of(kind: type[Task]) -> tuple[Field, ...]:
    """The options of a task; each has a default."""
    found = tuple(each for each in fields(kind) if each.init)
    for each in found:
        if each.default is MISSING:
            raise ConfigError("task.module", f"{kind.__name__}.{each.name} has no default")
    return found


def key_of(name: str) -> str:
    """The config key of a field: `eval.lengths` of `eval_lengths`, else `task.NAME`."""
    return f"eval.{name.removeprefix('eval_')}" if name.startswith("eval_") else f"task.{name}"


def bounds(length: int | tuple[int, int] | list[int]) -> tuple[int, int]:
    """A case's length as (shortest, longest): `64` -> (64, 64), `[3, 40]` -> (3, 40)."""
    if isinstance(length, int):
        return length, length
    low, high = length
    return low, high


def lengths(task: Task) -> list[int]:
    """The longest length of every case of a task, in evaluation and in training."""
    cases = [*task.cases(), *(case for case, _ in task.train_cases())]
    return [bounds(case["length"])[1] for case in cases]


def names(task: Task) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """How tokens and classes are written."""
    tokens = tuple(getattr(task, "token_names", map(str, range(task.vocab_size))))
    own, same = getattr(task, "class_names", None), getattr(task, "class_tokens", None)
    if own is None:
        own = [tokens[token] for token in same] if same is not None else map(str, range(task.num_classes))
    return tokens, tuple(own)


def unique(cases: Iterable[Case]) -> tuple[Case, ...]:
    """The cases in order, each once."""
    seen = []
    for case in cases:
        if case not in seen:
            seen.append(case)
    return tuple(seen)


def check(task: Task) -> None:
    """ContractError for a task's first violation of the contract; draws no samples."""
    if missing := [name for name in MEMBERS if not hasattr(task, name)]:
        raise ContractError(f"has no {missing[0]}; a task has {', '.join(MEMBERS)}")
    if task.headline not in HEADLINES:
        raise ContractError(f"has headline {task.headline!r}; choose one of: {' '.join(HEADLINES)}")
    for found, size in zip(names(task), (task.vocab_size, task.num_classes)):
        if len({*found}) != size or any(name.split() != [name] for name in found):
            raise ContractError(f"has names {' '.join(found)[:60]}; they must be {size} different words")
    cases, trained = list(task.cases()), [case for case, _ in task.train_cases()]
    if len(unique(cases)) < len(cases):
        raise ContractError(f"has the same case twice among its cases(): {cases}")
    if task.selection_case() not in cases:
        raise ContractError(f"has selection case {task.selection_case()}, which is not one of its cases()")
    for case in unique([*trained, *cases]):
        length, asked = bounds(case["length"])[1], task.supervised(case)
        if not 1 <= asked <= length:
            raise ContractError(f"has {asked} supervised positions for {case}; it must be 1 to {length}")
        batch = jax.eval_shape(
            lambda key, case=case: task.sample(key, case), jax.eval_shape(jax.random.key, 0)
        )
        for name, kind in {"inputs": np.integer, "targets": np.integer, "mask": np.bool_}.items():
            leaf = getattr(batch, name)
            if leaf.shape != (length,) or not np.issubdtype(leaf.dtype, kind):
                wanted = f"{kind.__name__.rstrip('_')} of shape {(length,)}"
                found = f"{leaf.dtype} of shape {leaf.shape}"
                raise ContractError(f"samples {name} that are {found} for {case}; they must be {wanted}")
        if not 0 <= float(task.chance(case)) < 1:
            raise ContractError(f"has chance level {task.chance(case)} for {case}; it must be in [0, 1)")


def check_draws(task: Task, count: int = 64) -> None:
    """ContractError for the first case with a sample that violates the contract."""
    for case in unique([*(case for case, _ in task.train_cases()), *task.cases()]):
        keys = jax.random.split(jax.random.key(0), count)
        batch = jax.jit(jax.vmap(lambda key, case=case: task.sample(key, case)))(keys)
        inputs, targets, mask = map(np.asarray, batch)
        for name, values, size in (
            ("tokens", inputs, task.vocab_size),
            ("targets", targets[mask], task.num_classes),
        ):
            if wrong := sorted({*values[(values < 0) | (values >= size)].tolist()}):
                raise ContractError(
                    f"samples {name} such as {wrong[0]} for {case}; they must be 0 to {size - 1}"
                )
        most, told = int(mask.sum(axis=1).max()), task.supervised(case)
        if not 1 <= most <= told:
            raise ContractError(f"has {most} targets in a sequence of {case}; supervised() returns {told}")
        if targets[~mask].any():
            raise ContractError(f"samples targets other than 0 where the mask is off, for {case}")
