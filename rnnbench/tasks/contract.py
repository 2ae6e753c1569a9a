"""What a task has to have: its `Batch`, its cases, its members; an external task built from its dotted path.

A *case* is a JSON-able dict that says which sequences to draw: `{"length": 64}`, `{"length": [3, 40]}`.
"""

from collections.abc import Iterable
from dataclasses import fields, is_dataclass
from typing import Any, NamedTuple

import jax
import numpy as np
from ml_collections import ConfigDict

from rnnbench.config import ConfigError
from rnnbench.config.build import COMMON, imported
from rnnbench.config.schema import KEYS

Case = dict[str, int | list[int] | str]
HEADLINES = ("accuracy", "last_accuracy", "last_quarter_accuracy", "sequence_accuracy", "balanced_accuracy")
MEMBERS = (
    "vocab_size", "num_classes", "headline", "sample", "cases", "train_cases", "selection_case", "supervised",
    "chance",
)  # fmt: skip


class Batch(NamedTuple):
    """One sequence (or, vmapped, a batch of them) with what to predict and where.

    inputs:  [T] int32 token ids in [0, vocab_size); 0 after the end of a sequence shorter than T
    targets: [T] int32 class ids in [0, num_classes); 0 where `mask` is off
    mask:    [T] bool, the supervised positions
    """

    inputs: jax.Array
    targets: jax.Array
    mask: jax.Array


def bounds(length: int | tuple[int, int] | list[int]) -> tuple[int, int]:
    """A case's length as (shortest, longest): `64` -> (64, 64), `[3, 40]` -> (3, 40)."""
    if isinstance(length, int):
        return length, length
    low, high = length
    return low, high


def unique(cases: Iterable[Case]) -> tuple[Case, ...]:
    """The cases in order, each once."""
    seen = []
    for case in cases:
        if case not in seen:
            seen.append(case)
    return tuple(seen)


def build(config: ConfigDict) -> Any:
    """The task at `config.task.module`, a frozen dataclass as those of this package are, checked.

    Its fields take `task.options`. Those called `train_lengths` and `eval_*` are filled from
    `task.train_lengths` and `eval.*`, as with the tasks of the registry.
    """
    kind = imported("task.module", config.task.module)
    if not (isinstance(kind, type) and is_dataclass(kind)):
        raise _lacking(config, "is not a dataclass")
    known = {field.name for field in fields(kind) if field.init}
    for key, (default, _) in KEYS.items():
        section, _, name = key.partition(".")
        if section == "task" and name not in ("name", *COMMON) and config.task[name] != default:
            advice = f"is for tasks of the registry; {kind.__name__}'s own are --config.task.options.NAME"
            raise ConfigError(key, advice)
    settings = {"train_lengths": config.task.train_lengths}
    settings |= {f"eval_{key}": config.eval[key] for key in config.eval}
    for name in config.task.options:
        if name not in known:
            raise ConfigError(f"task.options.{name}", f"the task {kind.__name__} has no such option")
        if name in settings:
            key = "task.train_lengths" if name == "train_lengths" else name.replace("eval_", "eval.", 1)
            raise ConfigError(f"task.options.{name}", f"is set by --config.{key}; leave it out")
    settings = {name: value for name, value in settings.items() if name in known}
    try:
        task = kind(**settings, **config.task.options)
        check(task, config)
    except ConfigError:
        raise
    except Exception as error:  # whatever somebody's task raises
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise _lacking(config, f"cannot be used ({reason})") from error
    return task


def check(task: Any, config: ConfigDict) -> None:
    """ConfigError of task.module for the first thing in which a task does not keep the contract."""
    if missing := [name for name in MEMBERS if not hasattr(task, name)]:
        raise _lacking(config, f"has no {missing[0]}; a task has {', '.join(MEMBERS)}")
    if task.headline not in HEADLINES:
        raise _lacking(config, f"has the headline {task.headline!r}; choose one of {' '.join(HEADLINES)}")
    cases, trained = list(task.cases()), [case for case, _ in task.train_cases()]
    if len(unique(cases)) < len(cases):
        raise _lacking(config, f"has the same case twice among its cases(): {cases}")
    if task.selection_case() not in cases:
        raise _lacking(config, f"has the selection case {task.selection_case()}, not one of its cases()")
    for case in [*trained, *cases]:
        length, asked = bounds(case["length"])[1], task.supervised(case)
        if not 1 <= asked <= length:
            raise _lacking(config, f"has {asked} supervised positions for {case}, must be 1 to {length}")
        batch = jax.eval_shape(lambda key, case=case: task.sample(key, case), jax.random.key(0))
        for name, kind in {"inputs": np.integer, "targets": np.integer, "mask": np.bool_}.items():
            leaf = getattr(batch, name)
            if leaf.shape != (length,) or not np.issubdtype(leaf.dtype, kind):
                wanted = f"{kind.__name__.rstrip('_')} of shape {(length,)}"
                found = f"{leaf.dtype} of shape {leaf.shape}"
                raise _lacking(config, f"samples {name} that are {found} for {case}, must be {wanted}")
        if not 0 <= float(task.chance(case)) < 1:
            raise _lacking(config, f"has the chance level {task.chance(case)} for {case}, must be in [0, 1)")


def _lacking(config: ConfigDict, what: str) -> ConfigError:
    return ConfigError("task.module", f"{config.task.module!r} {what}")
