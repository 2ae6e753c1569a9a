"""Subjects from the trainer: a step, the sampling in it, and a population against single runs."""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from rnnbench import tasks
from rnnbench.bench.timing import STEPS_LONGER, Prepared, prepare
from rnnbench.config import InputError
from rnnbench.config.build import experiment
from rnnbench.train import population


@dataclass(frozen=True)
class Shape:
    """The sizes of a subject. Heads of an op have K = V = dim / heads."""

    length: int
    batch: int = 32
    dim: int = 64
    heads: int = 4
    layers: int = 2
    mlp_dim: int = 128
    dtype: str = "float32"

    def __post_init__(self):
        if self.dim % self.heads:
            raise InputError(f"--heads: must divide --dim={self.dim}; it is {self.heads}")


def config(preset: str, shape: Shape, task: str = "bit_parity", settings: Any = ()) -> ConfigDict:
    """The experiment whose step is timed: training and evaluation at one length, on one device.

    LRU has no MLP, as in the PyTorch original; its output is gated instead.
    """
    sizes = {
        "model.dim": shape.dim,
        "model.layers": shape.layers,
        "model.heads": shape.heads,
        "model.mlp_dim": 0 if preset == "lru" else shape.mlp_dim,
        "train.batch_size": shape.batch,
        "train.dtype": shape.dtype,
        "mesh.seed": 1,
        "mesh.data": 1,
    }
    lengths = {"task.train_lengths": (shape.length, shape.length), "eval.lengths": (shape.length,)}
    sizes |= {key: value for key, value in lengths.items() if key in tasks.options(task)}
    if bench := getattr(tasks.find(task), "bench", None):  # a task's own sizes for the bench
        sizes |= bench(shape.length)
    return experiment(task, f"{preset},bench", {"bench": sizes | dict(settings)})


def step(preset: str, shape: Shape, task: str = "bit_parity") -> Prepared:
    """The trainer's own chunk, sampling included; `run(n)` is one dispatch of n steps."""
    return chunk(population.prepare(config(preset, shape, task)))


def chunk(setup: population.Setup, runs: int = 1, steps: int = 1) -> Prepared:
    """The train chunk: `run(n)` advances each of `runs` runs by n · `steps` steps, in one dispatch."""

    def make_run(compiled: Any) -> Callable[[int], None]:
        states = [population.init_state(setup) for _ in range(runs)]

        def run(n: int) -> None:
            for i, state in enumerate(states):
                states[i], metrics = compiled(state, np.int32(n * steps))
                jax.block_until_ready((states[i], metrics))

        return run

    shapes = population.state_shapes(setup), np.int32(1)
    return dataclasses.replace(
        prepare(population.make_train_chunk(setup), shapes, make_run), longer=STEPS_LONGER
    )


def sampling(preset: str, shape: Shape, task: str) -> Prepared:
    """Only the sampling of a step's batch, n batches per dispatch as in the train chunk."""
    setup = population.prepare(config(preset, shape, task))
    case = setup.task.train_cases()[0][0]

    def draw(n: jax.Array) -> jax.Array:
        def body(step: jax.Array, total: jax.Array) -> jax.Array:
            keys = population.example_keys(setup, jax.random.key(0), step)
            batch = jax.vmap(lambda key: setup.task.sample(key, case))(keys)
            # The whole batch must be used, or the compiler would remove it.
            return total + sum(jnp.sum(part, dtype=jnp.int32) for part in batch)

        return jax.lax.fori_loop(0, n, body, jnp.zeros((), jnp.int32))

    make_run = lambda compiled: lambda n: jax.block_until_ready(compiled(np.int32(n)))
    return prepare(jax.jit(draw), (np.int32(1),), make_run)


def population_of(count: int, preset: str, shape: Shape, devices: int = 1) -> population.Setup:
    """Two learning rates × count / 2 seeds, shared by the devices."""
    settings = {"population.learning_rates": (1e-3, 3e-3), "population.seeds": tuple(range(count // 2))}
    return population.prepare(config(preset, shape, settings=settings | {"mesh.seed": devices}))


def members(count: int, preset: str, shape: Shape, devices: int = 1) -> Prepared:
    """Four steps of a population."""
    return chunk(population_of(count, preset, shape, devices), steps=4)


def runs(count: int, preset: str, shape: Shape) -> Prepared:
    """The same number of single runs in turn, four steps each; compiled once, as only running is compared."""
    return chunk(population.prepare(config(preset, shape)), runs=count, steps=4)


def tokens_of(preset: str, shape: Shape, length: int) -> Prepared:
    """Steps at `length` that together have the tokens of one step at the length of `shape`."""
    setup = population.prepare(config(preset, dataclasses.replace(shape, length=length)))
    # The memory that a dispatch maps grows with the length too, but is not part of the comparison.
    return dataclasses.replace(chunk(setup, steps=shape.length // length), longer=3 * STEPS_LONGER)
