"""The spread of a metric over seeds."""

import math
from collections.abc import Hashable, Iterable
from typing import Any

import numpy as np
import pandas

WORST = -math.inf  # ranks a diverged member below all others
QUARTILES = 5  # the fewest seeds whose quartiles are more informative than minimum and maximum


def spreads(values: Iterable[tuple[Hashable, float | None]], worst: float = WORST) -> dict[Any, dict]:
    """{key: {"median", "min", "best", "low", "high", "seeds"}} of (key, value of a seed).

    None counts as the `worst` value; a statistic that falls on it is None. `low` and `high` are quartiles, or
    with fewer than five seeds the minimum and the maximum.
    """
    frame = pandas.DataFrame(list(values), columns=["key", "value"])
    by_key = frame["value"].astype(float).fillna(worst).groupby(frame["key"], sort=False)
    found = by_key.agg(["median", "min", "max", "size"])
    many = found["size"] >= QUARTILES
    found["low"] = by_key.quantile(0.25).where(many, found["min"])
    found["high"] = by_key.quantile(0.75).where(many, found["max"])
    found = found.rename(columns={"max": "best", "size": "seeds"}).astype(object)
    return found.where(np.isfinite(found.astype(float)), None).to_dict("index")


def skill(spread: dict, of: str = "median") -> float | None:
    """(median − chance) / (1 − chance): 0 at chance, 1 at best; None if diverged."""
    return None if spread[of] is None else (spread[of] - spread["chance"]) / (1 - spread["chance"])


def number(value: float | None, digits: int = 3) -> str:
    """Formats a metric for tables, figures and sentences."""
    return "diverged" if value is None else f"{value:.{digits}f}"
