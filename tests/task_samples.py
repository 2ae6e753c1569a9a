"""The settings in which the tasks are tested, their samples, and how to compare outcomes with exact odds."""

from collections import Counter
from functools import cache

import jax
import numpy as np
import pytest

from rnnbench.tasks.addition import Addition
from rnnbench.tasks.automaton import Automaton
from rnnbench.tasks.bit_parity import BitParity
from rnnbench.tasks.controlled_bit_parity import ControlledBitParity
from rnnbench.tasks.copy import Copy
from rnnbench.tasks.counting import Counting
from rnnbench.tasks.dyck import Dyck
from rnnbench.tasks.flip_flop import FlipFlop
from rnnbench.tasks.fuzzy_recall import FuzzyRecall
from rnnbench.tasks.group_word import GroupWord
from rnnbench.tasks.induction import Induction
from rnnbench.tasks.modular_arithmetic import ModularArithmetic
from rnnbench.tasks.mqar import MQAR
from rnnbench.tasks.noisy_recall import NoisyRecall
from rnnbench.tasks.reverse import Reverse
from rnnbench.tasks.selective_copy import SelectiveCopy
from rnnbench.tasks.sort import Sort

N = 10_000  # samples of each setting

dyck = dict(train_lengths=(2, 12), eval_lengths=(16,))
recall = dict(num_keys=6, num_values=5, train_pairs=(1, 4))
tiny = dict(num_keys=3, num_values=2, train_pairs=(2, 2), query_power=0.3)
spread = dict(train_lengths=(12, 12), queries="spread")

SETTINGS = {
    "parity": (BitParity(train_lengths=(1, 9)), {"length": [1, 9]}),
    "parity last": (BitParity(supervision="last", train_lengths=(3, 9)), {"length": [3, 9]}),
    "controlled": (ControlledBitParity(num_ones=3, train_lengths=(5, 7)), {"length": [5, 7], "ones": 3}),
    "controlled any": (ControlledBitParity(num_ones=3, train_lengths=(5, 7)), {"length": 7, "ones": "any"}),
    "dyck": (Dyck(num_types=2, depth=3, **dyck), {"length": [2, 12]}),
    "dyck spoilt": (Dyck(num_types=3, corruption=1.0, **dyck), {"length": 4}),
    "dyck one type": (Dyck(num_types=1, corruption=1.0, **dyck), {"length": 4}),
    "dyck valid": (Dyck(num_types=2, depth=3, corruption=0.0, **dyck), {"length": 8}),
    "dyck close": (Dyck(num_types=3, depth=2, mode="close", **dyck), {"length": [2, 8], "depth": 3}),
    "mqar one": (MQAR(queries="one", train_lengths=(16, 16), **recall), {"length": 16, "pairs": [1, 4]}),
    "mqar all": (
        MQAR(queries="all", train_lengths=(18, 18), separator=True, **recall),
        {"length": 18, "pairs": [2, 4]},
    ),
    "mqar re-used": (
        MQAR(queries="all", train_lengths=(18, 18), unique_keys=False, **recall),
        {"length": 18, "pairs": [1, 6]},
    ),
    "mqar spread": (MQAR(**tiny, **spread), {"length": 12, "pairs": 2}),
    "mqar spread ranges": (
        MQAR(**recall, queries="spread", train_lengths=(16, 32)),
        {"length": [16, 21], "pairs": [1, 4]},
    ),
    "mqar spread re-used": (
        MQAR(**tiny, **spread, unique_keys=False),
        {"length": 13, "pairs": 3},
    ),
    "group S4": (GroupWord(group="S4", train_lengths=(1, 7)), {"length": [1, 7]}),
    "group D4": (GroupWord(group="D4", tokens="generators"), {"length": 6}),
    "group S5 swaps": (GroupWord(group="S5", tokens="swaps", supervision="last"), {"length": [5, 6]}),
    "automaton": (Automaton(num_states=3, letters="mixed", train_lengths=(2, 8)), {"length": [2, 8]}),
    "automaton last": (
        Automaton(num_states=4, num_letters=3, letters="permutations", supervision="last"),
        {"length": 2},
    ),
    "automaton resets": (Automaton(num_states=3, letters="resets"), {"length": 7}),
    "flip-flop": (FlipFlop(train_lengths=(4, 9)), {"length": [4, 9], "ignore": 0.3}),
    "arithmetic": (ModularArithmetic(modulus=3), {"length": [1, 9]}),
    "arithmetic plus": (
        ModularArithmetic(modulus=4, operators="+-", brackets=True, depth=1),
        {"length": [1, 9]},
    ),
    "arithmetic brackets": (ModularArithmetic(modulus=4, brackets=True, depth=2), {"length": [9, 16]}),
    "arithmetic last": (ModularArithmetic(modulus=5, brackets=True, supervision="last"), {"length": [5, 12]}),
    "copy": (Copy(num_symbols=3), {"length": [2, 9]}),
    "copy hidden": (Copy(num_symbols=3, answers="hidden"), {"length": 10}),
    "reverse": (Reverse(), {"length": [2, 9]}),
    "sort": (Sort(num_symbols=4), {"length": [6, 11]}),
    "selective copy": (SelectiveCopy(num_symbols=3, num_marked=2), {"length": [4, 8]}),
    "induction": (Induction(num_symbols=2), {"length": 7}),
    "induction last": (Induction(num_symbols=4, supervision="last"), {"length": [2, 7]}),
    "induction marked": (Induction(num_symbols=3, supervision="marked"), {"length": [3, 7]}),
    "noisy recall": (NoisyRecall(num_keys=2, num_values=3, num_noise=2, noise=0.3), {"length": [3, 9]}),
    "fuzzy recall": (
        FuzzyRecall(num_pairs=2, key_tokens=2, value_tokens=3, train_lengths=(4, 12)),
        {"length": [4, 11]},
    ),
    "counting": (Counting(), {"length": [2, 13]}),
    "counting 3": (Counting(words="anbncn"), {"length": [3, 12]}),
    "counting shuffle": (Counting(words="shuffle"), {"length": [1, 9]}),
    "addition": (Addition(base=3), {"length": [5, 12]}),
    "addition big": (Addition(order="big", answers="hidden"), {"length": [8, 12]}),
}


