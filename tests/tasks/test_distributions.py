"""Sequences come with the odds that the docstrings claim."""

import itertools
from collections import Counter

import numpy as np
import pytest
from task_samples import SETTINGS, assert_odds, drawn, evenly, rows

from rnnbench.tasks import contract, groups
from rnnbench.tasks.automaton import random_automaton
from rnnbench.tasks.flip_flop import FlipFlop
from rnnbench.tasks.group_word import GroupWord


def words(name):
    """The samples of a setting by the names of their tokens, [N, T]."""
    return np.array(contract.names(SETTINGS[name][0])[0])[drawn(name).inputs]


def sizes(name):
    """The number of targets of each sample."""
    return drawn(name).mask.sum(axis=1)


@pytest.mark.parametrize(
    "name, letters, length", [("group S4", 24, 2), ("automaton", 4, 3), ("group D4", 3, 6)]
)
def test_letters_are_uniform(name, letters, length):
    inputs = drawn(name).inputs[sizes(name) == length, :length]
    assert_odds(rows(inputs[:, -2:]), evenly(itertools.product(range(letters), repeat=2)))
    if SETTINGS[name][1]["length"] != length:
        low, high = SETTINGS[name][1]["length"]
        assert_odds(sizes(name).tolist(), evenly(range(low, high + 1)))


def test_groups_have_their_elements():
    orders = {"Z7": 7, "D5": 10, "S3": 6, "S4": 24, "S5": 120, "A4": 12, "A5": 60}
    for name, order in orders.items():
        group = groups.find(name)
        assert len({*group.elements}) == len({*group.names}) == order
        assert group.elements[0] == tuple(range(len(group.elements[0])))
        assert sorted(group.table[:, 0]) == list(range(order)) == group.table[0].tolist()
        assert groups.closure(frozenset(group.elements[i] for i in group.generators)) == {*group.elements}
        assert groups.solvable(frozenset(group.elements)) == (name not in ("A5", "S5"))


def test_tokens_of_a_group():
    count = lambda **options: GroupWord(**options).vocab_size
    assert count(group="S5", tokens="swaps") == 11 and count(group="S5", tokens="threes") == 31
    assert count(group="A5", tokens="threes") == 21 and count(group="A5", tokens="generators") == 3
    assert count(group="D4", tokens="generators") == 3 and count(group="Z6", tokens="generators") == 2
    assert GroupWord(group="A5").class_tokens == range(60) and GroupWord(tokens="swaps").class_tokens is None


def test_automata_have_letters_of_their_kind():
    for seed in range(5):
        table = random_automaton(5, 6, "mixed", seed)
        assert [len({*row}) for row in table.tolist()] == [5, 1] * 3
        assert groups.moved(tuple(table[0])) == 5 and len(groups.cycles(tuple(table[0]))) == 1
        resets = random_automaton(4, 5, "resets", seed)
        assert resets[0].tolist() == [0, 1, 2, 3] and sorted({*resets[1:, 0]}) == [0, 1, 2, 3]
        assert (resets[1:] == resets[1:, :1]).all()
    assert not np.array_equal(random_automaton(5, 4, "mixed", 0), random_automaton(5, 4, "mixed", 1))
    ours = random_automaton(5, 4, "permutations", 0).tolist()
    assert ours == [[1, 3, 0, 4, 2], [1, 3, 4, 0, 2], [3, 1, 2, 4, 0], [4, 2, 3, 1, 0]]  # the docstring's


def test_flip_flop_ignores_the_share_of_its_case():
    inputs = words("flip-flop")
    four = inputs[(inputs[:, 6] == "r") & (inputs[:, 7] != "w")]
    assert (four[:, 0] == "w").all()
    assert_odds(four[:, 2].tolist(), {"i": 0.3, "w": 0.35, "r": 0.35})
    assert_odds(rows(four[:, [1, 5]][four[:, 4] != "r"]), evenly(itertools.product("01", repeat=2)))


def test_flip_flop_cases():
    task = FlipFlop(eval_lengths=(80,), eval_ignore=(0.98, 0.1))
    assert task.train_cases() == (({"length": [4, 40], "ignore": 0.8}, 1.0),)
    shares = [(40, 0.8), (40, 0.98), (40, 0.1), (80, 0.98), (80, 0.1)]
    assert task.cases() == tuple({"length": length, "ignore": share} for length, share in shares)


def test_arithmetic_draws_digits_and_operators_evenly():
    inputs = words("arithmetic")
    assert_odds(sizes("arithmetic").tolist(), evenly(range(1, 6)))
    whole = inputs[sizes("arithmetic") == 5]
    assert_odds(rows(whole[:, [0, 4, 8]]), evenly(itertools.product("012", repeat=3)))
    assert_odds(rows(whole[:, [1, 3, 7]]), evenly(itertools.product("+-", "+-*", "+-*")))


