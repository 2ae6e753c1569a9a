"""Modular arithmetic: the value of an expression modulo m."""

from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp

from rnnbench.tasks import theory
from rnnbench.tasks.contract import Batch, Case, bounds, option
from rnnbench.tasks.draw import check_choice, check_flag, check_integer, draw, supervise
from rnnbench.tasks.lengths import Lengths

PLUS, MINUS, TIMES = 0, 1, 2


@dataclass(frozen=True, eq=False)
class ModularArithmetic(Lengths):
    """The value modulo m of an expression of digits 0 … m - 1 and + - *; * binds tighter.

    supervision "every": after each operand, the value since the innermost bracket that is still open, or
    since the start; "last": only the value of the whole.

        inputs   2 + 3 * 4 - 1
        targets  2 . 0 . 4 . 3

    With brackets:

        inputs   3 - ( 1 + 2 * 4 ) * 2
        targets  3 . . 1 . 3 . 4 4 . 0

    Digits are drawn uniformly, and so are the operators, but a bracket and the whole start with a digit and
    then + or -: so all values are equally likely wherever a target stands (the papers allow * there).
    With brackets an operand is a bracket with probability 1/3, and a bracket ends after an operand with
    probability 1/3, where depth and length leave a choice.

    Options
        modulus      m
        operators    "+-*", or "+-" without multiplication
        brackets     whether there are any
        depth        the deepest nesting of brackets
        supervision  as above
        train_lengths, eval_lengths   lengths, drawn uniformly from (low, high) among the odd numbers; an even
                     length leaves its last position empty

    "every" is scored over the last quarter of targets. Chance is 1/m.
    Source: Delétang et al. 2023 (arXiv 2207.02098) and Grazzi et al. 2024 (arXiv 2411.12537), with m = 5,
    supervision "last". Their brackets enclose every operation and may stand anywhere; here * binds tighter.
    """

    modulus: int = option(5, "m; the digits are 0 … m - 1")
    operators: str = option("+-*", "+-* | +-")
    brackets: bool = option(False, "expressions with brackets")
    depth: int = option(3, "deepest nesting of brackets", only="brackets=True")
    supervision: str = option("every", "targets after every operand, or only at the last one")

    def __post_init__(self):
        check_integer("task.modulus", self.modulus, 2)
        check_choice("task.operators", self.operators, ("+-*", "+-"))
        check_flag("task.brackets", self.brackets)
        check_integer("task.depth", self.depth, 1)
        check_choice("task.supervision", self.supervision, ("every", "last"))
        self.train_cases()
        self.cases()

    @property
    def vocab_size(self) -> int:
        return self.modulus + len(self.operators) + 2 * self.brackets

    @property
    def num_classes(self) -> int:
        return self.modulus

    @property
    def class_tokens(self) -> range:
        return range(self.modulus)

    @property
    def token_names(self) -> tuple[str, ...]:
        return (*map(str, range(self.modulus)), *self.operators, *"()"[: 2 * self.brackets])

    @property
    def headline(self) -> str:
        return "last_quarter_accuracy" if self.supervision == "every" else "last_accuracy"

    @property
    def language(self) -> str:
        return "context free" if self.brackets else "regular, solvable"

    @property
    def theory(self) -> tuple[theory.Theorem, ...]:
        """Adding 1 again and again is counting modulo m; a bounded depth of brackets leaves it regular.

        Two tokens that take turns, a digit and an operator, multiply their transitions: only of diagonal ones
        does that keep the spectrum.
        """
        real = (theory.REAL,) if self.modulus & (self.modulus - 1) else ()
        return (theory.NOT_STAR_FREE, *real, *theory.REGULAR)

    def chance(self, case: Case) -> float:
        return 1 / self.modulus

    def supervised(self, case: Case) -> int:
        return (bounds(case["length"])[1] + 1) // 2 if self.supervision == "every" else 1

    def sample(self, key: jax.Array, case: Case) -> Batch:
        low, high = bounds(case["length"])
        keys = jax.random.split(key, 4)
        length = 2 * draw(keys[0], (low + 1) // 2, (high + 1) // 2) - 1
        left = length - jnp.arange(high, dtype=jnp.int32)
        digits = jax.random.randint(keys[1], (high,), 0, self.modulus, dtype=jnp.int32)
        operators = jax.random.randint(keys[2], (high,), 0, 6, dtype=jnp.int32)
        branches = jax.random.uniform(keys[3], (high,), jnp.float32) < jnp.float32(1 / 3)
        levels = jnp.zeros(1 + self.depth * self.brackets, jnp.int32)
        start = Reader(levels, levels, levels, levels, jnp.int32(0), jnp.bool_(True))
        choices = left, digits, operators, branches
        tokens, values, ends = jax.lax.scan(self._step, start, choices)[1]
        mask = ends & (left > 0) if self.supervision == "every" else left == 1
        return supervise(jnp.where(left > 0, tokens, 0), values, mask)

    def _step(self, now: "Reader", choice):
        """Chooses the next token among those that can still be completed, and reads it."""
        left, digit, operator, branch = choice
        level = jnp.arange(now.total.size, dtype=jnp.int32)
        of_level = lambda values: jnp.sum(jnp.where(level == now.level, values, 0), dtype=jnp.int32)
        operands, value = of_level(now.operands), of_level(now.total + now.term)
        opens = now.wants & branch & (operands > 0) & (now.level + 1 < level.size) & (left >= now.level + 3)
        closes = ~now.wants & (now.level > 0) & (branch | (left < now.level + 2))
        ends = (now.wants & ~opens) | closes
        writes = ~now.wants & ~closes
        operator = jnp.where(operands == 1, operator % 2, operator % len(self.operators))

        # The operand that ends here, of its own level or of the one that a bracket returns to.
        here = (level == now.level - closes) & ends
        operand = jnp.where(closes, value, digit)
        term = jnp.where(
            now.operator == TIMES, now.term * operand, operand * jnp.where(now.operator == MINUS, -1, 1)
        )
        total = now.total + jnp.where(now.operator == TIMES, 0, now.term)
        fresh = (level == now.level + 1) & opens
        after = Reader(
            total=jnp.where(fresh, 0, jnp.where(here, total % self.modulus, now.total)),
            term=jnp.where(fresh, 0, jnp.where(here, term % self.modulus, now.term)),
            operator=jnp.where(fresh, PLUS, jnp.where((level == now.level) & writes, operator, now.operator)),
            operands=jnp.where(fresh, 0, now.operands + here),
            level=now.level + opens - closes,
            wants=opens | writes,
        )
        bracket = self.modulus + len(self.operators) + closes
        token = jnp.where(opens | closes, bracket, jnp.where(writes, self.modulus + operator, digit))
        return after, (token, jnp.sum(jnp.where(here, after.total + after.term, 0)) % self.modulus, ends)


class Reader(NamedTuple):
    """An expression read so far, per level of brackets: total + term, where * still acts on the term.

    total, term, operator, operands: [levels], the last operator and the number of operands since the level
    began. level: the number of open brackets. wants: whether an operand comes next, not an operator.
    """

    total: jax.Array
    term: jax.Array
    operator: jax.Array
    operands: jax.Array
    level: jax.Array
    wants: jax.Array
