"""A task as a user of the package writes it; tests name it by its dotted path."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp

from rnnbench.tasks.contract import Batch, unique


@dataclass(frozen=True)
class Copy:
    """target_t = x_{t - delay}, asked from position `delay` on, with fair draws from `symbols` tokens."""

    symbols: int = 4
    delay: int = 1
    train_lengths: tuple = (8, 8)
    eval_lengths: tuple = (16,)

    headline = "accuracy"

    @property
    def vocab_size(self):
        return self.symbols

    @property
    def num_classes(self):
        return self.symbols

    def train_cases(self):
        return ((self.selection_case(), 1.0),)

    def selection_case(self):
        return {"length": self.train_lengths[1]}

    def cases(self):
        return unique([self.selection_case(), *({"length": length} for length in self.eval_lengths)])

    def supervised(self, case):
        return case["length"] - self.delay

    def chance(self, case):
        return 1 / self.symbols

    def sample(self, key, case):
        inputs = jax.random.randint(key, (case["length"],), 0, self.symbols, dtype=jnp.int32)
        mask = jnp.arange(case["length"]) >= self.delay
        return Batch(inputs, jnp.where(mask, jnp.roll(inputs, self.delay), 0), mask)
