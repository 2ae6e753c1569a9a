"""The checks themselves: each catches the mixer that breaks its promise, and the command line reports it."""

import re

import jax
import jax.numpy as jnp
import pytest
from flax import nnx

from rnnbench.mixers.contract import CHECKS, main


class Good(nnx.Module):
    """y_t = W Σ_{s≤t} x_s: keeps every promise; each broken mixer below differs from it in one place."""

    def __init__(self, dim, *, rngs, dtype=jnp.float32):
        self.dim, self.dtype = dim, dtype
        self.linear = nnx.Linear(dim, dim, dtype=dtype, rngs=rngs)

    def init_state(self, batch, max_length):
        return {"sum": jnp.zeros((batch, self.dim))}

    def scan(self, x, state):
        start = self.init_state(x.shape[0], 0) if state is None else state
        total = start["sum"][:, None] + jnp.cumsum(x.astype(jnp.float32), axis=1)
        return total, {"sum": total[:, -1]}

    def __call__(self, x, state=None):
        total, state = self.scan(x, state)
        return self.linear(total), state


class LooksAhead(Good):
    def __call__(self, x, state=None):
        y, state = super().__call__(x, state)
        return y + 1e-3 * jnp.roll(y, -1, axis=1), state


class Forgets(Good):
    def __call__(self, x, state=None):
        return super().__call__(x, None)


class NoMemory(Good):
    def __call__(self, x, state=None):
        return self.linear(x), self.init_state(x.shape[0], 0)


class StartsElsewhere(Good):
    def init_state(self, batch, max_length):
        return {"sum": jnp.full((batch, self.dim), 0.1)}

    def scan(self, x, state):
        return super().scan(x, state or {"sum": jnp.zeros((x.shape[0], self.dim))})


class LastChunkOnly(Good):
    """Right in one piece, wrong in pieces that do not begin at a multiple of 4."""

    def scan(self, x, state):
        total, state = super().scan(x, state)
        whole = total.shape[1] // 4 * 4
        return total, {"sum": total[:, max(whole - 1, 0)]}


class DeadParameter(Good):
    def __init__(self, dim, *, rngs, dtype=jnp.float32):
        super().__init__(dim, rngs=rngs, dtype=dtype)
        self.unused = nnx.Param(jnp.ones(dim))


class InfiniteGradient(Good):
    def __init__(self, dim, *, rngs, dtype=jnp.float32):
        super().__init__(dim, rngs=rngs, dtype=dtype)
        self.scale = nnx.Param(jnp.zeros(dim))

    def __call__(self, x, state=None):
        y, state = super().__call__(x, state)
        return y + jnp.sqrt(self.scale[...])[None, None], state


class GrowingState(Good):
    def __call__(self, x, state=None):
        y, state = super().__call__(x, None if state is None else state)
        return y, {"sum": jnp.tile(state["sum"], (1, 2))}


class IntegerState(Good):
    def init_state(self, batch, max_length):
        return {"sum": jnp.zeros((batch, self.dim), jnp.int32)}

    def __call__(self, x, state=None):
        y, state = super().__call__(x, state)
        return y, jax.tree.map(lambda leaf: leaf.astype(jnp.int32), state)


class ForgetsItsDtype(Good):
    def __call__(self, x, state=None):
        y, state = super().__call__(x, state)
        return y.astype(jnp.float32), state


class NoDtype(Good):
    def __init__(self, dim, *, rngs):
        super().__init__(dim, rngs=rngs)


class NoState(nnx.Module):
    def __init__(self, dim, *, rngs):
        self.linear = nnx.Linear(dim, dim, rngs=rngs)


BROKEN = [
    (LooksAhead, "causal", "depends on the input at"),
    (NoMemory, "causal", "no memory"),
    (Forgets, "step_equals_parallel", "stepping token by token"),
    (Forgets, "pieces_equal_whole", "differ from the whole"),
    (LastChunkOnly, "pieces_equal_whole", "differ from the whole"),
    (StartsElsewhere, "fresh_state_equals_none", "another output than state=None"),
    (DeadParameter, "gradients_reach_parameters", "no gradient reaches .*unused"),
    (InfiniteGradient, "gradients_reach_parameters", "not finite for .*scale"),
    (GrowingState, "state_is_static", "changes its shape"),
    (IntegerState, "state_is_static", "not of floats"),
    (ForgetsItsDtype, "bfloat16_runs", "the output is float32"),
    (NoDtype, "bfloat16_runs", "cannot be built with dtype=bfloat16: .*unexpected keyword"),
]


def run(check, mixer_class):
    x = jax.random.normal(jax.random.key(0), (2, 10, 4))
    CHECKS[check](lambda **options: mixer_class(4, rngs=nnx.Rngs(0), **options), x)


@pytest.mark.parametrize("check", CHECKS)
def test_passes_a_good_mixer(check):
    run(check, Good)


@pytest.mark.parametrize(
    "mixer_class, check, message", BROKEN, ids=[f"{c}-{m.__name__}" for m, c, _ in BROKEN]
)
def test_catches_a_broken_mixer(mixer_class, check, message):
    with pytest.raises(AssertionError, match=message):
        run(check, mixer_class)


def test_every_check_catches_something():
    assert {check for _, check, _ in BROKEN} == set(CHECKS)


def test_command_line(capsys):
    assert main(["lstm", "--dim", "4", "--length", "9", "forget_bias=0.5"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "lstm: 144 parameters, state 8 at length 9"
    assert [line.split() for line in lines[1:]] == [["ok", name] for name in CHECKS]

    assert main([f"{__name__}:Forgets", "--dim", "4", "--length", "9"]) == 1
    assert "FAIL  step_equals_parallel: stepping token by token" in capsys.readouterr().out

    assert main(["attention", "--dim", "6", "heads=4"]) == 2
    assert capsys.readouterr().err.startswith("--config.model.heads: dim 6 is not divisible by 4 heads")


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["lstm", "--length", "3"], "--length: must be at least 4; it is 3"),
        (["lstm", "gates=4"], "lstm cannot be built: TypeError: .*gates"),
        ([f"{__name__}:NoState"], "NoState cannot be built: AttributeError: .*init_state"),
        (["no_such_file:Mixer"], "'no_such_file:Mixer' cannot be imported"),
    ],
)
def test_what_cannot_be_checked_is_one_line(arguments, message, capsys):
    assert main(arguments) == 2
    printed = capsys.readouterr()
    assert printed.out == "" and printed.err.count("\n") == 1 and re.search(message, printed.err)
