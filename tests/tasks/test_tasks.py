"""What holds for every task: targets as the oracle has them, the shape of a batch, cases, building."""

import dataclasses
import itertools
import json
import re
from collections import Counter

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
import oracles
import pytest
import word_oracles
from helpers import tiny
from jax.sharding import NamedSharding, PartitionSpec
from task_samples import SETTINGS, N, assert_odds, drawn, ends, evenly, rows

from rnnbench.config.build import flat
from rnnbench.errors import ConfigError
from rnnbench.tasks import TASKS, build, contract, fields_of, key_of, options
from rnnbench.tasks.addition import Addition
from rnnbench.tasks.automaton import Automaton
from rnnbench.tasks.bit_parity import BitParity
from rnnbench.tasks.controlled_bit_parity import ControlledBitParity
from rnnbench.tasks.copy import Copy
from rnnbench.tasks.counting import Counting
from rnnbench.tasks.draw import choose, order_by, supervised_positions
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

MAY_ASK_NOTHING = ("noisy recall", "fuzzy recall")
CHECKED = 4000  # samples of each setting that are held against an oracle


def answer(task, tokens):
    if isinstance(task, Dyck):
        return (oracles.dyck_balanced if task.mode == "balanced" else oracles.dyck_close)(
            tokens, task.num_types
        )
    if isinstance(task, MQAR):
        return oracles.mqar(tokens, task.num_keys, task.separator)
    if isinstance(task, (BitParity, ControlledBitParity)):
        return oracles.parity(tokens, task.supervision)
    token_names, class_names = contract.names(task)
    found = word_oracles.answer(task, [token_names[token] for token in tokens])
    return [None if name is None else class_names.index(name) for name in found]


@pytest.mark.parametrize("name", SETTINGS)
def test_targets_are_the_oracle_s(name):
    task, _ = SETTINGS[name]
    inputs, targets, mask = (part[:CHECKED] for part in drawn(name))
    for row, target, asked, end in zip(inputs.tolist(), targets.tolist(), mask.tolist(), ends(name, mask)):
        expected = answer(task, row[:end])
        assert [t if m else None for t, m in zip(target, asked)][:end] == expected, row
        assert not any(row[end:]) and not any(asked[end:])
        assert not any(t for t, m in zip(target, asked) if not m)


@pytest.mark.parametrize("name", SETTINGS)
def test_supervised_is_the_most_positions_that_are_asked(name):
    task, case = SETTINGS[name]
    _, _, mask = drawn(name)
    assert mask.sum(axis=1).max() == task.supervised(case)


def test_supervised_positions_are_those_of_the_mask():
    masks = np.random.default_rng(0).random((50, 9)) < 0.3
    for mask in [*masks, np.zeros(9, bool), np.ones(9, bool)]:
        positions, valid = supervised_positions(jnp.asarray(mask), 9)
        assert positions[valid].tolist() == np.flatnonzero(mask).tolist()


@pytest.mark.parametrize("name", SETTINGS)
def test_batch_keeps_to_its_contract(name):
    task, case = SETTINGS[name]
    inputs, targets, mask = drawn(name)
    assert inputs.dtype == targets.dtype == np.int32 and mask.dtype == bool
    assert inputs.shape == targets.shape == mask.shape == (N, np.max(case["length"]))
    assert mask.any(axis=1).all() or name in MAY_ASK_NOTHING
    assert inputs.min() == 0 and inputs.max() == task.vocab_size - 1
    assert set(targets[mask].tolist()) == set(range(task.num_classes))


