"""With 64-bit JAX, as a notebook may have it, states stay of 32 bits and the data are the same bits."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import presets, tiny

from rnnbench.train.population import make_train_chunk, prepare, state_shapes

WIDE = {"float64", "int64", "uint64", "complex128"}
MQAR = {"eval.pairs": (2, 2), "task.train_pairs": (1, 2), "task.train_lengths": (12, 16)}
TASKS = {
    "parity": ("bit_parity", {}),
    "controlled": ("controlled_bit_parity", {"task.num_ones": 2, "task.train_lengths": (4, 12)}),
    "dyck": ("dyck", {}),
    "dyck, close": ("dyck", {"task.mode": "close"}),
    "mqar": ("mqar", MQAR),
    "mqar, keys again": ("mqar", MQAR | {"task.unique_keys": False}),
}


@pytest.mark.parametrize("preset", presets())
def test_the_state_stays_of_32_bits(preset):
    with jax.enable_x64(True):
        setup = prepare(tiny(preset, {"task.examples": 16, "train.accumulate": 2}))
        shapes = state_shapes(setup)
        after, _ = jax.eval_shape(make_train_chunk(setup), shapes, jnp.int32(1))
    for tree in (shapes, after):
        wide = [
            jax.tree_util.keystr(path)
            for path, leaf in jax.tree_util.tree_leaves_with_path(tree)
            if str(leaf.dtype) in WIDE
        ]
        assert not wide


@pytest.mark.parametrize("task", TASKS)
def test_data_are_the_same_bits(task):
    name, settings = TASKS[task]
    batches = []
    for wide in (False, True):
        with jax.enable_x64(wide):
            drawn = prepare(tiny("lstm", settings, name)).task
            sample = jax.jit(jax.vmap(lambda key: drawn.sample(key, drawn.train_cases()[0][0])))  # noqa: B023
            batches.append(sample(jax.random.split(jax.random.key(3), 20)))
    for narrow, wide in zip(*batches):
        assert narrow.dtype == wide.dtype and np.array_equal(narrow, wide)
