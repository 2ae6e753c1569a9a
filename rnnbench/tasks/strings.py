"""What tasks share that ask for a string, computed from a string that came before it."""

from collections.abc import Callable
from dataclasses import dataclass

import jax
import jax.numpy as jnp

from rnnbench.tasks.contract import Batch, Case, bounds, option
from rnnbench.tasks.draw import check_choice, check_integer, draw, supervise
from rnnbench.tasks.lengths import Lengths

FILLER = 0


@dataclass(frozen=True, eq=False)
class Strings(Lengths):
    """n symbols drawn uniformly, a delimiter |, then n answers, which start at |.

    Tokens: filler _, |, the symbols. A sequence has 2n tokens; an odd length leaves its last position empty.
    """

    num_symbols: int = option(8, "different symbols")
    answers: str = option("shown", "inputs among the answers: shown (the answers so far) | hidden (filler)")

    headline = "accuracy"
    shortest = 2

    def __post_init__(self):
        check_integer("task.num_symbols", self.num_symbols, 2)
        check_choice("task.answers", self.answers, ("shown", "hidden"))
        self.train_cases()
        self.cases()

    @property
    def vocab_size(self) -> int:
        return 2 + self.num_symbols

    @property
    def num_classes(self) -> int:
        return self.num_symbols

    @property
    def class_tokens(self) -> range:
        return range(2, self.vocab_size)

    @property
    def token_names(self) -> tuple[str, ...]:
        return ("_", "|", *letters(self.num_symbols))

    def chance(self, case: Case) -> float:
        return 1 / self.num_symbols

    def supervised(self, case: Case) -> int:
        return bounds(case["length"])[1] // 2

    def string(
        self, key: jax.Array, case: Case, answer: Callable[[jax.Array, jax.Array], jax.Array]
    ) -> Batch:
        """A sequence; `answer` maps symbols [N], of which the first n are used, and n to answers [N]."""
        low, high = bounds(case["length"])
        length_key, symbol_key = jax.random.split(key)
        n = draw(length_key, low // 2, high // 2)
        symbols = jax.random.randint(symbol_key, (high // 2,), 0, self.num_symbols, dtype=jnp.int32)
        place = jnp.arange(high, dtype=jnp.int32)
        prompt = jnp.where(place < n, 2 + jnp.resize(symbols, high), 1)
        return answered(prompt, n + 1, answer(symbols, n), n, self.answers == "shown", 2)


def answered(
    prompt: jax.Array, size: jax.Array, answers: jax.Array, count: jax.Array, shown: bool, first: int
) -> Batch:
    """The first `size` tokens of prompt [T], then answers; the last token of the prompt asks for the first.

    answers: [N] classes, of which `count` are asked. shown: whether an answer is the input after it, as the
    token `first` + class, or filler.
    """
    place = jnp.arange(prompt.shape[0], dtype=jnp.int32)
    rank = place - (size - 1)
    asked = (rank >= 0) & (rank < count)
    answer_at = lambda rank: answers[jnp.clip(rank, 0, answers.shape[0] - 1)]
    before = first + answer_at(rank - 1) if shown else FILLER
    inputs = jnp.where(place < size, prompt, jnp.where(asked, before, FILLER))
    return supervise(inputs, answer_at(rank), asked)


def letters(count: int) -> tuple[str, ...]:
    """Names of symbols: a … z, then a1 … z1 and so on."""
    return tuple(chr(97 + i % 26) + (str(i // 26) if i >= 26 else "") for i in range(count))
