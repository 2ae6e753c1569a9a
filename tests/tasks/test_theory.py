"""The declared theory: its words are known, no theorem contradicts another, larger classes can do more."""

from itertools import product

import pytest

from rnnbench.mixers import PRESETS, preset
from rnnbench.tasks import TASKS
from rnnbench.tasks.automaton import Automaton
from rnnbench.tasks.controlled_bit_parity import ControlledBitParity
from rnnbench.tasks.group_word import GroupWord
from rnnbench.tasks.theory import ATTENTION, CLASSES, NONLINEAR, SPECTRA, STRUCTURES, Transition, verdict

LINEAR = [Transition(*each) for each in product(SPECTRA, STRUCTURES[:-1], (False, True))]
ALL = [*LINEAR, NONLINEAR, ATTENTION]
DECLARED = {
    **{name: kind() for name, kind in TASKS.items()},
    **{f"words in {group}": GroupWord(group=group) for group in ("Z2", "Z3", "Z4", "D4", "A4", "A5", "S5")},
    "threes of A5": GroupWord(group="A5", tokens="threes"),
    **{f"automaton of {kind}": Automaton(letters=kind) for kind in ("permutations", "resets")},
}

pytestmark = pytest.mark.fast


def test_kinds_of_transition_contain_each_other():
    assert all(each.within(each) and each.within(NONLINEAR) for each in [*LINEAR, NONLINEAR])
    assert not any(each.within(ATTENTION) or ATTENTION.within(each) for each in ALL[:-1])
    assert not any(NONLINEAR.within(each) for each in LINEAR)
    for a, b, c in product(LINEAR, repeat=3):
        assert a.within(c) or not (a.within(b) and b.within(c))


def test_presets_are_described_in_the_same_words():
    assert set(preset.SPECTRA) == {"", *SPECTRA}
    assert set(preset.STRUCTURES) == {"", *STRUCTURES, "attention", "hybrid"}
    parity = TASKS["bit_parity"]().theory
    found = {name: verdict(parity, p.spectrum, p.structure, p.selective) for name, p in PRESETS.items()}
    known = {name: found[name] for name in ("lstm", "mamba", "mamba_neg", "deltanet", "deltanet_neg", "gpt")}
    assert list(known.values()) == ["yes", "no", "yes", "no", "yes", "open"]
    assert verdict(parity, "", "hybrid", None) == "open"


@pytest.mark.parametrize("name", DECLARED)
def test_declarations_hold_together(name):
    task = DECLARED[name]
    assert task.language in CLASSES
    theory = task.theory
    for theorem in theory:
        assert theorem.transition in ALL and ("arXiv " in theorem.source)
        for other in theory:
            contradicts = theorem.solves and not other.solves and theorem.transition.within(other.transition)
            assert not contradicts, (theorem, other)
    found = {each: verdict(theory, *each) for each in ALL}
    for smaller, larger in product(ALL, repeat=2):
        if smaller.within(larger):
            assert found[smaller] != "yes" or found[larger] == "yes", (smaller, larger)
            assert found[larger] != "no" or found[smaller] == "no", (smaller, larger)


def of_words(group, *transition):
    return verdict(GroupWord(group=group).theory, *transition)


def test_verdicts_that_are_well_known():
    parity = TASKS["bit_parity"]().theory
    assert verdict(parity, "[0, 1]", "diagonal", True) == "no"  # Mamba
    assert verdict(parity, "[0, 1]", "diagonal + rank 1", True) == "no"  # DeltaNet
    assert verdict(parity, "[-1, 1]", "diagonal", True) == "yes"
    assert verdict(parity, "[-1, 1]", "diagonal + rank 1", True) == "yes"
    assert verdict(parity, "", "nonlinear", True) == "yes"
    assert verdict(parity, "complex", "diagonal", False) == "open"
    assert ControlledBitParity().theory == parity == GroupWord(group="Z2").theory
    diagonal = ("complex", "diagonal", True)
    assert [of_words(group, *diagonal) for group in ("Z3", "S3", "S4", "A5", "S5")] == ["yes"] * 3 + [
        "no"
    ] * 2
    assert {of_words(group, "[-1, 1]", "diagonal", True) for group in ("Z3", "S3", "A5")} == {"no"}
    assert of_words("S5", "[-1, 1]", "diagonal + rank 2", True) == "yes"
    assert of_words("S5", "complex", "dense", False) == "no"
    recall = TASKS["mqar"]().theory
    assert verdict(recall, *ATTENTION) == "yes" and verdict(recall, *NONLINEAR) == "no"
    assert verdict(TASKS["flip_flop"]().theory, "[0, 1]", "diagonal", True) == "yes"
