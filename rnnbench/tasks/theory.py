"""What theorems say about the tasks: which transitions of a state solve one, and which cannot.

The question is always whether some model with a fixed number of layers, whose state has such transitions, is
right at every position at every length, whatever its width and its block size. Unless its source says
otherwise a theorem is about finite precision: numbers of a fixed number of bits, among them the ends of an
open interval such as that of a sigmoid; Mamba-3's least decay, exp(-Δ / 10,000), counts as 1. `verdict`
answers for a preset; where no theorem decides, the answer is "open".
"""

from typing import NamedTuple

# Each contains those before it. `attention` has no transition; `nonlinear` contains all linear ones.
SPECTRA = ("[0, 1]", "(-1, 1]", "[-1, 1]", "complex", "unbounded")
STRUCTURES = ("diagonal", "diagonal + rank 1", "diagonal + rank 2", "diagonal + rank 3", "dense", "nonlinear")
CLASSES = (
    "star free",
    "regular",
    "regular, solvable",
    "regular, not solvable",
    "counter",
    "context free",
    "context sensitive",
    "recall",
    "copying",
)


class Transition(NamedTuple):
    """A kind of transition: its spectrum, its structure, and whether it depends on the input."""

    spectrum: str
    structure: str
    selective: bool

    def within(self, other: "Transition") -> bool:
        """Whether every transition of this kind is one of the `other` kind."""
        if "attention" in (self.structure, other.structure):
            return self.structure == other.structure
        if other.structure == "nonlinear":
            return True
        return (
            self.structure != "nonlinear"
            and SPECTRA.index(self.spectrum) <= SPECTRA.index(other.spectrum)
            and STRUCTURES.index(self.structure) <= STRUCTURES.index(other.structure)
            and self.selective <= other.selective
        )


class Theorem(NamedTuple):
    """solves: some model with transitions of this kind solves the task; not solves: none does.

    presets: where the kind of transition does not decide, the presets that the theorem is about; () for all.
    """

    solves: bool
    transition: Transition
    source: str
    presets: tuple[str, ...] = ()


def verdict(
    theory: tuple[Theorem, ...], spectrum: str, structure: str, selective: bool, preset: str = ""
) -> str:
    """ "yes", "no" or "open", for a preset with these properties; "open" if it has no single transition.

    Without the name of the preset, theorems about single presets do not count.
    """
    if structure in ("", "hybrid"):
        return "open"
    asked = Transition(spectrum, structure, selective)
    theory = [each for each in theory if not each.presets or preset in each.presets]
    if any(each.solves and each.transition.within(asked) for each in theory):
        return "yes"
    if any(not each.solves and asked.within(each.transition) for each in theory):
        return "no"
    return "open"


ATTENTION = Transition("", "attention", True)
NONLINEAR = Transition("", "nonlinear", True)
NONNEGATIVE = Transition("[0, 1]", "diagonal", True)
SIGNED = Transition("[-1, 1]", "diagonal", True)
HOUSEHOLDER = Transition("[-1, 1]", "diagonal + rank 1", True)
ANY = Transition("unbounded", "dense", True)

GRAZZI = "Grazzi et al. 2024 (arXiv 2411.12537)"
MERRILL = "Merrill et al. 2024 (arXiv 2404.08819)"
SARROF = "Sarrof et al. 2024 (arXiv 2405.17394)"
SIEMS = "Siems et al. 2025 (arXiv 2502.10297)"
WEISS = "Weiss et al. 2018 (arXiv 1805.04908)"
TC0 = "in TC0 at a precision of log length, so no unless TC0 = NC1"

