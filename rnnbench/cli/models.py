"""The table of docs/models.md, made from the presets.

python -m rnnbench.cli.models docs/models.md
"""

import inspect
import re
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
from flax import nnx

from rnnbench import mixers, terminal
from rnnbench.bench import cost
from rnnbench.config.build import base, changed
from rnnbench.mixers import PRESETS
from rnnbench.sizes import num_params, state_size

DIM, HEADS = 128, 4
COLUMNS = (
    "preset", "recurrence", "parameters", "state", "FLOPs per token", "spectrum", "structure", "selective",
    "source",
)  # fmt: skip
TABLE = re.compile(r"(?<=<!-- models -->\n).*", re.DOTALL)  # of the page: the rest of it
LENGTHS = 1000, 2000  # a size that differs between the two grows with the length


def table() -> str:
    """A line for each preset: its equation, its sizes, what it declares, and its source; a hybrid's parts."""
    lines = ["| " + " | ".join(COLUMNS) + " |", "|---|---|--:|--:|--:|---|---|---|---|"]
    for name, preset in PRESETS.items():
        if preset.pattern:
            lines.append(
                f"| `{name}` | layers {', '.join(preset.pattern)} | | | | | {preset.structure} | | |"
            )
            continue
        said = {None: "", True: "yes", False: "no"}[preset.selective]
        recurrence, source = described(preset.mixer)
        cells = (
            f"`{name}`",
            f"`{recurrence}`",
            *sizes(name),
            preset.spectrum,
            preset.structure,
            said,
            source,
        )
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines)


def described(mixer: type) -> tuple[str, str]:
    """(recurrence, source) as the docstring of a mixer has them: its first line up to y_t, and its end."""
    text = inspect.getdoc(mixer) or ""
    recurrence = re.split(r",  y_t = |[,.]?$", text.splitlines()[0])[0] if text else ""
    (source,) = re.findall(r"^Source: (.*)", text, re.DOTALL | re.MULTILINE) or [""]
    return recurrence, " ".join(source.split()).rstrip(".")


def sizes(name: str) -> tuple[str, str, str]:
    """Parameters of one mixer, floats of its state, and floating-point operations of one decoding step."""
    own = {"model.heads": HEADS} if "heads" not in mixers.shared(PRESETS[name]) else {}
    config = changed(base(model=name), {"model.dim": DIM} | own)
    mixer = nnx.eval_shape(lambda: mixers.build(config.model, jnp.float32, nnx.Rngs(0)))
    graphdef, params = nnx.split(mixer)

    def flops(length: int) -> float:
        state = jax.eval_shape(lambda params: nnx.merge(graphdef, params).init_state(1, length), params)
        step = lambda params, x, state: nnx.merge(graphdef, params)(x, state)
        x = jax.ShapeDtypeStruct((1, 1, DIM), jnp.float32)
        return cost.count(jax.make_jaxpr(step)(params, x, state).jaxpr)[0]

    parameters = num_params(nnx.state(mixer, nnx.Param))
    state = growing(*(state_size(mixer, length) for length in LENGTHS))
    return f"{parameters:,}", state, growing(*map(flops, LENGTHS))


def growing(*at_lengths: float) -> str:
    """`constant + slope · length` of a size at the two LENGTHS."""
    short, long = map(round, at_lengths)
    slope = (long - short) / (LENGTHS[1] - LENGTHS[0])
    constant = round(short - slope * LENGTHS[0])
    return " + ".join(
        [f"{constant:,}"] * (constant > 0 or not slope) + [f"{slope:,.4g} · length"] * bool(slope)
    )


def main(arguments: list[str]) -> int:
    """Prints the table, or puts it into the file given."""
    if not arguments:
        print(table())
        return 0
    page = Path(arguments[0])
    page.write_text(TABLE.sub(lambda _: table() + "\n", page.read_text()))
    return 0


if __name__ == "__main__":
    sys.exit(terminal.run(main, sys.argv[1:]))
