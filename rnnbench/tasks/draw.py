"""Samplers, and checks of options, shared by the tasks.

A *span* is the form of a number in a case that may vary: `64`, or `[3, 40]` for "uniformly from 3…40".
"""

import math
from math import gcd

import jax
import jax.numpy as jnp

from rnnbench.errors import ConfigError
from rnnbench.tasks.contract import Batch


def draw(key: jax.Array, low: int, high: int) -> jax.Array:
    """An integer drawn uniformly from low…high, both included."""
    return jax.random.randint(key, (), low, high + 1, dtype=jnp.int32)


def coins(key: jax.Array, count: int) -> jax.Array:
    """[count] of 0 and 1, equally likely."""
    return jax.random.bernoulli(key, jnp.float32(0.5), (count,)).astype(jnp.int32)


def choose(key: jax.Array, count: int, size: int | jax.Array) -> jax.Array:
    """[count] different integers below `size` (which may be traced), every ordered choice equally likely.

    The first `count` steps of a Fisher–Yates shuffle of 0…size-1 that stores only the places it has touched:
    the cost is count², independent of the size. Its first n entries are a uniform choice of n.
    """
    step = jnp.arange(count, dtype=jnp.int32)
    partner = jax.random.randint(key, (count,), step, size, dtype=jnp.int32)

    def swap(content, step_and_partner):
        # content[i] is what step i wrote to the place partner[i]; the last write to a place counts.
        i, j = step_and_partner

        def at(place):
            last = jnp.max(jnp.where((partner == place) & (step < i), step, -1))
            return jnp.where(last >= 0, content[last], place)

        return content.at[i].set(at(i)), at(j)

    return jax.lax.scan(swap, jnp.zeros(count, jnp.int32), (step, partner))[1]


def draw_gaps(key: jax.Array, count: int, free: jax.Array, most_free: int, power: float) -> jax.Array:
    """[count] different integers x below `free`, drawn one after another with weight (x + 1)^(power - 1).

    The largest of log-weights with Gumbel noise are such a draw (Efraimidis & Spirakis 2006). If `free` is
    below `count`, the entries from `free` on are meaningless.
    """
    slot = jnp.arange(most_free)
    score = (power - 1) * jnp.log1p(slot.astype(jnp.float32)) + jax.random.gumbel(
        key, (most_free,), jnp.float32
    )
    return jax.lax.top_k(jnp.where(slot < free, score, -jnp.inf), count)[1]


def order_by(rank: jax.Array) -> jax.Array:
    """[T] the positions sorted by rank [T], equal ranks in order: a stable argsort of integers below 2³¹/T.

    Rank and position are packed into one number, because sorting plain integers is ten times faster on CPU.
    """
    size = rank.shape[0]
    return jnp.sort(rank.astype(jnp.int32) * size + jnp.arange(size, dtype=jnp.int32)) % size


def random_ranks(key: jax.Array, loose: jax.Array) -> jax.Array:
    """[T] ranks for `order_by` that put the positions of `loose` [T] into random order, before all others."""
    last = (2**31 - 1) // loose.shape[0] - 1
    return jnp.where(loose, jax.random.randint(key, loose.shape, 0, last, dtype=jnp.int32), last)


def supervise(inputs: jax.Array, targets: jax.Array, mask: jax.Array) -> Batch:
    """The `Batch` of these arrays, with the targets set to 0 where the mask is off."""
    return Batch(inputs.astype(jnp.int32), jnp.where(mask, targets, 0).astype(jnp.int32), mask)


def supervised_positions(mask: jax.Array, most: int) -> tuple[jax.Array, jax.Array]:
    """Where a [T] mask is on: ([most] positions in order, [most] which of them are valid).

    `most` is at least the number of positions that are on.
    """
    rank = jnp.cumsum(mask, dtype=jnp.int32) - 1
    place = jnp.where(mask, rank, most)
    positions = jnp.zeros(most, jnp.int32).at[place].set(jnp.arange(mask.size, dtype=jnp.int32), mode="drop")
    return positions, jnp.arange(most) < rank[-1] + 1


def shuffled_index(key: jax.Array, visit: jax.Array, size: int) -> jax.Array:
    """The example of visit number `visit` in endless shuffled passes over `size` examples.

    A pass visits every example once, in the order (a·i + c) mod size, with a coprime to size, both drawn anew
    per pass: a permutation that needs no table.
    """
    pass_key = jax.random.fold_in(key, visit // size)
    a_key, c_key = jax.random.split(pass_key)
    multiplier = jax.random.choice(a_key, jnp.array(_coprimes(size), jnp.uint32))
    shift = jax.random.randint(c_key, (), 0, size, dtype=jnp.int32).astype(jnp.uint32)
    return (multiplier * (visit.astype(jnp.uint32) % size) % size + shift) % size


def _coprimes(size: int, count: int = 64) -> list[int]:
    """Up to `count` numbers coprime to `size`, whose product with an index fits into 32 bits."""
    top = min(size, (2**32 - 1) // size)
    found = [a for a in range(max(1, top - 20 * count), top + 1) if gcd(a, size) == 1]
    return found[-count:]


def is_int(value) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def span(key: str, value, least: int = 1) -> int | list[int]:
    """`value` (an integer or a pair) in the form of a case; ConfigError of `key` if neither or empty."""
    pair = (value, value) if is_int(value) else value
    if not isinstance(pair, (tuple, list)) or len(pair) != 2 or not all(map(is_int, pair)):
        raise ConfigError(key, f"must be an integer or a pair (low, high); it is {value!r}")
    low, high = pair
    if low < least:
        raise ConfigError(key, f"must be at least {least}; it is {value!r}")
    if low > high:
        raise ConfigError(key, f"the range {value!r} is empty; low must be <= high")
    return low if low == high else [low, high]


def entries(key: str, value) -> tuple:
    """`value` as a tuple; ConfigError if it is none, as with the common mistake `(64)` for `(64,)`."""
    if not isinstance(value, (tuple, list)):
        raise ConfigError(key, f"must be a tuple such as (64,); it is {value!r}")
    return tuple(value)


def read_cases(value, allowed: tuple[str, ...]) -> list[dict]:
    """`eval.cases` as dicts with a `length` and only keys among `allowed`; the values are not checked."""
    cases = []
    for case in entries("eval.cases", value):
        if not hasattr(case, "keys") or "length" not in case:
            raise ConfigError("eval.cases", f"must hold cases such as {{'length': 64}}; one is {case!r}")
        if unknown := sorted(set(case) - set(allowed)):
            raise ConfigError("eval.cases", f"unknown {unknown[0]!r} in {case!r}; use {', '.join(allowed)}")
        cases.append(dict(case))
    return cases


def check_choice(key: str, value, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ConfigError(key, f"must be one of {', '.join(choices)}; it is {value!r}")


def check_integer(key: str, value, least: int, below: float = math.inf) -> None:
    if not is_int(value) or not least <= value < below:
        limit = "" if below == math.inf else f" and below {below}"
        raise ConfigError(key, f"must be an integer of at least {least}{limit}; it is {value!r}")


def check_flag(key: str, value) -> None:
    if not isinstance(value, bool):
        raise ConfigError(key, f"must be True or False; it is {value!r}")


def check_number(key: str, value, low: float, high: float) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high:
        raise ConfigError(key, f"must be a number from {low} to {high}; it is {value!r}")
