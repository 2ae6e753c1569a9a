"""Dyck: words, depths and corruptions come with the odds of their definition."""

import itertools
from collections import Counter

import oracles
import pytest
from task_samples import SETTINGS, N, assert_odds, batch, drawn, ends, evenly, rows

from rnnbench.tasks.dyck import Dyck


def words(length, depth, num_types):
    """All valid words, by building every prefix."""
    found = []

    def grow(word, stack):
        if len(word) == length:
            found.extend([word] * (not stack))
            return
        if len(stack) < depth:
            for kind in range(num_types):
                grow((*word, kind), (*stack, kind))
        if stack:
            grow((*word, num_types + stack[-1]), stack[:-1])

    grow((), ())
    return found


def test_dyck_words_are_uniform():
    inputs, targets, _ = drawn("dyck valid")
    assert len(words(8, 3, 2)) == 13 * 2**4
    assert_odds(rows(inputs), evenly(words(8, 3, 2)))
    assert targets[:, -1].all()


def test_dyck_close_is_uniform_at_the_depth_of_the_case():
    inputs, _, mask = drawn("dyck close")
    length = ends("dyck close", mask)
    assert_odds(length.tolist(), evenly((2, 4, 6, 8)))
    assert_odds(rows(inputs[length == 6, :6]), evenly(words(6, 3, 3)))


def test_dyck_at_length_keeps_its_depth():
    task = Dyck(num_types=8, depth=10, mode="close", train_lengths=(2, 700), eval_lengths=(1400,))
    inputs, _, _ = batch(task, {"length": 1400}, 20)
    assert {oracles.depth(row, 8) for row in inputs.tolist()} == {10}
    assert all(oracles.dyck_balanced(row, 8)[-1] for row in inputs.tolist())


def spoilt(word, num_types):
    """(odds, outcome) of spoiling a valid word as defined: every flip, every shuffle of every tail."""
    flip_odds = 0.5 if num_types > 1 else 0.0
    for place, shift in itertools.product(range(len(word)), range(1, num_types)):
        side, kind = divmod(word[place], num_types)
        flipped = side * num_types + (kind + shift) % num_types
        yield flip_odds / len(word) / (num_types - 1), (*word[:place], flipped, *word[place + 1 :])
    starts = [0] + [
        t + 1 for t, is_balanced in enumerate(oracles.dyck_balanced(word, num_types)) if is_balanced
    ]
    for start in starts[:-1]:
        orders = list(itertools.permutations(word[start:]))
        for order in orders:
            yield (1 - flip_odds) / len(starts[:-1]) / len(orders), (*word[:start], *order)


@pytest.mark.parametrize("name", ["dyck spoilt", "dyck one type"])
def test_dyck_spoils_with_the_odds_of_its_definition(name):
    task, case = SETTINGS[name]
    valid = words(case["length"], task.depth, task.num_types)
    odds = Counter()
    for word in valid:
        for p, outcome in spoilt(word, task.num_types):
            odds[outcome] += p / len(valid)
    assert_odds(rows(drawn(name)[0]), odds)


def test_dyck_spoils_the_share_it_says():
    task, _ = SETTINGS["dyck"]
    inputs, _, mask = drawn("dyck")
    flipped = exceeds = early = 0
    for row, end in zip(inputs.tolist(), ends("dyck", mask)):
        counts = Counter(row[:end])
        flipped += any(counts[kind] != counts[kind + task.num_types] for kind in range(task.num_types))
        exceeds += oracles.depth(row[:end], 2) > task.depth
        early += row[0] >= task.num_types
    assert flipped / N == pytest.approx(0.25, abs=0.015)
    assert exceeds and early
    assert_odds(mask.sum(axis=1).tolist(), evenly(range(2, 13, 2)))


def test_dyck_cases():
    task = Dyck(
        train_lengths=(4, 32), eval_lengths=(64, (64, 128)), eval_cases=({"length": 128, "depth": 15},)
    )
    assert task.train_cases() == (({"length": [4, 32]}, 1.0),)
    assert task.cases() == (
        {"length": 32},
        {"length": 64},
        {"length": [64, 128]},
        {"length": 128, "depth": 15},
    )
    assert (task.vocab_size, task.num_classes) == (6, 2)
    assert Dyck(mode="close", num_types=8).num_classes == 8