def test_arithmetic_without_multiplication():
    inputs = words("arithmetic plus")
    assert {*inputs.flat} == {*"0123+-()"}
    two = inputs[np.isin(inputs[:, 3], ["+", "-"])]
    assert_odds(rows(two[:, [1, 3]]), evenly(itertools.product("+-", repeat=2)))


def test_arithmetic_branches_with_a_third():
    inputs = words("arithmetic brackets")
    opens = inputs[:, 2] == "("
    assert_odds(opens.tolist(), {True: 1 / 3, False: 2 / 3})
    assert_odds((inputs[opens, 4] == ")").tolist(), {True: 1 / 3, False: 2 / 3})
    deepest = np.cumsum((inputs == "(").astype(int) - (inputs == ")"), axis=1).max(axis=1)
    assert {*deepest.tolist()} == {0, 1, 2}


@pytest.mark.parametrize("name, symbols", [("copy", "abc"), ("reverse", "ab"), ("sort", "abcd")])
def test_strings_are_uniform(name, symbols):
    low, high = SETTINGS[name][1]["length"]
    assert_odds(sizes(name).tolist(), evenly(range(low // 2, high // 2 + 1)))
    assert_odds(rows(words(name)[sizes(name) == 3, :3]), evenly(itertools.product(symbols, repeat=3)))


def test_selective_copy_places_its_symbols_evenly():
    inputs = words("selective copy")
    whole = inputs[inputs[:, 6] == "|"]
    places = [tuple(np.flatnonzero(row[:6] != "_")) for row in whole]
    assert_odds(places, evenly(itertools.combinations(range(6), 2)))
    marked = [tuple(row[list(place)]) for row, place in zip(whole, places)]
    assert_odds(marked, evenly(itertools.product("abc", repeat=2)))


def test_induction_tokens_are_uniform():
    assert_odds(rows(drawn("induction").inputs), evenly(itertools.product((0, 1), repeat=7)))
    inputs, _, mask = drawn("induction last")
    three = inputs[mask[:, 3]]
    assert_odds([tuple(row[:3]) for row in three.tolist()], evenly(itertools.product(range(4), repeat=3)))
    odds = Counter()
    for start in itertools.product(range(4), repeat=3):
        for place in range(3):
            odds[(*start, start[place])] += 1 / 4**3 / 3
    assert_odds(rows(three[:, :4]), odds)


def test_induction_marks_one_place_evenly():
    inputs, _, mask = drawn("induction marked")
    whole = inputs[mask[:, -1]]
    assert_odds(np.argmax(whole == 3, axis=1).tolist(), evenly(range(5)))
    assert ((whole == 3).sum(axis=1) == 2).all()
    assert_odds(whole[whole[:, 0] != 3, 0].tolist(), evenly(range(3)))


def test_noisy_recall_draws_items_evenly():
    first = words("noisy recall")[:, :2]
    odds = {("~1",): 0.15, ("~2",): 0.15}
    odds |= dict.fromkeys(itertools.product("ab", "123"), 0.7 / 6)
    assert_odds((tuple(row[:1]) if row[0][0] == "~" else tuple(row) for row in first.tolist()), odds)


def test_fuzzy_recall_draws_keys_and_values_evenly():
    text = ["".join(row) for row in words("fuzzy recall") if row[6] != "_"]
    keys, values = Counter(), Counter()
    for row in text:
        key = "".join(itertools.takewhile(str.isalpha, row))
        keys[key] += 1
        values["".join(itertools.takewhile(str.isdigit, row[len(key) :]))] += 1
    assert_odds(keys.elements(), evenly(["a", "b", *map("".join, itertools.product("ab", repeat=2))]))
    ones, twos = list("123"), list(map("".join, itertools.product("123", repeat=2)))
    assert_odds(values.elements(), dict.fromkeys(ones, 1 / 6) | dict.fromkeys(twos, 1 / 18))


def test_counting_draws_words_evenly():
    assert_odds(sizes("counting").tolist(), evenly(range(2, 13, 2)))
    assert_odds(sizes("counting 3").tolist(), evenly(range(3, 13, 3)))


def test_shuffled_brackets_open_and_close_with_a_half():
    three = words("counting shuffle")[sizes("counting shuffle") == 3, :3]
    odds = Counter()

    def grow(word, chance):
        if len(word) == 3:
            odds[word] += chance
            return
        for opening, closing in ("()", "[]"):
            is_open = word.count(opening) > word.count(closing)
            grow((*word, opening), chance / 2 * (0.5 if is_open else 1))
            if is_open:
                grow((*word, closing), chance / 4)

    grow((), 1.0)
    assert_odds(rows(three), odds)


def test_addition_draws_digits_evenly():
    two = words("addition big")[sizes("addition big") == 3]
    assert_odds(rows(two[:, [0, 1, 3, 4]]), evenly(itertools.product("01", repeat=4)))
