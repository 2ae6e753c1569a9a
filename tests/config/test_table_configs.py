"""The studies behind the tables of results/: their cells, and what is the same in all of them."""

import re
from pathlib import Path

import pytest

from configs import conv_ablation, mqar_capacity, mqar_long, table
from configs.study import TASKS
from rnnbench.config import ConfigError
from rnnbench.config.schema import PRESETS
from rnnbench.study import cells as grid
from rnnbench.train import population


def cells_of(file, argument):
    pristine = file.get_config(argument)
    return grid.cells(pristine, {}, lambda task: TASKS[task].get_config)


@pytest.mark.parametrize("name", table.STUDIES)
def test_a_table_is_of_one_protocol_and_all_presets(name):
    tasks, protocol, changes = table.STUDIES[name]
    found = list(cells_of(table, name).values())
    assert [(c.task.name, c.model.name) for c in found] == [(t, m) for t in tasks for m in PRESETS]
    assert {cell.protocol for cell in found} == {"custom" if changes else protocol}
    assert Path(table.get_config(name).study.table) == Path("results").resolve() / name


def test_the_original_table_states_its_steps():
    assert {cell.overrides for cell in cells_of(table, "original").values()} == {(("train.steps", 4000),)}


def test_memories_of_the_capacity_study():
    """Three sizes of key, and the same width, layers and data."""
    found = list(cells_of(mqar_capacity, "deltanet,capacity").values())
    assert [cell.model.dim // cell.model.heads for cell in found] == [16, 32, 64]
    assert len({str(population.prepare(cell).task.cases()) for cell in found}) == 1


def test_the_long_study_goes_beyond_its_training():
    found = list(cells_of(mqar_long, "deltanet,long").values())
    assert [(cell.model.dim, cell.model.heads) for cell in found] == [(64, 1)]
    for cell in found:
        task = population.prepare(cell).task
        trained = [(case["length"], case["pairs"]) for case, _ in task.train_cases()]
        assert max(trained) == (256, 64) == tuple(task.selection_case().values())
        assert {"length": 512, "pairs": 128} in task.cases()


@pytest.mark.parametrize("part", conv_ablation.STUDIES)
def test_the_ablation_of_the_convolution(part):
    found = [population.prepare(cell).config for cell in cells_of(conv_ablation, part).values()]
    convolutions = {}
    for cell in found:
        assert cell.model.layers == 1
        convolutions.setdefault(cell.model.name, []).append(cell.model.conv_size)
    assert set(map(tuple, convolutions.values())) == {(0, 4)}


@pytest.mark.parametrize("file, words", [(table, "no table 'none'"), (conv_ablation, "no part 'none'")])
def test_unknown_arguments_of_studies(file, words):
    with pytest.raises(ConfigError, match=words):
        file.get_config("none")


def test_the_index_of_results_has_every_table_and_says_which_are_run():
    index = Path("results/README.md").read_text()
    lines = [line.split("|")[1:-1] for line in index.splitlines() if line.count("|") == 6]
    status = {name: line[-1].strip() for line in lines[2:] for name in re.findall(r"\b[a-z_0-9]+\b", line[0])}
    assert {*table.STUDIES, "mqar_long", "mqar_capacity", "conv_ablation"} <= status.keys()
    filled = {path.parent.name for path in Path("results").glob("*/results.jsonl")}
    assert filled <= status.keys()
    told = {name for name, text in status.items() if text != "unrun" and Path("results", name).is_dir()}
    assert told == filled
