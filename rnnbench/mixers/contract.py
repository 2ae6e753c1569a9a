"""What every mixer promises, as checks: `python -m rnnbench.check` runs them on yours.

Each check is a function `check(build, x)`: `build(**options)`
makes the mixer (`dtype` is the only option a check adds), x is an input [B, T, D] with T ≥ 4. A failure is an
AssertionError that says in plain words what is wrong.
"""

import argparse
import ast
import functools
import itertools
import sys
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from rnnbench.config import ConfigError
from rnnbench.mixers import find

Build = Callable[..., nnx.Module]


@functools.partial(jax.jit, static_argnums=0)
def apply(graphdef, params, x, state):
    return nnx.merge(graphdef, params)(x, state)


def functional(mixer: nnx.Module):
    """(forward, params): `forward(params, x, state) -> (y, state)`, and the mixer's variables.

    Compiled once for all checks: equal mixers have equal graph definitions.
    """
    graphdef, params = nnx.split(mixer)
    return functools.partial(apply, graphdef), params


def parameter_count(mixer: nnx.Module) -> int:
    return sum(leaf.size for leaf in jax.tree.leaves(nnx.state(mixer, nnx.Param)))


def state_size(mixer: nnx.Module, length: int) -> int:
    """float32 values carried for one sequence of `length` tokens; a complex one counts twice."""
    leaves = jax.tree.leaves(jax.eval_shape(lambda: mixer.init_state(1, length)))
    values = [leaf for leaf in leaves if jnp.issubdtype(leaf.dtype, jnp.inexact)]
    return sum(leaf.size * (2 if jnp.issubdtype(leaf.dtype, jnp.complexfloating) else 1) for leaf in values)


