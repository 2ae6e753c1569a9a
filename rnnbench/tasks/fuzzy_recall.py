"""Fuzzy recall: recall where keys and values are of several tokens."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from rnnbench.errors import ConfigError
from rnnbench.tasks import theory
from rnnbench.tasks.contract import Batch, Case, bounds, option
from rnnbench.tasks.draw import check_integer, choose, draw, supervise
from rnnbench.tasks.lengths import Lengths
from rnnbench.tasks.recall import FILLER, lay_out, seen_before
from rnnbench.tasks.strings import letters


@dataclass(frozen=True, eq=False)
class FuzzyRecall(Lengths):
    """Pairs of a key and its value, each of one token or more; after a key that came before, the targets are
    the tokens of its value.

        inputs   b a 3 1 b 2 2 b a 3 1 b 2
        targets  . . . . . . . . 3 1 . 2 2

    Each sequence draws `num_pairs` different keys, uniformly among the strings of up to `key_size` letters,
    and values of 1 … `value_size` numbers, sizes and numbers uniformly; then pairs uniformly until the length
    is full. The end may cut a pair; a key without a value then asks nothing, as a longer key may begin so.
    A short sequence may ask nothing at all.

    Options
        num_pairs               keys of a sequence
        key_tokens, key_size    letters, and the longest key
        value_tokens, value_size   numbers, and the longest value
        train_lengths, eval_lengths   lengths, drawn uniformly from (low, high)

    Chance is 1/value_tokens.
    Source: Poli et al. 2024, "MAD" (arXiv 2403.17844), fuzzy in-context recall, with up to three tokens.
    """

    train_lengths: tuple[int, int] = option((4, 40), "shortest and longest training sequence, both included")
    num_pairs: int = option(4, "keys of a sequence")
    key_tokens: int = option(4, "letters that keys are made of")
    key_size: int = option(2, "longest key")
    value_tokens: int = option(4, "numbers that values are made of")
    value_size: int = option(2, "longest value")

    headline = "accuracy"
    shortest = 4
    language = "recall"
    # With fixed vocabularies it is an automaton of one register per key, each overwritten at once.
    theory = theory.STAR_FREE

    def __post_init__(self):
        for name, least in {
            "num_pairs": 1,
            "key_tokens": 1,
            "key_size": 1,
            "value_tokens": 2,
            "value_size": 1,
        }.items():
            check_integer(f"task.{name}", getattr(self, name), least)
        strings = sum(self._strings)
        if self.num_pairs > strings:
            raise ConfigError(
                "task.num_pairs",
                f"there are only {strings} keys of up to key_size letters; it is {self.num_pairs}",
            )
        if strings >= 2**31:
            raise ConfigError(
                "task.key_size", f"{strings:.2g} keys of key_tokens letters do not fit into 32 bits"
            )
        self.train_cases()
        self.cases()

    @property
    def _strings(self) -> list[int]:
        """How many keys there are of each size."""
        return [self.key_tokens ** (i + 1) for i in range(self.key_size)]

    @property
    def vocab_size(self) -> int:
        return 1 + self.key_tokens + self.value_tokens

    @property
    def num_classes(self) -> int:
        return self.value_tokens

    @property
    def class_tokens(self) -> range:
        return range(1 + self.key_tokens, self.vocab_size)

    @property
    def token_names(self) -> tuple[str, ...]:
        return ("_", *letters(self.key_tokens), *(str(i + 1) for i in range(self.value_tokens)))

    def chance(self, case: Case) -> float:
        return 1 / self.value_tokens

    def supervised(self, case: Case) -> int:
        """A first pair with a key of one token, and the same again and again."""
        longest, most = bounds(case["length"])[1], 0
        for size in range(1, self.value_size + 1):
            pairs, rest = divmod(longest - 1 - size, 1 + size)
            most = max(most, pairs * size + (min(rest, size) if rest > 1 else 0))
        return most

    def sample(self, key: jax.Array, case: Case) -> Batch:
        low, high = bounds(case["length"])
        keys = jax.random.split(key, 5)
        size_of_key, key_digits = self._keys(keys[1])
        shape = (self.num_pairs, self.value_size)
        numbers = jax.random.randint(keys[2], shape, 0, self.value_tokens, dtype=jnp.int32)
        size_of_value = jax.random.randint(keys[3], shape[:1], 1, self.value_size + 1, dtype=jnp.int32)

        pairs = jax.random.randint(keys[4], (high // 2 + 1,), 0, self.num_pairs, dtype=jnp.int32)
        item, place = lay_out((size_of_key + size_of_value)[pairs], high)
        pair = pairs[item]
        rank = place - size_of_key[pair]  # in the value; negative in the key
        number = lambda rank: numbers[pair, jnp.clip(rank, 0, self.value_size - 1)]
        letter = key_digits[pair, jnp.clip(place, 0, self.key_size - 1)]
        left = draw(keys[0], low, high) - jnp.arange(high)
        inside, again = left > 0, seen_before(pairs, self.num_pairs)[item]
        asks = (rank >= 0) | ((rank == -1) & (left > 1))
        asked = inside & again & asks & (rank + 1 < size_of_value[pair])
        inputs = jnp.where(rank < 0, 1 + letter, 1 + self.key_tokens + number(rank))
        return supervise(jnp.where(inside, inputs, FILLER), number(rank + 1), asked)

    def _keys(self, key: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Different keys: sizes [num_pairs], letters [num_pairs, key_size]; strings are numbered by size."""
        first = np.cumsum([0, *self._strings])
        code = choose(key, self.num_pairs, int(first[-1]))
        size = jnp.sum(code[:, None] >= jnp.asarray(first[1:-1], jnp.int32)[None], axis=1, dtype=jnp.int32)
        code = code - jnp.asarray(first, jnp.int32)[size]
        powers = jnp.asarray(self.key_tokens ** np.arange(self.key_size), jnp.int32)
        return size + 1, code[:, None] // powers[None] % self.key_tokens
