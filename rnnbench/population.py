"""A population of members: how it starts, one train step of a member, K steps of all members per dispatch.

Pure functions of a `Setup`; `train.py` runs them.
"""

from dataclasses import dataclass
from typing import Any

import flax
import jax
import jax.numpy as jnp
import optax
from flax import nnx
from jax.sharding import Mesh
from ml_collections import ConfigDict

from rnnbench import distributed, model, optim, tasks
from rnnbench.config import validate
from rnnbench.tasks.base import Batch, supervised_positions
from rnnbench.tasks.examples import shuffled_index

# A member's streams of randomness beside its data, which come from fold_in(member_key, step), far lower.
INIT, EXAMPLES, DROPOUT = 0xFFFFFFFF, 0xFFFFFFFE, 0xFFFFFFFD


@flax.struct.dataclass
class Member:
    """One (learning rate, seed). In a `TrainState` every leaf has a leading member axis."""

    params: Any
    opt_state: Any
    key: jax.Array
    learning_rate: jax.Array
    diverged: jax.Array


@flax.struct.dataclass
class TrainState:
    """The whole population at one step."""

    step: jax.Array
    members: Member


@dataclass(frozen=True)
class Setup:
    """What a config means, before anything is compiled."""

    config: ConfigDict
    task: Any
    make: Any  # key -> SequenceModel
    graphdef: Any
    tx: optax.GradientTransformation
    mesh: Mesh
    mode: str  # how a device runs its members: map | vmap

    def member_names(self) -> list[dict[str, Any]]:
        """The members in their order on the member axis."""
        population = self.config.population
        return [dict(seed=s, learning_rate=r) for r in population.learning_rates for s in population.seeds]

    def apply(self, params: Any, tokens: jax.Array, **how: Any) -> jax.Array:
        """Logits of the model with these parameters."""
        return nnx.merge(self.graphdef, params)(tokens, **how)[0]


def prepare(config: ConfigDict) -> Setup:
    """Checks everything that can be checked without compiling; raises ConfigError."""
    validate(config)
    task = tasks.build(config)
    model.check_split(config, task)
    make = model.build(config, task)
    graphdef = nnx.graphdef(nnx.eval_shape(lambda: make(jax.random.key(0))))
    members = len(config.population.learning_rates) * len(config.population.seeds)
    mesh = distributed.make_mesh(config.mesh, members, config.train.batch_size // config.train.accumulate)
    mode = distributed.members_mode(config.mesh)
    return Setup(config, task, make, graphdef, optim.optimizer(config.optim), mesh, mode)


def init_state(setup: Setup) -> TrainState:
    """The population before its first step. A member depends on its seed, not on its place in the grid."""
    init, grid = _start(setup)
    # Run once: on CPU not worth the compiler's time.
    quick = {"xla_backend_optimization_level": 0} if jax.default_backend() == "cpu" else None
    members = jax.jit(init, out_shardings=distributed.by_member(setup.mesh), compiler_options=quick)(grid)
    return TrainState(jax.device_put(jnp.zeros((), jnp.int32), distributed.everywhere(setup.mesh)), members)


def state_shapes(setup: Setup) -> TrainState:
    """The population as shapes with their places on the mesh: what a checkpoint is restored into."""
    by_member, everywhere = distributed.by_member(setup.mesh), distributed.everywhere(setup.mesh)
    place = lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=by_member)
    members = jax.tree.map(place, jax.eval_shape(*_start(setup)))
    return TrainState(jax.ShapeDtypeStruct((), jnp.int32, sharding=everywhere), members)


def _start(setup: Setup) -> tuple[Any, dict[str, jax.Array]]:
    """A function that makes the members, and what it takes: the key and learning rate of each."""

    def init(member: dict[str, jax.Array], _: Any) -> Member:
        built = setup.make(jax.random.fold_in(member["key"], INIT))
        params = nnx.to_pure_dict(nnx.state(built, nnx.Param))
        return Member(
            params, setup.tx.init(params), member["key"], member["learning_rate"], jnp.zeros((), bool)
        )

    names = setup.member_names()
    grid = {
        "key": jax.vmap(jax.random.key)(jnp.array([name["seed"] for name in names], jnp.uint32)),
        "learning_rate": jnp.array([name["learning_rate"] for name in names], jnp.float32),
    }
    population = distributed.over_members(init, setup.mesh, "map")
    return lambda grid: population(grid, ()), grid


def example_keys(setup: Setup, key: jax.Array, step: jax.Array) -> jax.Array:
    """The keys [B] of a step's sequences: fresh ones, or those of a finite training set."""
    batch, size = setup.config.train.batch_size, setup.config.task.examples
    if not size:
        return jax.random.split(jax.random.fold_in(key, step), batch)
    examples = jax.random.fold_in(key, EXAMPLES)
    visits = step * batch + jnp.arange(batch)
    index = jax.vmap(lambda visit: shuffled_index(examples, visit, size))(visits)
    return jax.vmap(lambda i: jax.random.fold_in(examples, i + jnp.uint32(1 << 31)))(index)


def asked(batch: Batch, most: int) -> tuple[Batch, jax.Array | None]:
    """The batch with targets and mask [B, most] at its supervised positions only, and those positions.

    Where more than half of the positions may be supervised it stays as it is, with None for the positions:
    logits everywhere are then cheaper than picking.
    """
    if 2 * most > batch.mask.shape[1]:
        return batch, None
    positions, mask = jax.vmap(lambda mask: supervised_positions(mask, most))(batch.mask)
    return Batch(batch.inputs, jnp.take_along_axis(batch.targets, positions, axis=1), mask), positions


