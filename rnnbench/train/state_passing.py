"""State passing: one optimiser step per window of a training sequence, the state carried between windows.

Truncated back-propagation through time on contiguous sequences: with `train.windows` = n, the steps n·i to
n·i + n − 1 train on the n windows of the i-th batch of sequences. The first starts from a fresh state, since
every batch has new sequences; the others start from the state after the previous window, without a gradient.
"""

from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from ml_collections import ConfigDict

from rnnbench.config import ConfigError
from rnnbench.tasks.contract import Batch, Task, bounds


def check(config: ConfigDict, task: Task) -> None:
    """ConfigError unless every training sequence can be cut into `train.windows` non-empty windows."""
    windows, parts = config.train.windows, config.mesh.time
    for case, _ in task.train_cases() if windows > 1 else ():
        shortest, longest = bounds(case["length"])
        if longest % windows:
            raise ConfigError(
                "train.windows", f"{windows} windows do not divide sequences of {longest} tokens"
            )
        window = longest // windows
        if shortest <= longest - window:
            reason = f"the last of {windows} windows would be empty in sequences of {shortest} tokens"
            raise ConfigError("train.windows", f"{reason}; train on lengths above {longest - window}")
        if window % parts:
            reason = f"{parts} devices do not divide a window of {window} tokens"
            raise ConfigError("mesh.time", f"{reason} (train.windows={windows})")


def fresh_state(model: nnx.Module, config: ConfigDict, task: Task) -> Any:
    """The state of a batch of sequences before their first window; () with a single window."""
    if config.train.windows == 1:
        return ()
    longest = max(bounds(case["length"])[1] for case, _ in task.train_cases())
    return model.init_state(config.train.batch_size, longest)


def state_before(window: jax.Array, fresh: Any, carried: Any) -> Any:
    """The state that a window starts from; None (zeros) with a single window."""
    if fresh == ():
        return None
    return jax.tree.map(lambda start, before: jnp.where(window == 0, start, before), fresh, carried)


def cut(batch: Batch, window: jax.Array, windows: int) -> Batch:
    """One window [B, T/n] of a batch [B, T]."""
    length = batch.inputs.shape[1] // windows
    part = lambda x: jax.lax.dynamic_slice_in_dim(x, window * length, length, axis=1)
    return batch if windows == 1 else jax.tree.map(part, batch)


def in_pieces(tree: Any, pieces: int) -> Any:
    """[B, ...] -> [pieces, B/pieces, ...], to accumulate gradients; scalars go to every piece."""
    piece = lambda x: jnp.moveaxis(x.reshape(-1, pieces, *x.shape[1:]), 1, 0)
    return jax.tree.map(lambda x: piece(x) if x.ndim else jnp.broadcast_to(x, pieces), tree)


def from_pieces(tree: Any) -> Any:
    """The inverse of `in_pieces`."""
    whole = lambda x: jnp.moveaxis(x, 0, 1).reshape(-1, *x.shape[2:])
    return jax.tree.map(lambda x: whole(x) if x.ndim > 1 else x[0], tree)
