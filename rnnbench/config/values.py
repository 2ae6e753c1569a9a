"""The values of keys: nested tuples, and what other libraries make of them."""

import json
from typing import Any


def scalars(value: Any) -> list[Any]:
    """All values in nested tuples."""
    return [leaf for part in value for leaf in scalars(part)] if isinstance(value, tuple) else [value]


def plain(value: Any) -> Any:
    """A value as it is after a round trip through JSON: tuples become lists."""
    return json.loads(json.dumps(value))


def plain_value(value: Any) -> Any:
    """Converts numpy values, ranges and frozen containers to plain JSON values."""
    if hasattr(value, "dtype") and hasattr(value, "tolist"):
        value = value.tolist()
        return tuple(value) if isinstance(value, list) else value
    if isinstance(value, tuple | range):
        return tuple(map(plain_value, value))
    if isinstance(value, list):
        return list(map(plain_value, value))
    if isinstance(value, dict):
        return {key: plain_value(one) for key, one in value.items()}
    return value
