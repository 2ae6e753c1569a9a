"""What tasks share that lay out items of several tokens one after another."""

import jax
import jax.numpy as jnp

FILLER = 0


def lay_out(sizes: jax.Array, length: int) -> tuple[jax.Array, jax.Array]:
    """Items of these sizes [N] in a row: ([length] the item at each position, [length] the place in it).

    The sizes add up to `length` or more.
    """
    end = jnp.cumsum(sizes, dtype=jnp.int32)
    t = jnp.arange(length, dtype=jnp.int32)
    item = jnp.sum(end[None, :] <= t[:, None], axis=1, dtype=jnp.int32)
    return item, t - (end - sizes)[item]


def seen_before(codes: jax.Array, size: int) -> jax.Array:
    """[N] bool: whether the code, an integer below `size`, is that of an earlier item."""
    same = codes[:, None] == jnp.arange(size)[None]
    earlier = jnp.cumsum(same, axis=0, dtype=jnp.int32) - same
    return jnp.sum(jnp.where(same, earlier, 0), axis=1) > 0
