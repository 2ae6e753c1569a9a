"""The form of a mixer: the requirements on its attributes, its call and its state; comparing values."""

import inspect
import re
from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from rnnbench.errors import ContractError

Build = Callable[..., nnx.Module]


def require(condition: object, message: str) -> None:
    if not condition:
        raise ContractError(message)


def apart(actual: jax.Array, expected: jax.Array, tolerance: float = 1e-4) -> bool:
    """Whether values differ by more than a share of their size; NaN differs from everything."""
    difference = np.abs(np.asarray(actual) - np.asarray(expected)).max(initial=0)
    return not difference <= tolerance * (1 + np.abs(np.asarray(expected)).max(initial=0))


def close(actual: jax.Array, expected: jax.Array, message: str, tolerance: float = 1e-4) -> None:
    difference = np.abs(np.asarray(actual) - np.asarray(expected)).max(initial=0)
    require(not apart(actual, expected, tolerance), f"{message}, by {difference:.1e}")


def well_formed(build: Build, x: jax.Array) -> None:
    """Arrays are parameters, the call returns (y, state), and y has the shape of x.

    The state keeps structure, shapes and dtypes; its leaves are floats [B, …], integers [B] or integer
    scalars.
    """
    mixer = build()
    for node in modules(mixer):
        for name, value in vars(node).items():
            where = line_of(type(node), rf"self\.{name}\b")
            require(
                not isinstance(value, jax.Array | np.ndarray),
                f"{where}: self.{name} is a plain array; wrap it in nnx.Param, or create it where it is used",
            )
            require(
                not isinstance(value, nnx.Variable) or isinstance(value, nnx.Param),
                f"{where}: self.{name} is a {type(value).__name__}; a mixer has nnx.Param only, and its call "
                "returns its state",
            )
    where = line_of(type(mixer), r"def __call__")
    start = jax.eval_shape(lambda: mixer.init_state(x.shape[0], x.shape[1]))
    for state, name in ((None, "state=None"), (start, "the state of init_state")):
        found = jax.eval_shape(mixer, x, state)
        pair = isinstance(found, tuple) and len(found) == 2
        what = "y alone" if hasattr(found, "shape") else f"a {type(found).__name__}"
        require(pair, f"{where}: __call__ with {name} returns {what}; it must return the pair (y, state)")
        shape = getattr(found[0], "shape", None)
        require(shape == x.shape, f"{where}: the output is of shape {shape}, the input of {x.shape}")
    after = found[1]
    require(
        jax.tree.structure(after) == jax.tree.structure(start),
        f"{where}: __call__ returns a state of the structure {structure(after)}, "
        f"init_state one of {structure(start)}",
    )
    for (path, before), leaf in zip(jax.tree_util.tree_leaves_with_path(start), jax.tree.leaves(after)):
        name = f"{where}: {leaf_name(path)}"
        require(leaf.shape == before.shape, f"{name} changes its shape from {before.shape} to {leaf.shape}")
        require(leaf.dtype == before.dtype, f"{name} changes its dtype from {before.dtype} to {leaf.dtype}")
        first = not leaf.shape or leaf.shape[0] == x.shape[0]
        require(first, f"{name} is of shape {leaf.shape}, which does not begin with the batch {x.shape[0]}")
        floating = jnp.issubdtype(leaf.dtype, jnp.inexact)
        require(floating or leaf.ndim < 2, f"{name} is of {leaf.dtype}, not of floats")


def leaf_name(path: tuple) -> str:
    return f"state{jax.tree_util.keystr(path)}"


def structure(tree: object) -> str:
    return str(jax.tree.structure(tree)).removeprefix("PyTreeDef")


def modules(mixer: nnx.Module) -> list[nnx.Module]:
    return [node for _, node in nnx.iter_graph(mixer) if isinstance(node, nnx.Module)]


def line_of(kind: type, pattern: str) -> str:
    """FILE:LINE of the first matching line in the source of a class or of a class that it inherits from."""
    for each in kind.__mro__:
        try:
            lines, start = inspect.getsourcelines(each)
        except (OSError, TypeError):  # built in, or defined at a prompt
            continue
        for number, line in enumerate(lines):
            if re.search(pattern, line):
                return f"{Path(inspect.getsourcefile(each) or '').name}:{start + number}"
    return kind.__name__
