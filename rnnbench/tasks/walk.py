"""What tasks share whose target is the state of an automaton that reads letters drawn uniformly."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from rnnbench.tasks.contract import Batch, Case, bounds, option
from rnnbench.tasks.draw import check_choice, draw, supervise
from rnnbench.tasks.lengths import Lengths, chance_by_position


@dataclass(frozen=True, eq=False)
class Walk(Lengths):
    """s_t = table[x_t, s_{t-1}], s_0 = 0; the target at t is s_t."""

    supervision: str = option("every", "targets at every position, or only at the last")

    def __post_init__(self):
        check_choice("task.supervision", self.supervision, ("every", "last"))
        self.train_cases()
        self.cases()

    @property
    def table(self) -> np.ndarray:
        """[letters, states] the state that each letter leads to."""
        raise NotImplementedError

    @property
    def vocab_size(self) -> int:
        return self.table.shape[0]

    @property
    def num_classes(self) -> int:
        return self.table.shape[1]

    @property
    def headline(self) -> str:
        return "last_quarter_accuracy" if self.supervision == "every" else "last_accuracy"

    def chance(self, case: Case) -> float:
        return chance_by_position(most_likely(self.table, bounds(case["length"])[1]), case, self.supervision)

    def supervised(self, case: Case) -> int:
        return bounds(case["length"])[1] if self.supervision == "every" else 1

    def walk(self, key: jax.Array, case: Case) -> Batch:
        low, high = bounds(case["length"])
        length_key, letter_key = jax.random.split(key)
        length, position = draw(length_key, low, high), jnp.arange(high)
        letters = jax.random.randint(letter_key, (high,), 0, self.vocab_size, dtype=jnp.int32)
        mask = position < length if self.supervision == "every" else position == length - 1
        return supervise(jnp.where(position < length, letters, 0), states(self.table, letters), mask)


def states(table: np.ndarray, letters: jax.Array) -> jax.Array:
    """[T]: the state after each letter."""
    flat, width = jnp.asarray(table.reshape(-1), jnp.int32), table.shape[1]

    def step(state, first):
        state = flat[first + state]
        return state, state

    return jax.lax.scan(step, jnp.int32(0), letters * width)[1]


def most_likely(table: np.ndarray, length: int) -> np.ndarray:
    """[length]: the probability of the likeliest state after each letter."""
    letters, size = table.shape
    step = np.zeros((size, size))
    np.add.at(step, (np.tile(np.arange(size), letters), table.reshape(-1)), 1 / letters)
    odds, best = np.eye(size)[0], np.zeros(length)
    for t in range(length):
        odds = odds @ step
        best[t] = odds.max()
    return best
