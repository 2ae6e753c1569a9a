"""Selective copy: the symbols among filler, in their order."""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from rnnbench.tasks import theory
from rnnbench.tasks.contract import Batch, Case, bounds, option
from rnnbench.tasks.draw import check_integer, choose, draw
from rnnbench.tasks.strings import Strings, answered


@dataclass(frozen=True, eq=False)
class SelectiveCopy(Strings):
    """y_i = the i-th of n symbols that stand at random places among filler _; | asks for the first.

        inputs   _ c _ _ a b _ | _ _
        targets  . . . . . . . c a b

    Symbols and places are drawn uniformly.

    Options
        num_symbols   different symbols
        num_marked    n, the same at every length
        answers       "hidden": inputs among the answers are filler; "shown": the answers so far
        train_lengths, eval_lengths   lengths of the whole, drawn uniformly from (low, high)

    Chance is 1/num_symbols.
    Source: Gu & Dao 2023 (arXiv 2312.00752), 16 symbols to remember at length 4096, answers hidden.
    """

    train_lengths: tuple[int, int] = option((40, 40), "shortest and longest training sequence, both included")
    num_symbols: int = option(14, "different symbols")
    num_marked: int = option(8, "symbols to copy, the same at every length")
    answers: str = option("hidden", "inputs among the answers: hidden (filler) | shown (the answers so far)")

    language = "copying"
    # With a fixed number of symbols, drawn from a fixed alphabet, the answers are those of an automaton.
    theory = theory.STAR_FREE

    def __post_init__(self):
        check_integer("task.num_marked", self.num_marked, 1)
        super().__post_init__()

    @staticmethod
    def bench(length: int) -> dict[str, Any]:
        """The settings that the bench times."""
        return {"task.num_marked": min(8, length // 2)}

    @property
    def shortest(self) -> int:
        return 2 * self.num_marked

    def supervised(self, case: Case) -> int:
        return self.num_marked

    def sample(self, key: jax.Array, case: Case) -> Batch:
        low, high = bounds(case["length"])
        length_key, place_key, symbol_key = jax.random.split(key, 3)
        context = draw(length_key, low, high) - self.num_marked
        symbols = jax.random.randint(symbol_key, (self.num_marked,), 0, self.num_symbols, dtype=jnp.int32)
        places = jnp.sort(choose(place_key, self.num_marked, context))
        prompt = jnp.zeros(high, jnp.int32).at[places].set(2 + symbols).at[context].set(1)
        return answered(prompt, context + 1, symbols, self.num_marked, self.answers == "shown", 2)
