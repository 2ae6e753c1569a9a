"""The contract of every mixer, as checks: `python -m rnnbench.check` runs them on yours.

Each check is a function `check(build, x)`: `build(**options)` makes the mixer (`dtype` is the only option
that a check adds), x is an input [B, T, D] with B ≥ 2 and T ≥ 4. A failure is a ContractError that names
the violation and its position; a check that does not apply returns why.
"""

import functools
import itertools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from rnnbench.errors import ContractError
from rnnbench.mixers.form import Build, apart, close, leaf_name, require, well_formed
from rnnbench.mixers.packed import packed_equals_alone


@functools.partial(jax.jit, static_argnums=0)
def apply(graphdef, params, x, state):
    return nnx.merge(graphdef, params)(x, state)


def functional(mixer: nnx.Module):
    """(forward, params): `forward(params, x, state) -> (y, state)`, and the mixer's variables.

    Compiled once for all checks: equal mixers have equal graph definitions.
    """
    graphdef, params = nnx.split(mixer)
    return functools.partial(apply, graphdef), params


def causal(build: Build, x: jax.Array) -> None:
    """The output at t has no gradient to inputs after t, and a gradient to some input before t."""
    forward, params = functional(build())
    direction = jax.random.normal(jax.random.key(1), x.shape)
    gradient = jax.jit(jax.grad(lambda x, t: jnp.sum((forward(params, x, None)[0] * direction)[:, t])))
    length = x.shape[1]
    for t in sorted({1, length // 2, length - 1}):
        size = np.abs(np.asarray(gradient(x, t))).max(axis=(0, 2))
        require(np.isfinite(size).all(), f"the gradient of the output at {t} is not finite")
        later = np.flatnonzero(size[t + 1 :]) + t + 1
        require(not later.size, f"not causal: the output at {t} depends on the input at {[*later, 0][0]}")
        require(size[:t].any(), f"no memory: the output at {t} depends on no earlier input")


def sequences_stay_apart(build: Build, x: jax.Array) -> None:
    """Output and state of a sequence depend on no other sequence of the batch."""
    mixer = build()
    forward, params = functional(mixer)
    state = mixer.init_state(x.shape[0], x.shape[1])
    other = x.at[1:].set(jax.random.normal(jax.random.key(2), x[1:].shape))
    (y, after), (y_other, after_other) = forward(params, x, state), forward(params, other, state)
    leaves = {"the output": (y, y_other)}
    for (path, leaf), changed in zip(
        jax.tree_util.tree_leaves_with_path(after), jax.tree.leaves(after_other)
    ):
        leaves[leaf_name(path)] = leaf, changed
    for name, (before, changed) in leaves.items():
        if before.shape:
            what = f"mixes the batch: {name} of one sequence depends on the others"
            close(changed[0], before[0], what, tolerance=1e-5)


def step_equals_parallel(build: Build, x: jax.Array) -> None:
    """One token at a time from `init_state` gives the same output as the whole sequence."""
    mixer = build()
    forward, params = functional(mixer)
    whole, _ = forward(params, x, None)
    states, steps = [mixer.init_state(x.shape[0], x.shape[1])], []
    for t in range(x.shape[1]):
        y, state = forward(params, x[:, t : t + 1], states[-1])
        steps.append(y)
        states.append(state)
    stepped = jnp.concatenate(steps, axis=1)
    if wrong := [t for t in range(x.shape[1]) if apart(stepped[:, t], whole[:, t])]:
        first = wrong[0]
        off = np.abs(np.asarray(stepped - whole))[:, first].max()
        cause = _cause(forward, params, x, states, first)
        raise ContractError(
            f"token by token differs from the whole sequence from step {first} on, by {off:.1e}; {cause}"
        )


def _cause(forward: Callable, params: nnx.State, x: jax.Array, states: list, first: int) -> str:
    """Explains a wrong output at step `first` by the state of single steps."""
    ignored, token = [], x[:, first : first + 1]
    leaves, structure = jax.tree.flatten(states[first])
    paths = [path for path, _ in jax.tree_util.tree_leaves_with_path(states[first])]
    given, _ = forward(params, token, states[first])
    for i, leaf in enumerate(leaves):
        if jnp.issubdtype(leaf.dtype, jnp.inexact):
            other = [*leaves[:i], leaf + 1, *leaves[i + 1 :]]
            if not apart(forward(params, token, jax.tree.unflatten(structure, other))[0], given, 0):
                ignored.append(leaf_name(paths[i]))
    if ignored:
        return f"__call__ ignores {' and '.join(ignored)}"
    for t in range(2, first + 2):  # one token at once is the same as a single step
        _, at_once = forward(params, x[:, :t], states[0])
        for path, a, b in zip(paths, jax.tree.leaves(states[t]), jax.tree.leaves(at_once)):
            if apart(a, b):
                return f"{leaf_name(path)} after {t} single steps is not that after {t} tokens at once"
    return "the states are the same as those of the whole sequence"


def pieces_equal_whole(build: Build, x: jax.Array) -> None:
    """A sequence in three uneven pieces with the state carried gives the same output as in one piece."""
    mixer = build()
    forward, params = functional(mixer)
    length = x.shape[1]
    cuts = [0, length // 3, length // 3 + 1, length]
    for start, name in ((None, "no state"), (mixer.init_state(x.shape[0], length), "init_state")):
        whole, state_whole = forward(params, x, start)
        state, pieces = start, []
        for begin, end in itertools.pairwise(cuts):
            y, state = forward(params, x[:, begin:end], state)
            pieces.append(y)
            what = f"started with {name} and cut at {begin}, the output differs from the whole"
            close(y, whole[:, begin:end], what)
        require(
            jax.tree.structure(state) == jax.tree.structure(state_whole),
            f"started with {name}, the final state has another structure in pieces than in one",
        )
        for (path, piecewise), at_once in zip(
            jax.tree_util.tree_leaves_with_path(state), jax.tree.leaves(state_whole)
        ):
            close(piecewise, at_once, f"started with {name}, {leaf_name(path)} differs from the whole")


def fresh_state_equals_none(build: Build, x: jax.Array) -> None:
    """`init_state` is the state before a sequence starts."""
    mixer = build()
    forward, params = functional(mixer)
    with_state, _ = forward(params, x, mixer.init_state(x.shape[0], x.shape[1]))
    close(with_state, forward(params, x, None)[0], "init_state gives another output than state=None")


def gradients_reach_parameters(build: Build, x: jax.Array) -> None:
    """Every parameter has a finite gradient that is not zero everywhere."""
    forward, params = functional(build())
    direction = jax.random.normal(jax.random.key(1), x.shape)
    gradients = jax.jit(jax.grad(lambda params: jnp.sum(forward(params, x, None)[0] * direction)))(params)
    by_name = {
        jax.tree_util.keystr(path): leaf for path, leaf in jax.tree_util.tree_leaves_with_path(gradients)
    }
    not_finite = [name for name, leaf in by_name.items() if not np.isfinite(leaf).all()]
    require(not not_finite, f"the gradient is not finite for {' '.join(not_finite)}")
    dead = [name for name, leaf in by_name.items() if not np.any(leaf)]
    require(not dead, f"no gradient reaches {' '.join(dead)}")


def bfloat16_runs(build: Build, x: jax.Array) -> None:
    """In bfloat16: parameters stay float32, the output is bfloat16, finite and near that of float32."""
    try:
        mixer = build(dtype=jnp.bfloat16)
    except TypeError as error:
        raise ContractError(f"cannot be built with dtype=bfloat16: {error}") from error
    forward, params = functional(mixer)
    stay = all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(params))
    require(stay, "parameters must stay float32")
    y, _ = forward(params, x, None)
    require(y.dtype == jnp.bfloat16, f"built with dtype=bfloat16, the output is {y.dtype}")
    exact, _ = functional(build())[0](params, x, None)
    y, exact = np.asarray(y, np.float32), np.asarray(exact)
    require(np.isfinite(y).all(), "the output is not finite in bfloat16")
    error = np.sqrt(np.mean((y - exact) ** 2) / np.mean(exact**2))
    require(error < 0.05, f"bfloat16 is off by {error:.0%} of the output's size")
    state = jax.eval_shape(lambda: mixer.init_state(x.shape[0], x.shape[1]))
    before = jax.tree.map(lambda leaf: leaf.dtype, state)
    after = jax.tree.map(lambda leaf: leaf.dtype, jax.eval_shape(mixer, x, state)[1])
    require(before == after, f"in bfloat16 the state changes its dtypes from {before} to {after}")


CHECKS: dict[str, Callable[[Build, jax.Array], str | None]] = {
    "well_formed": well_formed,
    "causal": causal,
    "sequences_stay_apart": sequences_stay_apart,
    "step_equals_parallel": step_equals_parallel,
    "pieces_equal_whole": pieces_equal_whole,
    "packed_equals_alone": packed_equals_alone,
    "fresh_state_equals_none": fresh_state_equals_none,
    "gradients_reach_parameters": gradients_reach_parameters,
    "bfloat16_runs": bfloat16_runs,
}
