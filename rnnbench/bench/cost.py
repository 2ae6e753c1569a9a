"""FLOPs and bytes moved of a traced program, with loops counted as often as they run."""

import math
from typing import Any

import jax.numpy as jnp

# Operations that move data without computing; all others with a float result count one FLOP per element.
MOVES = {
    *("broadcast_in_dim", "concatenate", "convert_element_type", "bitcast_convert_type", "copy", "pad"),
    *("dynamic_slice", "dynamic_update_slice", "gather", "slice", "split", "select_n", "stop_gradient"),
    *("reshape", "rev", "squeeze", "transpose", "real", "imag", "complex"),
    *("get", "swap", "masked_load", "masked_swap", "optimization_barrier"),
}
# Operations that a compiler does not fuse: operands are read from memory and results written to it.
UNFUSED = (
    "dot_general",
    "conv_general",
    "reduce",
    "arg",
    "cum",
    "sort",
    "concatenate",
    "transpose",
    "top_k",
)
SLICED = ("gather", "dynamic_slice", "scatter", "dynamic_update_slice")


def count(jaxpr: Any, outermost: bool = True) -> tuple[float, float]:
    """(FLOPs, bytes moved) of a traced program.

    Counted here because XLA's cost_analysis counts the body of a loop once, for any length. A scan is
    multiplied by its length; a `while` counts once, so the loop over a chunk's steps counts one step. Bytes
    are operands and results of operations that are not fused and of the whole program, and the slices that a
    scan reads and writes: traffic that a cache may serve. A Pallas kernel computes its body once for each
    place of its grid, and moves only its operands and results.
    """
    flops, moved = 0.0, 0.0
    if outermost:
        moved += sum(map(_nbytes, [*jaxpr.invars, *jaxpr.outvars]))
    for eqn in jaxpr.eqns:
        name, inner = eqn.primitive.name, _inner(eqn.params)
        if name == "pallas_call":
            flops += math.prod(eqn.params["grid_mapping"].grid) * count(inner[0], outermost=False)[0]
            moved += sum(map(_nbytes, [*eqn.invars, *eqn.outvars]))
            continue
        if inner and not name.startswith((*UNFUSED, *SLICED)):
            costs = [count(body, outermost=False) for body in inner]
            times = eqn.params["length"] if name == "scan" else 1
            choose = max if name == "cond" else sum
            flops += times * choose(cost[0] for cost in costs)
            moved += times * choose(cost[1] for cost in costs)
            if name == "scan":
                moved += _sliced(eqn.invars, inner[0].invars) + _sliced(eqn.outvars, inner[0].outvars)
            continue
        flops += _flops(eqn, name)
        if name.startswith(SLICED):
            part = eqn.invars[-1] if name.startswith("scatter") else eqn.outvars[0]
            moved += 2 * _nbytes(eqn.invars[1] if name == "dynamic_update_slice" else part)
        elif name.startswith(UNFUSED):
            moved += sum(map(_nbytes, [*eqn.invars, *eqn.outvars]))
    return flops, moved


def _sliced(outside: list[Any], inside: list[Any]) -> float:
    """Bytes of an array that a scan slices or stacks: the body gets it without its leading axis."""
    pairs = zip(outside, inside, strict=True)
    return sum(_nbytes(whole) for whole, part in pairs if whole.aval.shape != part.aval.shape)


def _inner(params: dict[str, Any]) -> list[Any]:
    values = [
        v for value in params.values() for v in (value if isinstance(value, (tuple, list)) else (value,))
    ]
    bodies = [getattr(value, "jaxpr", value) for value in values]
    return [body for body in bodies if hasattr(body, "eqns")]


def _flops(eqn: Any, name: str) -> float:
    out = eqn.outvars[0].aval if eqn.outvars else None
    if out is None or name in MOVES or not jnp.issubdtype(getattr(out, "dtype", int), jnp.inexact):
        return 0.0
    complex_factor = 4 if jnp.issubdtype(out.dtype, jnp.complexfloating) else 1
    if name == "dot_general":
        (contracted, _), _ = eqn.params["dimension_numbers"]
        return 2.0 * complex_factor * out.size * math.prod(eqn.invars[0].aval.shape[i] for i in contracted)
    if name == "conv_general_dilated":
        kernel = eqn.invars[1].aval
        features = kernel.shape[eqn.params["dimension_numbers"].rhs_spec[0]]
        return 2.0 * out.size * kernel.size / features
    return float(complex_factor * max(out.size, eqn.invars[0].aval.size if name.startswith("reduce") else 0))


def _nbytes(var: Any) -> float:
    aval = var.aval
    try:
        return float(aval.size * aval.dtype.itemsize)
    except (AttributeError, TypeError):
        return 0.0
