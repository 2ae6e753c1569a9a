"""Flip-flop: the bit that was last written, among ignored ones."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp

from rnnbench.errors import ConfigError
from rnnbench.tasks import theory
from rnnbench.tasks.contract import Batch, Case, bounds, option, unique
from rnnbench.tasks.draw import check_number, coins, draw, entries, supervise
from rnnbench.tasks.lengths import Lengths

WRITE, READ, IGNORE = 0, 1, 2


@dataclass(frozen=True, eq=False)
class FlipFlop(Lengths):
    """Instructions write, read and ignore (w, r, i), each followed by a bit; at r the target is the bit last
    written, which follows.

        inputs   w 1 i 0 i 1 r 1 w 0 r 0
        targets  . . . . . . 1 . . . 0 .

    The first instruction is w and the last one r; between them an instruction is i with probability `ignore`,
    otherwise w or r, equally likely. Bits after w and i are fair.

    Options
        ignore        share of ignored instructions in training
        eval_ignore   shares in evaluation; each length is evaluated with each of them
        train_lengths, eval_lengths   lengths, drawn uniformly from (low, high) among the even numbers; an odd
                      length leaves its last position empty

    The published test sets: 0.8 as in training, the sparse one 0.98, the dense one 0.1. Chance is .5.
    Source: Liu et al. 2023, flip-flop language modelling (arXiv 2306.00946).
    """

    train_lengths: tuple[int, int] = option((4, 40), "shortest and longest training sequence, both included")
    ignore: float = option(0.8, "share of ignored instructions in training")
    eval_ignore: tuple = option((0.8, 0.98, 0.1), "shares of ignored instructions in evaluation")

    vocab_size = 5
    num_classes = 2
    class_tokens = range(3, 5)
    token_names = ("w", "r", "i", "0", "1")
    headline = "accuracy"
    shortest = 4
    language = "star free"
    theory = theory.STAR_FREE

    def __post_init__(self):
        check_number("task.ignore", self.ignore, 0, 1)
        if not entries("eval.ignore", self.eval_ignore):
            raise ConfigError("eval.ignore", "must have at least one share")
        for share in self.eval_ignore:
            check_number("eval.ignore", share, 0, 1)
        self.train_cases()
        self.cases()

    def train_cases(self) -> tuple[tuple[Case, float], ...]:
        return ((self.case("task.train_lengths", self.train_lengths) | {"ignore": self.ignore}, 1.0),)

    def selection_case(self) -> Case:
        return super().selection_case() | {"ignore": self.ignore}

    def cases(self) -> tuple[Case, ...]:
        lengths = [case["length"] for case in super().cases()]
        pairs = [{"length": length, "ignore": share} for length in lengths for share in self.eval_ignore]
        return unique([self.selection_case(), *pairs])

    def chance(self, case: Case) -> float:
        return 0.5

    def supervised(self, case: Case) -> int:
        return bounds(case["length"])[1] // 2 - 1

    def sample(self, key: jax.Array, case: Case) -> Batch:
        low, high = bounds(case["length"])
        length_key, kind_key, bit_key = jax.random.split(key, 3)
        pairs, place = draw(length_key, low // 2, high // 2), jnp.arange(high // 2)
        chance, ignored = jax.random.uniform(kind_key, place.shape, jnp.float32), jnp.float32(case["ignore"])
        kind = jnp.where(chance < ignored, IGNORE, jnp.where(chance < (1 + ignored) / 2, WRITE, READ))
        kind = jnp.where(place == 0, WRITE, jnp.where(place == pairs - 1, READ, kind))
        bits = coins(bit_key, high // 2)
        last_written = jax.lax.cummax(jnp.where(kind == WRITE, place, 0))
        bits = jnp.where(kind == READ, bits[last_written], bits)

        tokens = jnp.where(place < pairs, jnp.stack([kind, 3 + bits]), 0).T.reshape(-1)
        asked = jnp.stack([(kind == READ) & (place < pairs), jnp.zeros_like(place, bool)]).T.reshape(-1)
        blank = (0, high % 2)
        targets = jnp.repeat(bits, 2)
        return supervise(jnp.pad(tokens, blank), jnp.pad(targets, blank), jnp.pad(asked, blank))
