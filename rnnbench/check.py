"""Checks your mixer or task against its contract:

    python -m rnnbench.check my_package.my_module:MyMixer [--dim 16] [--length 37] [heads=2 ...]
    python -m rnnbench.check my_package.my_module:MyTask [depth=5 ...]

One line per check; exit code 1 if one fails.
"""

import argparse
import sys
import traceback
from collections.abc import Callable
from dataclasses import is_dataclass
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from ml_collections import ConfigDict

from rnnbench import mixers, tasks, terminal
from rnnbench.config.build import base, changed
from rnnbench.errors import ConfigError, ContractError, told
from rnnbench.mixers.contract import CHECKS
from rnnbench.mixers.preset import SHARED
from rnnbench.plugins import imported, setting
from rnnbench.sizes import num_params, state_size
from rnnbench.tasks import contract
from rnnbench.train import population


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m rnnbench.check", description="Check a mixer or a task.")
    parser.add_argument("name", help="a preset, a task, or package.module:Name")
    parser.add_argument("options", nargs="*", type=setting, metavar="option=value")
    parser.add_argument("--dim", type=int, default=16)
    parser.add_argument("--length", type=int, default=37)
    args = parser.parse_intermixed_args(arguments)
    if args.length < 4:
        return refuse(f"--length: must be at least 4; it is {args.length}")
    if args.dim < 1:
        return refuse(f"--dim: must be at least 1; it is {args.dim}")
    try:
        if args.name in tasks.TASKS or (":" in args.name and is_dataclass(imported("", args.name))):
            return check_task(args.name, dict(args.options))
        return check_mixer(args.name, args.dim, args.length, dict(args.options))
    except ConfigError as error:
        if error.key == "model.name":
            return refuse(f"{error.message}; or a task: {' '.join(tasks.TASKS)}")
        return refuse(str(error) if error.key else error.message)


def check_task(name: str, options: dict[str, object]) -> int:
    """Builds a task with these options as a run does, and draws from all its cases."""
    keys = {tasks.key_of(option): value for option, value in options.items()}
    task = tasks.build(changed(base(name), keys))
    cases = contract.unique([*(case for case, _ in task.train_cases()), *task.cases()])
    print(f"{name}: {task.vocab_size} tokens, {task.num_classes} classes, {len(cases)} cases")
    return report({"draws": lambda: contract.check_draws(task)})


def check_mixer(name: str, dim: int, length: int, options: dict[str, object]) -> int:
    """Builds a mixer with these options as a run does, and runs all checks; of a hybrid on each part."""
    keys = {f"model.{'' if key in SHARED else 'options.'}{key}": value for key, value in options.items()}
    pattern = mixers.find(name).pattern
    sizes = {"model.dim": dim, "model.layers": max(1, len(pattern)), "mesh.seed": 1, "mesh.data": 1}
    config = changed(base(model=name), sizes | keys)
    parts = list(dict.fromkeys(pattern or (name,)))
    last = {"trains": lambda: trains(config)}
    of = lambda part: (part, pattern.index(part) if pattern else 0, last if part == parts[-1] else {})
    return max(check_layer(config, *of(part), length) for part in parts)


def check_layer(
    config: ConfigDict, name: str, layer: int, more: dict[str, Callable[[], None]], length: int
) -> int:
    """Runs all checks on the mixer of a layer, which is called `name`, and `more` after them."""

    def build(dtype: jnp.dtype = jnp.float32) -> nnx.Module:
        return mixers.build(config.model, dtype, nnx.Rngs(0), layer)

    try:
        mixer = build()
        size = state_size(mixer, length)
    except ConfigError:
        raise
    except Exception as error:  # external code may raise anything
        return refuse(f"{name} cannot be built: {traced(error)}")
    parameters = num_params(nnx.state(mixer, nnx.Param))
    print(f"{name}: {parameters} parameters, state {size} at length {length}")
    x = jax.random.normal(jax.random.key(0), (2, length, config.model.dim))
    return report({key: lambda check=check: check(build, x) for key, check in CHECKS.items()} | more)


def trains(config: ConfigDict) -> None:
    """The whole model, its train step and its decoding step can be traced, as in a run."""
    setup = population.prepare(config)
    jax.eval_shape(population.make_train_chunk(setup), population.state_shapes(setup), np.int32(1))
    step = lambda key: setup.make(key)(jnp.zeros((2, 1), jnp.int32), setup.make(key).init_state(2, 8))
    jax.eval_shape(step, jax.random.key(0))


def report(checks: dict[str, Callable[[], str | None]]) -> int:
    """Prints a line per check; returns the exit code. If `well_formed` fails, the others are not run."""
    failed = 0
    for name, check in checks.items():
        try:
            skipped = check()
            print(f"  skip  {name}: {skipped}" if skipped else f"  ok    {name}")
        except Exception as error:  # a crash of a mixer is a failed check, not the end of the report
            failed += 1
            print(f"  FAIL  {name}: {error if isinstance(error, ContractError) else traced(error)}")
            if name == "well_formed":
                print("  the other checks need this one")
                break
    return 1 if failed else 0


def traced(error: Exception) -> str:
    """An error of external code in one line, with the innermost line of that code in its traceback."""
    others = str(Path(__file__).parent), "/site-packages/"
    lines = [
        f"{Path(frame.filename).name}:{frame.lineno}: "
        for frame in traceback.extract_tb(error.__traceback__)
        if not any(other in frame.filename for other in others)
    ]
    return (lines[-1] if lines else "") + told(error)


def refuse(message: str) -> int:
    print(message, file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(terminal.run(main, sys.argv[1:]))
