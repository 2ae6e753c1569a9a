"""Sort: the symbols of a string in their order."""

from dataclasses import dataclass
from functools import lru_cache

import jax
import jax.numpy as jnp
import numpy as np

from rnnbench.tasks import theory
from rnnbench.tasks.contract import Batch, Case, bounds, option
from rnnbench.tasks.strings import Strings


@dataclass(frozen=True, eq=False)
class Sort(Strings):
    """y_i = the i-th smallest of x_1 … x_n, symbols drawn uniformly.

        inputs   c a b e a | a a b c
        targets  . . . . . a a b c e

    Options
        num_symbols   symbols of the string
        answers       "shown": inputs among the answers are the answers so far; "hidden": filler
        train_lengths, eval_lengths   lengths of the whole, 2n, drawn uniformly from (low, high)

    Chance is the best guess from the position: the likeliest i-th smallest of n, which is well above
    1/num_symbols, as the first are small and the last are large. Shown answers allow a better guess without
    memory, the symbol just answered once more: 0.59, 0.80, 0.94 and 0.97 at lengths 16, 40, 128 and 320
    (chance 0.56, 0.69, 0.82, 0.89). Hardly a sequence is right then.
    Source: Delétang et al. 2023 (arXiv 2207.02098), bucket sort of five symbols, answers hidden.
    """

    num_symbols: int = option(5, "different symbols")

    language = "context sensitive"
    theory = (theory.WINDOW,)

    def chance(self, case: Case) -> float:
        low, high = bounds(case["length"])
        sizes = range(low // 2, high // 2 + 1)
        odds = np.zeros((2 * sizes[-1], self.num_symbols))
        for n in sizes:
            odds[n : 2 * n] += order_statistics(n, self.num_symbols)
        return float(odds.max(axis=1).sum() / odds.sum())

    def sample(self, key: jax.Array, case: Case) -> Batch:
        ordered = lambda symbols, n: jnp.sort(
            jnp.where(jnp.arange(symbols.size) < n, symbols, self.num_symbols)
        )
        return self.string(key, case, ordered)


@lru_cache(maxsize=4096)
def order_statistics(n: int, symbols: int) -> np.ndarray:
    """[n, symbols]: the probability of each symbol as the i-th smallest of n uniform draws.

    The i-th smallest is at most v if i or more of n draws are, each with probability (v + 1) / symbols.
    """
    at_most = np.ones((n, symbols))
    for v in range(symbols - 1):
        share, counts = (v + 1) / symbols, np.zeros(n + 1)
        counts[0] = 1.0
        for _ in range(n):
            counts = counts * (1 - share) + np.append(0.0, counts[:-1]) * share
        at_most[:, v] = np.cumsum(counts[::-1])[::-1][1:]
    return np.diff(at_most, axis=1, prepend=0.0)