def causal(build: Build, x: jax.Array) -> None:
    """The output at t has no gradient to inputs after t, and some gradient to inputs before t."""
    forward, params = functional(build())
    direction = jax.random.normal(jax.random.key(1), x.shape)
    gradient = jax.jit(jax.grad(lambda x, t: jnp.sum((forward(params, x, None)[0] * direction)[:, t])))
    length = x.shape[1]
    for t in sorted({1, length // 2, length - 1}):
        size = np.abs(np.asarray(gradient(x, t))).max(axis=(0, 2))
        assert np.isfinite(size).all(), f"the gradient of the output at {t} is not finite"
        later = np.flatnonzero(size[t + 1 :])
        assert not later.size, f"not causal: the output at {t} depends on the input at {t + 1 + later[0]}"
        assert size[:t].any(), f"no memory: the output at {t} depends on no earlier input"


def step_equals_parallel(build: Build, x: jax.Array) -> None:
    """One token at a time from `init_state` gives what the whole sequence gives."""
    mixer = build()
    forward, params = functional(mixer)
    whole, _ = forward(params, x, None)
    state, steps = mixer.init_state(x.shape[0], x.shape[1]), []
    for t in range(x.shape[1]):
        y, state = forward(params, x[:, t : t + 1], state)
        steps.append(y)
    assert_close(
        jnp.concatenate(steps, axis=1), whole, "stepping token by token differs from the whole sequence"
    )


def pieces_equal_whole(build: Build, x: jax.Array) -> None:
    """A sequence in three uneven pieces with the state carried gives what it gives in one."""
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
        assert_close(
            jnp.concatenate(pieces, axis=1), whole, f"pieces, begun with {name}, differ from the whole"
        )
        what = f"the final state, begun with {name}, differs between pieces and whole"
        assert jax.tree.structure(state) == jax.tree.structure(state_whole), what
        for piecewise, at_once in zip(jax.tree.leaves(state), jax.tree.leaves(state_whole)):
            assert_close(piecewise, at_once, what)


def fresh_state_equals_none(build: Build, x: jax.Array) -> None:
    """`init_state` is the state of a sequence that has not begun."""
    mixer = build()
    forward, params = functional(mixer)
    with_state, _ = forward(params, x, mixer.init_state(x.shape[0], x.shape[1]))
    assert_close(with_state, forward(params, x, None)[0], "init_state gives another output than state=None")


def gradients_reach_parameters(build: Build, x: jax.Array) -> None:
    """Every parameter has a finite gradient that is not zero throughout."""
    forward, params = functional(build())
    direction = jax.random.normal(jax.random.key(1), x.shape)
    gradients = jax.jit(jax.grad(lambda params: jnp.sum(forward(params, x, None)[0] * direction)))(params)
    by_name = {
        jax.tree_util.keystr(path): leaf for path, leaf in jax.tree_util.tree_leaves_with_path(gradients)
    }
    not_finite = [name for name, leaf in by_name.items() if not np.isfinite(leaf).all()]
    assert not not_finite, f"the gradient is not finite for {' '.join(not_finite)}"
    dead = [name for name, leaf in by_name.items() if not np.any(leaf)]
    assert not dead, f"no gradient reaches {' '.join(dead)}"


def state_is_static(build: Build, x: jax.Array) -> None:
    """The state keeps structure, shapes and dtypes; its leaves are floats [B, …], or an integer scalar."""
    mixer = build()
    start = jax.eval_shape(lambda: mixer.init_state(x.shape[0], x.shape[1]))
    y, after = jax.eval_shape(mixer, x, start)
    assert y.shape == x.shape, f"the output is {y.shape}, the input {x.shape}"
    assert jax.tree.structure(after) == jax.tree.structure(start), "the state changes its structure"
    for (path, before), leaf in zip(jax.tree_util.tree_leaves_with_path(start), jax.tree.leaves(after)):
        name = f"state leaf {jax.tree_util.keystr(path)}"
        assert leaf.shape == before.shape, f"{name} changes its shape from {before.shape} to {leaf.shape}"
        assert leaf.dtype == before.dtype, f"{name} changes its dtype from {before.dtype} to {leaf.dtype}"
        assert not leaf.shape or leaf.shape[0] == x.shape[0], (
            f"{name} {leaf.shape} does not begin with the batch"
        )
        floating = jnp.issubdtype(leaf.dtype, jnp.inexact)
        assert floating or not leaf.shape, f"{name} is of {leaf.dtype}, not of floats"


def bfloat16_runs(build: Build, x: jax.Array) -> None:
    """In bfloat16: parameters stay float32, the output is bfloat16, finite and near that of float32."""
    try:
        mixer = build(dtype=jnp.bfloat16)
    except TypeError as error:
        raise AssertionError(f"cannot be built with dtype=bfloat16: {error}") from error
    forward, params = functional(mixer)
    assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(params)), "parameters must stay float32"
    y, _ = forward(params, x, None)
    assert y.dtype == jnp.bfloat16, f"built with dtype=bfloat16, the output is {y.dtype}"
    exact, _ = functional(build())[0](params, x, None)
    y, exact = np.asarray(y, np.float32), np.asarray(exact)
    assert np.isfinite(y).all(), "the output is not finite in bfloat16"
    error = np.sqrt(np.mean((y - exact) ** 2) / np.mean(exact**2))
    assert error < 0.05, f"bfloat16 is off by {error:.0%} of the output's size"
    state = jax.eval_shape(lambda: mixer.init_state(x.shape[0], x.shape[1]))
    before = jax.tree.map(lambda leaf: leaf.dtype, state)
    after = jax.tree.map(lambda leaf: leaf.dtype, jax.eval_shape(mixer, x, state)[1])
    assert before == after, f"in bfloat16 the state changes its dtypes from {before} to {after}"


def assert_close(actual, expected, message: str, tolerance: float = 1e-4) -> None:
    difference = np.abs(np.asarray(actual) - np.asarray(expected)).max(initial=0)
    scale = 1 + np.abs(np.asarray(expected)).max(initial=0)
    assert difference <= tolerance * scale, f"{message}: by {difference:.1e}"  # NaN fails too


CHECKS: dict[str, Callable[[Build, jax.Array], None]] = {
    "causal": causal,
    "step_equals_parallel": step_equals_parallel,
    "pieces_equal_whole": pieces_equal_whole,
    "fresh_state_equals_none": fresh_state_equals_none,
    "gradients_reach_parameters": gradients_reach_parameters,
    "state_is_static": state_is_static,
    "bfloat16_runs": bfloat16_runs,
}


def option(text: str) -> tuple[str, object]:
    """`heads=2` -> ("heads", 2); what is no Python literal is text."""
    name, _, value = text.partition("=")
    try:
        return name, ast.literal_eval(value)
    except (ValueError, SyntaxError):
        return name, value


def refuse(message: str) -> int:
    print(message, file=sys.stderr)
    return 2


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m rnnbench.check", description="Check a mixer's promises.")
    parser.add_argument("mixer", help="a name in MIXERS or package.module:Name")
    parser.add_argument("options", nargs="*", type=option, metavar="option=value")
    parser.add_argument("--dim", type=int, default=16)
    parser.add_argument("--length", type=int, default=37)
    args = parser.parse_intermixed_args(arguments)
    if args.length < 4:
        return refuse(f"--length: must be at least 4; it is {args.length}")
    options = dict(args.options)

    def build(**more):
        return mixer_class(args.dim, rngs=nnx.Rngs(0), **options, **more)

    try:
        mixer_class = find(args.mixer)
        mixer = build()
        size = state_size(mixer, args.length)
    except ConfigError as error:
        return refuse(str(error))
    except Exception as error:  # whatever the code of a stranger raises
        return refuse(f"{args.mixer} cannot be built: {type(error).__name__}: {' '.join(str(error).split())}")
    print(f"{args.mixer}: {parameter_count(mixer)} parameters, state {size} at length {args.length}")
    x = jax.random.normal(jax.random.key(0), (2, args.length, args.dim))
    failed = 0
    for name, check in CHECKS.items():
        try:
            check(build, x)
            print(f"  ok    {name}")
        except Exception as error:  # a crash of a mixer is a failed check, not the end of the report
            failed += 1
            print(f"  FAIL  {name}: {error if isinstance(error, AssertionError) else repr(error)}")
    return 1 if failed else 0
