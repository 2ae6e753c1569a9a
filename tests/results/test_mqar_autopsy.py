"""The plug-ins of results/mqar_autopsy: each fault is what it says; without faults they are the package's."""

from functools import cache

import autopsy_mixer
import autopsy_task
import jax
import numpy as np
import plot
import pytest
import study
from flax import nnx
from task_samples import batch

from rnnbench.config import ConfigError
from rnnbench.mixers import contract
from rnnbench.mixers.deltanet import DeltaNet
from rnnbench.mixers.linear_attention import LinearAttention
from rnnbench.study import cells as grid
from rnnbench.train import population

MIXERS = {"FaultyDeltaNet": DeltaNet, "FaultyLinearAttention": LinearAttention}


def build(name, faults="", dim=6, **options):
    return getattr(autopsy_mixer, name)(dim, rngs=nnx.Rngs(0), faults=faults, heads=1, **options)


@pytest.mark.parametrize("name", MIXERS)
@pytest.mark.parametrize("promise", ["causal", "pieces_equal_whole"])
def test_promises_hold_with_faults(name, promise):
    x = jax.random.normal(jax.random.key(0), (2, 13, 6))
    contract.CHECKS[promise](lambda **more: build(name, "diagonal number", **more), x)


@pytest.mark.parametrize("name", MIXERS)
def test_without_faults_it_is_the_packages_mixer(name):
    x = jax.random.normal(jax.random.key(1), (2, 9, 6))
    ours, theirs = build(name, "one_query stale"), MIXERS[name](6, rngs=nnx.Rngs(0), heads=1)
    np.testing.assert_array_equal(ours(x)[0], theirs(x)[0])


def test_the_diagonal_read_out_of_the_delta_rule():
    """y[d] = S[d, d] q[d], by a loop that holds the whole memory."""
    rng = np.random.default_rng(0)
    q, k, v = rng.normal(size=(3, 1, 11, 1, 5))
    k /= np.linalg.norm(k, axis=-1, keepdims=True)
    beta, memory = rng.uniform(size=(1, 11, 1)), rng.normal(size=(1, 1, 5, 5))
    as_float32 = [x.astype(np.float32) for x in (q, k, v, beta, memory)]
    y, final = autopsy_mixer.diagonal_delta_rule(*map(jax.numpy.asarray, as_float32))
    S = memory[0, 0]
    for t in range(11):
        S = S + beta[0, t, 0] * np.outer(k[0, t, 0], v[0, t, 0] - S.T @ k[0, t, 0])
        np.testing.assert_allclose(y[0, t, 0], np.diag(S) * q[0, t, 0], atol=1e-5)
    np.testing.assert_allclose(final[0, 0], S, atol=1e-5)


def test_the_diagonal_read_out_of_linear_attention():
    mixer = build("FaultyLinearAttention", "diagonal")
    x = jax.random.normal(jax.random.key(2), (1, 7, 6))
    y, state = mixer(x)
    (q, k, v), _ = mixer.qkv(x, None)
    q, k, v = (np.asarray(part, np.float64)[0, :, 0] for part in (jax.nn.elu(q) + 1, jax.nn.elu(k) + 1, v))
    S, z = np.zeros((6, 6)), np.zeros(6)
    for t in range(7):
        S, z = S + np.outer(k[t], v[t]), z + k[t]
        read = np.diag(S) * q[t] / (z @ q[t])
        np.testing.assert_allclose(y[0, t], read @ np.asarray(mixer.output.kernel[...]), atol=1e-5)
    np.testing.assert_allclose(state["memory"][0, 0], np.c_[S, z], atol=1e-5)


@pytest.mark.parametrize("name", MIXERS)
def test_a_number_spans_one_direction(name):
    """The layers after it see only a token's place on a line."""
    x = jax.random.normal(jax.random.key(3), (1, 20, 6))
    entered = np.asarray(build(name, "number").entered(x))[0]
    assert np.linalg.matrix_rank(entered - entered.mean(0), tol=1e-5) == 1


def recall(faults, **options):
    settings = {"num_keys": 4, "num_values": 6, "pairs": (2, 3)}
    return autopsy_task.FaultyRecall(**(settings | options), faults=faults)


@cache
def drawn(faults, trained=True):
    """(task, case, 300 samples) of its training, or of its selection case."""
    task = recall(faults)
    case = task.train_cases()[0][0] if trained else task.selection_case()
    return task, case, batch(task, case, 300)


def records(tokens):
    """{key: value} of the tokens `key value |` at the start, and what follows them."""
    found, i = {}, 0
    while i + 2 < len(tokens) and tokens[i + 2] == 1:
        found[tokens[i]] = tokens[i + 1]
        i += 3
    return found, tokens[i:]


