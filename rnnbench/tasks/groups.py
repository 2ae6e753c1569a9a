"""Small groups of permutations: elements, names, multiplication table, and whether they are solvable.

A permutation is a tuple p that takes the point i to p[i]; a product p q takes i to q[p[i]].
"""

import re
from functools import lru_cache
from itertools import permutations
from math import lcm
from typing import NamedTuple

import numpy as np

from rnnbench.errors import ConfigError

Permutation = tuple[int, ...]
LARGEST = 120


class Group(NamedTuple):
    """elements: the identity first. table[x, s]: the place of the element s x. generators: places."""

    elements: tuple[Permutation, ...]
    names: tuple[str, ...]
    table: np.ndarray
    generators: tuple[int, ...]


def product(p: Permutation, q: Permutation) -> Permutation:
    return tuple(q[i] for i in p)


def inverse(p: Permutation) -> Permutation:
    return tuple(sorted(range(len(p)), key=p.__getitem__))


@lru_cache(maxsize=64)
def closure(generators: frozenset[Permutation]) -> frozenset[Permutation]:
    """All products of these permutations."""
    found = new = frozenset({tuple(range(len(next(iter(generators)))))})
    while new:
        new = {product(p, q) for p in new for q in generators} - found
        found = found | new
    return found


def cycles(p: Permutation) -> list[list[int]]:
    """The cycles of two points or more, each from its smallest point on."""
    found, seen = [], set()
    for start in range(len(p)):
        cycle, point = [], start
        while point not in seen:
            seen.add(point)
            cycle.append(point)
            point = p[point]
        if len(cycle) > 1:
            found.append(cycle)
    return found


def moved(p: Permutation) -> int:
    """The number of points that change place."""
    return sum(map(len, cycles(p)))


def order(p: Permutation) -> int:
    return lcm(*map(len, cycles(p)))


@lru_cache(maxsize=64)
def solvable(elements: frozenset[Permutation]) -> bool:
    """Whether the series of commutator subgroups ends in the identity."""
    while len(elements) > 1:
        commutators = {
            product(product(inverse(p), inverse(q)), product(p, q)) for p in elements for q in elements
        }
        smaller = closure(frozenset(commutators))
        if len(smaller) == len(elements):
            return False
        elements = smaller
    return True


@lru_cache(maxsize=64)
def find(name: str) -> Group:
    """The group of this name."""
    match = re.fullmatch(r"([ZDSA])(\d{1,3})", name) if isinstance(name, str) else None
    kind, n = (match[1], int(match[2])) if match else ("", 0)
    if kind == "Z" and 2 <= n <= LARGEST:
        turn = tuple((i + 1) % n for i in range(n))
        elements = [tuple((i + k) % n for i in range(n)) for k in range(n)]
        return _group(elements, map(str, range(n)), [turn])
    if kind == "D" and 3 <= n <= LARGEST // 2:
        turn, flip = tuple((i + 1) % n for i in range(n)), tuple(-i % n for i in range(n))
        turns = [tuple((i + k) % n for i in range(n)) for k in range(n)]
        powers = ["", "r", *(f"r{k}" for k in range(2, n))]
        names = ["e", *powers[1:], *(f"{power}s" for power in powers)]
        return _group([*turns, *(product(p, flip) for p in turns)], names, [turn, flip])
    if (kind, n) in {("S", 3), ("S", 4), ("S", 5), ("A", 4), ("A", 5)}:
        elements = [p for p in permutations(range(n)) if kind == "S" or _even(p)]
        names = [_cycle_name(p) for p in elements]
        exchanges = [f"({i}{i + 1})" for i in range(1, n)]
        generators = exchanges if kind == "S" else ["(12)(34)", "(123)" if n == 4 else "(135)"]
        return _group(elements, names, [elements[names.index(each)] for each in generators])
    known = f"Z2 to Z{LARGEST}, D3 to D{LARGEST // 2}, S3, S4, S5, A4 or A5"
    raise ConfigError("task.group", f"must be {known}; it is {name!r}")


def _group(elements: list[Permutation], names, generators: list[Permutation]) -> Group:
    place = {element: i for i, element in enumerate(elements)}
    table = np.array([[place[product(s, x)] for s in elements] for x in elements], np.int32)
    return Group(tuple(elements), tuple(names), table, tuple(place[p] for p in generators))


def _even(p: Permutation) -> bool:
    return sum(len(cycle) - 1 for cycle in cycles(p)) % 2 == 0


def _cycle_name(p: Permutation) -> str:
    return "".join("(" + "".join(str(i + 1) for i in cycle) + ")" for cycle in cycles(p)) or "e"
