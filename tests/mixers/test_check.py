"""The checks themselves: each catches the mixer that breaks its promise, and the command line reports it."""

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest
from external_task import Copy
from flax import nnx
from launched import environment

from rnnbench.check import main
from rnnbench.errors import ContractError
from rnnbench.mixers.contract import CHECKS


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


class OutputOnly(Good):
    def __call__(self, x, state=None):
        return super().__call__(x, state)[0]


class PlainArray(Good):
    def __init__(self, dim, *, rngs, dtype=jnp.float32):
        super().__init__(dim, rngs=rngs, dtype=dtype)
        self.gamma = jnp.ones(dim)


class Counter(Good):
    def __init__(self, dim, *, rngs, dtype=jnp.float32):
        super().__init__(dim, rngs=rngs, dtype=dtype)
        self.calls = nnx.BatchStat(jnp.zeros(()))


class OtherStructure(Good):
    def __call__(self, x, state=None):
        y, state = super().__call__(x, state)
        return y, {"total": state["sum"]}


class WrongShape(Good):
    def __call__(self, x, state=None):
        y, state = super().__call__(x, state)
        return y[:, :, :1], state


class MixesTheBatch(Good):
    """Each sequence is centred by the mean of the batch."""

    def scan(self, x, state):
        return super().scan(x - 0.1 * x.mean(axis=0, keepdims=True), state)


class TwoLeaves(Good):
    """y_t = W (x_{t-1} + Σ_{s≤t} x_s): carries the last input beside the sum."""

    def init_state(self, batch, max_length):
        return super().init_state(batch, max_length) | {"last": jnp.zeros((batch, self.dim))}

    def scan(self, x, state):
        start = self.init_state(x.shape[0], 0) if state is None else state
        total, after = super().scan(x, start)
        before = jnp.concatenate([start["last"][:, None], x[:, :-1].astype(jnp.float32)], axis=1)
        return total + before, after | {"last": x[:, -1].astype(jnp.float32)}


class IgnoresOneLeaf(TwoLeaves):
    def scan(self, x, state):
        start = self.init_state(x.shape[0], 0)
        return super().scan(x, start if state is None else state | {"last": start["last"]})


class WrongLeaf(TwoLeaves):
    """After a single token the sum is kept at nine tenths."""

    def scan(self, x, state):
        total, after = super().scan(x, state)
        return total, after | {"sum": after["sum"] * (0.9 if x.shape[1] == 1 else 1.0)}


class Packs(Good):
    """y_t = W Σ x_s over s from the last reset up to t on."""

    def __call__(self, x, state=None, reset=None):
        reset = jnp.zeros(x.shape[:2], bool) if reset is None else reset
        segment = jnp.cumsum(jnp.pad(reset, ((0, 0), (1, 0))), axis=1)
        before = self.init_state(x.shape[0], 0) if state is None else state
        x = jnp.concatenate([before["sum"][:, None], x.astype(jnp.float32)], axis=1)
        seen = jnp.tril(segment[:, :, None] == segment[:, None])
        total = jnp.einsum("bts,bsd->btd", seen.astype(jnp.float32), x)[:, 1:]
        return self.linear(total), {"sum": total[:, -1]}


class IgnoresResets(Packs):
    def __call__(self, x, state=None, reset=None):
        return super().__call__(x, state)


class CarriesTheOldState(Packs):
    """The outputs are right, the state after them is the sum of all sequences."""

    def __call__(self, x, state=None, reset=None):
        y, _ = super().__call__(x, state, reset)
        return y, super().__call__(x, state)[1]


class LosesAGradient(Packs):
    """Where there are resets, no gradient goes to the state before."""

    def __call__(self, x, state=None, reset=None):
        return super().__call__(x, state if reset is None else jax.lax.stop_gradient(state), reset)


@dataclass(frozen=True)
class TooLarge(Copy):
    """A task whose tokens are 1 to symbols."""

    def sample(self, key, case):
        batch = super().sample(key, case)
        return batch._replace(inputs=batch.inputs + 1)


