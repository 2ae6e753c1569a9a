"""A population of members: its initial state, its training data, and K steps of all members per dispatch.

Pure functions of a `Setup`; `run.py` runs them.
"""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import flax
import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from ml_collections import ConfigDict

from rnnbench import model, tasks
from rnnbench.config.build import validate
from rnnbench.parallel import mesh as meshes
from rnnbench.store.rows import case_name
from rnnbench.tasks.contract import Case
from rnnbench.tasks.draw import shuffled_index
from rnnbench.train import evaluate, optim, state_passing
from rnnbench.train.step import EXAMPLES, INIT, Member, Setup, train_step


@flax.struct.dataclass
class TrainState:
    """The whole population at one step."""

    step: jax.Array
    members: Member


def prepare(config: ConfigDict) -> Setup:
    """Checks everything that can be checked without compiling; raises ConfigError."""
    validate(config)
    task = tasks.build(config)
    model.check_split(config, task)
    state_passing.check(config, task)
    make = model.build(config, task)
    members = len(config.population.learning_rates) * len(config.population.seeds)
    mesh = meshes.make_mesh(config.mesh, members, config.train.batch_size // config.train.accumulate)
    mode = meshes.members_mode(config.mesh)
    return Setup(config, task, make, optim.optimizer(config.optim), mesh, mode)


def init_state(setup: Setup) -> TrainState:
    """The population before its first step. A member depends on its seed, not on its place in the grid."""
    init, grid = _start(setup)
    places = _places(setup, jax.eval_shape(init, grid))
    members = jax.jit(init, out_shardings=places, compiler_options=meshes.quickly(0))(grid)
    return TrainState(jax.device_put(jnp.zeros((), jnp.int32), meshes.everywhere(setup.mesh)), members)


def state_shapes(setup: Setup) -> TrainState:
    """The population as shapes with shardings, into which a checkpoint is restored."""
    placed = lambda leaf, place: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=place)
    members = jax.eval_shape(*_start(setup))
    everywhere = meshes.everywhere(setup.mesh)
    members = jax.tree.map(placed, members, _places(setup, members))
    return TrainState(jax.ShapeDtypeStruct((), jnp.int32, sharding=everywhere), members)


def _places(setup: Setup, members: Member) -> Member:
    """Shardings of the members' leaves: split by member; sequence states are split by batch as well.

    With mesh.params=sharded, parameters and optimiser state are split over the devices of the batch.
    """
    by_member, by_batch = meshes.by_member(setup.mesh), meshes.by_member_and_batch(setup.mesh)
    places = jax.tree.map(lambda _: by_member, members)
    carried = jax.tree.map(lambda leaf: by_batch if leaf.ndim > 1 else by_member, members.carried)
    places = places.replace(carried=carried)
    if setup.config.mesh.params == "replicated":
        return places
    parts = lambda tree: jax.tree.map(lambda x: meshes.by_member_in_parts(setup.mesh, x.shape), tree)
    return places.replace(params=parts(members.params), opt_state=parts(members.opt_state))


def _start(setup: Setup) -> tuple[Any, dict[str, jax.Array]]:
    """The function that initialises the members, and its arguments: the key and learning rate of each."""

    def init(member: dict[str, jax.Array], _: Any) -> Member:
        built = setup.make(jax.random.fold_in(member["key"], INIT))
        params = nnx.to_pure_dict(nnx.state(built, nnx.Param))
        carried = state_passing.fresh_state(built, setup.config, setup.task)
        no = jnp.zeros((), bool)
        return Member(params, setup.tx.init(params), member["key"], member["learning_rate"], no, carried)

    names = setup.member_names()
    grid = {
        "key": jax.vmap(jax.random.key)(jnp.array([name["seed"] for name in names], jnp.uint32)),
        "learning_rate": jnp.array([name["learning_rate"] for name in names], jnp.float32),
    }
    population = meshes.over_members(init, setup.mesh, "map")
    return lambda grid: population(grid, ()), grid


