"""The shape of a bracket word, a path of steps up and down: drawn uniformly, and read."""

from functools import lru_cache

import jax
import jax.numpy as jnp
import numpy as np

from rnnbench.tasks.draw import order_by


@lru_cache(maxsize=64)
def up_probability(length: int, depth: int) -> np.ndarray:
    """[length + 1, depth + 1]: the probability of a step up, r steps left at height h, uniform over paths.

    N(r, h) = N(r-1, h+1) + N(r-1, h-1) paths lead from there to 0 without leaving 0…depth, and the first term
    counts those that go up. The counts are Python integers, because they exceed the range of floats.
    """
    odds = np.zeros((length + 1, depth + 1), np.float32)
    paths = [1] + [0] * (depth + 1)  # the last entry is above the bound
    for r in range(1, length + 1):
        down = [0, *paths[:depth]]
        total = [paths[h + 1] + down[h] for h in range(depth + 1)]
        odds[r] = [paths[h + 1] / total[h] if total[h] else 0.0 for h in range(depth + 1)]
        paths = [*total, 0]
    return odds


def draw_path(key: jax.Array, length: jax.Array, longest: int, depth: int) -> jax.Array:
    """[longest] bool: which steps go up, uniformly over the paths of `length` that stay within 0…depth."""
    odds = jnp.asarray(up_probability(longest, min(depth, longest // 2)))
    left = jnp.maximum(length - jnp.arange(longest, dtype=jnp.int32), 0)

    def step(h, left_and_chance):
        r, chance = left_and_chance
        up = chance < odds[r, h]
        return jnp.where(r > 0, h + jnp.where(up, 1, -1), h), up

    return jax.lax.scan(step, jnp.int32(0), (left, jax.random.uniform(key, (longest,), jnp.float32)))[1]


def height(opens: jax.Array) -> jax.Array:
    """[T]: brackets opened minus closed, up to and including t."""
    return jnp.cumsum(jnp.where(opens, 1, -1), dtype=jnp.int32)


def partners(opens: jax.Array) -> jax.Array:
    """[T]: the position of the bracket that each closing one matches, correct until one closes too early.

    On one level, openings and closings alternate: sorted by level, a closing bracket follows its partner.
    """
    level = height(opens) - opens
    order = order_by(level)
    return jnp.zeros_like(order).at[order].set(jnp.roll(order, 1))


def balanced(opens: jax.Array, types: jax.Array) -> jax.Array:
    """[T] bool: whether the brackets up to and including t are balanced."""
    h = height(opens)
    mismatch = ~opens & ((h < 0) | (types != types[partners(opens)]))
    return (h == 0) & (jnp.cumsum(mismatch) == 0)
