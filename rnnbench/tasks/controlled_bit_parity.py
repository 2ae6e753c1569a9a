"""Controlled bit parity: bit parity with the same number of ones in every training sequence."""

from dataclasses import dataclass
from functools import lru_cache

import jax
import jax.numpy as jnp
import numpy as np

from rnnbench.errors import ConfigError
from rnnbench.tasks import theory
from rnnbench.tasks.bit_parity import parity
from rnnbench.tasks.contract import Batch, Case, bounds, option, unique
from rnnbench.tasks.draw import (
    check_choice,
    check_integer,
    choose,
    coins,
    draw,
    entries,
    is_int,
    read_cases,
    span,
)


@dataclass(frozen=True, eq=False)
class ControlledBitParity:
    """target_t = (x_1 + … + x_t) mod 2, where exactly `num_ones` of the x_t are 1, at places drawn uniformly.

        inputs   0 1 0 0 1 1 0
        targets  0 1 1 1 0 1 1

    Each length is evaluated twice: with the same number of ones, {"length": 64, "ones": 12}, where a counter
    that saturates at 12 succeeds without computing parity, and with coin flips,
    {"length": 64, "ones": "any"}, where it fails.

    Options
        supervision    "every"; "last" is refused, because the last target would always be num_ones mod 2
        num_ones       number of ones in each training sequence
        train_lengths  (low, high): a training sequence's length is drawn uniformly from low…high
        eval_lengths   integers, or (low, high) for one mixture of lengths
        eval_cases     further cases; one without "ones" is evaluated both ways

    Chance is the accuracy of the best guess from the position alone. For coin flips that is .5. For a fixed
    count it is Σ_t max(p_t, 1 - p_t) / L, with p_t the probability (hypergeometric) that the number of ones
    up to t is odd, because the position reveals the parity near both ends of a sequence: .54 for 12 ones at
    length 320. For 12 ones in 32 places or more a constant guess reaches the same within .001; with an odd
    count it stays at .50.

    Source: the course project that this benchmark grew from.
    """

    supervision: str = option("every", "every: a target at each position; last is refused")
    num_ones: int = option(12, "ones in every training sequence")
    train_lengths: tuple[int, int] = option((32, 32), "shortest and longest training sequence, both included")
    eval_lengths: tuple = option((64, 128, 256), "lengths of the evaluation cases; (low, high) for a mixture")
    eval_cases: tuple = option((), "further evaluation cases, such as ({'length': 512},)")

    vocab_size = 2
    num_classes = 2
    language = "regular, solvable"
    theory = theory.PARITY
    headline = "accuracy"

    def __post_init__(self):
        check_choice("task.supervision", self.supervision, ("every", "last"))
        check_integer("task.num_ones", self.num_ones, 1)
        if self.supervision == "last":
            fix = "use every, or task bit_parity"
            raise ConfigError(
                "task.supervision", f"with a fixed number of ones the last target is constant: {fix}"
            )
        self.train_cases()
        self.cases()

    def chance(self, case: Case) -> float:
        if case["ones"] == "any":
            return 0.5
        low, high = bounds(case["length"])
        odd, words = np.zeros(high), np.zeros(high)
        for length in range(low, high + 1):
            odd[:length] += odd_counts(length, case["ones"])
            words[:length] += 1
        return float(np.maximum(odd, words - odd).sum() / words.sum())

    def train_cases(self) -> tuple[tuple[Case, float], ...]:
        length = span("task.train_lengths", self.train_lengths)
        if self.num_ones > bounds(length)[0]:
            raise ConfigError("task.num_ones", f"{self.num_ones} ones do not fit task.train_lengths {length}")
        return (({"length": length, "ones": self.num_ones}, 1.0),)

    def selection_case(self) -> Case:
        return {"length": bounds(self.train_lengths)[1], "ones": self.num_ones}

    def cases(self) -> tuple[Case, ...]:
        longest = self.selection_case()["length"]
        lengths = [longest, *entries("eval.lengths", self.eval_lengths)]
        cases = [case for length in lengths for case in self._both("eval.lengths", length)]
        for case in read_cases(self.eval_cases, ("length", "ones")):
            cases += self._both("eval.cases", **case)
        return unique(cases)

    def _both(self, key: str, length, ones=None) -> list[Case]:
        """The case of this length and number of ones; without a number the two cases of this length."""
        if ones is None:
            return [*self._both(key, length, self.num_ones), *self._both(key, length, "any")]
        length = span(key, length)
        if ones != "any" and not (is_int(ones) and 1 <= ones <= bounds(length)[0]):
            raise ConfigError(
                key, f"length {length} needs 1 to {bounds(length)[0]} ones or 'any', not {ones!r}"
            )
        return [{"length": length, "ones": ones}]

    def supervised(self, case: Case) -> int:
        return bounds(case["length"])[1]

    def sample(self, key: jax.Array, case: Case) -> Batch:
        low, high = bounds(case["length"])
        length_key, bits_key = jax.random.split(key)
        length = draw(length_key, low, high)
        if case["ones"] == "any":
            bits = coins(bits_key, high)
        else:
            bits = jnp.zeros(high, jnp.int32).at[choose(bits_key, case["ones"], length)].set(1)
        return parity(bits, length, self.supervision)


@lru_cache(maxsize=4096)
def odd_counts(length: int, ones: int) -> np.ndarray:
    """[length]: the probability that the number of ones up to and including t is odd."""
    seen, odd = np.zeros(ones + 1), np.zeros(length)
    seen[0] = 1.0
    left = np.arange(ones, -1, -1)
    for t in range(length):
        one_more = seen * left / (length - t)
        seen = seen - one_more + np.append(0.0, one_more[:-1])
        odd[t] = seen[1::2].sum()
    return odd
