"""Noisy recall: the value of a key that came before, with noise between the pairs."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp

from rnnbench.tasks import theory
from rnnbench.tasks.contract import Batch, Case, bounds, option
from rnnbench.tasks.draw import check_integer, check_number, draw, supervise
from rnnbench.tasks.lengths import Lengths
from rnnbench.tasks.recall import FILLER, lay_out, seen_before
from rnnbench.tasks.strings import letters


@dataclass(frozen=True, eq=False)
class NoisyRecall(Lengths):
    """Pairs of a key and its value, and noise; at a key that came before, the target is its value.

        inputs   b 3 ~1 a 2 ~2 b 3 a 2 ~1 b
        targets  . . .  . . .  3 . 2 . .  3

    Each sequence draws a value for every key, all uniformly. An item is a noise token with probability
    `noise`, else a pair; noise tokens and keys are drawn uniformly. The end may cut a pair,
    and a short sequence may ask nothing.

    Options
        num_keys, num_values   sizes of the vocabularies of keys and values
        num_noise     different noise tokens
        noise         the share of items that are noise; 0: plain recall in context
        train_lengths, eval_lengths   lengths, drawn uniformly from (low, high)

    Chance is 1/num_values. The last value seen is better, without a key: 0.43 at length 16, 0.25 at 128.
    Source: Poli et al. 2024, "MAD" (arXiv 2403.17844), noisy in-context recall.
    """

    num_keys: int = option(8, "distinct keys in the vocabulary")
    num_values: int = option(8, "distinct values in the vocabulary")
    num_noise: int = option(16, "distinct noise tokens")
    noise: float = option(0.2, "share of items that are a noise token")

    headline = "accuracy"
    shortest = 3
    language = "recall"
    # With fixed vocabularies it is an automaton of one register per key, each overwritten at once.
    theory = theory.STAR_FREE

    def __post_init__(self):
        check_integer("task.num_keys", self.num_keys, 1)
        check_integer("task.num_values", self.num_values, 2)
        check_integer("task.num_noise", self.num_noise, 1)
        check_number("task.noise", self.noise, 0, 0.99)
        self.train_cases()
        self.cases()

    @property
    def vocab_size(self) -> int:
        return 1 + self.num_keys + self.num_values + self.num_noise

    @property
    def num_classes(self) -> int:
        return self.num_values

    @property
    def class_tokens(self) -> range:
        return range(1 + self.num_keys, 1 + self.num_keys + self.num_values)

    @property
    def token_names(self) -> tuple[str, ...]:
        numbers = lambda sign, count: (f"{sign}{i + 1}" for i in range(count))
        return ("_", *letters(self.num_keys), *numbers("", self.num_values), *numbers("~", self.num_noise))

    def chance(self, case: Case) -> float:
        return 1 / self.num_values

    def supervised(self, case: Case) -> int:
        return (bounds(case["length"])[1] + 1) // 2 - 1

    def sample(self, key: jax.Array, case: Case) -> Batch:
        low, high = bounds(case["length"])
        keys = jax.random.split(key, 5)
        below = lambda key, size, shape: jax.random.randint(key, shape, 0, size, dtype=jnp.int32)
        values = below(keys[1], self.num_values, (self.num_keys,))
        noisy = jax.random.uniform(keys[2], (high,), jnp.float32) < jnp.float32(self.noise)
        code = jnp.where(noisy, -1, below(keys[3], self.num_keys, (high,)))
        noise = below(keys[4], self.num_noise, (high,))
        item, place = lay_out(jnp.where(noisy, 1, 2), high)

        value = values[code]
        first_value, first_noise = 1 + self.num_keys, 1 + self.num_keys + self.num_values
        token = jnp.where(noisy, first_noise + noise, 1 + code)[item]
        inside = jnp.arange(high) < draw(keys[0], low, high)
        asked = inside & (place == 0) & seen_before(code, self.num_keys)[item]
        inputs = jnp.where(place == 1, first_value + value[item], token)
        return supervise(jnp.where(inside, inputs, FILLER), value[item], asked)
