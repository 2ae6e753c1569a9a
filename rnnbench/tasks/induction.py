"""Induction: what followed the last occurrence of the current token?"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp

from rnnbench.tasks import theory
from rnnbench.tasks.contract import Batch, Case, bounds, option
from rnnbench.tasks.draw import check_choice, check_integer, draw, supervise
from rnnbench.tasks.lengths import Lengths
from rnnbench.tasks.strings import letters


@dataclass(frozen=True, eq=False)
class Induction(Lengths):
    """target_t = x_{s+1} for the last s < t with x_s = x_t, if there is one; the x_t are drawn uniformly.

        inputs   c a b a a d c b
        targets  . . . b a . a a

    supervision "last": only the last token asks, and it repeats an earlier one, drawn uniformly.

        inputs   c a b d a
        targets  . . . . b

    supervision "marked": only the last token asks, a marker !, which also stands at one other place, drawn
    uniformly.

        inputs   c a ! d b !
        targets  . . . . . d

    Options
        num_symbols   different tokens; the marker is a further one
        supervision   as above
        train_lengths, eval_lengths   lengths, drawn uniformly from (low, high)

    Chance is 1/num_symbols. With "every" the last occurrence is `num_symbols` tokens back in the mean, at
    every length: a reader of the last 15 tokens has 0.90 of 128 with eight symbols. With "marked" the
    distance grows with the length.
    Source: the induction heads of Olsson et al. 2022 (arXiv 2209.11895); "marked" at length 256 is the
    setting of Gu & Dao 2023 (arXiv 2312.00752).
    """

    num_symbols: int = option(16, "different tokens")
    supervision: str = option(
        "every", "every (wherever a token occurred before) | last | marked (by a token of its own)"
    )

    language = "recall"
    # Over a fixed alphabet it is an automaton of one register per token, each overwritten at once.
    theory = theory.STAR_FREE

    def __post_init__(self):
        check_integer("task.num_symbols", self.num_symbols, 2)
        check_choice("task.supervision", self.supervision, ("every", "last", "marked"))
        self.train_cases()
        self.cases()

    @property
    def shortest(self) -> int:
        return 3 if self.supervision == "marked" else 2

    @property
    def vocab_size(self) -> int:
        return self.num_symbols + (self.supervision == "marked")

    @property
    def num_classes(self) -> int:
        return self.num_symbols

    @property
    def class_tokens(self) -> range:
        return range(self.num_symbols)

    @property
    def token_names(self) -> tuple[str, ...]:
        return (*letters(self.num_symbols), *"!" * (self.supervision == "marked"))

    @property
    def headline(self) -> str:
        return "accuracy" if self.supervision == "every" else "last_accuracy"

    def chance(self, case: Case) -> float:
        return 1 / self.num_symbols

    def supervised(self, case: Case) -> int:
        return bounds(case["length"])[1] - 1 if self.supervision == "every" else 1

    def sample(self, key: jax.Array, case: Case) -> Batch:
        low, high = bounds(case["length"])
        length_key, token_key, repeat_key = jax.random.split(key, 3)
        length, place = draw(length_key, low, high), jnp.arange(high, dtype=jnp.int32)
        tokens = jax.random.randint(token_key, (high,), 0, self.num_symbols, dtype=jnp.int32)
        asks = place < length if self.supervision == "every" else place == length - 1
        if self.supervision == "marked":
            first = draw(repeat_key, 0, length - 3)
            inputs = jnp.where(asks | (place == first), self.num_symbols, tokens)
            return supervise(jnp.where(place < length, inputs, 0), tokens[first + 1], asks)
        if self.supervision == "last":
            tokens = jnp.where(asks, tokens[draw(repeat_key, 0, length - 2)], tokens)
        tokens = jnp.where(place < length, tokens, 0)
        before = last_occurrence(tokens)
        return supervise(tokens, tokens[before + 1], asks & (before >= 0))


def last_occurrence(tokens: jax.Array) -> jax.Array:
    """[T]: the last position before t with the token of t; -1 if there is none."""
    place = jnp.arange(tokens.shape[0], dtype=jnp.int32)
    same_and_before = (tokens[:, None] == tokens[None]) & (place[:, None] > place[None])
    return jnp.max(jnp.where(same_and_before, place[None], -1), axis=1)
