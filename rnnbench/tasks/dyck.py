"""Dyck: bracket words of bounded depth; targets are where they are balanced, or which bracket closes next."""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from rnnbench.errors import ConfigError
from rnnbench.tasks import theory
from rnnbench.tasks.contract import Batch, Case, bounds, option, unique
from rnnbench.tasks.draw import (
    check_choice,
    check_integer,
    check_number,
    draw,
    entries,
    order_by,
    random_ranks,
    read_cases,
    span,
    supervise,
)
from rnnbench.tasks.dyck_odds import balanced_prefixes
from rnnbench.tasks.dyck_paths import balanced, draw_path, height, partners


@dataclass(frozen=True, eq=False)
class Dyck:
    """Words over `num_types` kinds of brackets, nested at most `depth` deep, every such word equally likely.

    mode "balanced": target_t = 1 if x_1 … x_t is balanced, else 0; 0 for the rest after the first mismatch.

        inputs   { [ ( ) ] ( ) } [ ] ( )
        targets  0 0 0 0 0 0 0 1 0 1 0 1

        inputs   ( ) [ ) ] ( )
        targets  0 1 0 0 0 0 0

    A share `corruption` of the words is corrupted in one of two ways, with equal probability: a tail that
    starts at a balanced point is shuffled (it may then close too early, exceed `depth`, or by chance stay
    valid), or one bracket changes its type, since types would not matter otherwise (with one type: always the
    shuffle).

    mode "close": before each closing bracket, target_t = the type of that bracket; words are never corrupted.

        inputs   { [ ( ) ] ( ) }
        targets  . . ( [ . ( { .

    Tokens: type i opens as i and closes as num_types + i.

    Options
        num_types, depth, corruption, mode   as above
        train_lengths  (low, high): a training word's length is drawn uniformly from the even numbers low…high
        eval_lengths   even integers, or (low, high) for one mixture of lengths
        eval_cases     further cases, {"length": 128} or {"length": 128, "depth": 15}

    Chance is the score of the best guess from the position alone. In mode "balanced" that is a balanced
    accuracy of ½ Σ_t max(p_t / P, (1 - p_t) / Q), with p_t the probability that the prefix up to t is
    balanced, P = Σ p_t and Q = Σ (1 - p_t). Only even prefixes can be balanced, so it is .77 at lengths 40
    and 320 (two types, depth 4), where a constant guess has .5. In mode "close" it is 1/num_types, as for a
    constant guess.

    The current bracket alone, without memory of earlier ones, allows a better guess. In mode "balanced", 1 at
    every closing bracket at an even position reaches .90 at length 320. In mode "close", an opening bracket
    just before the target is the answer.

    Source: "close" on bounded Dyck is the setting of Sarrof et al. 2024 (arXiv 2405.17394); "balanced" comes
    from the course project that this benchmark grew from.
    """

    num_types: int = option(3, "bracket types")
    depth: int = option(3, "maximum nesting depth in training")
    corruption: float = option(0.5, "share of corrupted sequences", only="mode=balanced")
    mode: str = option("balanced", "balanced (is the prefix balanced?) | close (which bracket closes next?)")
    train_lengths: tuple[int, int] = option((32, 32), "shortest and longest training sequence, both included")
    eval_lengths: tuple = option((64, 128, 256), "lengths of the evaluation cases; (low, high) for a mixture")
    eval_cases: tuple = option((), "further evaluation cases, such as ({'length': 512},)")

    def __post_init__(self):
        check_integer("task.num_types", self.num_types, 1)
        check_integer("task.depth", self.depth, 1)
        check_number("task.corruption", self.corruption, 0, 1)
        check_choice("task.mode", self.mode, ("balanced", "close"))
        if self.mode == "close" and self.num_types == 1:
            raise ConfigError("task.num_types", "must be at least 2 in mode close; it is 1")
        self.train_cases()
        self.cases()
        self._check_chance()

    @staticmethod
    def bench(length: int) -> dict[str, Any]:
        """The settings that the bench times."""
        return {"task.num_types": 3, "task.depth": 6}

    @property
    def language(self) -> str:
        return "star free" if self._bounded else "counter"

    @property
    def theory(self) -> tuple[theory.Theorem, ...]:
        return theory.STAR_FREE if self._bounded else ()

    @property
    def _bounded(self) -> bool:
        """Whether the depth stays bounded wherever the word is balanced so far.

        With several types a shuffled tail that nests deeper hardly ever matches: 2 balanced prefixes of
        100,000 do, at two types and depth 4. With one type a counter is needed.
        """
        return self.mode == "close" or self.corruption == 0 or self.num_types > 1

    @property
    def vocab_size(self) -> int:
        return 2 * self.num_types

    @property
    def num_classes(self) -> int:
        return 2 if self.mode == "balanced" else self.num_types

    @property
    def headline(self) -> str:
        return "balanced_accuracy" if self.mode == "balanced" else "accuracy"

    @property
    def token_names(self) -> tuple[str, ...]:
        """Brackets; from the fourth type on round ones with a number."""
        name = lambda side, i: ("([{", ")]}")[side][i] if i < 3 else "()"[side] + str(i + 1)
        return tuple(name(side, i) for side in (0, 1) for i in range(self.num_types))

    @property
    def class_tokens(self) -> range | None:
        """The closing brackets in mode "close"; no tokens stand for balanced or not."""
        return range(self.num_types, 2 * self.num_types) if self.mode == "close" else None

    def chance(self, case: Case) -> float:
        if self.mode == "close":
            return 1 / self.num_types
        depth = case.get("depth", self.depth)
        low, high = bounds(case["length"])
        ones, words = balanced_prefixes(low, high, depth, self.num_types, self.corruption)
        zeros = words - ones
        return float(0.5 * np.maximum(ones / ones.sum(), zeros / zeros.sum()).sum())

    def train_cases(self) -> tuple[tuple[Case, float], ...]:
        return (({"length": even_span("task.train_lengths", self.train_lengths)}, 1.0),)

    def selection_case(self) -> Case:
        return {"length": bounds(self.train_lengths)[1]}

    def cases(self) -> tuple[Case, ...]:
        cases = [self.selection_case()]
        for length in entries("eval.lengths", self.eval_lengths):
            cases.append({"length": even_span("eval.lengths", length)})
        for case in read_cases(self.eval_cases, ("length", "depth")):
            check_integer("eval.cases", case.get("depth", 1), 1)
            cases.append(case | {"length": even_span("eval.cases", case["length"])})
        return unique(cases)

    def _check_chance(self) -> None:
        """Refuses uncorrupted words of a single shape, whose targets follow from the position."""
        if self.mode == "close" or self.corruption:
            return
        for case in (self.train_cases()[0][0], *self.cases()):
            if case.get("depth", self.depth) == 1 or bounds(case["length"])[1] == 2:
                raise ConfigError(
                    "task.corruption", f"must be above 0: the position alone determines the targets of {case}"
                )

    def supervised(self, case: Case) -> int:
        longest = bounds(case["length"])[1]
        return longest if self.mode == "balanced" else longest // 2

    def sample(self, key: jax.Array, case: Case) -> Batch:
        low, high = bounds(case["length"])
        keys = jax.random.split(key, 4)
        length = 2 * draw(keys[0], low // 2, high // 2)
        inside = jnp.arange(high) < length
        opens = draw_path(keys[1], length, high, case.get("depth", self.depth))
        types = jax.random.randint(keys[2], (high,), 0, self.num_types, dtype=jnp.int32)
        types = jnp.where(opens, types, types[partners(opens)])
        if self.mode == "close":
            closing = jnp.roll(inside & ~opens, -1).at[-1].set(False)
            return supervise(self._tokens(opens, types, inside), jnp.roll(types, -1), closing)
        if self.corruption > 0:
            opens, types = self._corrupt(keys[3], opens, types, length)
        return supervise(self._tokens(opens, types, inside), balanced(opens, types) & inside, inside)

    def _tokens(self, opens: jax.Array, types: jax.Array, inside: jax.Array) -> jax.Array:
        return jnp.where(inside, jnp.where(opens, types, self.num_types + types), 0)

    def _corrupt(self, key: jax.Array, opens: jax.Array, types: jax.Array, length: jax.Array):
        spoil_key, shuffle_key, tail_key, order_key, flip_key, type_key = jax.random.split(key, 6)
        spoil = jax.random.bernoulli(spoil_key, jnp.float32(self.corruption))
        shuffle = jax.random.bernoulli(shuffle_key, jnp.float32(0.5)) | (self.num_types == 1)
        position = jnp.arange(opens.shape[0])

        starts = opens & (height(opens) == 1)
        start = jnp.argmax(jnp.where(starts, jax.random.uniform(tail_key, starts.shape, jnp.float32), -1.0))
        start = jnp.where(spoil & shuffle, start, length)
        # The head stays before the tail, and the padding stays after the word.
        tail = (position >= start) & (position < length)
        order = order_by(jnp.where(position < start, -1, random_ranks(order_key, tail)))

        flipped = (position == draw(flip_key, 0, length - 1)) & spoil & ~shuffle
        shift = draw(type_key, 1, max(self.num_types - 1, 1))
        return opens[order], jnp.where(flipped, (types + shift) % self.num_types, types[order])


def even_span(key: str, value) -> int | list[int]:
    length = span(key, value)
    if any(bound % 2 for bound in bounds(length)):
        raise ConfigError(key, f"must be even, because brackets come in pairs; it is {value!r}")
    return length
