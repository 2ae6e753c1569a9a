"""A grid of runs in one workdir: what its cells are, and running them one after another."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict
from rich.console import Console

from rnnbench import train, workdir
from rnnbench.config import PRESETS, ConfigError, differences, flat, label, put
from rnnbench.distributed import is_main
from rnnbench.population import prepare
from rnnbench.progress import Progress
from rnnbench.report import tables
from rnnbench.report.write import write


def cells(
    config: ConfigDict, pristine: ConfigDict, get_config: Callable[[str], Callable]
) -> dict[str, ConfigDict]:
    """The configs of a study's cells by name: every one of `study.tasks` with every one of `study.models`.

    A cell is what the task's own file says for (model, protocol), changed where `config` leaves `pristine`,
    that is by the flags. `get_config(task)` is the get_config of a task's file.
    """
    before = flat(pristine)
    changed = {key: value for key, value in flat(config).items() if before.get(key) != value}
    found = {}
    for task in names(config.study.tasks):
        for name in names(config.study.models):
            if name not in PRESETS:
                advice = f"unknown model {name!r}; choose among: {' '.join(PRESETS)}"
                raise ConfigError("study.models", advice)
            plain = get_config(task)(f"{name},{pristine.protocol}")
            cell = plain.copy_and_resolve_references()
            for key, value in changed.items():
                if key.startswith("model.options.") and key not in flat(plain):
                    raise ConfigError(key, f"the model {name} of this study has no such option")
                if not key.startswith("study.") and not _lacks(name, key):
                    put(cell, key, value)
            cell = label(cell, plain)
            found[train.cell_name(cell)] = cell
    if not found:
        raise ConfigError("study.tasks", "names no task; give one, or no study.models for a plain run")
    return found


def _lacks(preset: str, key: str) -> bool:
    """Whether a key sets something that this preset's mixer has not: it then holds for the other cells."""
    return key in ("model.heads", "model.conv_size") and key.partition(".")[2] not in PRESETS[preset]["takes"]


def names(value: tuple[Any, ...]) -> list[str]:
    """The names in a tuple; a flag such as --config.study.models=lstm,lru gives them as one, with commas."""
    return [name.strip() for entry in value for name in str(entry).split(",")]


def run(cells: dict[str, ConfigDict], folder: str | Path) -> list[dict[str, Any]]:
    """Runs the cells in turn, skipping finished ones, and writes the report. Returns all final rows.

    Every cell is checked before the first one runs.
    """
    folder = Path(folder).resolve()
    check(folder, cells)
    for cell in cells.values():
        prepare(cell)
    saved = {name: cell.to_dict() for name, cell in cells.items()}
    if is_main():
        workdir.claim(folder, "study.json", {"cells": saved})
    rows = []
    with Progress(len(cells)) as progress:
        for name, cell in cells.items():
            rows += train.run(cell, folder / "cells" / name, progress)
    Console().print(tables.terminal(write([folder])[0]))
    return rows


def check(folder: Path, cells: dict[str, ConfigDict]) -> None:
    """Refuses a workdir that belongs to another study, or one of whose cells does not fit; writes nothing."""
    workdir.check_writable(folder)
    if (folder / "config.json").exists():
        raise workdir.WorkdirError(f"{folder} holds a single run; choose another folder")
    if (folder / "study.json").exists():
        before = workdir.read_config(folder / "study.json").get("cells", {})
        if set(before) != set(cells):
            names = sorted(set(before) ^ set(cells))
            raise workdir.WorkdirError(
                f"{folder} holds another study (not in both: {names[0]}); choose another folder"
            )
        for name, cell in cells.items():
            if keys := differences(before[name], cell):
                raise workdir.WorkdirError(f"{folder} holds another study ({name} differs in {keys[0]})")
