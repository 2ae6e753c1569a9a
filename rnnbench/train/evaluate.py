"""Metrics per case and per position of a whole population; returns plain rows."""

import json
import math
import zlib
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh

from rnnbench.config import ConfigError
from rnnbench.parallel import mesh as meshes
from rnnbench.store.rows import case_name
from rnnbench.tasks.contract import Batch, Case, Task, bounds

MAX_BINS = 128
# The most tokens of padding per case and member. It depends on no device and no other member, because padding
# changes the last bits of some models.
PADDING = 2**18

Evaluate = Callable[[Any, jax.Array], dict[str, np.ndarray]]


def padded_lengths(cases: Sequence[Case], most: int) -> list[int]:
    """Per case the longest length of any case that adds at most `most` tokens to its sequences.

    Cases of one length share their programs, and a few more tokens cost less than compiling others.
    """
    own = [bounds(case["length"])[1] for case in cases]
    return [max(to for to in own if 0 <= to - length <= most) for length in own]


def make_evaluators(
    task: Task,
    apply: Callable[..., jax.Array],
    cases: Sequence[Case],
    *,
    length: int,
    batches: int,
    batch_size: int,
    mesh: Mesh,
    mode: str,
    params: Any,
) -> list[Evaluate]:
    """Per case (params of all members, key) -> sums per member over batches × batch_size sequences.

    Every member sees the same data, padded to `length`. Compiled here are a program per case, which draws the
    data, and two that read the answers. Only the first of the two differs between models: the compilation
    cache has the others for all of them.
    """
    key, first, quickly = jax.eval_shape(jax.random.key, 0), np.int32(0), meshes.quickly(1)
    draws = [
        make_sampler(task, case, batch_size, mesh, length).lower(key, first).compile(quickly)
        for case in cases
    ]
    batch = draws[0].out_info
    answer = make_answerer(apply, mesh, mode).lower(params, batch).compile(quickly)
    add_up = make_adder(mesh, mode).lower(answer.out_info, batch).compile()

    def evaluator(draw: Callable[..., Batch], case: Case) -> Evaluate:
        def evaluate(params: Any, key: jax.Array) -> dict[str, np.ndarray]:
            drawn = (draw(key, np.int32(i)) for i in range(batches))
            parts = meshes.to_host([add_up(answer(params, batch), batch) for batch in drawn])
            sums = jax.tree.map(lambda *parts: sum(parts), *parts)
            _, end = bounds(case["length"])
            return sums | {name: sums[name][:, :end] for name in ("count", "right")}

        return evaluate

    return [evaluator(draw, case) for draw, case in zip(draws, cases, strict=True)]


def make_sampler(task: Task, case: Case, batch_size: int, mesh: Mesh, length: int) -> Any:
    """jitted (key, i) -> the i-th `Batch` [B, length] of a case, split over the devices of the batch."""
    _, end = bounds(case["length"])

    def draw(key: jax.Array, i: jax.Array) -> Batch:
        keys = jax.random.split(jax.random.fold_in(key, i), batch_size)
        drawn = jax.vmap(lambda key: task.sample(key, case))(keys)
        return jax.tree.map(lambda part: jnp.pad(part, ((0, 0), (0, length - end))), drawn)

    return jax.jit(draw, out_shardings=meshes.by_batch(mesh))


def make_answerer(apply: Callable[..., jax.Array], mesh: Mesh, mode: str) -> Any:
    """jitted (params of all members, batch) -> their `answers` [members, B, T]."""
    axis_name = meshes.time_axis(mesh)

    def answer(params: Any, batch: Batch) -> dict[str, jax.Array]:
        part = meshes.part_of_time(meshes.shard_batch(batch), axis_name)
        found = answers(apply(params, part.inputs, axis_name=axis_name), part.targets)
        return meshes.whole_time(found, batch.inputs.shape[1], axis_name)

    return jax.jit(meshes.over_members(answer, mesh, mode))


def make_adder(mesh: Mesh, mode: str) -> Any:
    """jitted (answers of all members, batch) -> their `batch_sums`, which every process reads."""

    def add_up(found: dict[str, jax.Array], batch: Batch) -> dict[str, jax.Array]:
        return batch_sums(found, meshes.shard_batch(batch))

    return jax.jit(meshes.over_members(add_up, mesh, mode), out_shardings=meshes.readable(mesh))


