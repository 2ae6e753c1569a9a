"""What every task is made of: one sequence as a `Batch`, and the drawing of lengths."""

from typing import NamedTuple

import jax
import jax.numpy as jnp


class Batch(NamedTuple):
    """One sequence (or, vmapped, a batch of them) with what to predict and where.

    inputs:  [T] int32 token ids in [0, vocab_size); 0 after the end of a sequence shorter than T
    targets: [T] int32 class ids in [0, num_classes); 0 where `mask` is off
    mask:    [T] bool, the supervised positions
    """

    inputs: jax.Array
    targets: jax.Array
    mask: jax.Array


def bounds(length: int | tuple[int, int] | list[int]) -> tuple[int, int]:
    """A case's length as (shortest, longest): `64` -> (64, 64), `[3, 40]` -> (3, 40)."""
    if isinstance(length, int):
        return length, length
    low, high = length
    return low, high


def draw(key: jax.Array, low: int, high: int) -> jax.Array:
    """An integer drawn uniformly from low…high, both included."""
    return jax.random.randint(key, (), low, high + 1, dtype=jnp.int32)
