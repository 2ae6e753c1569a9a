"""One member of a population: its state, its loss on a batch with the gradient, and one optimiser step.

Pure functions of a `Setup`; `population.py` runs them for all members at once.
"""

import functools
from dataclasses import dataclass
from typing import Any

import flax
import jax
import jax.numpy as jnp
import optax
from flax import nnx
from jax.sharding import Mesh
from ml_collections import ConfigDict

from rnnbench.parallel import mesh as meshes
from rnnbench.tasks.contract import Batch, Case, Task
from rnnbench.tasks.draw import supervised_positions
from rnnbench.train import optim, state_passing

# A member's random streams. Those of its data come from fold_in(member_key, step), with far smaller numbers.
INIT, EXAMPLES, DROPOUT = 0xFFFFFFFF, 0xFFFFFFFE, 0xFFFFFFFD


@flax.struct.dataclass
class Member:
    """One (learning rate, seed). In a `TrainState` every leaf has a leading member axis."""

    params: Any
    opt_state: Any
    key: jax.Array
    learning_rate: jax.Array
    diverged: jax.Array
    carried: Any  # the model's state after the previous window, [B, ...]; () unless train.windows > 1


@dataclass(frozen=True)
class Setup:
    """Everything that a config determines before compilation."""

    config: ConfigDict
    task: Task
    make: Any  # key -> SequenceModel
    tx: optax.GradientTransformation
    mesh: Mesh
    mode: str  # how a device runs its members: map | vmap

    @functools.cached_property
    def graphdef(self) -> nnx.GraphDef:
        """The model without its parameters. Traced when first asked for: planning a study does without."""
        return nnx.graphdef(nnx.eval_shape(lambda: self.make(jax.random.key(0))))

    def member_names(self) -> list[dict[str, Any]]:
        """The members in their order on the member axis."""
        population = self.config.population
        return [dict(seed=s, learning_rate=r) for r in population.learning_rates for s in population.seeds]

    def apply(self, params: Any, tokens: jax.Array, **how: Any) -> jax.Array:
        """Logits of the model with these parameters."""
        return nnx.merge(self.graphdef, params)(tokens, **how)[0]


def asked(batch: Batch, most: int) -> tuple[Batch, jax.Array | None]:
    """The batch with targets and mask [B, most] at its supervised positions only, and those positions.

    If more than half of the positions may be supervised, the batch is unchanged and the positions are None:
    computing all logits is then cheaper than gathering.
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
    """Cross-entropy and right answers, summed over the supervised positions, and the model's final state."""
    axis_name = meshes.time_axis(setup.mesh)
    logits, state = nnx.merge(setup.graphdef, params)(
        batch.inputs, state, positions=positions, dropout_key=dropout_key, axis_name=axis_name
    )
    losses = optax.softmax_cross_entropy_with_integer_labels(logits, batch.targets)
    correct = (logits.argmax(-1) == batch.targets) & batch.mask
    return jnp.where(batch.mask, losses, 0.0).sum(), (correct.sum(), state)