def batch(task, case, count, seed=0):
    sample = jax.jit(lambda keys: jax.vmap(lambda key: task.sample(key, case))(keys))
    return jax.tree.map(np.asarray, sample(jax.random.split(jax.random.key(seed), count)))


@cache
def drawn(name):
    """N samples of a setting as (inputs, targets, mask) arrays."""
    return batch(*SETTINGS[name], N)


def ends(name, mask):
    """Where each sequence of a setting ends, told by its mask."""
    last = mask.shape[1] - np.argmax(mask[:, ::-1], axis=1)
    if name == "dyck close":
        return last + 1  # the closing bracket itself is not asked for
    if name == "flip-flop":
        return last + 1  # the bit that was read
    told = ("parity", "controlled", "dyck", "group", "automaton", "arithmetic", "counting")
    told += ("induction last", "induction marked")
    return last if name.startswith(told) else np.full(len(mask), mask.shape[1])


def assert_odds(outcomes, odds):
    """The outcomes come with these odds: chi-square within six standard deviations of its mean."""
    counts = Counter(outcomes)
    total = sum(counts.values())
    assert set(counts) <= set(odds)
    assert sum(odds.values()) == pytest.approx(1)
    chi_square = sum((counts[key] - total * p) ** 2 / (total * p) for key, p in odds.items())
    freedom = len(odds) - 1
    assert chi_square < freedom + 6 * (2 * freedom) ** 0.5


def evenly(outcomes):
    outcomes = list(outcomes)
    return dict.fromkeys(outcomes, 1 / len(outcomes))


def rows(array):
    return map(tuple, array.tolist())
