"""Group words: the running product of group elements."""

from dataclasses import dataclass

import jax
import numpy as np

from rnnbench.errors import ConfigError
from rnnbench.tasks import groups, theory
from rnnbench.tasks.contract import Batch, Case, option
from rnnbench.tasks.draw import check_choice
from rnnbench.tasks.walk import Walk


@dataclass(frozen=True, eq=False)
class GroupWord(Walk):
    """target_t = x_1 x_2 … x_t, the product in a group, for tokens x_t drawn uniformly.

    Permutations are written as cycles, e is the identity, and a product is read from left to right: first
    (12), then (23).

        inputs   (12) (23) e     (123) (13)
        targets  (12) (132) (132) e    (13)

    Options
        group        Z2, Z3, …: addition modulo n; D3, D4, …: rotations r and reflections s of a polygon;
                     S3 to S5: all permutations; A4, A5: the even ones
        tokens       "all" elements; "generators": two or more that generate the group, and e; "swaps": e and
                     the permutations that exchange two points; "threes": those that move at most three
        supervision  "every": a target at each position; "last": only at the last one
        train_lengths, eval_lengths   lengths, drawn uniformly from (low, high)

    "every" is scored over the last quarter of positions. Chance is the best guess from the position: 1/order
    for all elements, a little more where few steps with few tokens reach some elements more often.
    Source: Merrill et al. 2024 (arXiv 2404.08819), all elements of A5 and Z60; Grazzi et al. 2024 (arXiv
    2411.12537), S5 with swaps and threes; Siems et al. 2025 (arXiv 2502.10297), S3, S4, A5, S5.
    """

    group: str = option("S3", "Zn, Dn, S3, S4, S5, A4 or A5")
    tokens: str = option("all", "all | generators | swaps | threes")

    def __post_init__(self):
        check_choice("task.tokens", self.tokens, ("all", "generators", "swaps", "threes"))
        group = groups.find(self.group)
        if self.tokens in ("swaps", "threes") and self.group[0] not in "SA":
            raise ConfigError(
                "task.tokens", f"{self.tokens} are for S3, S4, S5, A4 and A5; use all or generators"
            )
        spanned = groups.closure(frozenset(group.elements[i] for i in self.letters))
        if len(spanned) < len(group.elements):
            raise ConfigError("task.tokens", f"{self.tokens} do not generate {self.group}")
        super().__post_init__()

    @property
    def letters(self) -> tuple[int, ...]:
        """The elements that are tokens, by their place in the group."""
        group = groups.find(self.group)
        if self.tokens == "all":
            return tuple(range(len(group.elements)))
        if self.tokens == "generators":
            return (0, *group.generators)
        most = {"swaps": 2, "threes": 3}[self.tokens]
        return tuple(i for i, element in enumerate(group.elements) if groups.moved(element) <= most)

    @property
    def table(self) -> np.ndarray:
        return groups.find(self.group).table[list(self.letters)]

    @property
    def token_names(self) -> tuple[str, ...]:
        return tuple(groups.find(self.group).names[i] for i in self.letters)

    @property
    def class_names(self) -> tuple[str, ...]:
        return groups.find(self.group).names

    @property
    def class_tokens(self) -> range | None:
        """Every element, where every element is a token."""
        return range(self.num_classes) if self.tokens == "all" else None

    @property
    def language(self) -> str:
        return "regular, solvable" if self._solvable else "regular, not solvable"

    @property
    def theory(self) -> tuple[theory.Theorem, ...]:
        return theory.of_group(len(groups.find(self.group).elements), self._solvable)

    @property
    def _solvable(self) -> bool:
        return groups.solvable(frozenset(groups.find(self.group).elements))

    def sample(self, key: jax.Array, case: Case) -> Batch:
        return self.walk(key, case)
