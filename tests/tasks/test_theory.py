"""The declared theory: its words are known, no theorem contradicts another, larger classes can do more."""

from itertools import product

import pytest

from rnnbench.mixers import PRESETS, preset
from rnnbench.tasks import TASKS
from rnnbench.tasks.automaton import Automaton
from rnnbench.tasks.dyck import Dyck
from rnnbench.tasks.group_word import GroupWord
from rnnbench.tasks.modular_arithmetic import ModularArithmetic
from rnnbench.tasks.theory import ATTENTION, CLASSES, NONLINEAR, SPECTRA, STRUCTURES, Transition, verdict

LINEAR = [Transition(*each) for each in product(SPECTRA, STRUCTURES[:-1], (False, True))]
ALL = [*LINEAR, NONLINEAR, ATTENTION]
DECLARED = {
    **{name: kind() for name, kind in TASKS.items()},
    **{f"words in {group}": GroupWord(group=group) for group in ("Z2", "Z3", "Z4", "D4", "A4", "A5", "S5")},
    "threes of A5": GroupWord(group="A5", tokens="threes"),
    **{f"automaton of {kind}": Automaton(letters=kind) for kind in ("mixed", "resets")},
    "automaton of seven states": Automaton(num_states=7),
    "arithmetic modulo 4": ModularArithmetic(modulus=4),
    "brackets of one type": Dyck(num_types=1),
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
        for p in map(PRESETS.get, theorem.presets):  # of the kind that the theorem is about
            kind = Transition(p.spectrum, p.structure, p.selective)
            assert theorem.transition.within(kind) if theorem.solves else kind.within(theorem.transition)
        for other in theory:
            contradicts = theorem.solves and not other.solves and theorem.transition.within(other.transition)
            of_all = not (theorem.presets and other.presets)
            assert not contradicts or not (of_all or {*theorem.presets} & {*other.presets}), (theorem, other)
    found = {each: verdict(theory, *each) for each in ALL}
    for smaller, larger in product(ALL, repeat=2):
        if smaller.within(larger):
            assert found[smaller] != "yes" or found[larger] == "yes", (smaller, larger)
            assert found[larger] != "no" or found[smaller] == "no", (smaller, larger)


def of(task, preset, **options):
    """The verdict on a preset of the package."""
    p = PRESETS[preset]
    return verdict(TASKS[task](**options).theory, p.spectrum, p.structure, p.selective, preset)


PARITY = {"mamba": "no", "retnet": "no", "lru": "open", "mamba_neg": "yes", "mamba3": "yes"}
PARITY |= {"deltanet": "no", "rwkv7": "no", "deltanet_neg": "yes", "deltaproduct2": "yes", "slice": "yes"}
PARITY |= {"lstm": "yes", "gru": "yes", "gpt": "open", "hybrid_deltanet": "open", "linear_transformer": "no"}
PARITY |= {"window": "no"}
COUNTING = {"lstm": "yes", "gru": "no", "elman": "no", "slstm": "open", "gpt": "open"}
COUNTING |= {
    "mamba": "yes",
    "mingru": "open",
    "hgrn2": "open",
    "deltanet": "open",
    "linear_transformer": "open",
}
STAR_FREE = {"mamba": "yes", "deltanet": "yes", "rwkv7": "yes", "lstm": "yes", "lru": "open", "gpt": "open"}


@pytest.mark.parametrize(
    "task, verdicts",
    [
        ("bit_parity", PARITY),
        ("controlled_bit_parity", PARITY),
        ("counting", COUNTING),
        ("flip_flop", STAR_FREE),
        ("dyck", STAR_FREE),
        ("mqar", STAR_FREE | {"gpt": "yes", "window": "no"}),
        ("copy", dict.fromkeys(("lstm", "mamba", "lru", "slice"), "no") | {"gpt": "open"}),
    ],
)
def test_verdicts_on_presets(task, verdicts):
    assert {preset: of(task, preset) for preset in verdicts} == verdicts


def test_verdicts_on_groups():
    words = lambda preset: [of("group_word", preset, group=group) for group in ("Z3", "S3", "S4", "A5", "S5")]
    assert words("mamba3") == ["yes"] * 3 + ["no"] * 2
    for real in ("mamba", "mamba_neg", "deltanet", "gated_deltanet", "rwkv7"):
        assert words(real) == ["no"] * 5
    assert words("deltanet_neg") == words("deltaproduct3") == words("slice") == words("lstm") == ["yes"] * 5
    assert words("s5") == words("gpt") == ["open"] * 3 + ["no"] * 2
    assert words("retnet") == words("window") == ["no"] * 5
    assert of("group_word", "mamba_neg", group="Z4") == "open"  # real transitions count modulo powers of 2
    assert GroupWord(group="Z2").theory == TASKS["bit_parity"]().theory


def test_a_theorem_about_single_presets_needs_their_name():
    counting = TASKS["counting"]().theory
    assert verdict(counting, "", "nonlinear", True) == "open"
    assert verdict(counting, "", "nonlinear", True, "lstm") == "yes"
    assert verdict(counting, "", "nonlinear", True, "my_file:LSTM") == "open"
