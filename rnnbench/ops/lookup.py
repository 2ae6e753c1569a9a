"""Rows of a table by their numbers: the embedding of tokens."""

from typing import Any

import jax
import jax.numpy as jnp

from rnnbench.ops.chunks import accumulator_dtype


@jax.custom_vjp
def lookup(table: jax.Array, tokens: jax.Array) -> jax.Array:
    """x_{b,t} = table[tokens_{b,t}], with a gradient that each device of a split batch sums over its part.

    XLA's would first send the gradients of all positions to all devices. The sums are in float32: in bfloat16
    that of a row with many positions would stop growing. Tokens beyond the table give NaN.
    """
    return jnp.take(table, tokens, axis=0)


def _lookup_forward(table: jax.Array, tokens: jax.Array) -> tuple[jax.Array, Any]:
    return lookup(table, tokens), (table, tokens)


def _lookup_backward(saved: Any, grads: jax.Array) -> tuple[jax.Array, None]:
    table, tokens = saved
    dtype = accumulator_dtype(grads)
    total = lambda tokens, grads: jnp.zeros_like(table, dtype).at[tokens].add(grads.astype(dtype))
    parts = jax.sharding.get_abstract_mesh().shape.get("data", 1)
    if parts == 1 or tokens.shape[0] % parts:
        return total(tokens, grads).astype(table.dtype), None
    cut = lambda x: x.reshape(parts, -1, *x.shape[1:])
    return jax.vmap(total)(cut(tokens), cut(grads)).sum(0).astype(table.dtype), None


lookup.defvjp(_lookup_forward, _lookup_backward)
