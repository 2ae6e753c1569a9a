"""The plan of a call: its sections of jobs. Anything that cannot work is refused here."""

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any, NamedTuple

from rnnbench.bench import trainer
from rnnbench.bench.rows import pair, single
from rnnbench.bench.subjects import Subject
from rnnbench.bench.timing import Budget
from rnnbench.bench.trainer import Shape
from rnnbench.config import ConfigError, InputError
from rnnbench.mixers import PRESETS
from rnnbench.tasks import TASKS
from rnnbench.train import population

# Presets that share a mixer and the structure of its transition cost the same; others are timed when named.
DISTINCT = tuple({(p.mixer, p.structure): name for name, p in reversed(PRESETS.items())}.values())[::-1]

Couple = tuple[Subject, Subject]


class Job(NamedTuple):
    """A measurement to make: its label, its dtype, and the function that makes its row."""

    label: str
    dtype: str
    row: Callable[[], dict[str, Any]]


class Section(NamedTuple):
    """A table: its name, its measurements, and a footer."""

    what: str
    jobs: list[Job]
    footer: str = ""


def in_flags(error: ConfigError) -> str:
    """The line of a ConfigError with the bench's own flag: that of a model's size, or else of the length."""
    section, _, name = error.key.partition(".")
    own = name if section == "model" else "lengths"
    return f"--{own}: {str(error).partition(': ')[2]}"


def singles(subjects: Iterable[Subject], shapes: Sequence[Shape], budget: Callable[[], Budget]) -> list[Job]:
    """Each subject, forward and with its gradient, at each length."""
    jobs = []
    for subject in subjects:
        for kind in subject.kinds:
            of_row = budget()
            for shape in shapes:
                label = f"{subject.name} {kind}, T = {shape.length}"
                jobs.append(Job(label, shape.dtype, partial(single, subject, kind, shape, of_row)))
    return jobs


def comparisons(
    couples: Iterable[Couple], shapes: Sequence[Shape], budget: Callable[[], Budget]
) -> list[Job]:
    """Each A against its B, in every measurement that both support, at each length."""
    jobs = []
    for a, b in couples:
        kinds = [kind for kind in a.kinds if kind in b.kinds]
        if not kinds:
            raise InputError(f"--compare: a step cannot be compared with an op or a mixer: {a.name} {b.name}")
        for kind in kinds:
            of_row = budget()
            for shape in shapes:
                label = f"{a.name} and {b.name}, T = {shape.length}"
                jobs.append(Job(label, shape.dtype, partial(pair, a, b, kind, shape, of_row)))
    return jobs


def sampling(presets: Sequence[str], shapes: Sequence[Shape]) -> list[Couple]:
    """The sampling of a batch against the whole train step, for every task."""
    couples = []
    for preset in presets:
        for task in TASKS:
            for shape in shapes:
                population.prepare(trainer.config(preset, shape, task))  # refused before anything is timed
            draw = lambda _, shape, p=preset, t=task: trainer.sampling(p, shape, t)
            step = lambda _, shape, p=preset, t=task: trainer.step(p, shape, t)
            couples.append(
                (Subject(f"sampling:{task}", (task,), draw), Subject(f"step:{preset}", (task,), step))
            )
    return couples


def populations(presets: Sequence[str], shapes: Sequence[Shape], count: int = 8) -> list[Couple]:
    """`count` members in one program against the same number of single runs in turn."""
    couples = []
    for preset in presets:
        population.prepare(trainer.config(preset, shapes[0]))
        together = lambda _, shape, p=preset: trainer.members(count, p, shape)
        alone = lambda _, shape, p=preset: trainer.runs(count, p, shape)
        members = Subject(f"{count} members:{preset}", ("step",), together)
        couples.append((members, Subject(f"{count} runs:{preset}", ("step",), alone)))
    return couples


def over_devices(
    presets: Sequence[str], shapes: Sequence[Shape], devices: Sequence[int], count: int = 8
) -> list[Couple]:
    """`count` members on several devices, such as the cores of a CPU, against all of them on one."""

    def members(preset: str, number: int) -> Subject:
        try:
            trainer.population_of(count, preset, shapes[0], number)
        except ConfigError as error:
            raise InputError(
                f"--devices: {error.message}" if "mesh" in error.key else in_flags(error)
            ) from None
        name = f"{count} members on {number}:{preset}"
        return Subject(name, ("step",), lambda _, shape: trainer.members(count, preset, shape, number))

    return [(members(preset, number), members(preset, 1)) for preset in presets for number in devices]