def example_keys(setup: Setup, key: jax.Array, step: jax.Array) -> jax.Array:
    """The keys [B] of the sequences of the step-th batch: fresh ones, or those of a finite training set."""
    batch, size = setup.config.train.batch_size, setup.config.task.examples
    if not size:
        return jax.random.split(jax.random.fold_in(key, step), batch)
    examples = jax.random.fold_in(key, EXAMPLES)
    visits = step * batch + jnp.arange(batch, dtype=jnp.int32)
    index = jax.vmap(lambda visit: shuffled_index(examples, visit, size))(visits)
    return jax.vmap(lambda i: jax.random.fold_in(examples, i + jnp.uint32(1 << 31)))(index)


def make_train_chunk(setup: Setup) -> Any:
    """jitted (state, n) -> (state after n steps, metrics [members] averaged over them); the state is donated.

    Loss and accuracy are averaged over the steps that have targets.

    n is traced, so that one compilation serves chunks of any length.
    """

    def chunk_of_member(
        member: Member, shared: tuple[jax.Array, jax.Array]
    ) -> tuple[Member, dict[str, jax.Array]]:
        start, n = shared

        def body(i: jax.Array, carry: Any) -> Any:
            (member, totals), step = carry, start + i
            keys = example_keys(setup, member.key, step // setup.config.train.windows)
            member, metrics = train_step(setup, member, keys, step)
            return member, jax.tree.map(jnp.add, totals, metrics)

        zero = {
            name: jnp.zeros((), jnp.float32) for name in ("loss", "accuracy", "tokens", "asks", "grad_norm")
        }
        member, totals = jax.lax.fori_loop(0, n, body, (member, zero))
        asking = jnp.maximum(totals.pop("asks"), 1)
        steps = {name: asking if name in ("loss", "accuracy") else n for name in totals}
        return member, {name: total / steps[name] for name, total in totals.items()}

    population = meshes.over_members(chunk_of_member, setup.mesh, setup.mode)

    def train_chunk(state: TrainState, n: jax.Array) -> tuple[TrainState, dict[str, jax.Array]]:
        members, metrics = population(state.members, (state.step, n))
        metrics["diverged"] = members.diverged
        return TrainState(state.step + n, members), metrics

    places = TrainState(meshes.everywhere(setup.mesh), _places(setup, jax.eval_shape(*_start(setup))))
    return jax.jit(train_chunk, donate_argnums=0, out_shardings=(places, meshes.readable(setup.mesh)))


def compile_all(setup: Setup, state: TrainState) -> tuple[Any, dict[str, evaluate.Evaluate]]:
    """The train chunk and one evaluator per case, compiled in parallel: one compilation leaves cores idle.

    A run that is evaluated only at its end pads its cases, so that they share programs.
    """
    config, cases = setup.config, setup.task.cases()
    how = dict(batches=config.eval.batches, batch_size=config.train.batch_size)
    most = 0 if config.eval.every else evaluate.PADDING // (how["batches"] * how["batch_size"])
    how |= dict(mesh=setup.mesh, mode=setup.mode, params=state.members.params)
    groups: dict[int, list[Case]] = {}
    for case, length in zip(cases, evaluate.padded_lengths(cases, most), strict=True):
        groups.setdefault(length, []).append(case)

    def evaluators(length: int) -> dict[str, evaluate.Evaluate]:
        made = evaluate.make_evaluators(setup.task, setup.apply, groups[length], length=length, **how)
        return dict(zip(map(case_name, groups[length]), made, strict=True))

    with ThreadPoolExecutor(max_workers=2) as pool:
        chunk = pool.submit(lambda: make_train_chunk(setup).lower(state, np.int32(1)).compile())
        found = [pool.submit(evaluators, length) for length in groups]
        by_case = {name: made for job in found for name, made in job.result().items()}
        return chunk.result(), {case_name(case): by_case[case_name(case)] for case in cases}