# An LSTM, an sLSTM and tanh contain an RNN with a sign, where their functions saturate.
AUTOMATA = Theorem(
    True,
    NONLINEAR,
    f"{MERRILL}, theorem 5.1, and Korsky & Berwick 2019 (arXiv 1906.06349), theorem 2.1: an RNN with a sign, "
    "and a GRU, can be any finite automaton",
)
WINDOW = Theorem(
    False,
    ATTENTION,
    "Beltagy et al. 2020 (arXiv 2004.05150), section 3.1: the receptive field is a window for each layer",
    presets=("window",),
)
# About softmax attention at every length nothing is claimed: the theorems are about hard attention (Yang et
# al. 2024, arXiv 2310.13897) or weights that grow with the length.
STAR_FREE = (
    Theorem(
        True,
        NONNEGATIVE,
        f"{SARROF}: non-negative diagonal transitions recognise the star-free languages, and no others",
    ),
    AUTOMATA,
    WINDOW,
)
# The theorem has a key, its value and a query side by side at each position.
RECALL = (
    *STAR_FREE,
    Theorem(
        True,
        ATTENTION,
        "Arora et al. 2023 (arXiv 2312.04927), proposition 4.3: attention recalls, at a width that does not "
        "grow with the length",
        presets=("gpt",),
    ),
)
# A state counts if it can keep its value and add 1 to it. Where the input is scaled by 1 - decay, or erases
# what it overwrites, it cannot.
COUNTER = (
    Theorem(
        True,
        NONNEGATIVE,
        f"{SARROF}: unbounded counters, at a precision of log length",
        presets=("mamba", "mamba_neg", "mamba2", "gla", "qlstm"),
    ),
    Theorem(True, NONLINEAR, f"{WEISS}: an LSTM counts, at a precision of log length", presets=("lstm",)),
    Theorem(
        False,
        NONLINEAR,
        f"{WEISS}: the state of a GRU or of tanh is bounded, so that it does not count",
        presets=("gru", "elman"),
    ),
    WINDOW,
)
_BITS = "the state must hold the whole string, and has a fixed number of bits"
COPYING = (
    *(
        Theorem(False, each, f"Jelassi et al. 2024 (arXiv 2402.01032), theorem 2.7: {_BITS}")
        for each in (ANY, NONLINEAR)
    ),
    WINDOW,
)

# Lemma 1 lets negative eigenvalues above -1 die out like the others below 1.
SETTLES = Theorem(
    False,
    Transition("(-1, 1]", "dense", True),
    f"{GRAZZI}, theorem 1 and lemma 1: on a repeated token the state settles, unless an eigenvalue that is "
    "negative or complex has modulus 1 or more",
)
# Of the LRU and S5 that is open: their decay may come as close to 1 as it likes.
RETNET = Theorem(
    False,
    Transition("complex", "diagonal", False),
    f"{GRAZZI}, lemma 1: RetNet's decays are constants below 1, so that it settles on a repeated token",
    presets=("retnet",),
)
NOT_STAR_FREE = Theorem(False, NONNEGATIVE, f"{SARROF}: star-free languages only")
REAL = Theorem(False, SIGNED, f"{GRAZZI}, theorem 2: real diagonal transitions count modulo powers of 2 only")
# Without a decay a state is reset by β = 1, which overwrites what a key has.
REGULAR = (
    Theorem(
        True,
        HOUSEHOLDER,
        f"{SIEMS}, theorems 1 and 2: words of every permutation group in four layers, and with a decay every "
        "regular language",
    ),
    AUTOMATA,
    WINDOW,
)


def of_group(order: int, solvable: bool) -> tuple[Theorem, ...]:
    """The running product in a group of this order, for tokens that generate it."""
    found = [SETTLES, RETNET]
    if order & (order - 1):
        found.append(REAL)
    if order == 2:
        found.append(
            Theorem(True, SIGNED, f"{GRAZZI}, theorem 3: parity by a transition of 1 or -1, in a layer")
        )
    found.append(
        Theorem(
            solvable,
            Transition("complex", "diagonal", True),
            "Shakerinava et al. 2026 (arXiv 2603.01959), theorem 2: complex diagonal transitions track a "
            "group in k layers if and only if it has a subnormal series of length k with abelian factors",
        )
    )
    if not solvable:
        constant = Transition("unbounded", "dense", False)
        found.append(Theorem(False, constant, f"{MERRILL}, theorem 4.2: constant transitions are {TC0}"))
        # Of solvable groups nothing is claimed: masked hard attention cannot, softmax attention is open.
        found.append(
            Theorem(False, ATTENTION, f"Merrill & Sabharwal 2023 (arXiv 2207.00729): transformers are {TC0}")
        )
    return (*found, *REGULAR)


PARITY = of_group(2, solvable=True)
