"""MQAR, multi-query associative recall: which value was last bound to this key?"""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from rnnbench.errors import ConfigError
from rnnbench.tasks import theory
from rnnbench.tasks.contract import Batch, Case, bounds, option, unique
from rnnbench.tasks.draw import (
    check_choice,
    check_flag,
    check_integer,
    check_number,
    choose,
    draw,
    draw_gaps,
    entries,
    is_int,
    order_by,
    random_ranks,
    read_cases,
    span,
    supervise,
)


@dataclass(frozen=True, eq=False)
class MQAR:
    """Records of a key and a value, then queries; the target at a query is the value last bound to its key.

    queries "one": one of the keys; "all": every key once, in random order; then filler _ up to the length.

        inputs   c 3 d 1 c 2 d c _ _
        targets  . . . . . . 1 2 . .

    With a separator | after each record:

        inputs   c 3 | d 1 | b 2 | d _
        targets  . . . . . . . . . 1 .

    queries "spread": every key once, in slots of two tokens after the records. A query takes the x-th of the
    free slots with probability ∝ x^(query_power - 1), without replacement: most come early, some late.

        inputs   c 3 d 1 c _ _ _ d _ _ _
        targets  . . . . 3 . . . 1 . . .

    With filler "random" any token of the vocabulary stands where "token" has 0: a key or a value, too, which
    binds nothing.

    Tokens: 0 is filler, followed by the separator if any, the keys, the values. Target 0 is the first value.

    Options
        num_keys, num_values   sizes of the vocabularies of keys and values
        train_pairs    (low, high): the number of records is drawn uniformly from low…high
        train_lengths  (low, high), drawn likewise; one length, low = high, unless the queries are spread
        train_mix      instead of those two, several cases: (length, pairs) or (length, pairs, weight)
        unique_keys    True: the keys of a sequence differ; False: drawn independently, a key may be rebound
        queries, query_power, filler, separator   as above; no separator with spread queries
        eval_lengths, eval_pairs   together, entry by entry: integers or (low, high)
        eval_cases     further cases, {"length": 512, "pairs": 64}

    Chance is 1/num_values: values are drawn independently of each other and of the keys. Without a key, any
    value of the sequence is better, right in 1 of `pairs`; and where spread queries fill all slots, a slot is
    asked for some records more than for others, of 4 pairs for one in 0.39.
    Source: Arora et al. 2023, "Zoology" (arXiv 2312.04927), with spread queries and unique keys (there
    values do not repeat within a sequence either); "one" and "all" come from the course project that this
    benchmark grew from.
    """

    num_keys: int = option(64, "distinct keys in the vocabulary")
    num_values: int = option(64, "distinct values in the vocabulary")
    train_pairs: tuple[int, int] = option(
        (1, 8), "fewest and most key-value pairs in a training sequence", unless="train_mix"
    )
    train_lengths: tuple[int, int] = option(
        (64, 64), "shortest and longest training sequence, both included", unless="train_mix"
    )
    train_mix: tuple = option(
        (), "((length, pairs[, weight]), ...) drawn per step; replaces train_lengths and train_pairs"
    )
    unique_keys: bool = option(
        True, "every key is bound once; False: keys are re-used, the last binding wins"
    )
    queries: str = option("spread", "one | all (after the pairs) | spread (over the rest of the sequence)")
    query_power: float = option(
        0.01, "exponent a of the power law x^(a-1) of the gap before a spread query", only="queries=spread"
    )
    filler: str = option("token", "between queries: token (a token of its own) | random (any token)")
    separator: bool = option(False, "a separator token after every key-value pair")
    eval_lengths: tuple = option((), "lengths of the evaluation cases; (low, high) for a mixture")
    eval_pairs: tuple = option((), "pairs of the evaluation cases, one for each of eval.lengths")
    eval_cases: tuple = option((), "further evaluation cases, such as ({'length': 512, 'pairs': 64},)")

    headline = "accuracy"
    language = "recall"
    # With fixed vocabularies it is an automaton of one register per key. A state must have as many bits as
    # there are pairs (Arora et al. 2024, arXiv 2402.18668, theorem 3.1), which is a question of width.
    theory = theory.RECALL

    def __post_init__(self):
        check_integer("task.num_keys", self.num_keys, 1)
        check_integer("task.num_values", self.num_values, 2)
        check_flag("task.unique_keys", self.unique_keys)
        check_choice("task.queries", self.queries, ("one", "all", "spread"))
        check_number("task.query_power", self.query_power, 0, 10)
        check_choice("task.filler", self.filler, ("token", "random"))
        check_flag("task.separator", self.separator)
        if self.separator and self.queries == "spread":
            raise ConfigError("task.separator", "must be False with spread queries, in slots of two tokens")
        self.train_cases()
        self.cases()

    @staticmethod
    def bench(length: int) -> dict[str, Any]:
        """The settings that the bench times: keys out of 4095, as in the literature."""
        pairs = max(1, length // 16)
        sizes = {"task.num_keys": 4095, "task.num_values": 4096}
        return sizes | {"task.train_pairs": (pairs, pairs), "eval.pairs": (pairs,)}

    @property
    def vocab_size(self) -> int:
        return 1 + self.separator + self.num_keys + self.num_values

    @property
    def num_classes(self) -> int:
        return self.num_values

    @property
    def class_tokens(self) -> range:
        """The tokens of the values."""
        return range(self.vocab_size - self.num_values, self.vocab_size)

    @property
    def token_names(self) -> tuple[str, ...]:
        keys = (f"k{i}" for i in range(self.num_keys))
        return ("_", *"|" * self.separator, *keys, *(f"v{i}" for i in range(self.num_values)))

    @property
    def record_width(self) -> int:
        return 2 + self.separator

    def chance(self, case: Case) -> float:
        return 1 / self.num_values

    def train_cases(self) -> tuple[tuple[Case, float], ...]:
        if several := entries("task.train_mix", self.train_mix):
            return tuple(self._mixed_case(entry) for entry in several)
        case = self._case("task.train_lengths", self.train_lengths, self.train_pairs, "task.train_pairs")
        return ((case, 1.0),)

    def _mixed_case(self, entry) -> tuple[Case, float]:
        key = "task.train_mix"
        if not isinstance(entry, (tuple, list)) or len(entry) not in (2, 3):
            raise ConfigError(key, f"entries must be (length, pairs[, weight]); one is {entry!r}")
        length, pairs, weight = (*entry, 1.0)[:3]
        if isinstance(weight, bool) or not isinstance(weight, (int, float)) or not 0 < weight < float("inf"):
            raise ConfigError(key, f"weights must be positive numbers; one entry is {entry!r}")
        return self._case(key, length, pairs, key), float(weight)

    def selection_case(self) -> Case:
        longest = [(bounds(case["length"])[1], bounds(case["pairs"])[1]) for case, _ in self.train_cases()]
        return dict(zip(("length", "pairs"), max(longest)))

    def cases(self) -> tuple[Case, ...]:
        lengths, pairs = entries("eval.lengths", self.eval_lengths), entries("eval.pairs", self.eval_pairs)
        if len(lengths) != len(pairs):
            raise ConfigError(
                "eval.pairs", f"must have one entry for each of eval.lengths {lengths}; it is {pairs}"
            )
        cases = [self._case("eval.lengths", *both, "eval.pairs") for both in zip(lengths, pairs)]
        for case in read_cases(self.eval_cases, ("length", "pairs")):
            if "pairs" not in case:
                raise ConfigError(
                    "eval.cases", f"must hold cases such as {{'length': 64, 'pairs': 8}}; one is {case!r}"
                )
            cases.append(self._case("eval.cases", case["length"], case["pairs"], "eval.cases"))
        return unique([self.selection_case(), *cases])

    def _case(self, length_key: str, length, pairs, pairs_key: str) -> Case:
        """The checked case of this length and number of pairs."""
        length, pairs = span(length_key, length), span(pairs_key, pairs)
        most = bounds(pairs)[1]
        if self.unique_keys and most > self.num_keys:
            raise ConfigError(
                "task.num_keys", f"{most} pairs with unique keys need {most} keys; it is {self.num_keys}"
            )
        if self.queries != "spread" and not is_int(length):
            raise ConfigError(length_key, f"queries={self.queries} needs one length, not the range {length}")
        queries = {"one": 1, "all": min(most, self.num_keys), "spread": 2 * most}[self.queries]
        if (needed := self.record_width * most + queries) > bounds(length)[0]:
            raise ConfigError(length_key, f"{most} pairs need a length of at least {needed}; it is {length}")
        return {"length": length, "pairs": pairs}

    def supervised(self, case: Case) -> int:
        return 1 if self.queries == "one" else min(bounds(case["pairs"])[1], self.num_keys)

    def sample(self, key: jax.Array, case: Case) -> Batch:
        longest, most = bounds(case["length"])[1], bounds(case["pairs"])[1]
        length_key, pairs_key, key_key, value_key, query_key, gap_key = jax.random.split(key, 6)
        length, pairs = draw(length_key, *bounds(case["length"])), draw(pairs_key, *bounds(case["pairs"]))
        values = jax.random.randint(value_key, (most,), 0, self.num_values, dtype=jnp.int32)
        if self.unique_keys:
            keys = choose(key_key, most, self.num_keys)
        else:
            keys = jax.random.randint(key_key, (most,), 0, self.num_keys, dtype=jnp.int32)

        asked, count = self._asked(query_key, keys, pairs)
        end = self.record_width * pairs
        if self.queries == "spread":
            free = longest // 2 - bounds(case["pairs"])[0]
            place = end + 2 * draw_gaps(gap_key, most, length // 2 - pairs, free, self.query_power)
        else:
            place = end + jnp.arange(asked.shape[0])
        place = jnp.where(jnp.arange(asked.shape[0]) < count, place, longest)

        first_key = 1 + self.separator
        query = jnp.full(longest, -1, jnp.int32).at[place].set(asked, mode="drop")
        inputs = self._records(keys, values, pairs, longest)
        if self.filler == "random":
            noise_key = jax.random.fold_in(key, 6)  # beside the six: all else is as with filler "token"
            noise = jax.random.randint(noise_key, (longest,), 0, self.vocab_size, dtype=jnp.int32)
            inputs = jnp.where((inputs == 0) & (jnp.arange(longest) < length), noise, inputs)
        inputs = jnp.where(query >= 0, first_key + keys[query], inputs)
        return supervise(inputs, values[query], query >= 0)

    def _records(self, keys: jax.Array, values: jax.Array, pairs: jax.Array, longest: int) -> jax.Array:
        """[longest] tokens: the first `pairs` records, one after another, then filler."""
        first_key = 1 + self.separator
        columns = [first_key + keys, first_key + self.num_keys + values]
        columns += [jnp.ones_like(keys)] * self.separator
        tokens = jnp.stack(columns, axis=1).reshape(-1)
        tokens = jnp.where(jnp.arange(tokens.size) < self.record_width * pairs, tokens, 0)
        return jnp.zeros(longest, jnp.int32).at[: tokens.size].set(tokens)

    def _asked(self, key: jax.Array, keys: jax.Array, pairs: jax.Array) -> tuple[jax.Array, int | jax.Array]:
        """(records [Q], count): the first `count` of these records answer the queries, in this order."""
        record = jnp.arange(keys.shape[0], dtype=jnp.int32)
        binding = record < pairs
        if not self.unique_keys:
            same_and_later = (keys[:, None] == keys[None, :]) & (record[:, None] < record[None, :])
            binding &= ~jnp.any(same_and_later & binding[None, :], axis=1)
        if self.queries == "spread":
            return order_by(~binding), jnp.sum(binding)
        order = order_by(random_ranks(key, binding))
        return (order[:1], 1) if self.queries == "one" else (order, jnp.sum(binding))
