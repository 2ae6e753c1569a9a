"""Bit parity: is the number of ones so far odd?"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp

from rnnbench.tasks import theory
from rnnbench.tasks.contract import Batch, Case, bounds, option, unique
from rnnbench.tasks.draw import check_choice, coins, draw, entries, read_cases, span, supervise


@dataclass(frozen=True, eq=False)
class BitParity:
    """target_t = (x_1 + … + x_t) mod 2, for fair coin flips x_t.

        inputs   0 0 1 0 1 0 0
        targets  0 0 1 1 0 0 0

    Options
        supervision    "every": a target at each position; "last": only at the last one
        train_lengths  (low, high): a training sequence's length is drawn uniformly from low…high
        eval_lengths   integers, or (low, high) for one mixture of lengths
        eval_cases     further cases, {"length": 64} or {"length": [40, 256]}

    Chance is .5. "every" is scored over the last quarter of positions, where the count is hard to fake.
    Source: Delétang et al. 2023 (arXiv 2207.02098); "last" as in Grazzi et al. 2024 (arXiv 2411.12537).
    """

    supervision: str = option("every", "targets at every position, or only at the last")
    train_lengths: tuple[int, int] = option((3, 32), "shortest and longest training sequence, both included")
    eval_lengths: tuple = option((64, 128, 256), "lengths of the evaluation cases; (low, high) for a mixture")
    eval_cases: tuple = option((), "further evaluation cases, such as ({'length': 512},)")

    vocab_size = 2
    num_classes = 2
    language = "regular, solvable"
    theory = theory.PARITY

    def __post_init__(self):
        check_choice("task.supervision", self.supervision, ("every", "last"))
        self.train_cases()
        self.cases()

    @property
    def headline(self) -> str:
        return "last_quarter_accuracy" if self.supervision == "every" else "last_accuracy"

    def chance(self, case: Case) -> float:
        return 0.5

    def train_cases(self) -> tuple[tuple[Case, float], ...]:
        return (({"length": span("task.train_lengths", self.train_lengths)}, 1.0),)

    def selection_case(self) -> Case:
        return {"length": bounds(self.train_lengths)[1]}

    def cases(self) -> tuple[Case, ...]:
        lengths = [span("eval.lengths", length) for length in entries("eval.lengths", self.eval_lengths)]
        lengths += [span("eval.cases", case["length"]) for case in read_cases(self.eval_cases, ("length",))]
        return unique([self.selection_case(), *({"length": length} for length in lengths)])

    def supervised(self, case: Case) -> int:
        return bounds(case["length"])[1] if self.supervision == "every" else 1

    def sample(self, key: jax.Array, case: Case) -> Batch:
        low, high = bounds(case["length"])
        length_key, bits_key = jax.random.split(key)
        length = draw(length_key, low, high)
        bits = coins(bits_key, high)
        return parity(bits, length, self.supervision)


def parity(bits: jax.Array, length: jax.Array, supervision: str) -> Batch:
    """The `Batch` of bits [T], of which the first `length` are used."""
    position = jnp.arange(bits.shape[0])
    inside = position < length
    bits = jnp.where(inside, bits, 0)
    mask = inside if supervision == "every" else position == length - 1
    return supervise(bits, jnp.cumsum(bits) % 2, mask)
