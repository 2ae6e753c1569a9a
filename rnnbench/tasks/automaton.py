"""Automaton: the state of a random finite automaton."""

from dataclasses import dataclass
from functools import lru_cache

import jax
import numpy as np

from rnnbench.tasks import groups, theory
from rnnbench.tasks.contract import Batch, Case, option
from rnnbench.tasks.draw import check_choice, check_integer
from rnnbench.tasks.walk import Walk

KINDS = ("permutations", "resets", "mixed")


@dataclass(frozen=True, eq=False)
class Automaton(Walk):
    """target_t = the state after the letters x_1 … x_t, drawn uniformly; the automaton starts in state 0.

    By default a leads from the states 0 1 2 3 4 to 1 3 0 4 2, b to 1 3 4 0 2, c to 3 1 2 4 0, d to 4 2 3 1 0:

        inputs   a b c a c d b
        targets  1 3 4 2 2 3 0

    Options
        num_states, num_letters   sizes of the automaton
        letters      "permutations" of the states, the first of them one cycle; "resets": the first letter
                     keeps the state, any other leads from every state to one; "mixed": permutations and such
                     resets in turn, so that half the letters forget what was before them
        automaton    the seed of the automaton: one for all members, training and evaluation
        supervision  "every": a target at each position; "last": only at the last one
        train_lengths, eval_lengths   lengths, drawn uniformly from (low, high)

    "every" is scored over the last quarter of positions. Chance is the best guess from the position: the
    share of the likeliest state, which is not 1/num_states if letters reset.
    Source: the semiautomata of Liu et al. 2023 (arXiv 2210.10749); there the automata are given, here drawn.
    """

    num_states: int = option(5, "states of the automaton")
    num_letters: int = option(4, "letters of the alphabet")
    letters: str = option("permutations", "permutations | resets | mixed")
    automaton: int = option(0, "seed of the automaton, the same for all members")

    def __post_init__(self):
        check_integer("task.num_states", self.num_states, 2)
        check_integer("task.num_letters", self.num_letters, 2)
        check_choice("task.letters", self.letters, KINDS)
        check_integer("task.automaton", self.automaton, 0, below=2**32)
        super().__post_init__()

    @property
    def table(self) -> np.ndarray:
        return random_automaton(self.num_states, self.num_letters, self.letters, self.automaton)

    @property
    def token_names(self) -> tuple[str, ...]:
        alphabet = "abcdefghijklmnopqrstuvwxyz"
        return tuple(alphabet[i] if i < 26 else f"x{i}" for i in range(self.num_letters))

    @property
    def language(self) -> str:
        if self.letters == "resets":
            return "star free"
        if self.num_states > MOST_STATES:
            return "regular"
        return "regular, solvable" if groups.solvable(self._group()) else "regular, not solvable"

    @property
    def theory(self) -> tuple[theory.Theorem, ...]:
        if self.letters == "resets":
            return theory.STAR_FREE
        if self.num_states > MOST_STATES:
            return (theory.SETTLES, *theory.REGULAR)  # on the first letter, a cycle
        group = self._group()
        found = theory.of_group(len(group), groups.solvable(group))
        if self.letters == "permutations":
            return found
        # What cannot track the group cannot track the automaton either; the converse does not hold.
        return tuple(each for each in found if not each.solves or each in theory.REGULAR)

    def _group(self) -> frozenset[groups.Permutation]:
        """What the letters that permute the states generate."""
        rows = map(tuple, self.table.tolist())
        return groups.closure(frozenset(row for row in rows if len(set(row)) == self.num_states))

    def sample(self, key: jax.Array, case: Case) -> Batch:
        return self.walk(key, case)


MOST_STATES = 5  # with more, listing the permutations that the letters generate takes too long


@lru_cache(maxsize=64)
def random_automaton(states: int, letters: int, kind: str, seed: int) -> np.ndarray:
    """[letters, states]: the state that each letter leads to."""
    random = np.random.RandomState(seed)  # its streams never change
    cycle = random.permutation(states)
    rows = [cycle[(np.argsort(cycle) + 1) % states]]
    targets = np.resize(random.permutation(states), letters)
    for i in range(1, letters):
        reset = kind == "resets" or (kind == "mixed" and i % 2 == 1)
        rows.append(np.full(states, targets[i]) if reset else random.permutation(states))
    if kind == "resets":
        rows[0] = np.arange(states)
    return np.stack(rows).astype(np.int32)
