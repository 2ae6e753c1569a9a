"""Reverse: a string from its end to its start."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp

from rnnbench.tasks import theory
from rnnbench.tasks.contract import Batch, Case, option
from rnnbench.tasks.strings import Strings


@dataclass(frozen=True, eq=False)
class Reverse(Strings):
    """y_i = x_{n+1-i} for a string x_1 … x_n of symbols drawn uniformly.

        inputs   a a b a b | b a b a
        targets  . . . . . b a b a a

    Options
        num_symbols   symbols of the string
        answers       "shown": inputs among the answers are the answers so far; "hidden": filler
        train_lengths, eval_lengths   lengths of the whole, 2n, drawn uniformly from (low, high)

    Chance is 1/num_symbols.
    Source: Delétang et al. 2023 (arXiv 2207.02098), two symbols, answers hidden.
    """

    num_symbols: int = option(2, "different symbols")

    language = "context free"
    theory = theory.COPYING

    def sample(self, key: jax.Array, case: Case) -> Batch:
        backwards = lambda symbols, n: symbols[(n - 1 - jnp.arange(symbols.size)) % symbols.size]
        return self.string(key, case, backwards)
