"""The subjects of the bench: ops, mixers and whole train steps, by their names on the command line."""

import dataclasses
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from rnnbench import mixers
from rnnbench.bench import trainer
from rnnbench.bench.timing import OPS_LONGER, Prepared, prepare, repeat, repeated
from rnnbench.bench.trainer import Shape
from rnnbench.config import InputError
from rnnbench.mixers import PRESETS
from rnnbench.ops.block_scan import block_scan
from rnnbench.ops.delta_rule import delta_rule, generalised_delta_rule
from rnnbench.ops.linear_attention import linear_attention
from rnnbench.ops.linear_scan import linear_scan
from rnnbench.ops.max_plus import max_plus
from rnnbench.ops.recurrent import recurrent
from rnnbench.ops.selective_scan import selective_scan
from rnnbench.train import population

STATES = 16  # N of the selective scan, Mamba's own
STEPS, BLOCK = 2, 4  # DeltaProduct's steps per token and SLiCE's block, those of their presets


@dataclass(frozen=True)
class Subject:
    """Something to time: `prepare(kind, shape)` compiles it.

    kinds: forward, gradient (with its forward pass), step.
    """

    name: str
    kinds: tuple[str, ...]
    prepare: Callable[[str, Shape], Prepared]


def _random_walks(key: jax.Array, s: Shape) -> tuple[jax.Array, ...]:
    a, b = _normal(key, 2, s.batch, s.length, s.dim)
    return jax.nn.sigmoid(a), b


def _stabiliser(key: jax.Array, s: Shape) -> tuple[jax.Array, ...]:
    a, b = _normal(key, 2, s.batch, s.length, s.heads)
    return jax.nn.log_sigmoid(a), b


def _selective(key: jax.Array, s: Shape) -> tuple[jax.Array, ...]:
    u, delta = _normal(key, 2, s.batch, s.length, s.dim)
    B, C = _normal(jax.random.fold_in(key, 1), 2, s.batch, s.length, STATES)
    A = -jnp.broadcast_to(jnp.arange(1.0, STATES + 1)[None], (s.dim, STATES))
    return u, jax.nn.softplus(delta), A, B, C, jnp.ones(s.dim)


