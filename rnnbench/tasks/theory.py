"""What theorems say about the tasks: which transitions of a state solve one, and which cannot.

The question is always whether some model with a fixed number of layers, whose state has such transitions, is
right at every position at every length. Unless its source says otherwise a theorem is about finite
precision. `verdict` answers it for a preset; where no theorem decides, the answer is "open".
"""

from typing import NamedTuple

# Each contains those before it. `attention` has no transition; `nonlinear` contains all linear ones.
SPECTRA = ("[0, 1]", "[-1, 1]", "complex", "unbounded")
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
    """solves: some model with transitions of this kind solves the task; not solves: none does."""

    solves: bool
    transition: Transition
    source: str


def verdict(theory: tuple[Theorem, ...], spectrum: str, structure: str, selective: bool) -> str:
    """ "yes", "no" or "open", for a preset with these properties; "open" if it has no single transition."""
    if structure in ("", "hybrid"):
        return "open"
    asked = Transition(spectrum, structure, selective)
    if any(each.solves and each.transition.within(asked) for each in theory):
        return "yes"
    if any(not each.solves and asked.within(each.transition) for each in theory):
        return "no"
    return "open"


ATTENTION = Transition("", "attention", True)
NONLINEAR = Transition("", "nonlinear", True)
NONNEGATIVE = Transition("[0, 1]", "diagonal", True)
HOUSEHOLDER = Transition("[-1, 1]", "diagonal + rank 1", True)

AUTOMATA = Theorem(
    True, NONLINEAR, "Korsky & Berwick 2019 (arXiv 1906.06349): finite-precision RNNs are the finite automata"
)
HARD_ATTENTION = (
    "Yang et al. 2024 (arXiv 2310.13897): masked hard attention recognises the star-free languages"
)
STAR_FREE = (
    Theorem(
        True,
        NONNEGATIVE,
        "Sarrof et al. 2024 (arXiv 2405.17394): non-negative SSMs model star-free languages",
    ),
    Theorem(True, ATTENTION, HARD_ATTENTION),
    AUTOMATA,
)
COUNTER = (
    Theorem(
        True,
        NONNEGATIVE,
        "Sarrof et al. 2024 (arXiv 2405.17394): unbounded counters, at a precision of log length",
    ),
    Theorem(
        True,
        NONLINEAR,
        "Weiss et al. 2018 (arXiv 1805.04908): an LSTM counts, with a state that is not bounded",
    ),
)
_CIRCUITS = "within TC0 at log precision, so no unless TC0 = NC1"
_BITS = "a state of fixed size holds a fixed number of bits"
RECALL = (
    Theorem(False, Transition("unbounded", "dense", True), f"Arora et al. 2024 (arXiv 2402.18668): {_BITS}"),
    Theorem(False, NONLINEAR, f"Arora et al. 2024 (arXiv 2402.18668): {_BITS}"),
    Theorem(True, ATTENTION, "Arora et al. 2023 (arXiv 2312.04927): attention of constant width recalls"),
)
COPYING = (
    Theorem(
        False, Transition("unbounded", "dense", True), f"Jelassi et al. 2024 (arXiv 2402.01032): {_BITS}"
    ),
    Theorem(False, NONLINEAR, f"Jelassi et al. 2024 (arXiv 2402.01032): {_BITS}"),
)


def of_group(order: int, involution: bool, solvable: bool) -> tuple[Theorem, ...]:
    """The running product in a group of this order.

    involution: whether some token is an element of even order, so that its powers alternate.
    """
    found = [Theorem(False, NONNEGATIVE, "Sarrof et al. 2024 (arXiv 2405.17394): star-free languages only")]
    if involution:
        found.append(
            Theorem(
                False,
                Transition("[0, 1]", "dense", True),
                "Grazzi et al. 2024 (arXiv 2411.12537), theorem 1: parity needs an eigenvalue outside [0, ∞)",
            )
        )
    if order & (order - 1):
        found.append(
            Theorem(
                False,
                Transition("[-1, 1]", "diagonal", True),
                "Grazzi et al. 2024 (arXiv 2411.12537), theorem 2: no counting modulo 3 with real ones",
            )
        )
    if order == 2:
        found.append(
            Theorem(
                True,
                Transition("[-1, 1]", "diagonal", True),
                "Grazzi et al. 2024 (arXiv 2411.12537): parity with an eigenvalue of -1, in one layer",
            )
        )
    diagonal = (
        "Shakerinava et al. 2026 (arXiv 2603.01959): complex diagonal transitions track a group if and only"
    )
    found.append(
        Theorem(
            solvable, Transition("complex", "diagonal", True), f"{diagonal} if it is solvable, layer by layer"
        )
    )
    if not solvable:
        constant = Transition("unbounded", "dense", False)
        found.append(Theorem(False, constant, f"Merrill et al. 2024 (arXiv 2404.08819): {_CIRCUITS}"))
        # Of solvable groups nothing is claimed: masked hard attention cannot, softmax attention is open.
        found.append(Theorem(False, ATTENTION, f"Merrill & Sabharwal 2023 (arXiv 2207.00729): {_CIRCUITS}"))
    return (*found, *REGULAR)


REGULAR = (
    Theorem(
        True,
        HOUSEHOLDER,
        "Siems et al. 2025 (arXiv 2502.10297): groups in at most four layers, all regular languages",
    ),
    AUTOMATA,
)
PARITY = of_group(2, involution=True, solvable=True)
