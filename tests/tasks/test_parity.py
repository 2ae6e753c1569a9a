"""Both parity tasks: the distribution of their sequences, and their cases."""

import itertools

import numpy as np
from task_samples import assert_odds, drawn, evenly, rows

from rnnbench.tasks.bit_parity import BitParity
from rnnbench.tasks.controlled_bit_parity import ControlledBitParity


def test_parity_draws_lengths_and_bits_evenly():
    inputs, _, mask = drawn("parity")
    length = mask.sum(axis=1)
    assert_odds(length.tolist(), evenly(range(1, 10)))
    assert_odds(rows(inputs[length == 5, :5]), evenly(itertools.product((0, 1), repeat=5)))


def test_parity_last_asks_once():
    _, _, mask = drawn("parity last")
    assert (mask.sum(axis=1) == 1).all()
    assert_odds(np.argmax(mask, axis=1).tolist(), evenly(range(2, 9)))


def test_parity_cases():
    task = BitParity(eval_lengths=(64, (40, 256)), eval_cases=({"length": 32}, {"length": [40, 256]}))
    assert task.train_cases() == (({"length": [3, 32]}, 1.0),)
    assert task.cases() == ({"length": 32}, {"length": 64}, {"length": [40, 256]})
    assert BitParity(train_lengths=(8, 8)).train_cases() == (({"length": 8}, 1.0),)


def test_controlled_parity_places_its_ones_evenly():
    inputs, _, mask = drawn("controlled")
    assert (inputs.sum(axis=1) == 3).all()
    length = mask.sum(axis=1)
    assert_odds(length.tolist(), evenly((5, 6, 7)))
    for size in (5, 6, 7):
        places = [tuple(np.flatnonzero(row)) for row in inputs[length == size]]
        assert_odds(places, evenly(itertools.combinations(range(size), 3)))


def test_controlled_parity_without_control_is_fair():
    inputs, _, _ = drawn("controlled any")
    assert_odds(rows(inputs), evenly(itertools.product((0, 1), repeat=7)))


def test_controlled_parity_cases():
    task = ControlledBitParity(num_ones=4, train_lengths=(8, 16), eval_lengths=(32,))
    assert task.train_cases() == (({"length": [8, 16], "ones": 4}, 1.0),)
    expected = [{"length": length, "ones": ones} for length in (16, 32) for ones in (4, "any")]
    assert task.cases() == tuple(expected)
    more = ({"length": 32, "ones": 7}, {"length": [8, 9]}, {"length": 32, "ones": "any"})
    task = ControlledBitParity(num_ones=4, train_lengths=(8, 16), eval_lengths=(32,), eval_cases=more)
    expected += [more[0], {"length": [8, 9], "ones": 4}, {"length": [8, 9], "ones": "any"}]
    assert task.cases() == tuple(expected)
