"""Associative recall as the PyTorch original asked it: a plug-in, for the autopsy only."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp

from rnnbench.config import ConfigError
from rnnbench.tasks.contract import Batch, Case, bounds, unique
from rnnbench.tasks.draw import check_integer, entries, span, supervise
from rnnbench.tasks.mqar import MQAR

FAULTS = ("one_query", "shared_ids", "stale", "off_by_one")
MIXER_FAULTS = ("diagonal", "number")  # ignored, so that one list describes a whole setting


@dataclass(frozen=True, eq=False)
class FaultyRecall:
    """MQAR's records `key value |` and then every key once, with the faults named in `faults`.

        inputs   c 3 | d 1 | d c
        targets  . . . . . . 1 3

    one_query   one key is asked in place of all:            c 3 | d 1 | d
    shared_ids  keys and values are the same tokens: the n-th value has the id of the n-th key
    stale       another sequence with its own bindings comes before and is never asked. A recurrent state
                that is carried unnoticed from one batch to the next holds just this
    off_by_one  the last key and the greatest number of pairs never come in training

    Options
        num_keys, num_values  how many there are to draw from; a sequence's keys differ
        pairs                 (low, high): a training sequence's number of records, drawn uniformly
        eval_pairs            further numbers of records to evaluate at, beside `high`
    Chance is 1/num_values. The number of records also fixes the length.
    """

    num_keys: int = 3
    num_values: int = 6
    pairs: tuple[int, int] = (2, 3)
    faults: str = ""
    eval_pairs: tuple = ()

    headline = "accuracy"

    def __post_init__(self):
        check_integer("task.num_keys", self.num_keys, 2)
        for fault in self.faults.split():
            if fault not in FAULTS + MIXER_FAULTS:
                known = " ".join(FAULTS + MIXER_FAULTS)
                raise ConfigError("task.faults", f"unknown {fault!r}; choose from: {known}")
        span("task.pairs", self.pairs)
        if self.has("off_by_one") and self.pairs[0] >= min(self.pairs[1], self.num_keys):
            raise ConfigError("task.pairs", f"off_by_one leaves no number of pairs of {self.pairs}")
        self.cases()

    def has(self, fault: str) -> bool:
        return fault in self.faults.split()

    @property
    def vocab_size(self) -> int:
        if self.has("shared_ids"):
            return 2 + max(self.num_keys, self.num_values)
        return 2 + self.num_keys + self.num_values

    @property
    def num_classes(self) -> int:
        return self.num_values

    def chance(self, case: Case) -> float:
        return 1 / self.num_values

    def train_cases(self) -> tuple[tuple[Case, float], ...]:
        low, high = self.pairs
        if self.has("off_by_one"):
            return ((self._case((low, high - 1)) | {"keys": self.num_keys - 1}, 1.0),)
        return ((self._case(self.pairs), 1.0),)

    def selection_case(self) -> Case:
        return self._case(self.pairs[1])

    def cases(self) -> tuple[Case, ...]:
        return unique([self.selection_case(), *map(self._case, entries("eval.pairs", self.eval_pairs))])

    def _case(self, pairs) -> Case:
        pairs = span("eval.pairs", pairs)
        return {"length": (1 + self.has("stale")) * self._length(pairs), "pairs": pairs}

    def _length(self, pairs) -> int:
        """Tokens of one sequence of at most so many records."""
        most = bounds(pairs)[1]
        return 3 * most + (1 if self.has("one_query") else most)

    def supervised(self, case: Case) -> int:
        return 1 if self.has("one_query") else bounds(case["pairs"])[1]

    def sample(self, key: jax.Array, case: Case) -> Batch:
        keys, length = case.get("keys", self.num_keys), self._length(case["pairs"])
        queries = "one" if self.has("one_query") else "all"
        recall = MQAR(
            num_keys=keys, num_values=self.num_values, separator=True, queries=queries,
            train_pairs=bounds(case["pairs"]), train_lengths=(length, length),
        )  # fmt: skip
        own, before = jax.random.split(key)
        parts = [recall.sample(before, {"length": length, "pairs": case["pairs"]})] * self.has("stale")
        parts.append(recall.sample(own, {"length": length, "pairs": case["pairs"]}))
        inputs = jnp.concatenate([self._renumber(part.inputs, keys) for part in parts])
        asked = jnp.arange(inputs.size) >= inputs.size - length
        mask = jnp.concatenate([part.mask for part in parts]) & asked
        return supervise(inputs, jnp.concatenate([part.targets for part in parts]), mask)

    def _renumber(self, tokens: jax.Array, keys: int) -> jax.Array:
        """Values get the ids behind all num_keys keys, or those from the first key on (shared_ids)."""
        first_key = 2
        shift = -keys if self.has("shared_ids") else self.num_keys - keys
        return jnp.where(tokens >= first_key + keys, tokens + shift, tokens)
