"""Products of matrices whose gradients are as fast as they are.

The gradient of each of the three forms is made of the same three, so that every sum over the rows of both
factors, of which gradients have many, goes through `matmul_rows`.
"""

import functools

import jax
import jax.numpy as jnp


def transpose(x):
    """The last two axes exchanged."""
    return jnp.swapaxes(x, -1, -2)


# The inverse of a unit lower triangular matrix with |β| near 2 is inaccurate with TF32 or bfloat16.
_product = functools.partial(jnp.matmul, precision=jax.lax.Precision.HIGHEST)


def matmul(x, y):
    """x y, of [..., M, K] and [..., K, N]."""
    return _matmul(x, y) if x.shape[:-2] == y.shape[:-2] else _product(x, y)


@jax.custom_vjp
def _matmul(x, y):
    return _product(x, y)


@jax.custom_vjp
def matmul_columns(x, y):
    """x yᵀ, of [..., M, K] and [..., N, K] with the same leading axes."""
    return _product(x, transpose(y))


@jax.custom_vjp
def matmul_rows(x, y):
    """xᵀ y, of [..., K, M] and [..., K, N] with the same leading axes.

    XLA for CPUs leaves a sum over rows of the first factor to a routine that takes two to three times as long
    as that for other products. So there x is transposed first, apart from the product. (A result transposed
    apart, where y is the smaller, makes XLA's compiler abort for some shapes.)
    """
    x = transpose(x)
    return _product(jax.lax.optimization_barrier(x) if jax.default_backend() == "cpu" else x, y)


_keep = lambda product: lambda x, y: (product(x, y), (x, y))
_matmul.defvjp(_keep(_matmul), lambda xy, dz: (matmul_columns(dz, xy[1]), matmul_rows(xy[0], dz)))
matmul_columns.defvjp(_keep(matmul_columns), lambda xy, dz: (_matmul(dz, xy[1]), matmul_rows(dz, xy[0])))
matmul_rows.defvjp(_keep(matmul_rows), lambda xy, dz: (matmul_columns(xy[1], dz), _matmul(xy[0], dz)))
