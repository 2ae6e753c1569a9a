"""Times the recurrences on this machine: ops, mixers and train steps, also as shares of its limits.

    python -m rnnbench.bench                                          all, T = 64 … 16384: over an hour
    python -m rnnbench.bench --what=steps --names=gpt,lstm --lengths=256,1024
    python -m rnnbench.bench --compare delta_rule:sequential delta_rule:chunked:16 --lengths=1024
    python -m rnnbench.bench --compare step:gpt step:lstm             the ratio of two train steps
    python -m rnnbench.bench --sampling --population                  shares of the trainer
    python -m rnnbench.bench --devices=2,4 --names=lstm               members side by side on the cores
    python -m rnnbench.bench --json=bench.json                        the same for machines

A time is the median of --repeats samples, without compilation; a sample repeats an op for 0.3 seconds and a
train step for a second, in one dispatch. FLOPs and bytes are counted in the traced program, because XLA's own
analysis (xla_* in the JSON) counts a loop's body once. Shares are of the best matmul and copy that this
machine reached in the same call; bytes served by a cache can exceed the rate of a copy through memory. A size
that would not fit into --budget or into memory is left out with a note. Both sides of a ratio are sampled in
turn.
"""

import argparse
import sys
from collections.abc import Sequence

import jax

from rnnbench.bench import run, subjects
from rnnbench.bench.plan import (
    DISTINCT,
    Section,
    comparisons,
    over_devices,
    populations,
    sampling,
    singles,
)
from rnnbench.bench.subjects import OPS
from rnnbench.bench.table import FAMILIES
from rnnbench.config import InputError
from rnnbench.mixers import PRESETS
from rnnbench.parallel import cores

LENGTHS = (64, 256, 1024, 4096, 16384)
TRAINER_LENGTHS = (64, 256)


def parser() -> argparse.ArgumentParser:
    parser = run.parser("python -m rnnbench.bench", __doc__)
    add = parser.add_argument
    what = run.words(*FAMILIES)
    add("--what", type=what, help=f"of {','.join(FAMILIES)} (default: all, or none with a comparison)")
    add("--names", type=run.words(*OPS, *PRESETS), default=(), help="only these ops and presets")
    add("--compare", nargs=2, metavar=("A", "B"), help="op[:impl[:chunk]], mixer:PRESET or step:PRESET")
    add("--sampling", action="store_true", help="share of sampling in the train step, per task")
    add("--population", action="store_true", help="members in one program compared with single runs")
    add("--devices", type=run.numbers, help="members on so many devices compared with one device: 2,4")
    add("--members", type=_even, help="how many, half of them per learning rate (default 8)")
    return parser


def _even(text: str) -> int:
    number = run.at_least(2)(text)
    if number % 2:
        raise argparse.ArgumentTypeError(f"must be even; it is {text}")
    return number


def plan(args: argparse.Namespace) -> list[Section]:
    """The sections that the arguments ask for."""
    if args.members and not (args.population or args.devices):
        raise InputError("--members: needs --population or --devices")
    members = args.members or 8
    if args.devices and jax.config.jax_num_cpu_devices < 0:
        cores.use(max(args.devices), ())
    shapes, few = args.shapes(*LENGTHS), args.shapes(*TRAINER_LENGTHS)
    presets = [name for name in PRESETS if name in (args.names or DISTINCT)]
    chosen = presets if args.names else ["deltanet"]
    names = {
        "ops": [name for name in OPS if not args.names or name in args.names],
        "mixers": [f"mixer:{name}" for name in presets if not PRESETS[name].pattern],
        "steps": [f"step:{name}" for name in presets],
    }
    parse = lambda name: subjects.parse(name, shapes[0])
    alone = args.compare or args.sampling or args.population or args.devices
    sections = []
    for what in FAMILIES if args.what is None and not alone else args.what or ():
        sections.append(Section(what, singles(map(parse, names[what]), shapes, args.budget)))
    if args.compare:
        couple = tuple(map(parse, args.compare))
        sections.append(Section("compare", comparisons([couple], shapes, args.budget)))
    if args.sampling:
        sections.append(Section("sampling", comparisons(sampling(chosen, few), few, args.budget)))
    if args.population:
        pairs = populations(chosen, few, members)
        sections.append(Section("population", comparisons(pairs, few, args.budget)))
    if args.devices:
        pairs = over_devices(chosen, few, args.devices, members)
        sections.append(Section("devices", comparisons(pairs, few, args.budget)))
    if not any(section.jobs for section in sections):
        wanted = ",".join(section.what for section in sections)
        raise InputError(f"--names: nothing to measure for {wanted} among: {' '.join(args.names)}")
    return sections


def main(given: Sequence[str] | None = None) -> int:
    return run.main(parser(), plan, given)


if __name__ == "__main__":
    sys.exit(main())
