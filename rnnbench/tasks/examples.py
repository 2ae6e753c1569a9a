"""A finite training set without storing it: which example a visit sees."""

from math import gcd

import jax
import jax.numpy as jnp


def shuffled_index(key: jax.Array, visit: jax.Array, size: int) -> jax.Array:
    """The example that visit number `visit` sees in endless shuffled passes over `size` examples.

    A pass visits every example once, in the order (a·i + c) mod size, with a prime to size, both drawn anew
    per pass: a permutation that costs nothing to look up.
    """
    pass_key = jax.random.fold_in(key, visit // size)
    a_key, c_key = jax.random.split(pass_key)
    multiplier = jax.random.choice(a_key, jnp.array(_coprimes(size), jnp.uint32))
    shift = jax.random.randint(c_key, (), 0, size).astype(jnp.uint32)
    return (multiplier * (visit.astype(jnp.uint32) % size) % size + shift) % size


def _coprimes(size: int, count: int = 64) -> list[int]:
    """Up to `count` numbers prime to `size`, so small that their product with an index fits into 32 bits."""
    top = min(size, (2**32 - 1) // size)
    found = [a for a in range(max(1, top - 20 * count), top + 1) if gcd(a, size) == 1]
    return found[-count:]
