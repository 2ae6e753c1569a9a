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

from rnnbench import distributed, model, optim, tasks, windows
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
    carried: Any  # the model's state after the window before, [B, ...]; () unless train.windows > 1


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
    windows.check(config, task)
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
    places = _places(setup, jax.eval_shape(init, grid))
    members = jax.jit(init, out_shardings=places, compiler_options=quick)(grid)
    return TrainState(jax.device_put(jnp.zeros((), jnp.int32), distributed.everywhere(setup.mesh)), members)


def state_shapes(setup: Setup) -> TrainState:
    """The population as shapes with their places on the mesh: what a checkpoint is restored into."""
    placed = lambda leaf, place: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=place)
    members = jax.eval_shape(*_start(setup))
    everywhere = distributed.everywhere(setup.mesh)
    members = jax.tree.map(placed, members, _places(setup, members))
    return TrainState(jax.ShapeDtypeStruct((), jnp.int32, sharding=everywhere), members)


def _places(setup: Setup, members: Member) -> Member:
    """Where the leaves of the members lie: by member, and the states of their sequences by batch as well.

    With mesh.params=sharded parameters and optimiser state are shared out over the devices of the batch.
    """
    by_member, by_batch = distributed.by_member(setup.mesh), distributed.by_member_and_batch(setup.mesh)
    places = jax.tree.map(lambda _: by_member, members)
    carried = jax.tree.map(lambda leaf: by_batch if leaf.ndim > 1 else by_member, members.carried)
    places = places.replace(carried=carried)
    if setup.config.mesh.params == "replicated":
        return places
    parts = lambda tree: jax.tree.map(lambda x: distributed.by_member_in_parts(setup.mesh, x.shape), tree)
    return places.replace(params=parts(members.params), opt_state=parts(members.opt_state))


def _start(setup: Setup) -> tuple[Any, dict[str, jax.Array]]:
    """A function that makes the members, and what it takes: the key and learning rate of each."""

    def init(member: dict[str, jax.Array], _: Any) -> Member:
        built = setup.make(jax.random.fold_in(member["key"], INIT))
        params = nnx.to_pure_dict(nnx.state(built, nnx.Param))
        carried = windows.fresh_state(built, setup.config, setup.task)
        no = jnp.zeros((), bool)
        return Member(params, setup.tx.init(params), member["key"], member["learning_rate"], no, carried)

    names = setup.member_names()
    grid = {
        "key": jax.vmap(jax.random.key)(jnp.array([name["seed"] for name in names], jnp.uint32)),
        "learning_rate": jnp.array([name["learning_rate"] for name in names], jnp.float32),
    }
    population = distributed.over_members(init, setup.mesh, "map")
    return lambda grid: population(grid, ()), grid


def example_keys(setup: Setup, key: jax.Array, step: jax.Array) -> jax.Array:
    """The keys [B] of the sequences of the step-th batch: fresh ones, or those of a finite training set."""
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
    setup: Setup,
    params: Any,
    batch: Batch,
    positions: jax.Array | None,
    state: Any,
    dropout_key: jax.Array | None,
) -> tuple[jax.Array, tuple[jax.Array, Any]]:
    """Cross-entropy and right answers, summed over the supervised positions, and the model's state after."""
    axis_name = distributed.time_axis(setup.mesh)
    logits, state = nnx.merge(setup.graphdef, params)(
        batch.inputs, state, positions=positions, dropout_key=dropout_key, axis_name=axis_name
    )
    losses = optax.softmax_cross_entropy_with_integer_labels(logits, batch.targets)
    correct = (logits.argmax(-1) == batch.targets) & batch.mask
    return jnp.where(batch.mask, losses, 0.0).sum(), (correct.sum(), state)


