"""Counting: which symbols may come next in a word of a counter language?"""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from rnnbench.errors import ConfigError
from rnnbench.tasks import theory
from rnnbench.tasks.contract import Batch, Case, bounds, option
from rnnbench.tasks.draw import check_choice, check_integer, coins, draw, supervise
from rnnbench.tasks.lengths import Lengths, chance_by_position

OPENING, CLOSING = "([{", ")]}"


@dataclass(frozen=True, eq=False)
class Counting(Lengths):
    """target_t = the set of symbols that may follow x_1 … x_t; $ is the end of the word.

    The set is one class, where the papers ask for each symbol separately. words "anbn": n times a, then n b.

        inputs   a  a  a  b b b
        targets  ab ab ab b b $

    "anbncn": then also n c. n is drawn uniformly from those that fit into the case's lengths; a single
    length would give the targets away.

        inputs   a  a  b b c c
        targets  ab ab b c c $

    "shuffle" (Shuffle-Dyck, brackets that are balanced type by type): after each type drawn uniformly, the
    bracket opens if none of that type is open, else opens or closes with probability 1/2. Words are not
    completed; $ stands for balanced so far.

        inputs   (   [    )   ]
        targets  ([) ([)] ([] ([$

    Options
        words       "anbn" | "anbncn" | "shuffle"
        num_types   types of brackets of "shuffle", up to three
        train_lengths, eval_lengths   (low, high)

    "anbn" and "anbncn" are scored by whole sequences: without counting all but the last targets are right.
    Chance is then one of the possible n. "shuffle" is scored over the last quarter of positions; chance is
    the likeliest set at each position.
    Source: Bhattamishra et al. 2020 (arXiv 2009.11264), trained to length 50 and tested to 150.
    """

    train_lengths: tuple[int, int] = option((2, 40), "shortest and longest training word, both included")
    eval_lengths: tuple = option(((41, 80), (81, 160), (161, 320)), "(low, high) of the evaluation cases")
    words: str = option("anbn", "anbn | anbncn | shuffle")
    num_types: int = option(2, "types of brackets of shuffle", only="words=shuffle")

    language = "counter"
    theory = theory.COUNTER

    def __post_init__(self):
        check_choice("task.words", self.words, ("anbn", "anbncn", "shuffle"))
        check_integer("task.num_types", self.num_types, 1)
        if self.num_types > len(OPENING):
            raise ConfigError("task.num_types", f"must be at most {len(OPENING)}; it is {self.num_types}")
        self.train_cases()
        self.cases()

    @staticmethod
    def bench(length: int) -> dict[str, Any]:
        """The settings that the bench times."""
        return {"task.train_lengths": (2, length), "eval.lengths": ((2, length),)}

    def selection_case(self) -> Case:
        return self.train_cases()[0][0]

    def case(self, key: str, length) -> Case:
        case = super().case(key, length)
        if self.words != "shuffle" and len(self._repeats(case)) < 2:
            raise ConfigError(
                key, f"must hold two words of {self.words} or more, such as (2, 40); it is {length}"
            )
        return case

    def _repeats(self, case: Case) -> range:
        """The n of the words of a case."""
        low, high = bounds(case["length"])
        return range(-(-low // self._symbols), high // self._symbols + 1)

    @property
    def _symbols(self) -> int:
        return 3 if self.words == "anbncn" else 2

    @property
    def vocab_size(self) -> int:
        return 2 * self.num_types if self.words == "shuffle" else self._symbols

    @property
    def num_classes(self) -> int:
        return 2**self.num_types if self.words == "shuffle" else 1 + self._symbols

    @property
    def token_names(self) -> tuple[str, ...]:
        if self.words == "shuffle":
            return (*OPENING[: self.num_types], *CLOSING[: self.num_types])
        return tuple("abc"[: self._symbols])

    @property
    def class_names(self) -> tuple[str, ...]:
        if self.words != "shuffle":
            return ("ab", *"bc"[: self._symbols - 1], "$")
        closing = (
            "".join(CLOSING[i] for i in range(self.num_types) if s >> i & 1) for s in range(self.num_classes)
        )
        return tuple(OPENING[: self.num_types] + (found or "$") for found in closing)

    @property
    def headline(self) -> str:
        return "last_quarter_accuracy" if self.words == "shuffle" else "sequence_accuracy"

    def chance(self, case: Case) -> float:
        if self.words != "shuffle":
            return 1 / len(self._repeats(case))
        return chance_by_position(likeliest_set(bounds(case["length"])[1], self.num_types), case, "every")

    def supervised(self, case: Case) -> int:
        longest = bounds(case["length"])[1]
        return longest if self.words == "shuffle" else self._symbols * self._repeats(case)[-1]

    def sample(self, key: jax.Array, case: Case) -> Batch:
        low, high = bounds(case["length"])
        if self.words == "shuffle":
            return self._shuffle(key, low, high)
        repeats, place = self._repeats(case), jnp.arange(high, dtype=jnp.int32)
        n = draw(key, repeats[0], repeats[-1])
        symbol, inside = place // n, place < self._symbols * n
        # After a any number of a may follow; after the last b or c the next symbol, or the end.
        following = jnp.where(symbol == 0, 0, (place + 1) // n)
        return supervise(jnp.where(inside, symbol, 0), following, inside)

    def _shuffle(self, key: jax.Array, low: int, high: int) -> Batch:
        """The number of open brackets of a type is the distance from 0 of a walk of steps of 1 up or down."""
        length_key, type_key, step_key = jax.random.split(key, 3)
        inside = jnp.arange(high) < draw(length_key, low, high)
        kind = jax.random.randint(type_key, (high,), 0, self.num_types, dtype=jnp.int32)
        own = kind[:, None] == jnp.arange(self.num_types)[None]
        walk = jnp.cumsum(jnp.where(own, 2 * coins(step_key, high)[:, None] - 1, 0), axis=0, dtype=jnp.int32)
        open_now = jnp.abs(walk)
        before = jnp.concatenate([jnp.zeros_like(open_now[:1]), open_now[:-1]])
        closes = jnp.sum(open_now - before, axis=1) < 0
        allowed = jnp.sum(jnp.where(open_now > 0, 2 ** jnp.arange(self.num_types)[None], 0), axis=1)
        return supervise(jnp.where(inside, kind + self.num_types * closes, 0), allowed, inside)


def likeliest_set(length: int, num_types: int) -> np.ndarray:
    """[length]: the probability of the likeliest set of types with open brackets after each position.

    A type with m brackets so far has none open with probability C(m, m/2) / 2^m for even m. Types are drawn
    uniformly, so t brackets of j + 1 types have m of the last one with probability Binomial(t, 1 / (j + 1)).
    """
    none = np.zeros(length + 1)
    none[0] = 1.0
    for m in range(2, length + 1, 2):
        none[m] = none[m - 2] * (m - 1) / m
    # odds[j][t]: of t brackets of the types so far, j types that were named have brackets open, no other has.
    odds = [none, 1 - none]
    for types in range(2, num_types + 1):
        share = 1 / types
        joined = [np.zeros(length + 1) for _ in range(types + 1)]
        binomial = np.ones(1)
        for t in range(length + 1):
            m = np.arange(t + 1)
            for j in range(types):
                joined[j][t] += (binomial * none[m] * odds[j][t - m]).sum()
            joined[types][t] += (binomial * (1 - none[m]) * odds[types - 1][t - m]).sum()
            binomial = np.append(binomial * (1 - share), 0.0) + np.append(0.0, binomial * share)
        odds = joined
    return np.max(odds, axis=0)[1:]
