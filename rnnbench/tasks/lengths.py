"""What tasks share whose cases are a length: options, cases, and the chance of guessing from the position."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rnnbench.errors import ConfigError
from rnnbench.tasks.contract import Case, bounds, option, unique
from rnnbench.tasks.draw import entries, span


@dataclass(frozen=True, eq=False)
class Lengths:
    """A task whose cases are {"length": 64} or {"length": [40, 256]}, none below `shortest`."""

    train_lengths: tuple[int, int] = option((3, 40), "shortest and longest training sequence, both included")
    eval_lengths: tuple = option((80, 160, 320), "lengths of the evaluation cases; (low, high) for a mixture")

    @property
    def shortest(self) -> int:
        return 1

    def train_cases(self) -> tuple[tuple[Case, float], ...]:
        return ((self.case("task.train_lengths", self.train_lengths), 1.0),)

    def selection_case(self) -> Case:
        return {"length": bounds(self.train_lengths)[1]}

    def cases(self) -> tuple[Case, ...]:
        lengths = entries("eval.lengths", self.eval_lengths)
        return unique([self.selection_case(), *(self.case("eval.lengths", length) for length in lengths)])

    def case(self, key: str, length) -> Case:
        """The checked case of this length."""
        length = span(key, length)
        if bounds(length)[0] < self.shortest:
            raise ConfigError(key, f"must be at least {self.shortest}; it is {length}")
        return {"length": length}


def scored(length: int, supervision: str) -> range:
    """The positions that the headline counts: the last quarter of those with a target, or the last one."""
    return range(length - 1, length) if supervision == "last" else range(3 * length // 4, length)


def chance_by_position(best: Sequence[float], case: Case, supervision: str) -> float:
    """The share of right answers of the best guess from the position, which is right with `best[t]` at t."""
    low, high = bounds(case["length"])
    hits = [best[t] for length in range(low, high + 1) for t in scored(length, supervision)]
    return float(np.mean(hits))
