"""What a call of the bench measures: sections of jobs. Whatever cannot work is refused here."""

import argparse
import dataclasses
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from rnnbench.bench import peers, subjects, trainer
from rnnbench.bench.rows import Job, pair, single
from rnnbench.bench.subjects import OPS, Subject
from rnnbench.bench.timing import Budget
from rnnbench.bench.trainer import Shape
from rnnbench.config import ConfigError, InputError
from rnnbench.mixers import PRESETS
from rnnbench.tasks import TASKS
from rnnbench.train import population

LENGTHS = (64, 256, 1024, 4096, 16384)
TRAINER_LENGTHS = (64, 256)
FAMILIES = ("ops", "mixers", "steps")
# Presets that share a mixer cost the same; the others are timed when named.
DISTINCT = tuple({preset.mixer: name for name, preset in reversed(PRESETS.items())}.values())[::-1]


class Section(NamedTuple):
    """A table: which one, and the measurements in it."""

    what: str
    jobs: list[Job]


def plan(args: argparse.Namespace, limits: Any) -> list[Section]:
    """The sections that the arguments ask for; `limits()` gives the machine's ceilings."""
    shape = Shape(args.batch, 1, args.dim, args.heads, args.layers, args.mlp_dim, args.dtype)
    shapes = [dataclasses.replace(shape, length=n) for n in args.lengths or LENGTHS]
    few = [dataclasses.replace(shape, length=n) for n in args.lengths or TRAINER_LENGTHS]
    ops = [name for name in OPS if not args.names or name in args.names]
    presets = [name for name in PRESETS if name in (args.names or DISTINCT)]
    chosen = presets if args.names else ["deltanet"]
    budget = lambda: Budget(args.budget, args.repeats)
    parse = lambda name: subjects.parse(name, shapes[0])
    names = {
        "ops": ops,
        "mixers": [f"mixer:{name}" for name in presets],
        "steps": [f"step:{name}" for name in presets],
    }
    sections = []
    for what in args.what:
        sections.append(Section(what, singles(map(parse, names[what]), shapes, budget, limits)))
    if args.compare:
        couple = tuple(map(parse, args.compare))
        sections.append(Section("compare", comparisons([couple], shapes, budget)))
    if args.peers:
        sections.append(Section("peers", comparisons(peers.couples(args.names, shapes[0]), shapes, budget)))
    if args.sampling:
        sections.append(Section("sampling", sampling(chosen, few, budget)))
    if args.population:
        sections.append(Section("population", populations(chosen, few, budget)))
    return sections


def in_flags(error: ConfigError) -> str:
    """The line of a ConfigError with the bench's own flag: of the model's sizes, or else of the length."""
    section, _, name = error.key.partition(".")
    own = name if section == "model" else "lengths"
    return f"--{own}: {str(error).partition(': ')[2]}"


def singles(subjects: Iterable[Subject], shapes: Sequence[Shape], budget: Any, limits: Any) -> list[Job]:
    jobs = []
    for subject in subjects:
        for kind in subject.kinds:
            row_budget = budget()
            for shape in shapes:
                row = lambda *what: lambda: single(*what)
                label = f"{subject.name} {kind}, T = {shape.length}"
                jobs.append(Job(label, row(subject, kind, shape, row_budget, limits)))
    return jobs


def pairs(names: tuple[str, str, str], a: Any, b: Any, shapes: Sequence[Shape], budget: Any) -> list[Job]:
    row_budget = budget()
    row = lambda shape: lambda: pair(names, a, b, shape, row_budget)
    return [Job(f"{names[0]} and {names[1]}, T = {shape.length}", row(shape)) for shape in shapes]


def comparisons(
    couples: Iterable[tuple[Subject, Subject]], shapes: Sequence[Shape], budget: Any, only: str = ""
) -> list[Job]:
    jobs = []
    for a, b in couples:
        kinds = [kind for kind in a.kinds if kind in b.kinds and only in ("", kind)]
        if not kinds:
            raise InputError(f"--compare: a step is no match for an op or a mixer: {a.name} {b.name}")
        for kind in kinds:
            prepare = lambda subject, kind: lambda shape: subject.prepare(kind, shape)
            jobs += pairs((a.name, b.name, kind), prepare(a, kind), prepare(b, kind), shapes, budget)
    return jobs


def sampling(presets: Sequence[str], shapes: Sequence[Shape], budget: Any) -> list[Job]:
    jobs = []
    for preset in presets:
        for task in TASKS:
            for shape in shapes:
                population.prepare(trainer.config(preset, shape, task))  # refused before anything is timed
            draw = lambda shape, p=preset, t=task: trainer.sampling(p, shape, t)
            step = lambda shape, p=preset, t=task: trainer.step(p, shape, t)
            jobs += pairs((f"sampling:{task}", f"step:{preset}", task), draw, step, shapes, budget)
    return jobs


def populations(presets: Sequence[str], shapes: Sequence[Shape], budget: Any, count: int = 8) -> list[Job]:
    jobs = []
    for preset in presets:
        population.prepare(trainer.config(preset, shapes[0]))
        together = lambda shape, p=preset: trainer.members(count, p, shape)
        alone = lambda shape, p=preset: trainer.runs(count, p, shape)
        names = f"{count} members:{preset}", f"{count} runs:{preset}", "step"
        jobs += pairs(names, together, alone, shapes, budget)
    return jobs