def gradient(
    setup: Setup, case: Case, member: Member, keys: jax.Array, step: jax.Array
) -> tuple[Any, dict[str, jax.Array], Any]:
    """Gradient of the mean loss over the supervised positions of a batch, a case's sequences of the keys [B].

    It is summed over `train.accumulate` pieces. Returns gradient, metrics and the state to carry: with
    `train.windows` > 1 the mean is over the positions of one window, and the state is that after it.
    """
    pieces, count_windows = setup.config.train.accumulate, setup.config.train.windows
    window = step % count_windows
    keys = meshes.shard_batch(keys)
    batch = meshes.shard_batch(jax.vmap(lambda key: setup.task.sample(key, case))(keys))
    batch = state_passing.cut(batch, window, count_windows)
    fresh = state_passing.fresh_state(nnx.merge(setup.graphdef, member.params), setup.config, setup.task)
    state = state_passing.state_before(window, fresh, member.carried)
    targets = batch.mask.sum()
    count = jnp.maximum(targets, 1).astype(jnp.float32)
    dropout_keys = jax.random.split(jax.random.fold_in(jax.random.fold_in(member.key, step), DROPOUT), pieces)
    training = setup.config.model.dropout > 0
    tokens = jnp.asarray(batch.inputs.size, jnp.float32)
    axis_name = meshes.time_axis(setup.mesh)
    data = *asked(meshes.part_of_time(batch, axis_name), setup.task.supervised(case)), state

    def piece(batch: Batch, positions: jax.Array | None, state: Any, dropout_key: jax.Array) -> Any:
        dropout_key = dropout_key if training else None
        loss = lambda params: loss_sum(setup, params, batch, positions, state, dropout_key)
        (loss, (correct, after)), grads = jax.value_and_grad(loss, has_aux=True)(member.params)
        sums = jax.tree.map(lambda g: g / count, grads), loss / count, correct / count
        return sums, () if state is None else after

    if pieces == 1:
        sums, carried = piece(*data, dropout_keys[0])
    else:
        cut = state_passing.in_pieces(data, pieces)
        first = jax.tree.map(lambda x: x[0], cut)
        zero = jax.tree.map(jnp.zeros_like, jax.eval_shape(piece, *first, dropout_keys[0])[0])

        def add(total: Any, part: Any) -> Any:
            sums, after = piece(*part[0], part[1])
            return jax.tree.map(jnp.add, total, sums), after

        sums, carried = jax.lax.scan(add, zero, (cut, dropout_keys))
        carried = state_passing.from_pieces(carried)
    grads, loss, accuracy = meshes.sum_over_time(sums, axis_name)
    asks = (targets > 0).astype(jnp.float32)
    return grads, {"loss": loss, "accuracy": accuracy, "tokens": tokens, "asks": asks}, carried


def train_step(
    setup: Setup, member: Member, keys: jax.Array, step: jax.Array
) -> tuple[Member, dict[str, jax.Array]]:
    """One optimiser step of a member, on the sequences of these keys [B].

    A member whose loss or gradient is not finite is frozen from then on. A batch, or a window of one, without
    targets teaches nothing: only the state is carried on.
    """
    cases = setup.task.train_cases()
    branches = [lambda m, case=case: gradient(setup, case, m, keys, step) for case, _ in cases]
    if len(branches) == 1:
        grads, metrics, carried = branches[0](member)
    else:
        # The case depends on the step alone, so that vmap over members does not turn switch into select.
        sequences = step // setup.config.train.windows
        weights = jnp.log(jnp.array([weight for _, weight in cases], jnp.float32))
        which = jax.random.categorical(jax.random.fold_in(jax.random.key(0), sequences), weights)
        grads, metrics, carried = jax.lax.switch(which, branches, member)
    norm = optax.tree.norm(grads)
    updates, opt_state = setup.tx.update(grads, member.opt_state, member.params)
    rate = member.learning_rate * optim.schedule(setup.config.optim, setup.config.train.steps, step)
    params = optax.apply_updates(member.params, jax.tree.map(lambda u: -rate * u, updates))
    if setup.config.mesh.params == "sharded":
        params, opt_state = meshes.in_parts((params, opt_state))
    diverged = member.diverged | ~jnp.isfinite(norm) | ~jnp.isfinite(metrics["loss"])
    keep = lambda new, old, if_: jax.tree.map(lambda n, o: jnp.where(if_, o, n), new, old)
    idle = diverged | (metrics["asks"] == 0)
    member = member.replace(
        params=keep(params, member.params, idle),
        opt_state=keep(opt_state, member.opt_state, idle),
        diverged=diverged,
        carried=keep(carried, member.carried, diverged),
    )
    return member, metrics | {"grad_norm": norm}