@pytest.mark.parametrize("faults", ["", "one_query", "shared_ids", "stale", "one_query shared_ids stale"])
def test_answers_are_the_values_bound_in_the_sequence_itself(faults):
    task, case, samples = drawn(faults)
    first_value = 2 if task.has("shared_ids") else 2 + task.num_keys
    own = case["length"] // 2 if task.has("stale") else 0
    differ = 0
    for inputs, targets, mask in zip(*samples):
        bound, _ = records(inputs[own:].tolist())
        assert 2 <= len(bound) <= 3
        asked = np.flatnonzero(mask)
        assert len(asked) == (1 if task.has("one_query") else len(bound)) and asked.min() >= own
        assert [bound[inputs[t]] - first_value for t in asked] == targets[mask].tolist()
        if own:
            before, _ = records(inputs[:own].tolist())
            differ += any(before.get(key, value) != value for key, value in bound.items())
    assert samples[0].max() < task.vocab_size and (differ > 100 or not own)


def test_shared_ids_overlap_and_else_they_do_not():
    for faults, overlap in (("shared_ids", {2, 3, 4, 5}), ("", set())):
        task, _, (inputs, _, _) = drawn(faults)
        bound = [pair for tokens in inputs.tolist() for pair in records(tokens)[0].items()]
        keys, values = map(set, zip(*bound))
        assert keys & values == overlap
        assert set(inputs.flat) == set(range(task.vocab_size))


def test_off_by_one_hides_a_key_and_a_number_of_pairs_from_training():
    (task, trained, training), (_, tested, testing) = drawn("off_by_one"), drawn("off_by_one", trained=False)
    assert (trained["pairs"], tested["pairs"]) == (2, 3)
    last_key = 2 + task.num_keys - 1
    assert set(testing.inputs.flat) - set(training.inputs.flat) == {last_key}


def test_a_fault_that_there_is_not():
    with pytest.raises(ConfigError, match=r"task\.faults"):
        recall("two_queries")
    with pytest.raises(ConfigError, match="off_by_one leaves no number"):
        recall("off_by_one", pairs=(2, 2))


@pytest.mark.parametrize("part", study.PARTS)
def test_cells_of_the_study(part):
    found = list(grid.cells(study.get_config(part), {}, {}, None).values())
    assert len(found) == len(study.PARTS[part]())
    assert len(found[0].population.seeds) >= 3
    for cell in found:
        assert cell.model.options.faults == cell.task.faults
    for cell in (found[0], found[-1]):
        population.prepare(cell)


def test_the_ablation_goes_both_ways():
    kinds = [set(each["model.options.faults"].split()) for each in study.ablation()]
    original = set(study.FAULTS)
    assert [original - kind for kind in kinds[1:5]] == [{fault} for fault in study.FAULTS]
    assert kinds[0] == original and kinds[5] == set()
    assert kinds[6:] == [{fault} for fault in study.FAULTS + study.SUSPECTS]


def rows(setting, accuracies=(0.5, 0.75, 1.0), rate=0.01):
    shared = {"cell": str(setting), "overrides": setting, "selection": True, "chance": 0.125, "loss": 1.0}
    shared |= {"learning_rate": rate, "step": setting.get("train.steps", 1500)}
    return [shared | {"seed": seed, "accuracy": value} for seed, value in enumerate(accuracies)]


def test_pages_are_of_the_rate_with_the_best_median_and_tell_spread():
    broken = study.cell(4, study.FAULTS)
    ladder = rows(broken, (0.9, 0.1, 0.1), rate=0.003) + rows(broken, (0.4, 0.3, 0.2))
    pages = plot.pages(ladder + rows(study.cell(4)) + rows(study.cell(4, ["number"])))
    assert "| the original: all four faults | 0.300 (0.200–0.400) | 0.01 |" in pages["tables.md"]
    assert "| only number | 0.750 (0.500–1.000) | 0.01 |" in pages["tables.md"]
    (panel,) = pages["accuracy_vs_keys.png"].panels
    assert [line.label for line in panel.lines] == ["the original, rebuilt", "+ no state of another sequence"]
    assert [line.y for line in panel.lines] == [[pytest.approx(0.3)], [0.75]] and panel.chance == [(4, 0.125)]


def test_every_rung_of_the_ladder_and_the_climb_is_in_a_line_of_its_own():
    found = plot.settings([row for each in study.ladder() + study.climb() for row in rows(each)])
    lines = {}
    for setting in found:
        lines.setdefault(plot.line_of(setting), []).append(setting["keys"])
    assert None not in lines and all(len(set(keys)) == len(keys) for keys in lines.values())
    assert sorted(map(len, lines.values())) == 3 * [3] + 6 * [4]  # one of the climb's four goes on to 64 keys
    assert len(lines) == len(study.FAULTS) + 1 + 4
    assert plot.line_of(plot.settings(rows(study.cell(4, ["number"])))[0]) is None
