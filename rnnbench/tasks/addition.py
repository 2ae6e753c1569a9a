"""Addition: the digits of a sum."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp

from rnnbench.tasks import theory
from rnnbench.tasks.contract import Batch, Case, bounds, option
from rnnbench.tasks.draw import check_choice, check_integer, draw
from rnnbench.tasks.lengths import Lengths
from rnnbench.tasks.strings import answered

PLUS, EQUALS, DIGITS = 1, 2, 3


@dataclass(frozen=True, eq=False)
class Addition(Lengths):
    """a + b = s for numbers of n digits, drawn uniformly, leading zeros included; s has n + 1 digits.

    order "little": the digit of the ones comes first, so that the carry goes with the text.

        inputs   1 1 0 + 1 0 1 = 0 0 0
        targets  . . . . . . . 0 0 0 1

    Options
        base      of the digits
        order     "little" or "big": which end of a number comes first
        answers   "shown": inputs among the answers are the answers so far; "hidden": filler _
        train_lengths, eval_lengths   lengths of the whole, 3n + 2, n drawn uniformly from those that fit into
                  (low, high); other lengths leave their last positions empty

    Chance is that of guessing 0: all digits of s are uniform but the largest one, which is 0 or 1.
    Source: Delétang et al. 2023 (arXiv 2207.02098), base 2, "little", answers hidden.
    """

    train_lengths: tuple[int, int] = option((5, 41), "shortest and longest training sequence, both included")
    base: int = option(2, "base of the digits")
    order: str = option("little", "which digit comes first: little (the ones) | big")
    answers: str = option("shown", "inputs among the answers: shown (the answers so far) | hidden (filler)")

    headline = "accuracy"
    shortest = 5
    language = "context sensitive"
    theory = theory.COPYING

    def __post_init__(self):
        check_integer("task.base", self.base, 2)
        check_choice("task.order", self.order, ("little", "big"))
        check_choice("task.answers", self.answers, ("shown", "hidden"))
        self.train_cases()
        self.cases()

    @property
    def vocab_size(self) -> int:
        return DIGITS + self.base

    @property
    def num_classes(self) -> int:
        return self.base

    @property
    def class_tokens(self) -> range:
        return range(DIGITS, self.vocab_size)

    @property
    def token_names(self) -> tuple[str, ...]:
        return ("_", "+", "=", *map(str, range(self.base)))

    def chance(self, case: Case) -> float:
        sizes = range(digits(bounds(case["length"])[0]), digits(bounds(case["length"])[1]) + 1)
        zeros = sum(n / self.base + (1 + self.base**-n) / 2 for n in sizes)
        return zeros / sum(n + 1 for n in sizes)

    def supervised(self, case: Case) -> int:
        return digits(bounds(case["length"])[1]) + 1

    def sample(self, key: jax.Array, case: Case) -> Batch:
        low, high = bounds(case["length"])
        length_key, a_key, b_key = jax.random.split(key, 3)
        most = digits(high)
        n, place = draw(length_key, digits(low), most), jnp.arange(most + 1)
        number = lambda key: jnp.where(
            place < n, jax.random.randint(key, place.shape, 0, self.base, dtype=jnp.int32), 0
        )
        a, b = number(a_key), number(b_key)

        def add(carry, pair):
            total = pair.sum(dtype=jnp.int32) + carry
            return total // self.base, total % self.base

        total = jax.lax.scan(add, jnp.int32(0), jnp.stack([a, b], axis=1))[1]
        if self.order == "big":
            a, b = (number[jnp.clip(n - 1 - place, 0)] for number in (a, b))
            total = total[jnp.clip(n - place, 0)]
        t = jnp.arange(high)
        at = lambda number, start: DIGITS + number[jnp.clip(t - start, 0, most)]
        prompt = jnp.where(t < n, at(a, 0), jnp.where(t == n, PLUS, at(b, n + 1)))
        prompt = jnp.where(t == 2 * n + 1, EQUALS, prompt)
        return answered(prompt, 2 * n + 2, total, n + 1, self.answers == "shown", DIGITS)


def digits(length: int) -> int:
    """The digits of the numbers that fit into a length."""
    return (length - 2) // 3
