"""Metrics against a literal oracle, bins of position, and evaluation on many devices."""

from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import tiny

from rnnbench.config import ConfigError
from rnnbench.tasks.contract import Batch
from rnnbench.train import evaluate
from rnnbench.train.evaluate import (
    answers,
    batch_sums,
    by_position,
    case_key,
    make_evaluators,
    metrics,
    padded_lengths,
)
from rnnbench.train.population import compile_all, init_state, prepare

CASE = {"length": 24}
BINARY = SimpleNamespace(headline="balanced_accuracy", chance=lambda case: 0.5)


def random_batch(seed, sequences=7, length=24, classes=3):
    """Logits and a batch with ragged lengths and gaps; all sequences but the last have targets."""
    rng = np.random.default_rng(seed)
    mask = rng.random((sequences, length)) < 0.6
    mask &= np.arange(length) < rng.integers(1, length + 1, (sequences, 1))
    mask[:, 0] |= ~mask.any(axis=1)
    mask[-1] = False
    logits = rng.normal(size=(sequences, length, classes))
    targets = np.where(
        rng.random(mask.shape) < 0.7, logits.argmax(-1), rng.integers(classes, size=mask.shape)
    )
    targets[0] = logits[0].argmax(-1)  # one sequence wholly right
    tokens = np.zeros(mask.shape, np.int32)
    return logits, Batch(tokens, np.where(mask, targets, 0).astype(np.int32), mask)


def oracle(batches):
    """The definitions, position by position."""
    losses, right, last, quarter, whole = [], [], [], [], []
    asked = []  # (target is 1, answer is 1)
    for logits, batch in batches:
        for scores, targets, mask in zip(logits, batch.targets, batch.mask):
            positions = [t for t in range(len(mask)) if mask[t]]
            if not positions:
                continue
            answers = [int(np.argmax(scores[t])) == targets[t] for t in positions]
            for t in positions:
                losses.append(np.log(np.sum(np.exp(scores[t]))) - scores[t][targets[t]])
                asked.append((targets[t] == 1, np.argmax(scores[t]) == 1))
            right += answers
            last.append(answers[-1])
            whole.append(all(answers))
            # those of rank above three quarters of the count
            quarter += [ok for rank, ok in enumerate(answers, 1) if rank > 0.75 * len(answers)]
    both = sum(target and answer for target, answer in asked)
    neither = sum(not target and not answer for target, answer in asked)
    ones, said = sum(target for target, _ in asked), sum(answer for _, answer in asked)
    precision, recall = both / said, both / ones
    return {
        "loss": np.mean(losses),
        "accuracy": np.mean(right),
        "last_accuracy": np.mean(last),
        "last_quarter_accuracy": np.mean(quarter),
        "sequence_accuracy": np.mean(whole),
        "balanced_accuracy": (recall + neither / (len(asked) - ones)) / 2,
        "f1": 2 * precision * recall / (precision + recall),
    }


def summed(batches):
    """As `make_evaluators` gives them for one member."""
    sums = jax.jit(lambda logits, batch: batch_sums(answers(logits, batch.targets), batch))
    each = [sums(jnp.asarray(logits, jnp.float32), batch) for logits, batch in batches]
    return jax.tree.map(lambda *parts: np.asarray(sum(parts)), *each)


@pytest.mark.parametrize("classes", [2, 3])
def test_metrics_equal_the_oracle(classes):
    batches = [random_batch(seed, classes=classes) for seed in range(3)]
    found = metrics(summed(batches), BINARY, CASE)
    expected = oracle(batches)
    assert found["sequences"] == 21
    assert 0 < expected["sequence_accuracy"] < expected["last_accuracy"] < 1
    if classes > 2:  # these two are for yes and no
        del expected["balanced_accuracy"], expected["f1"]
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, rel=1e-5), name
    assert (found["headline"], found["chance"], found["diverged"]) == ("balanced_accuracy", 0.5, False)


def test_sequences_without_targets_count_neither_as_right_nor_as_wrong():
    logits, batch = random_batch(0)
    expected = metrics(summed([(logits, batch)]), BINARY, CASE)
    more = jax.tree.map(lambda x: np.concatenate([x, np.zeros_like(x)]), batch)
    found = metrics(summed([(np.concatenate([logits, logits]), more)]), BINARY, CASE)
    assert found == expected | {"sequences": 14}


def test_a_case_without_any_target_is_refused():
    logits, batch = random_batch(0)
    nothing = jax.tree.map(np.zeros_like, batch)
    with pytest.raises(ConfigError, match=r"eval\.batches: 7 sequences of length=24 have no target"):
        metrics(summed([(logits, nothing)]), BINARY, CASE)


def test_scaled_accuracy_is_of_the_headline_above_chance():
    task = SimpleNamespace(headline="last_accuracy", chance=lambda case: 1 / case["length"])
    found = metrics(summed([random_batch(0)]), task, CASE)
    assert found["scaled_accuracy"] == pytest.approx((found["last_accuracy"] - 1 / 24) / (23 / 24))
    assert "balanced_accuracy" not in found and "f1" not in found


NULL = ("loss", "accuracy", "last_accuracy", "balanced_accuracy", "f1", "scaled_accuracy")


@pytest.mark.parametrize("damage", [np.nan, np.inf, -np.inf, 1e38])
def test_outputs_that_are_not_finite_are_a_divergence(damage):
    """1e38 is finite, but the sum of such losses is not."""
    logits, batch = random_batch(0)
    logits[3, np.flatnonzero(batch.mask[3])] = damage * np.array([1, -1, 1])
    batch.targets[3, np.flatnonzero(batch.mask[3])] = 1
    found = metrics(summed([(logits, batch)] * 4), BINARY, CASE)
    assert found["diverged"] is True
    assert [found[name] for name in NULL] == [None] * 6
    assert (found["sequences"], found["chance"]) == (28, 0.5)