def loss_sum(
    setup: Setup, params: Any, batch: Batch, positions: jax.Array | None, dropout_key: jax.Array | None
) -> tuple[Any, jax.Array]:
    """Cross-entropy and right answers, both summed over the supervised positions."""
    axis_name = distributed.time_axis(setup.mesh)
    logits = setup.apply(
        params, batch.inputs, positions=positions, dropout_key=dropout_key, axis_name=axis_name
    )
    losses = optax.softmax_cross_entropy_with_integer_labels(logits, batch.targets)
    correct = (logits.argmax(-1) == batch.targets) & batch.mask
    return jnp.where(batch.mask, losses, 0.0).sum(), correct.sum()


def gradient(setup: Setup, case: Any, member: Member, step: jax.Array) -> tuple[Any, dict[str, jax.Array]]:
    """Gradient of the mean loss over a batch of a training case, summed over `train.accumulate` pieces."""
    pieces = setup.config.train.accumulate
    keys = distributed.shard_batch(example_keys(setup, member.key, step))
    batch = distributed.shard_batch(jax.vmap(lambda key: setup.task.sample(key, case))(keys))
    count = jnp.maximum(batch.mask.sum(), 1).astype(jnp.float32)
    dropout_keys = jax.random.split(jax.random.fold_in(jax.random.fold_in(member.key, step), DROPOUT), pieces)
    training = setup.config.model.dropout > 0
    tokens = jnp.asarray(batch.inputs.size, jnp.float32)
    axis_name = distributed.time_axis(setup.mesh)
    data = asked(distributed.part_of_time(batch, axis_name), setup.task.supervised(case))

    def piece(batch: Batch, positions: jax.Array | None, dropout_key: jax.Array) -> Any:
        loss = lambda params: loss_sum(setup, params, batch, positions, dropout_key if training else None)
        (loss, correct), grads = jax.value_and_grad(loss, has_aux=True)(member.params)
        return jax.tree.map(lambda g: g / count, grads), loss / count, correct / count

    if pieces == 1:
        grads, loss, accuracy = piece(*data, dropout_keys[0])
    else:
        cut = jax.tree.map(lambda x: jnp.moveaxis(x.reshape(-1, pieces, *x.shape[1:]), 1, 0), data)
        first = jax.tree.map(lambda x: x[0], cut)
        zero = jax.tree.map(jnp.zeros_like, jax.eval_shape(piece, *first, dropout_keys[0]))
        add = lambda total, part: (jax.tree.map(jnp.add, total, piece(*part[0], part[1])), None)
        (grads, loss, accuracy), _ = jax.lax.scan(add, zero, (cut, dropout_keys))
    grads, loss, accuracy = distributed.sum_over_time((grads, loss, accuracy), axis_name)
    return grads, {"loss": loss, "accuracy": accuracy, "tokens": tokens}


def train_step(setup: Setup, member: Member, step: jax.Array) -> tuple[Member, dict[str, jax.Array]]:
    """One optimiser step of a member. One whose loss or gradient is not finite stays as it was, for good."""
    cases = setup.task.train_cases()
    branches = [lambda m, case=case: gradient(setup, case, m, step) for case, _ in cases]
    if len(branches) == 1:
        grads, metrics = branches[0](member)
    else:
        # The case depends on the step alone, so that under vmap over members the switch stays a switch.
        weights = jnp.log(jnp.array([weight for _, weight in cases], jnp.float32))
        which = jax.random.categorical(jax.random.fold_in(jax.random.key(0), step), weights)
        grads, metrics = jax.lax.switch(which, branches, member)
    norm = optax.tree.norm(grads)
    updates, opt_state = setup.tx.update(grads, member.opt_state, member.params)
    rate = member.learning_rate * optim.schedule(setup.config.optim, setup.config.train.steps, step)
    params = optax.apply_updates(member.params, jax.tree.map(lambda u: -rate * u, updates))
    diverged = member.diverged | ~jnp.isfinite(norm) | ~jnp.isfinite(metrics["loss"])
    keep = lambda new, old: jax.tree.map(lambda n, o: jnp.where(diverged, o, n), new, old)
    member = member.replace(
        params=keep(params, member.params), opt_state=keep(opt_state, member.opt_state), diverged=diverged
    )
    return member, metrics | {"grad_norm": norm}


def make_train_chunk(setup: Setup) -> Any:
    """jitted (state, n) -> (state after n steps, metrics [members] averaged over them); the state is donated.

    n is a number on the device, so that one compile serves chunks of any length.
    """

    def chunk_of_member(
        member: Member, shared: tuple[jax.Array, jax.Array]
    ) -> tuple[Member, dict[str, jax.Array]]:
        start, n = shared

        def body(i: jax.Array, carry: Any) -> Any:
            member, totals = carry
            member, metrics = train_step(setup, member, start + i)
            return member, jax.tree.map(jnp.add, totals, metrics)

        zero = {name: jnp.zeros((), jnp.float32) for name in ("loss", "accuracy", "tokens", "grad_norm")}
        member, totals = jax.lax.fori_loop(0, n, body, (member, zero))
        return member, jax.tree.map(lambda total: total / n, totals)

    population = distributed.over_members(chunk_of_member, setup.mesh, setup.mode)

    def train_chunk(state: TrainState, n: jax.Array) -> tuple[TrainState, dict[str, jax.Array]]:
        members, metrics = population(state.members, (state.step, n))
        metrics["diverged"] = members.diverged
        return TrainState(state.step + n, members), metrics

    by_member, everywhere = distributed.by_member(setup.mesh), distributed.everywhere(setup.mesh)
    return jax.jit(
        train_chunk, donate_argnums=0, out_shardings=(TrainState(everywhere, by_member), everywhere)
    )
