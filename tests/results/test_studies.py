"""Each study of results/ would run exactly the cells that the rows beside it come from."""

import json
import re
from pathlib import Path

import pytest

from rnnbench.config import load
from rnnbench.config.saved import differences
from rnnbench.store.rows import read_jsonl
from rnnbench.study import cells as grid

ROOT = Path(__file__).parents[2]
STUDIES = {path.parent.name: path for path in sorted(ROOT.glob("results/*/study.py"))}
STUDIES |= {"quickstart": ROOT / "configs" / "quickstart.py"}
ARGUMENTS = {"mqar_autopsy": ("ablation", "ladder", "linear", "climb")}


def index():
    """{table: its line in results/README.md, cell by cell}."""
    text = (ROOT / "results" / "README.md").read_text()
    lines = [line.split("|")[1:-1] for line in text.splitlines() if line.count("|") == 6]
    return {name: line for line in lines[2:] for name in re.findall(r"\b[a-z_0-9]+\b", line[0])}


def status(name):
    """run, in part (cells are still open) or unrun."""
    return index()[name][-1].strip()


def cells(name):
    """The cells of a study, of all its parts."""
    arguments = [f":{argument}" for argument in ARGUMENTS.get(name, ())] or [""]
    found = {}
    for argument in arguments:
        made = load.make(f"{STUDIES[name]}{argument}")
        found |= grid.cells(made, {}, {}, lambda task: pytest.fail("a file of configs/ asked"))
    return found


def test_every_table_has_its_study():
    tables = {path.parent.name for path in ROOT.glob("results/*/results.jsonl")}
    assert tables <= set(STUDIES)


# The cells of the map are all presets on all tasks.
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow) if name == "map" else name for name in STUDIES]
)
def test_cells_and_committed_rows_agree(name):
    folder, found = ROOT / "results" / name, cells(name)
    committed = {row["cell"]: row for row in read_jsonl(folder / "results.jsonl")}
    if not committed:
        assert status(name) == "unrun" and found
        return
    assert set(committed) < set(found) if status(name) == "in part" else set(committed) == set(found)
    for cell, row in committed.items():
        config = found[cell]
        assert (config.task.name, config.protocol, config.model.name) == (
            row["task"],
            row["protocol"],
            row["model"],
        )
        assert json.loads(json.dumps(dict(config.overrides))) == row["overrides"]
    saved = json.loads((folder / "configs.json").read_text()) if name != "quickstart" else {}
    for cell, config in saved.items():
        assert differences(config, found[cell]) == [], cell
    members = {
        (row["cell"], row["learning_rate"], row["seed"]) for row in read_jsonl(folder / "results.jsonl")
    }
    assert members == {
        (cell, rate, seed)
        for cell, config in found.items()
        if cell in committed
        for rate in config.population.learning_rates
        for seed in config.population.seeds
    }


@pytest.mark.parametrize("name", STUDIES)
def test_its_rows_are_beside_it(name):
    folder = ROOT / "results" / name
    argument = ARGUMENTS.get(name, ("",))[0]
    made = load.make(f"{STUDIES[name]}:{argument}" if argument else str(STUDIES[name]))
    wanted = "" if name == "quickstart" else str(folder)
    assert {config.study.table for config in made} == {wanted}
    command = re.search(
        r"python launch\.py --config=(\S+?\.py)(:\S+)? --workdir=runs/\S+", STUDIES[name].read_text()
    )
    assert command and ROOT / command[1] == STUDIES[name]


def test_the_index_has_every_table_and_says_which_are_run():
    assert set(STUDIES) <= index().keys()
    filled = {path.parent.name for path in ROOT.glob("results/*/results.jsonl")}
    assert {name for name in STUDIES if status(name) in ("run", "in part")} == filled
    commands = {name: re.search(r"--config=([\w/.]+)", line[2])[1] for name, line in index().items()}
    assert all(ROOT / commands[name] == path for name, path in STUDIES.items())
