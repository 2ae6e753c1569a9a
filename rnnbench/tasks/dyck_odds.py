"""How often a prefix of a Dyck word is balanced, corrupted words included: for the task's chance level."""

import math
from functools import lru_cache

import numpy as np

MOST_NODES = 64


@lru_cache(maxsize=64)
def balanced_prefixes(
    low: int, high: int, depth: int, num_types: int, corruption: float
) -> tuple[np.ndarray, np.ndarray]:
    """([high], [high]): among one word of each even length low…high, the expected number that are balanced up
    to and including position t, and the number of words that reach that far.

    N(n) paths of 2n steps lead from 0 to 0 within 0…depth. So an uncorrupted word of 2n brackets is
    balanced after 2k of them with probability N(k) N(n - k) / N(n). A word with a changed type is balanced
    there too, if the change comes later.

    A shuffled tail starts at each of the word's a components with probability 1/a = ∫ x^(a-1) dx, x from 0
    to 1. So paths are counted by G_n(x) = Σ_a (paths of a components) x^a, and the integral is a Gauss sum
    over x. The head is balanced where the word was; the first 2k of the tail's 2m brackets with probability
    `tail_odds`.
    """
    longest = high // 2
    # In the limit N grows by this factor from n to n + 1; dividing by it keeps long words in a float's range.
    growth = 4 * math.cos(math.pi / (depth + 2)) ** 2
    paths, component = _paths(longest, depth, growth), _paths(longest, depth - 1, growth)[:-1] / growth
    nodes, weights = np.polynomial.legendre.leggauss(min(longest // 2 + 1, MOST_NODES))
    x, weights = (nodes + 1) / 2, weights / 2
    G, started = np.ones((longest + 1, len(x))), np.zeros((longest + 1, len(x)))
    for n in range(1, longest + 1):
        G[n] = x * (component[:n, None] * G[n - 1 :: -1]).sum(0) if n > 1 else x * component[0]
        started[n] = (G[:n] * G[n:0:-1]).sum(0)  # every start of a component in turn

    share_shuffled = corruption * (1.0 if num_types == 1 else 0.5)
    ones, words = np.zeros(high), np.zeros(high)
    for n in range((low + 1) // 2, longest + 1):
        untouched = paths[1 : n + 1] * paths[n - 1 :: -1][:n] / paths[n]
        flipped = untouched * (1 - np.arange(1, n + 1) / n)
        start = (weights / x * G[:n] * G[n:0:-1]).sum(1) / paths[n]
        shuffled = (weights / x * G[1 : n + 1] * started[n - 1 :: -1][:n]).sum(1) / paths[n]
        for s in range(n):
            shuffled[s:] += start[s] * tail_odds(n - s, num_types)
        odds = (1 - corruption) * untouched + share_shuffled * shuffled
        ones[1 : 2 * n : 2] += odds + (corruption - share_shuffled) * flipped
        words[: 2 * n] += 1
    return ones, words


@lru_cache(maxsize=4096)
def tail_odds(m: int, num_types: int) -> np.ndarray:
    """[m]: the probability that the first 2k of 2m shuffled brackets are balanced, k = 1 … m.

    There are Catalan(k) shapes, and each occurs in C(2m - 2k, m - k) / C(2m, m) of the orders of opening
    and closing. The types then match with probability Π_r (m - r + types) / ((m - r + 1) types), r = 1 … k:
    the r-th pair joins an opening bracket to one of m - r + 1 closing ones; one of these closes a
    circle of pairs that were drawn together, so that it always matches, and any other matches with
    probability 1 / types. The result is the product of the ratios of k to k - 1.
    """
    k = np.arange(1, m + 1)
    return np.cumprod((2 * k - 1) / (k + 1) * (m - k + num_types) / ((2 * m - 2 * k + 1) * num_types))


def _paths(longest: int, depth: int, growth: float) -> np.ndarray:
    """[longest + 1]: paths of 2n steps from 0 to 0 within 0…depth, over growth^n."""
    at, found = np.zeros(min(depth, longest) + 1), np.ones(longest + 1)
    at[0] = 1.0
    for n in range(1, longest + 1):
        for _ in range(2):
            at = np.append(at[1:], 0.0) + np.append(0.0, at[:-1])
        at = at / growth
        found[n] = at[0]
    return found