def _attention(key: jax.Array, s: Shape) -> tuple[jax.Array, ...]:
    return tuple(_normal(key, 3, s.batch, s.length, s.heads, s.dim // s.heads))


def _delta(key: jax.Array, s: Shape) -> tuple[jax.Array, ...]:
    q, k, v = _attention(key, s)
    beta = jax.nn.sigmoid(_normal(jax.random.fold_in(key, 1), s.batch, s.length, s.heads))
    return q, k / jnp.linalg.norm(k, axis=-1, keepdims=True), v, beta


def _with_decay(inputs: Any, per_channel: bool) -> Any:
    """The inputs, and a log-decay per head or per key channel after them."""

    def drawn(key: jax.Array, s: Shape) -> tuple[jax.Array, ...]:
        q, *rest = inputs(key, s)
        shape = q.shape if per_channel else q.shape[:-1]
        return q, *rest, jax.nn.log_sigmoid(3 + _normal(jax.random.fold_in(key, 3), *shape))

    return drawn


def _steps(key: jax.Array, s: Shape) -> tuple[jax.Array, ...]:
    q, *_ = _attention(key, s)
    k, v = _normal(jax.random.fold_in(key, 2), 2, s.batch, s.length, s.heads, STEPS, s.dim // s.heads)
    k = k / jnp.linalg.norm(k, axis=-1, keepdims=True)
    return q, k, k, v


def _blocks(key: jax.Array, s: Shape) -> tuple[jax.Array, ...]:
    shape = (s.batch, s.length, max(1, s.dim // BLOCK), BLOCK)
    A = 0.5 * BLOCK**-0.5 * _normal(key, *shape, BLOCK)
    return A, _normal(jax.random.fold_in(key, 1), *shape)


def _tanh_cell(key: jax.Array, s: Shape) -> tuple[jax.Array, ...]:
    kernel = _normal(key, s.dim, s.dim) * s.dim**-0.5
    x = _normal(jax.random.fold_in(key, 1), s.batch, s.length, s.dim)
    return kernel, x, jnp.zeros((s.batch, s.dim))


def _tanh_rnn(
    kernel: jax.Array, x: jax.Array, state: jax.Array, **options: Any
) -> tuple[jax.Array, jax.Array]:
    def cell(kernel: jax.Array, h: jax.Array, x_t: jax.Array) -> tuple[jax.Array, jax.Array]:
        h = jnp.tanh(x_t + h @ kernel)
        return h, h

    return recurrent(cell, kernel, x, state, **options)


def _normal(key: jax.Array, *shape: int) -> jax.Array:
    return jax.random.normal(key, shape)


# name -> (function, its random inputs, the function whose options it takes).
OPS: dict[str, tuple[Any, Any, Any]] = {
    "linear_scan": (linear_scan, _random_walks, linear_scan),
    "selective_scan": (selective_scan, _selective, selective_scan),
    "max_plus": (max_plus, _stabiliser, max_plus),
    "linear_attention": (linear_attention, _attention, linear_attention),
    "gated_linear_attention": (linear_attention, _with_decay(_attention, per_channel=True), linear_attention),
    "delta_rule": (delta_rule, _delta, delta_rule),
    "gated_delta_rule": (delta_rule, _with_decay(_delta, per_channel=False), delta_rule),
    "channel_gated_delta_rule": (delta_rule, _with_decay(_delta, per_channel=True), delta_rule),
    "generalised_delta_rule": (generalised_delta_rule, _steps, generalised_delta_rule),
    "block_scan": (block_scan, _blocks, block_scan),
    "recurrent": (_tanh_rnn, _tanh_cell, recurrent),
}


def parse(name: str, shape: Shape) -> Subject:
    """`op[:impl[:chunk]]`, `mixer:preset` or `step:preset`; InputError for anything else."""
    head, *rest = name.split(":")
    if head in ("mixer", "step"):
        if len(rest) != 1 or rest[0] not in PRESETS:
            raise InputError(f"{name!r}: unknown preset; choose one of: {' '.join(PRESETS)}")
        if head == "mixer" and PRESETS[rest[0]].pattern:
            raise InputError(f"{name!r}: a hybrid has several mixers; time its parts, or step:{rest[0]}")
        population.prepare(trainer.config(rest[0], shape))  # refused here, before anything is compiled
        if head == "step":
            return Subject(name, ("step",), lambda _, shape: trainer.step(rest[0], shape))
        return Subject(name, ("forward", "gradient"), lambda kind, shape: mixer(rest[0], kind, shape))
    if head not in OPS:
        known = f"{' '.join(OPS)}, mixer:PRESET or step:PRESET"
        raise InputError(f"{name!r}: unknown op; choose one of: {known}")
    options = _options(name, head, rest)
    return Subject(name, ("forward", "gradient"), lambda kind, shape: op(head, options, kind, shape))


def _options(name: str, head: str, rest: list[str]) -> dict[str, Any]:
    """The keywords of an op's `:impl:chunk`, traced on shapes so that a bad one is refused at once."""
    function, inputs, signature = OPS[head]
    options: dict[str, Any] = {"impl": rest[0]} if rest and rest[0] else {}
    if len(rest) > 1:
        if "chunk" not in inspect.signature(signature).parameters:
            raise InputError(f"{name!r}: {head} has no chunks")
        if len(rest) > 2 or not rest[1].isdecimal():
            raise InputError(f"{name!r}: must read op[:impl[:chunk]], the chunk a number")
        options["chunk"] = int(rest[1])
    tiny = Shape(2, batch=1, dim=2, heads=1)
    try:
        jax.eval_shape(lambda: function(*inputs(jax.random.key(0), tiny), **options))
    except ValueError as error:
        raise InputError(f"{name!r}: {error}") from None
    return options


def op(name: str, options: dict[str, Any], kind: str, shape: Shape) -> Prepared:
    """An op on random inputs."""
    function, inputs, _ = OPS[name]
    return run_jax(lambda *inputs: function(*inputs, **options), inputs, kind, shape)


def mixer(preset: str, kind: str, shape: Shape) -> Prepared:
    """One mixer of a preset, its parameters among the inputs."""
    settings = trainer.config(preset, shape).model
    dtype = jnp.dtype(shape.dtype)
    build = lambda key: mixers.build(settings, dtype, nnx.Rngs(key))
    graphdef = nnx.graphdef(nnx.eval_shape(lambda: build(jax.random.key(0))))

    def inputs(key: jax.Array, s: Shape) -> tuple[Any, jax.Array]:
        params = nnx.to_pure_dict(nnx.state(build(key), nnx.Param))
        return params, _normal(key, s.batch, s.length, s.dim)

    return run_jax(lambda params, x: nnx.merge(graphdef, params)(x), inputs, kind, shape)


def run_jax(fn: Any, inputs: Any, kind: str, shape: Shape) -> Prepared:
    """fn(*inputs) -> (y, state), forward only, or with the gradients of all inputs for a random dy."""
    # Parameters and states stay in float32.
    cast = lambda x: x.astype(shape.dtype) if x.ndim > 2 else x

    def make_inputs(key: jax.Array) -> tuple[Any, ...]:
        drawn = jax.tree.map(cast, inputs(key, shape))
        if kind == "forward":
            return drawn
        y = jax.eval_shape(lambda drawn: fn(*drawn)[0], drawn)
        return *drawn, jax.random.normal(jax.random.fold_in(key, 2), y.shape, y.dtype)

    def with_gradient(*inputs: Any) -> tuple[Any, Any]:
        y, pull = jax.vjp(lambda *inputs: fn(*inputs)[0], *inputs[:-1])
        return y, pull(inputs[-1])

    shapes = jax.eval_shape(make_inputs, jax.random.key(0))
    program = repeated(fn if kind == "forward" else with_gradient)
    run = lambda compiled: repeat(compiled, jax.jit(make_inputs)(jax.random.key(0)))
    return dataclasses.replace(prepare(program, (np.int32(1), *shapes), run), longer=OPS_LONGER)
