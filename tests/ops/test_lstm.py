"""The LSTM recurrence against its float64 loop: outputs, final state, all gradients."""

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest
from helpers import assert_trees_close
from test_ops import BATCH, DIM, normal, resets, scaled, value_and_gradients

from rnnbench.ops import naive
from rnnbench.ops.lstm import lstm


def lstm_of_arrays(U, x, h, c, **options):
    y, state = lstm(U, x, {"h": h, "c": c}, **options)
    return y, state["h"], state["c"]


@pytest.mark.parametrize("length, kind", [(1, ""), (7, ""), (63, ""), (1, "resets"), (63, "resets")])
def test_lstm_outputs_state_and_all_gradients(length, kind):
    rng = np.random.default_rng(length)
    state = normal(rng, BATCH, DIM), normal(rng, BATCH, DIM)
    inputs = (normal(rng, DIM, 4 * DIM), normal(rng, BATCH, length, 4 * DIM), *state)
    reset = resets(kind, length)
    expected = naive.values(naive.lstm, *inputs, reset=reset)
    weights = tuple(normal(rng, *x.shape) for x in expected)
    outputs, gradients = value_and_gradients(lstm_of_arrays, inputs, weights, reset=reset)
    expected_gradients = naive.gradients(naive.lstm, weights, *inputs, reset=reset)
    assert_trees_close(outputs, expected, atol=5e-6)
    assert_trees_close(
        scaled(gradients, expected_gradients), scaled(expected_gradients, expected_gradients), atol=2e-5
    )


def test_lstm_in_pieces_bfloat16_mapped_and_refusals():
    rng = np.random.default_rng(0)
    U, x, h, c = normal(rng, DIM, 4 * DIM), *(normal(rng, BATCH, *s) for s in ((9, 4 * DIM), (DIM,), (DIM,)))
    y, *final = lstm_of_arrays(U, x, h, c)
    first, *carried = lstm_of_arrays(U, x[:, :4], h, c)
    second, *carried = lstm_of_arrays(U, x[:, 4:], *carried)
    assert_trees_close((jnp.concatenate([first, second], axis=1), carried), (y, final))
    mapped = jax.vmap(lstm_of_arrays)(*(np.stack([a, 0.5 * a]) for a in (U, x, h, c)))
    assert_trees_close(jax.tree.map(lambda a: a[0], mapped), (y, *final))
    y_16, h_16, _ = lstm_of_arrays(U, x.astype(ml_dtypes.bfloat16), h, c)
    assert (y_16.dtype, h_16.dtype) == (jnp.bfloat16, jnp.float32)
    assert_trees_close(y_16.astype(jnp.float32), y, atol=0.03)
    with pytest.raises(ValueError, match="lstm: impl"):
        lstm(U, x, {"h": h, "c": c}, impl="associative")
    with pytest.raises(ValueError, match="lstm: a nonlinear recurrence cannot be split over time"):
        lstm(U, x, {"h": h, "c": c}, axis_name="time")