HERE = r"test_check\.py:\d+: "
BROKEN = [
    (
        OutputOnly,
        "well_formed",
        HERE + r"__call__ with state=None returns y alone; it must return .*",
    ),
    (PlainArray, "well_formed", HERE + "self.gamma is a plain array; wrap it in nnx.Param"),
    (Counter, "well_formed", HERE + "self.calls is a BatchStat"),
    (OtherStructure, "well_formed", HERE + ".*'total'.*init_state one of .*'sum'"),
    (WrongShape, "well_formed", HERE + r"the output is of shape \(2, 10, 1\), the input of \(2, 10, 4\)"),
    (GrowingState, "well_formed", HERE + r"state\['sum'\] changes its shape"),
    (IntegerState, "well_formed", "not of floats"),
    (LooksAhead, "causal", "depends on the input at"),
    (NoMemory, "causal", "no memory"),
    (
        MixesTheBatch,
        "sequences_stay_apart",
        "mixes the batch: the output of one sequence depends",
    ),
    (Forgets, "step_equals_parallel", r"from step 1 on, by .*; __call__ ignores state\['sum'\]"),
    (IgnoresOneLeaf, "step_equals_parallel", r"from step 1 on, by .*; __call__ ignores state\['last'\]"),
    (WrongLeaf, "step_equals_parallel", r"from step 1 on.*; state\['sum'\] after 2 single steps is not"),
    (Forgets, "pieces_equal_whole", "started with no state and cut at 3, the output differs from the whole"),
    (LastChunkOnly, "pieces_equal_whole", "differs from the whole"),
    (IgnoresResets, "packed_equals_alone", "the output at 1 to 2 of sequence 0 differs"),
    (CarriesTheOldState, "packed_equals_alone", "the output at 7 to 9 of sequence 0 differs"),
    (LosesAGradient, "packed_equals_alone", "the gradient of .* differs"),
    (StartsElsewhere, "fresh_state_equals_none", "another output than state=None"),
    (DeadParameter, "gradients_reach_parameters", "no gradient reaches .*unused"),
    (InfiniteGradient, "gradients_reach_parameters", "not finite for .*scale"),
    (ForgetsItsDtype, "bfloat16_runs", "the output is float32"),
    (NoDtype, "bfloat16_runs", "cannot be built with dtype=bfloat16: .*unexpected keyword"),
]


def run(check, mixer_class):
    x = jax.random.normal(jax.random.key(0), (2, 10, 4))
    CHECKS[check](lambda **options: mixer_class(4, rngs=nnx.Rngs(0), **options), x)


@pytest.mark.parametrize("kind", [Good, TwoLeaves, Packs])
@pytest.mark.parametrize("check", CHECKS)
def test_passes_a_good_mixer(check, kind):
    run(check, kind)


@pytest.mark.parametrize(
    "mixer_class, check, message", BROKEN, ids=[f"{c}-{m.__name__}" for m, c, _ in BROKEN]
)
def test_catches_a_broken_mixer(mixer_class, check, message):
    with pytest.raises(ContractError, match=message):
        run(check, mixer_class)


def test_every_check_catches_something():
    assert {check for _, check, _ in BROKEN} == set(CHECKS)


def test_command_line(capsys):
    assert main(["lstm", "--dim", "4", "--length", "9", "forget_bias=0.5"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "lstm: 144 parameters, state 8 at length 9"
    assert [line.split() for line in lines[1:]] == [["ok", name] for name in [*CHECKS, "trains"]]

    assert main([f"{__name__}:Good", "--dim", "4", "--length", "9"]) == 0
    assert "  skip  packed_equals_alone: __call__ takes no reset\n" in capsys.readouterr().out

    assert main([f"{__name__}:OutputOnly", "--dim", "4", "--length", "9"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert "FAIL  well_formed: test_check.py:" in lines[1] and len(lines) == 3

    assert main(["gpt", "--dim", "6", "heads=4"]) == 2
    assert capsys.readouterr().err.startswith("--config.model.heads: dim 6 is not divisible by 4 heads")


def test_it_checks_without_asserts_too():
    tests = Path(__file__).parents[1]
    command = [sys.executable, "-O", "-m", "rnnbench.check", f"{__name__}:Forgets", "--dim=4", "--length=9"]
    paths = os.pathsep.join(map(str, [tests.parent, tests, Path(__file__).parent]))
    done = subprocess.run(command, env=environment(PYTHONPATH=paths), capture_output=True, text=True)
    assert done.returncode == 1, done.stdout + done.stderr
    assert re.findall("FAIL  ([a-z_]+)", done.stdout) == ["step_equals_parallel", "pieces_equal_whole"]


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["lstm", "--length", "3"], "--length: must be at least 4; it is 3"),
        (["lstm", "gates=4"], "--config.model.options.gates: there is no such key"),
        (
            ["lstm", "forget_bias=high"],
            "options.forget_bias: 'high' is not of the type of 1.0",
        ),
        (["lsmt"], "unknown model 'lsmt'; choose one of: .*lstm"),
        ([f"{__name__}:NoState"], "NoState cannot be built: AttributeError: .*init_state"),
        (["no_such_file:Mixer"], "'no_such_file:Mixer' cannot be imported"),
        (["dyck", "depth=0"], "--config.task.depth: must be"),
    ],
)
def test_what_cannot_be_checked_is_one_line(arguments, message, capsys):
    assert main(arguments) == 2
    printed = capsys.readouterr()
    assert printed.out == "" and printed.err.count("\n") == 1 and re.search(message, printed.err)


def test_a_task_on_the_command_line(capsys):
    assert main(["external_task:Copy", "symbols=5"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines == ["external_task:Copy: 5 tokens, 5 classes, 2 cases", "  ok    draws"]
    assert main([f"{__name__}:TooLarge"]) == 1
    assert (
        "FAIL  draws: samples tokens such as 4 for {'length': 8}; they must be 0 to 3"
        in capsys.readouterr().out
    )
