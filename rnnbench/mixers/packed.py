"""Packed sequences: the check of a mixer whose call takes `reset`."""

import functools
import inspect
import itertools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from rnnbench.mixers.form import Build, apart, close, require

# (sequence of the batch, its first token, the token after its last) of a sequence that is packed with others.
Piece = tuple[int, int, int]


def packed_equals_alone(build: Build, x: jax.Array) -> str | None:
    """With resets, packed sequences give the outputs and gradients that each of them gives alone.

    The first of two rows of the batch is reset at its first token but one, twice in a row, and at the last
    token of the call; the other once. The state after the call is checked by the tokens that follow.
    """
    mixer = build()
    if "reset" not in inspect.signature(type(mixer).__call__).parameters:
        return "__call__ takes no reset"
    graphdef, params = nnx.split(mixer)
    x, length = x[:2], x.shape[1]
    end = length - max(1, length // 4)
    starts = [{1, end // 3 + 1, end // 3 + 2, end - 1}, {end // 2 + 1}]
    reset = np.array([[t in own for t in range(length)] for own in starts])
    pieces = [
        (b, *piece) for b, own in enumerate(starts) for piece in itertools.pairwise([0, *sorted(own), length])
    ]
    packed = functools.partial(_in_one, graphdef, reset, (1, end))
    y, *gradients = _outputs_and_gradients(packed, params, x)
    alone, *gradients_alone = _outputs_and_gradients(functools.partial(_alone, graphdef, pieces), params, x)
    for b, start, stop in pieces:
        what = f"packed: the output at {start} to {stop - 1} of sequence {b} differs from that sequence alone"
        close(y[b, start:stop], alone[b, start:stop], what)
    for (path, found), expected in zip(
        jax.tree_util.tree_leaves_with_path(gradients), jax.tree.leaves(gradients_alone)
    ):
        name = "the input" if path[0].idx else jax.tree_util.keystr(path[1:])
        close(found, expected, f"packed: the gradient of {name} differs from that of the sequences alone")
    step = jax.jit(lambda params, x, state, reset: nnx.merge(graphdef, params)(x, state, reset=reset))
    state = mixer.init_state(*x.shape[:2])
    for t in range(length):
        y, state = step(params, x[:, t : t + 1], state, reset[:, t : t + 1])
        require(not apart(y, alone[:, t : t + 1]), f"packed: token by token, the output at {t} differs")
    return None


def _in_one(
    graphdef: nnx.GraphDef, reset: np.ndarray, cuts: tuple[int, int], params: nnx.State, x: jax.Array
) -> jax.Array:
    """The outputs of three calls, the one in the middle with resets."""
    call, (first, end) = nnx.merge(graphdef, params), cuts
    before, state = call(x[:, :first], call.init_state(*x.shape[:2]))
    y, state = call(x[:, first:end], state, reset=reset[:, first:end])
    return jnp.concatenate([before, y, call(x[:, end:], state)[0]], axis=1)


def _alone(graphdef: nnx.GraphDef, pieces: list[Piece], params: nnx.State, x: jax.Array) -> jax.Array:
    """The outputs of every piece as a sequence of a batch, in the places that the pieces have in x."""
    longest = max(stop - start for _, start, stop in pieces)
    padded = jnp.pad(x, ((0, 0), (0, longest), (0, 0)))
    batch = jnp.stack([padded[b, start : start + longest] for b, start, _ in pieces])
    y, _ = nnx.merge(graphdef, params)(batch)
    rows = [[] for _ in x]
    for (b, start, stop), of_piece in zip(pieces, y):
        rows[b].append(of_piece[: stop - start])
    return jnp.stack([jnp.concatenate(row) for row in rows])


def _outputs_and_gradients(run: Callable, params: nnx.State, x: jax.Array) -> tuple:
    direction = jax.random.normal(jax.random.key(1), x.shape)

    def loss(params: nnx.State, x: jax.Array) -> tuple[jax.Array, jax.Array]:
        y = run(params, x)
        return jnp.sum(y * direction), y

    (_, y), gradients = jax.jit(jax.value_and_grad(loss, (0, 1), has_aux=True))(params, x)
    return y, *gradients