@pytest.mark.parametrize("name", ["parity", "controlled", "dyck", "mqar re-used", "mqar spread ranges"])
def test_data_do_not_depend_on_the_number_of_devices(name):
    task, case = SETTINGS[name]
    mesh = jax.make_mesh((8,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
    keys = jax.device_put(jax.random.split(jax.random.key(0), N), NamedSharding(mesh, PartitionSpec("data")))
    sharded = jax.jit(lambda keys: jax.vmap(lambda key: task.sample(key, case))(keys))(keys)
    assert len(sharded.inputs.sharding.device_set) == 8
    for mine, theirs in zip(sharded, drawn(name)):
        np.testing.assert_array_equal(mine, theirs)


@pytest.mark.parametrize("name", SETTINGS)
def test_cases_survive_json_and_come_once(name):
    task, _ = SETTINGS[name]
    train = [case for case, _ in task.train_cases()]
    for case in [*train, *task.cases(), task.selection_case()]:
        assert json.loads(json.dumps(case)) == case
        assert 0 < task.chance(case) < 1
    assert task.cases()[0] == task.selection_case()
    longest = max(np.max(case["length"]) for case in train)
    assert np.max(task.selection_case()["length"]) == longest
    assert all(case not in task.cases()[:i] for i, case in enumerate(task.cases()))


# The tasks of the examples that are not at its defaults, in their order.
EXAMPLES = {
    "addition": [Addition()],
    "automaton": [Automaton()],
    "copy": [Copy(), Copy(answers="hidden")],
    "counting": [Counting(), Counting(words="anbncn"), Counting(words="shuffle")],
    "flip_flop": [FlipFlop()],
    "fuzzy_recall": [FuzzyRecall()],
    "group_word": [GroupWord()],
    "induction": [Induction(), Induction(supervision="last"), Induction(supervision="marked")],
    "modular_arithmetic": [ModularArithmetic(), ModularArithmetic(brackets=True)],
    "noisy_recall": [NoisyRecall()],
    "reverse": [Reverse()],
    "selective_copy": [SelectiveCopy()],
    "sort": [Sort()],
}


def test_every_task_has_an_example_that_is_checked():
    assert EXAMPLES.keys() | SYMBOLS.keys() == TASKS.keys() | {"mqar |"}


@pytest.mark.parametrize("name", EXAMPLES)
def test_examples_are_those_of_the_oracle(name):
    examples = re.findall(r"inputs +(.*)\n +targets +(.*)\n", TASKS[name].__doc__)
    for task, (inputs, targets) in zip(EXAMPLES[name], examples, strict=True):
        token_names, class_names = contract.names(task)
        assert {*inputs.split()} <= {*token_names} and {*targets.split()} <= {*class_names, "."}
        found = word_oracles.answer(task, inputs.split())
        assert [name or "." for name in found] == targets.split()


SYMBOLS = {
    "bit_parity": {"0": 0, "1": 1},
    "controlled_bit_parity": {"0": 0, "1": 1},
    "dyck": {"(": 0, "[": 1, "{": 2, ")": 3, "]": 4, "}": 5},
    "mqar": {"_": 0, "b": 1, "c": 2, "d": 3, "1": 4, "2": 5, "3": 6},
    "mqar |": {"_": 0, "|": 1, "b": 2, "c": 3, "d": 4, "1": 5, "2": 6, "3": 7},
}


@pytest.mark.parametrize("name", [name for name in SYMBOLS if "|" not in name])
def test_docstring_examples_are_right(name):
    examples = re.findall(r"inputs +(.*)\n +targets +(.*)\n", TASKS[name].__doc__)
    assert examples
    for inputs, targets in examples:
        symbols = SYMBOLS[name + " |" if "|" in inputs else name]
        tokens = [symbols[symbol] for symbol in inputs.split()]
        if name == "mqar":
            values = [None if symbol == "." else int(symbol) - 1 for symbol in targets.split()]
            assert oracles.mqar(tokens, 3, "|" in inputs) == values
        elif name == "dyck" and "." in targets:
            types = [None if symbol == "." else symbols[symbol] for symbol in targets.split()]
            assert oracles.dyck_close(tokens, 3) == types
        else:
            oracle = (lambda tokens: oracles.dyck_balanced(tokens, 3)) if name == "dyck" else oracles.parity
            assert oracle(tokens) == [int(symbol) for symbol in targets.split()]


@pytest.mark.parametrize("name", SETTINGS)
def test_chance_is_the_best_guess_from_the_position(name):
    """The guess of each position is chosen by one half of the samples and judged by the other."""
    task, case = SETTINGS[name]
    _, targets, mask = drawn(name)
    if task.headline == "sequence_accuracy":
        whole = [tuple(row) for row in np.where(mask, targets, -1).tolist()]
        (guess, _), *_ = Counter(whole[: N // 2]).most_common(1)
        assert whole[N // 2 :].count(guess) / (N // 2) == pytest.approx(task.chance(case), abs=0.012)
        return
    if task.headline == "last_quarter_accuracy":
        rank = mask.cumsum(axis=1)
        mask = mask & (4 * rank > 3 * rank[:, -1:])
    classes = np.arange(task.num_classes)[:, None, None]
    counts = (
        ((targets == classes) & mask).reshape(len(classes), 2, -1, mask.shape[1]).sum(2)
    )  # [class, half, t]
    share = counts.sum(-1)[..., None]  # a balanced accuracy weighs each class alike
    weight = counts / share / len(classes) if task.headline == "balanced_accuracy" else counts / share.sum(0)
    guess = weight[:, 0].argmax(0)
    reached = np.take_along_axis(weight[:, 1], guess[None], 0).sum()
    assert reached == pytest.approx(task.chance(case), abs=0.012)


def test_headlines_and_chance():
    assert BitParity().headline == "last_quarter_accuracy"
    assert BitParity(supervision="last").headline == "last_accuracy"
    assert ControlledBitParity().headline == MQAR().headline == Dyck(mode="close").headline == "accuracy"
    assert Dyck().headline == "balanced_accuracy"
    assert Dyck(num_types=7, mode="close").chance({"length": 8}) == 1 / 7
    # Two places, one of them a 1: odd are 0 and then 1, or 1 and 1.
    assert ControlledBitParity().chance({"length": 2, "ones": 1}) == pytest.approx(0.75)


def test_build_reads_task_and_eval():
    config = ml_collections.ConfigDict(
        {
            "task": {
                "name": "mqar",
                "module": "",
                "num_keys": 9,
                "train_mix": ((32, 4), (64, (2, 8), 0.5)),
            },
            "eval": {
                "lengths": (64, 128),
                "pairs": (8, (1, 9)),
                "cases": ({"length": 40, "pairs": 3},),
                "seed": 1,
            },
        }
    )
    task = build(config)
    assert isinstance(task, MQAR) and task.num_keys == 9
    assert task.train_cases() == (({"length": 32, "pairs": 4}, 1.0), ({"length": 64, "pairs": [2, 8]}, 0.5))
    assert task.cases() == (
        {"length": 64, "pairs": 8},
        {"length": 128, "pairs": [1, 9]},
        {"length": 40, "pairs": 3},
    )


@pytest.mark.parametrize(
    "task, key, value",
    [("mqar", "task.num_types", 4), ("dyck", "eval.pairs", (4,)), ("bit_parity", "task.depth", 9)],
)
def test_another_task_s_setting_is_refused(task, key, value):
    with pytest.raises(ConfigError, match=f"^--config.{key}: {task} has no such setting"):
        tiny("lstm", {key: value}, task)


@pytest.mark.parametrize("name", TASKS)
def test_a_task_keeps_the_contract_at_its_defaults(name):
    task = TASKS[name]()
    contract.check(task)
    contract.check_draws(dataclasses.replace(task, eval_lengths=()))  # samples of other lengths take long
    assert task.__doc__ and all(len(field.metadata["help"]) > 5 for field in fields_of(TASKS[name]))


@pytest.mark.parametrize("name", TASKS)
def test_a_batch_stays_of_32_bits(name):
    task = TASKS[name]()
    with jax.enable_x64(True):
        for case, _ in task.train_cases():
            found = jax.eval_shape(lambda case=case: task.sample(jax.random.key(0), case))
            assert [part.dtype for part in found] == [np.int32, np.int32, np.bool_]


@pytest.mark.parametrize("name", TASKS)
def test_a_task_s_options_are_its_fields(name):
    config = tiny("lstm", SMALL.get(name, {}), name)
    task = build(config)
    assert {key: value for key, value in flat(config).items() if key in options(name)} == {
        key_of(field.name): getattr(task, field.name) for field in fields_of(TASKS[name])
    }


SMALL = {
    "controlled_bit_parity": {"task.num_ones": 2},
    "mqar": {"eval.pairs": (2, 2), "task.train_pairs": (1, 2), "task.train_lengths": (12, 12)},
    "addition": {"task.train_lengths": (5, 12)},
    "flip_flop": {"task.train_lengths": (4, 12)},
    "selective_copy": {"task.num_marked": 1},
    "counting": {"task.words": "shuffle"},
    "fuzzy_recall": {"task.train_lengths": (4, 12)},
}


def test_choose_is_uniform_over_ordered_choices():
    sizes = jnp.tile(jnp.array([4, 5]), N)
    keys = jax.random.split(jax.random.key(0), 2 * N)
    chosen = np.asarray(jax.jit(jax.vmap(lambda key, size: choose(key, 3, size)))(keys, sizes))
    for size in (4, 5):
        assert_odds(rows(chosen[size - 4 :: 2]), evenly(itertools.permutations(range(size), 3)))


def test_order_by_is_a_stable_argsort():
    rank = jax.random.randint(jax.random.key(0), (1000,), -20, 20)
    np.testing.assert_array_equal(order_by(rank), np.argsort(rank, kind="stable"))