def test_outputs_where_nothing_is_asked_may_be_anything():
    logits, batch = random_batch(0)
    expected = metrics(summed([(logits, batch)]), BINARY, CASE)
    found = metrics(summed([(np.where(batch.mask[..., None], logits, np.nan), batch)]), BINARY, CASE)
    assert found == expected


def test_a_member_that_diverged_in_training_has_no_metrics():
    found = metrics(summed([random_batch(0)]), BINARY, CASE, diverged=True)
    assert found["diverged"] is True
    assert [found[name] for name in NULL] == [None] * 6


@pytest.mark.parametrize(
    "length,bins,width", [(1, 1, 1), (100, 100, 1), (128, 128, 1), (129, 65, 2), (1000, 125, 8)]
)
def test_bins_of_position(length, bins, width):
    rng = np.random.default_rng(length)
    count = rng.integers(0, 3, length) * (rng.random(length) < 0.3)
    right = rng.integers(0, count + 1)
    found = by_position({"count": count, "right": right})
    assert found["starts"] == list(range(0, length, width))
    assert len(found["accuracy"]) == bins <= 128
    for start, accuracy in zip(found["starts"], found["accuracy"]):
        asked = sum(count[start : start + width])
        expected = sum(right[start : start + width]) / asked if asked else None
        assert accuracy == expected
        assert type(accuracy) in (float, type(None))
    assert length < 100 or None in found["accuracy"]


def test_the_data_of_a_case_come_from_the_seed_and_the_case():
    def numbers(seed, case):
        return tuple(jax.random.key_data(case_key(seed, case)).tolist())

    cases = [{"length": 64}, {"length": 128}, {"length": [40, 64]}, {"length": 64, "pairs": 4}]
    keys = [numbers(seed, case) for case in cases for seed in (0, 1)]
    assert len(set(keys)) == len(keys)
    assert numbers(0, {"pairs": 4, "length": 64}) == numbers(0, {"length": 64, "pairs": 4})


def evaluated(mode, seed_axis, data_axis, time_axis=1, preset="lstm", length=24):
    """The sums of four members on one case; the number of sequences divides over the devices."""
    grid = {"population.learning_rates": (1e-3, 1e-2), "population.seeds": (0, 1)}
    settings = {
        "mesh.members": mode,
        "mesh.seed": seed_axis,
        "mesh.data": data_axis,
        "mesh.time": time_axis,
        "task.train_lengths": (3, 24),
    }
    setup = prepare(tiny(preset, grid | settings))
    [run] = make_evaluators(
        setup.task,
        setup.apply,
        [{"length": [3, 24]}],
        length=length,
        batches=3,
        batch_size=16,
        mesh=setup.mesh,
        mode=setup.mode,
        params=(params := init_state(setup).members.params),
    )
    return run(params, case_key(1234, CASE))


def assert_same_sums(found, expected):
    for name, value in expected.items():
        if name == "loss":
            np.testing.assert_allclose(found[name], value, rtol=1e-5)
        else:
            np.testing.assert_array_equal(found[name], value, err_msg=name)


def test_devices_and_mode_change_nothing_and_members_see_the_same_data():
    one = evaluated("map", 1, 1)
    assert (one["sequences"] == 48).all()
    assert_same_sums(evaluated("vmap", 2, 4), one)
    for name, value in one.items():
        np.testing.assert_array_equal(
            value[:2], value[2:], err_msg=name
        )  # members that differ in learning rate
    assert (one["count"][0] == one["count"][1]).all()
    assert one["loss"][0] != one["loss"][1]


def test_time_split_over_devices_changes_nothing():
    """24 tokens over 5 devices: the last of them has only 4 of its 5."""
    assert_same_sums(evaluated("map", 1, 1, 5, "qlstm"), evaluated("map", 1, 1, 1, "qlstm"))


@pytest.mark.parametrize("preset", ["lstm", "deltanet", "gpt"])
def test_padding_changes_nothing(preset):
    padded = evaluated("map", 1, 1, preset=preset, length=41)
    assert padded["count"].shape == (4, 24)
    assert_same_sums(padded, evaluated("map", 1, 1, preset=preset))


def test_cases_are_padded_to_another_within_a_limit():
    cases = [{"length": 40}, {"length": [3, 80]}, {"length": 320, "pairs": 4}, {"length": 320, "pairs": 8}]
    for most, expected in {
        0: [40, 80, 320, 320],
        239: [80, 80, 320, 320],
        240: [80, 320, 320, 320],
        280: 4 * [320],
    }.items():
        assert padded_lengths(cases, most) == expected


@pytest.mark.parametrize("every, batches, programs", [(0, 4, 1), (2, 4, 4), (0, 2**14, 4)])
def test_a_run_evaluated_at_its_end_pads_its_cases(monkeypatch, every, batches, programs):
    """An evaluation of a length is one call of make_evaluators."""
    made = []
    monkeypatch.setattr(evaluate, "make_evaluators", lambda *those, **_: [made.append(1)] * len(those[2]))
    settings = {"task.train_lengths": (3, 8), "eval.lengths": (16, 32, 64), "eval.every": every}
    setup = prepare(tiny("lstm", settings | {"eval.batches": batches}))
    _, evaluators = compile_all(setup, init_state(setup))
    assert len(made) == programs
    assert list(evaluators) == ["length=8", "length=16", "length=32", "length=64"]