def gradient(
    setup: Setup, case: Any, member: Member, step: jax.Array
) -> tuple[Any, dict[str, jax.Array], Any]:
    """Gradient of the mean loss over a batch of a training case, summed over `train.accumulate` pieces.

    With it come the metrics and, where a sequence is trained on in windows, the state after this one.
    """
    pieces, count_windows = setup.config.train.accumulate, setup.config.train.windows
    window = step % count_windows
    keys = distributed.shard_batch(example_keys(setup, member.key, step // count_windows))
    batch = distributed.shard_batch(jax.vmap(lambda key: setup.task.sample(key, case))(keys))
    batch = windows.cut(batch, window, count_windows)
    fresh = windows.fresh_state(nnx.merge(setup.graphdef, member.params), setup.config, setup.task)
    state = windows.state_before(window, fresh, member.carried)
    count = jnp.maximum(batch.mask.sum(), 1).astype(jnp.float32)
    dropout_keys = jax.random.split(jax.random.fold_in(jax.random.fold_in(member.key, step), DROPOUT), pieces)
    training = setup.config.model.dropout > 0
    tokens = jnp.asarray(batch.inputs.size, jnp.float32)
    axis_name = distributed.time_axis(setup.mesh)
    data = *asked(distributed.part_of_time(batch, axis_name), setup.task.supervised(case)), state

    def piece(batch: Batch, positions: jax.Array | None, state: Any, dropout_key: jax.Array) -> Any:
        dropout_key = dropout_key if training else None
        loss = lambda params: loss_sum(setup, params, batch, positions, state, dropout_key)
        (loss, (correct, after)), grads = jax.value_and_grad(loss, has_aux=True)(member.params)
        sums = jax.tree.map(lambda g: g / count, grads), loss / count, correct / count
        return sums, () if state is None else after

    if pieces == 1:
        sums, carried = piece(*data, dropout_keys[0])
    else:
        cut = windows.in_pieces(data, pieces)
        first = jax.tree.map(lambda x: x[0], cut)
        zero = jax.tree.map(jnp.zeros_like, jax.eval_shape(piece, *first, dropout_keys[0])[0])

        def add(total: Any, part: Any) -> Any:
            sums, after = piece(*part[0], part[1])
            return jax.tree.map(jnp.add, total, sums), after

        sums, carried = jax.lax.scan(add, zero, (cut, dropout_keys))
        carried = windows.from_pieces(carried)
    grads, loss, accuracy = distributed.sum_over_time(sums, axis_name)
    return grads, {"loss": loss, "accuracy": accuracy, "tokens": tokens}, carried


def train_step(setup: Setup, member: Member, step: jax.Array) -> tuple[Member, dict[str, jax.Array]]:
    """One optimiser step of a member. One whose loss or gradient is not finite stays as it was, for good."""
    cases = setup.task.train_cases()
    branches = [lambda m, case=case: gradient(setup, case, m, step) for case, _ in cases]
    if len(branches) == 1:
        grads, metrics, carried = branches[0](member)
    else:
        # The case depends on the step alone, so that under vmap over members the switch stays a switch.
        sequences = step // setup.config.train.windows
        weights = jnp.log(jnp.array([weight for _, weight in cases], jnp.float32))
        which = jax.random.categorical(jax.random.fold_in(jax.random.key(0), sequences), weights)
        grads, metrics, carried = jax.lax.switch(which, branches, member)
    norm = optax.tree.norm(grads)
    updates, opt_state = setup.tx.update(grads, member.opt_state, member.params)
    rate = member.learning_rate * optim.schedule(setup.config.optim, setup.config.train.steps, step)
    params = optax.apply_updates(member.params, jax.tree.map(lambda u: -rate * u, updates))
    if setup.config.mesh.params == "sharded":
        params, opt_state = distributed.in_parts((params, opt_state))
    diverged = member.diverged | ~jnp.isfinite(norm) | ~jnp.isfinite(metrics["loss"])
    keep = lambda new, old: jax.tree.map(lambda n, o: jnp.where(diverged, o, n), new, old)
    member = member.replace(
        params=keep(params, member.params),
        opt_state=keep(opt_state, member.opt_state),
        diverged=diverged,
        carried=keep(carried, member.carried),
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

    everywhere = distributed.everywhere(setup.mesh)
    places = TrainState(everywhere, _places(setup, jax.eval_shape(*_start(setup))))
    return jax.jit(train_chunk, donate_argnums=0, out_shardings=(places, everywhere))
