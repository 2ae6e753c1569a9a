"""What a compiled train step sends over each axis of the mesh, read from its HLO.

    python results/scaling/traffic.py configs/bit_parity.py:deltanet,small --devices=8 mesh.seed=2 mesh.data=4

It compiles for that many simulated CPU devices. It prints the collectives that XLA has put in, per step and
member of a device, with the axis that they span and the bytes of their results.
"""

import argparse
import ast
import math
import re
import sys
from collections import Counter
from typing import Any, NamedTuple

import jax
import numpy as np

from rnnbench.config import InputError, load
from rnnbench.config import build as configs
from rnnbench.train import population

KINDS = ("all-reduce", "all-gather", "reduce-scatter", "all-to-all", "collective-permute")
SIZES = {"pred": 1, "s8": 1, "u8": 1, "bf16": 2, "f16": 2, "f32": 4, "s32": 4, "u32": 4, "f64": 8, "c64": 8}


class Sent(NamedTuple):
    """Collectives of one kind over one axis ("seed", "data", "time", or what else they span)."""

    kind: str
    axis: str


def per_step(setup: population.Setup) -> dict[Sent, tuple[float, float]]:
    """{(kind, axis): (how many, bytes of their results)} in one train step of one member."""
    shapes = population.state_shapes(setup)
    compiled = population.make_train_chunk(setup).lower(shapes, np.int32(1)).compile()
    return collectives(compiled.as_text(), setup.mesh.devices.shape, setup.mesh.axis_names)


def collectives(hlo: str, shape: tuple[int, ...], axes: tuple[str, ...]) -> dict[Sent, tuple[float, float]]:
    """Those below the loop over steps: the one loop whose number of rounds is not known to the compiler."""
    bodies = computations(hlo)
    roots = [
        re.search(r"body=%?([\w.\-]+)", line)[1]
        for lines in bodies.values()
        for line in lines
        if re.search(r"\bwhile\(", line) and "known_trip_count" not in line
    ]
    counts, sizes = Counter(), Counter()

    def walk(name: str, times: float) -> None:
        for line in bodies[name]:
            if match := re.search(rf"= (.*?) ({'|'.join(KINDS)})(?:-start)?\(", line):
                sent = Sent(match[2], axis_of(line, shape, axes))
                counts[sent] += times
                sizes[sent] += times * size(match[1])
            rounds = re.search(r'known_trip_count\D*"?(\d+)', line)
            for called in re.findall(
                r"(?:body|calls|to_apply|true_computation|false_computation)=%?([\w.\-]+)", line
            ):
                walk(called, times * (int(rounds[1]) if rounds and f"body=%{called}" in line else 1))
            if branches := re.search(r"branch_computations=\{(.*?)\}", line):
                each = branches[1].replace("%", "").split(", ")
                for called in each:  # on average over the cases of a mixture
                    walk(called, times / len(each))

    for root in roots:
        walk(root, 1.0)
    return {sent: (counts[sent], sizes[sent]) for sent in sorted(counts)}


def computations(hlo: str) -> dict[str, list[str]]:
    """The instructions of each computation of a module."""
    found, name = {}, None
    for line in hlo.splitlines():
        if match := re.match(r"(?:ENTRY )?%?([\w.\-]+) .*\{$", line):
            name = match[1]
            found[name] = []
        elif name:
            found[name].append(line)
    return found


def size(types: str) -> int:
    """Bytes of `f32[8,64]{1,0}` or of a tuple of such."""
    return sum(
        SIZES[kind] * math.prod(int(n) for n in dims.split(",") if n)
        for kind, dims in re.findall(r"(\w+)\[([\d,]*)\]", types)
    )


def axis_of(line: str, shape: tuple[int, ...], axes: tuple[str, ...]) -> str:
    """The axis of the mesh along which the devices of a collective's groups lie."""
    place = lambda device: np.unravel_index(device, shape)
    spans = {
        axis
        for group in groups_of(line)
        for i, axis in enumerate(axes)
        if len({place(device)[i] for device in group}) > 1
    }
    return "+".join(axis for axis in axes if axis in spans) or "none"


def groups_of(line: str) -> list[list[int]]:
    """The groups of devices of a collective, in whichever of its four notations."""
    if pairs := re.search(r"source_target_pairs=\{(\{.*?\})\}", line):
        return [list(map(int, pair.split(","))) for pair in re.findall(r"\{([\d,]+)\}", pairs[1])]
    if iota := re.search(r"replica_groups=\[([\d,]+)\]<=\[([\d,]+)\](?:T\(([\d,]+)\))?", line):
        groups, sizes = _numbers(iota[1]), _numbers(iota[2])
        ids = np.arange(math.prod(sizes)).reshape(sizes)
        return (ids.transpose(_numbers(iota[3])) if iota[3] else ids).reshape(groups).tolist()
    if mesh := re.search(r"replica_groups=mesh\[(.*?)\] \{(.*?)\}", line):
        names, sizes = zip(*re.findall(r"'(\w+)'=(\d+)", mesh[1]))
        ids = np.arange(math.prod(map(int, sizes))).reshape([int(size) for size in sizes])
        along = [names.index(name) for name in re.findall(r"'(\w+)'", mesh[2])]
        width = math.prod(ids.shape[i] for i in along)
        return np.moveaxis(ids, along, range(-len(along), 0)).reshape(-1, width).tolist()
    listed = re.search(r"replica_groups=\{(\{.*?\})\}", line)
    return [_numbers(group) for group in re.findall(r"\{([\d,]+)\}", listed[1])] if listed else []


def _numbers(text: str) -> list[int]:
    return [int(number) for number in text.split(",")]


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python results/scaling/traffic.py", description=__doc__.split("\n")[0]
    )
    parser.add_argument("config", help="FILE:ARGUMENT, as for launch.py")
    parser.add_argument("keys", nargs="*", metavar="KEY=VALUE", help="such as mesh.data=4 model.dim=256")
    parser.add_argument("--devices", type=int, default=8, help="simulated devices")
    options = parser.parse_args(arguments)
    if options.devices < 1:
        print(f"--devices: must be at least 1; it is {options.devices}", file=sys.stderr)
        return 2
    jax.config.update("jax_platforms", "cpu")
    jax.config.update("jax_num_cpu_devices", options.devices)
    try:
        config = load.one(options.config)
        configs.update(
            config, {key: value(text) for key, _, text in (k.partition("=") for k in options.keys)}
        )
        found = per_step(population.prepare(config))
    except InputError as error:
        print(error, file=sys.stderr)
        return 2
    print(f"{'collective':20} {'axis':10} {'per step':>9} {'bytes':>12}")
    for sent, (count, total) in found.items():
        print(f"{sent.kind:20} {sent.axis:10} {count:9.1f} {total:12,.0f}")
    if not found:
        print("none")
    return 0


def value(text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except (SyntaxError, ValueError):
        return text


if __name__ == "__main__":
    sys.exit(main())
