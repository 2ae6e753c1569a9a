"""Dyck: words, depths and corruptions come with the odds of their definition."""

import itertools
from collections import Counter

import numpy as np
import oracles
import pytest
from task_samples import SETTINGS, N, assert_odds, batch, drawn, ends, evenly, rows

from rnnbench.config import ConfigError
from rnnbench.tasks.dyck import Dyck
from rnnbench.tasks.dyck_odds import balanced_prefixes


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


@pytest.mark.parametrize(
    "low,high,depth,num_types,corruption",
    [(6, 6, 2, 2, 0.3), (2, 6, 3, 1, 1.0), (4, 4, 1, 3, 0.5), (2, 4, 2, 3, 1.0), (8, 8, 3, 1, 0.0)],
)
def test_chance_counts_all_words_and_all_that_becomes_of_them(low, high, depth, num_types, corruption):
    ones, reached = [0.0] * high, [0.0] * high
    for length in range(low, high + 1, 2):
        valid = words(length, depth, num_types)
        for word in valid:
            outcomes = [(1 - corruption, word)]
            outcomes += [(corruption * p, w) for p, w in spoilt(word, num_types)] if corruption else []
            for odds, outcome in outcomes:
                for t, yes in enumerate(oracles.dyck_balanced(outcome, num_types)):
                    ones[t] += odds * yes / len(valid)
                    reached[t] += odds / len(valid)
    counted = balanced_prefixes(low, high, depth, num_types, corruption)
    assert counted[0] == pytest.approx(ones) and counted[1] == pytest.approx(reached)


@pytest.mark.parametrize("length,depth,chance", [(40, 4, 0.7726), (320, 4, 0.7674), (160, 8, 0.7559)])
def test_chance_of_the_small_table(length, depth, chance):
    task = Dyck(num_types=2, depth=4)
    assert task.chance({"length": length, "depth": depth}) == pytest.approx(chance, abs=1e-4)


def test_the_current_bracket_tells_more_than_its_position():
    """The figure of the docstring: balanced at every closing bracket at an even position."""
    inputs, targets, _ = batch(Dyck(num_types=2, depth=4), {"length": 320}, 3000)
    says = (inputs >= 2) & (np.arange(320) % 2 == 1)
    right = 0.5 * says[targets == 1].mean() + 0.5 * (~says[targets == 0]).mean()
    assert right == pytest.approx(0.90, abs=0.005)


@pytest.mark.parametrize("settings", [{"depth": 1}, {"eval_lengths": (2,)}])
def test_words_that_ask_for_nothing_are_refused(settings):
    with pytest.raises(ConfigError, match=r"task\.corruption"):
        Dyck(corruption=0.0, **settings)


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
