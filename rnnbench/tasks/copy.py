"""Copy: repeat a string after a delimiter."""

from dataclasses import dataclass

import jax

from rnnbench.tasks import theory
from rnnbench.tasks.contract import Batch, Case, option
from rnnbench.tasks.strings import Strings


@dataclass(frozen=True, eq=False)
class Copy(Strings):
    """y_i = x_i for a string x_1 … x_n of symbols drawn uniformly.

        inputs   c a d a | c a d
        targets  . . . . c a d a

    With hidden answers a model has to keep its place in the string by itself:

        inputs   c a d a | _ _ _
        targets  . . . . c a d a

    Options
        num_symbols   symbols of the string
        answers       "shown": inputs among the answers are the answers so far, as in a language model;
                      "hidden": filler
        train_lengths, eval_lengths   lengths of the whole, 2n, drawn uniformly from (low, high)

    Chance is 1/num_symbols.
    Source: Jelassi et al. 2024 (arXiv 2402.01032), 26 letters, answers shown.
    """

    num_symbols: int = option(26, "different symbols")

    language = "copying"
    theory = theory.COPYING

    def sample(self, key: jax.Array, case: Case) -> Batch:
        return self.string(key, case, lambda symbols, n: symbols)
