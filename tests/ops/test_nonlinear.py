"""The LSTM and GRU recurrences against their float64 loops: outputs, final state, all gradients."""

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest
from helpers import assert_trees_close
from test_ops import BATCH, DIM, normal, resets, scaled, value_and_gradients

from rnnbench.ops import naive
from rnnbench.ops.gru import gru
from rnnbench.ops.lstm import lstm


def lstm_of_arrays(U, x, h, c, **options):
    y, state = lstm(U, x, {"h": h, "c": c}, **options)
    return y, state["h"], state["c"]


# name -> (the op, its loop, gates, arrays of state).
OPS = {"lstm": (lstm_of_arrays, naive.lstm, 4, 2), "gru": (gru, naive.gru, 3, 1)}


def drawn(name, length, seed):
    rng = np.random.default_rng(seed)
    op, loop, gates, states = OPS[name]
    state = (normal(rng, BATCH, DIM) for _ in range(states))
    return op, loop, (normal(rng, DIM, gates * DIM), normal(rng, BATCH, length, gates * DIM), *state), rng


@pytest.mark.parametrize("name", OPS)
@pytest.mark.parametrize("length, kind", [(1, ""), (7, ""), (63, ""), (1, "resets"), (63, "resets")])
def test_outputs_state_and_all_gradients(name, length, kind):
    op, loop, inputs, rng = drawn(name, length, length)
    reset = resets(kind, length)
    expected = naive.values(loop, *inputs, reset=reset)
    weights = tuple(normal(rng, *x.shape) for x in expected)
    outputs, gradients = value_and_gradients(op, inputs, weights, reset=reset)
    expected_gradients = naive.gradients(loop, weights, *inputs, reset=reset)
    assert_trees_close(outputs, expected, atol=5e-6)
    assert_trees_close(
        scaled(gradients, expected_gradients), scaled(expected_gradients, expected_gradients), atol=2e-5
    )


@pytest.mark.parametrize("name", OPS)
def test_in_pieces_bfloat16_mapped_and_refusals(name):
    op, _, (U, x, *state), _ = drawn(name, 9, 0)
    y, *final = op(U, x, *state)
    first, *carried = op(U, x[:, :4], *state)
    second, *carried = op(U, x[:, 4:], *carried)
    assert_trees_close((jnp.concatenate([first, second], axis=1), carried), (y, final))
    mapped = jax.vmap(op)(*(np.stack([a, 0.5 * a]) for a in (U, x, *state)))
    assert_trees_close(jax.tree.map(lambda a: a[0], mapped), (y, *final))
    y_16, h_16, *_ = op(U, x.astype(ml_dtypes.bfloat16), *state)
    assert (y_16.dtype, h_16.dtype) == (jnp.bfloat16, jnp.float32)
    assert_trees_close(y_16.astype(jnp.float32), y, atol=0.03)
    with pytest.raises(ValueError, match=f"{name}: impl"):
        op(U, x, *state, impl="associative")