def answers(logits: jax.Array, targets: jax.Array) -> dict[str, jax.Array]:
    """Of logits [B, T, classes], each [B, T]: predicted class, loss, and whether all logits are finite."""
    losses = optax.softmax_cross_entropy_with_integer_labels(logits, targets)
    return {"guess": logits.argmax(-1), "losses": losses, "finite": jnp.isfinite(logits).all(-1)}


def batch_sums(found: dict[str, jax.Array], batch: Batch) -> dict[str, jax.Array]:
    """All sums over a batch that the metrics need, from its `answers`."""
    mask, guess = batch.mask, found["guess"]
    right = (guess == batch.targets) & mask
    rank = jnp.cumsum(mask, axis=1)  # 1 at the first supervised position
    count = rank[:, -1:]
    last = mask & (rank == count)
    quarter = mask & (4 * rank > 3 * count)
    asked = mask.any(axis=1)  # a sequence without targets counts as neither right nor wrong
    is_one, says_one = mask & (batch.targets == 1), mask & (guess == 1)
    return {
        "loss": jnp.where(mask, found["losses"], 0.0).sum(),
        "finite": (found["finite"] | ~mask).all(axis=1).sum(),
        "sequences": jnp.asarray(mask.shape[0]),
        "asked": asked.sum(),
        "count": mask.sum(axis=0),
        "right": right.sum(axis=0),
        "last": (right & last).sum(),
        "quarter_count": quarter.sum(),
        "quarter": (right & quarter).sum(),
        "whole": ((right == mask).all(axis=1) & asked).sum(),
        "ones": is_one.sum(),
        "said_ones": says_one.sum(),
        "right_ones": (is_one & says_one).sum(),
    }


def metrics(sums: dict[str, np.ndarray], task: Task, case: Case, diverged: bool = False) -> dict[str, Any]:
    """The metrics of one member on one case, computed from its sums.

    All are None if the member diverged in training, or if its outputs or loss on this case are not finite.
    """
    count, sequences, asked = int(sums["count"].sum()), int(sums["sequences"]), int(sums["asked"])
    if not count:
        reason = f"{sequences} sequences of {case_name(case)} have no target; evaluate more or other ones"
        raise ConfigError("eval.batches", reason)
    right, ones, said, hits = (int(sums[name].sum()) for name in ("right", "ones", "said_ones", "right_ones"))
    values: dict[str, Any] = {
        "loss": float(sums["loss"]) / count,
        "accuracy": right / count,
        "last_accuracy": int(sums["last"]) / asked,
        "last_quarter_accuracy": int(sums["quarter"]) / int(sums["quarter_count"]),
        "sequence_accuracy": int(sums["whole"]) / asked,
    }
    if task.headline == "balanced_accuracy":
        zeros, right_zeros = count - ones, right - hits
        values["balanced_accuracy"] = 0.5 * (hits / max(ones, 1) + right_zeros / max(zeros, 1))
        values["f1"] = 2 * hits / max(ones + said, 1)
    chance = float(task.chance(case))
    diverged = diverged or int(sums["finite"]) < sequences or not math.isfinite(sums["loss"])
    if diverged:
        values = dict.fromkeys(values)
    headline = values[task.headline]
    return {
        "sequences": sequences,
        **values,
        "headline": task.headline,
        "chance": chance,
        "scaled_accuracy": None if diverged else (headline - chance) / (1 - chance),
        "diverged": diverged,
    }


def by_position(sums: dict[str, np.ndarray]) -> dict[str, list[Any]]:
    """Accuracy in at most 128 bins: their first positions, and None where no position is supervised."""
    length = len(sums["count"])
    starts = np.arange(0, length, math.ceil(length / MAX_BINS))
    count, right = np.add.reduceat(sums["count"], starts), np.add.reduceat(sums["right"], starts)
    accuracy = [int(r) / int(c) if c else None for r, c in zip(right, count, strict=True)]
    return {"starts": starts.tolist(), "accuracy": accuracy}


def case_key(seed: int, case: Case) -> jax.Array:
    """The key of a case's data, from eval.seed and the case alone: the same for every member and step."""
    return jax.random.fold_in(jax.random.key(seed), zlib.crc32(json.dumps(case, sort_keys=True).encode()))
