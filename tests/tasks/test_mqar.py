"""MQAR: keys, values, queries and gaps come with the odds of their definition."""

import itertools
from collections import Counter

import numpy as np
import pytest
from task_samples import SETTINGS, assert_odds, batch, drawn, evenly

from rnnbench.tasks.mqar import MQAR


def records(name):
    """Per sample of a setting: its bindings as (key, value) in order, and its queries as (position, key)."""
    task, _ = SETTINGS[name]
    first_key, width = 1 + task.separator, 2 + task.separator
    for row, asked in zip(drawn(name).inputs.tolist(), drawn(name).mask.tolist()):
        bound = []
        while width * len(bound) + 1 < len(row) and row[width * len(bound) + 1] >= first_key + task.num_keys:
            key, value, *separator = row[width * len(bound) : width * (len(bound) + 1)]
            assert separator == [1] * task.separator
            bound.append((key - first_key, value - first_key - task.num_keys))
        queries = [(t, token - first_key) for t, token in enumerate(row) if asked[t]]
        assert sum(token > 0 for token in row) == width * len(bound) + len(queries)
        yield bound, queries


def test_mqar_draws_keys_values_and_pairs_evenly():
    bound = [bound for bound, _ in records("mqar all")]
    assert_odds(map(len, bound), evenly((2, 3, 4)))
    triples = [tuple(key for key, _ in pairs) for pairs in bound if len(pairs) == 3]
    assert_odds(triples, evenly(itertools.permutations(range(6), 3)))
    assert_odds((pairs[1][1] for pairs in bound), evenly(range(5)))


def test_mqar_re_used_keys_are_independent():
    bound = [bound for bound, _ in records("mqar re-used")]
    assert_odds(map(len, bound), evenly(range(1, 7)))
    pairs = [tuple(key for key, _ in pairs[:2]) for pairs in bound if len(pairs) > 1]
    assert_odds(pairs, evenly(itertools.product(range(6), repeat=2)))


def test_mqar_one_asks_one_key_right_after_the_records():
    asked = []
    for bound, queries in records("mqar one"):
        ((position, key),) = queries
        assert position == 2 * len(bound)
        asked += [[key for key, _ in bound].index(key)] * (len(bound) == 4)
    assert_odds(asked, evenly(range(4)))


@pytest.mark.parametrize("name, width", [("mqar all", 3), ("mqar re-used", 2)])
def test_mqar_all_asks_each_key_once_in_random_order(name, width):
    orders = []
    for bound, queries in records(name):
        keys = [key for key, _ in bound]
        positions, asked = zip(*queries)
        assert sorted(asked) == sorted(set(keys))
        assert positions == tuple(width * len(bound) + i for i in range(len(asked)))
        orders += [tuple(keys.index(key) for key in asked)] * (len(set(keys)) == len(keys) == 3)
    assert_odds(orders, evenly(itertools.permutations(range(3))))


def gap_odds(count, free, power):
    odds = {}
    for gaps in itertools.permutations(range(free), count):
        left = sum((x + 1) ** (power - 1) for x in range(free))
        odds[gaps] = 1.0
        for x in gaps:
            odds[gaps] *= (x + 1) ** (power - 1) / left
            left -= (x + 1) ** (power - 1)
    return odds


def test_mqar_gaps_follow_the_power_law():
    drawn_gaps = []
    for bound, queries in records("mqar spread"):
        place = {key: position for position, key in queries}
        drawn_gaps.append(tuple((place[key] - 4) // 2 for key, _ in bound))
    assert_odds(drawn_gaps, gap_odds(2, 4, 0.3))


def test_mqar_gap_law_fits_the_length_and_pairs_drawn():
    first = []
    for bound, queries in records("mqar spread ranges"):
        assert sorted(key for _, key in queries) == sorted(key for key, _ in bound)
        assert all(position % 2 == 0 for position, _ in queries)
        first += [queries[0][0] // 2 - 1] * (len(bound) == 1)
    lengths = range(16, 22)
    odds = Counter()
    for length in lengths:
        for (x,), p in gap_odds(1, length // 2 - 1, 0.01).items():
            odds[x] += p / len(lengths)
    assert_odds(first, odds)


def test_mqar_spread_asks_re_used_keys_once():
    gaps = []
    for bound, queries in records("mqar spread re-used"):
        keys = [key for key, _ in bound]
        assert sorted(key for _, key in queries) == sorted(set(keys))
        gaps += [(queries[0][0] - 6) // 2] * (len(set(keys)) == 1)
    assert_odds(gaps, {x: p for (x,), p in gap_odds(1, 3, 0.3).items()})


def test_mqar_cases():
    task = MQAR(eval_lengths=(128, 64), eval_pairs=(16, 8), eval_cases=({"length": 256, "pairs": (1, 4)},))
    assert task.train_cases() == (({"length": 64, "pairs": [1, 8]}, 1.0),)
    assert task.cases() == (
        {"length": 64, "pairs": 8},
        {"length": 128, "pairs": 16},
        {"length": 256, "pairs": [1, 4]},
    )
    assert task.vocab_size == 129 and MQAR(separator=True, queries="one").vocab_size == 130
    mixed = MQAR(train_mix=((64, 4, 5), (256, 16), (256, 32), (128, 8)))
    assert mixed.selection_case() == {"length": 256, "pairs": 32}
    assert [weight for _, weight in mixed.train_cases()] == [5.0, 1.0, 1.0, 1.0]


@pytest.mark.parametrize(
    "settings", [dict(queries="one", train_lengths=(17, 17)), dict(queries="all", train_lengths=(24, 24))]
)
def test_mqar_accepts_a_length_that_just_fits(settings):
    task = MQAR(train_pairs=(8, 8), **settings)
    inputs, _, _ = batch(task, task.selection_case(), 4)
    assert (inputs > 0).all()


def test_mqar_random_filler_ends_with_the_sequence():
    settings = {"num_keys": 8, "num_values": 8, "train_pairs": (1, 2), "train_lengths": (16, 64)}
    task = MQAR(**settings, filler="random")
    ends = [max(np.flatnonzero(row)) for row in batch(task, task.train_cases()[0][0], 100).inputs]
    assert min(ends) < 32 and max(ends) > 48


def test_mqar_random_filler_is_any_token_and_changes_nothing_else():
    settings = {"num_keys": 6, "num_values": 5, "train_pairs": (2, 2), "train_lengths": (12, 12)}
    plain, random = (MQAR(**settings, filler=filler) for filler in ("token", "random"))
    (case, _), *_ = plain.train_cases()
    before, after = (batch(task, case, 4000) for task in (plain, random))
    filled = before.inputs == 0
    assert (before.targets == after.targets).all() and (before.mask == after.mask).all()
    assert (before.inputs == after.inputs)[~filled].all()
    assert_odds(after.inputs[filled].tolist(), evenly(range(12)))
