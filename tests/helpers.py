"""What several test files share."""

import jax
import numpy as np
import pytest

from rnnbench.config.build import experiment
from rnnbench.mixers import PRESETS

# One preset on each kind of core. The others differ from them by what happens before and after the core.
CORES = ("gpt", "lstm", "lru", "deltanet", "mamba")


def assert_trees_close(actual, expected, rtol=1e-5, atol=1e-5):
    """Same tree structure, same shapes, and close values; the message names the leaf."""
    assert jax.tree.structure(actual) == jax.tree.structure(expected)
    expected_leaves = jax.tree.leaves(expected)
    for (path, leaf), other in zip(jax.tree_util.tree_leaves_with_path(actual), expected_leaves, strict=True):
        assert np.shape(leaf) == np.shape(other), jax.tree_util.keystr(path)
        np.testing.assert_allclose(leaf, other, rtol=rtol, atol=atol, err_msg=jax.tree_util.keystr(path))


def covering(*kinds):
    """Tuples with one item of each kind, such as (task, preset), so that every item of every kind occurs."""
    kinds = [list(kind) for kind in kinds]
    return [tuple(kind[i % len(kind)] for kind in kinds) for i in range(max(map(len, kinds)))]


def presets(normal=CORES, among=PRESETS):
    """Presets as parameters; those not among the `normal` ones are left to the slow tests."""
    return [name if name in normal else pytest.param(name, marks=pytest.mark.slow) for name in among]


def tiny(preset, settings, task="bit_parity"):
    """A config small enough to compile and train within seconds, changed by `settings` (a flat dict)."""
    sizes = {
        "model.dim": 16,
        "model.layers": 1,
        "model.heads": 2,
        "task.train_lengths": (3, 12) if task != "dyck" else (4, 12),
        "eval.lengths": (12, 24),
        "eval.batches": 2,
        "train.batch_size": 8,
        "train.steps": 20,
        "train.chunk": 5,
        "mesh.seed": 1,
        "mesh.data": 1,
    }
    return experiment(task, f"{preset},tiny", {"tiny": sizes | settings})
