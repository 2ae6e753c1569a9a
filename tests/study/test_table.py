"""A table that several studies fill: which cells count as done, how rows are merged, what is refused."""

import json
from concurrent.futures import ThreadPoolExecutor

import pytest
from helpers import tiny

from rnnbench.config import ConfigError
from rnnbench.config.values import plain
from rnnbench.store.rows import read_jsonl, write_jsonl
from rnnbench.study import table as tables
from rnnbench.train.population import prepare
from rnnbench.train.run import cell_name

CASES = ({"length": 12}, {"length": 24})
MODELS = ("lstm", "gpt", "lru", "mamba")


def config_of(model):
    return tiny(model, {"population.learning_rates": (0.1, 0.2), "population.seeds": (0, 1)})


CELLS = {cell_name(config): config for config in map(config_of, MODELS)}
NAMES = list(CELLS)


def final_rows(name, accuracy=0.5):
    members = [{"learning_rate": rate, "seed": seed} for rate in (0.1, 0.2) for seed in (0, 1)]
    return [
        {"cell": name, **member, "step": 20, "final": True, "case": case, "accuracy": accuracy}
        for case in CASES
        for member in members
    ]


def add(folder, name, order=NAMES, accuracy=0.5):
    """As if a run had just finished in a folder of its own."""
    rows, run = final_rows(name, accuracy), folder.parent / f"run {name}"
    at = lambda step: [{**row, "step": step, "starts": [0, 6], "accuracy": [1 / 3, None]} for row in rows]
    write_jsonl(run / "positions.jsonl", at(10) + at(20))
    tables.add(folder, order, CELLS[name], rows, run)
    return rows


def cells_in(folder, file="results.jsonl"):
    return list(dict.fromkeys(row["cell"] for row in read_jsonl(folder / file)))


@pytest.fixture
def table(tmp_path):
    return tmp_path / "results" / "parity"


def test_rows_are_kept_in_the_study_s_order(table):
    rows = {name: add(table, name) for name in (NAMES[2], NAMES[0], NAMES[3])}
    assert read_jsonl(table / "results.jsonl") == rows[NAMES[0]] + rows[NAMES[2]] + rows[NAMES[3]]
    assert cells_in(table, "positions.jsonl") == [NAMES[0], NAMES[2], NAMES[3]]
    saved = json.loads((table / "configs.json").read_text())
    assert list(saved) == [NAMES[0], NAMES[2], NAMES[3]]
    assert saved[NAMES[2]] == plain(CELLS[NAMES[2]].to_dict())
    assert {path.name for path in table.iterdir()} == {
        "results.jsonl",
        "positions.jsonl",
        "configs.json",
        ".lock",
    }


def test_only_the_final_positions_in_short(table):
    add(table, NAMES[0])
    positions = read_jsonl(table / "positions.jsonl")
    assert {row["step"] for row in positions} == {20} and len(positions) == 8
    assert positions[0]["accuracy"] == [0.3333, None]


def test_a_cell_replaces_itself(table):
    for name in NAMES[:2]:
        add(table, name)
    again = add(table, NAMES[0], accuracy=0.75)
    assert read_jsonl(table / "results.jsonl") == again + final_rows(NAMES[1])


def test_a_cell_of_fewer_members_leaves_the_others_as_they_are(table):
    whole, run = add(table, NAMES[0]), table.parent / "fewer"
    config = config_of(MODELS[1])
    config.population.learning_rates, config.population.seeds = (0.3,), (0,)
    rows = [{**row, "learning_rate": 0.3} for row in final_rows(NAMES[1])[::4]]
    write_jsonl(run / "positions.jsonl", [{**row, "starts": [0], "accuracy": [0.5]} for row in rows])
    tables.add(table, NAMES, config, rows, run)
    assert read_jsonl(table / "results.jsonl") == whole + rows


def test_cells_of_other_studies_keep_their_places(table):
    for name in NAMES[:2]:
        add(table, name, order=NAMES[:2])
    for name in (NAMES[3], NAMES[2]):
        add(table, name, order=NAMES[2:])
    assert cells_in(table) == NAMES
    add(table, NAMES[1], order=NAMES[1::-1])
    assert cells_in(table) == [NAMES[1], NAMES[0], *NAMES[2:]]


def test_writers_at_once_lose_nothing(table):
    with ThreadPoolExecutor(len(NAMES)) as pool:
        list(pool.map(lambda name: add(table, name), NAMES))
    assert cells_in(table) == NAMES and len(read_jsonl(table / "results.jsonl")) == 8 * len(NAMES)


def test_members_with_positions_alone_are_kept(table):
    """As after a kill between the two files."""
    rows = add(table, NAMES[0])
    positions = [{**row, "seed": 5, "starts": [0], "accuracy": [0.5]} for row in rows]
    write_jsonl(table / "positions.jsonl", positions)
    add(table, NAMES[0])
    assert [row["seed"] for row in read_jsonl(table / "positions.jsonl")].count(5) == len(positions)
    assert read_jsonl(table / "results.jsonl") == rows


def test_a_table_without_positions(table):
    rows = add(table, NAMES[0])
    tables.add(table, NAMES, CELLS[NAMES[1]], [row | {"cell": NAMES[1]} for row in rows], None)
    assert cells_in(table) == NAMES[:2]
    assert {row["cell"] for row in read_jsonl(table / "positions.jsonl")} == {NAMES[0]}


def test_done_is_every_member_at_every_case(table):
    name, setup = NAMES[0], prepare(CELLS[NAMES[0]])
    assert tables.done(tables.rows(table), setup) == []
    rows = add(table, name)
    assert tables.done(tables.rows(table), setup) == rows
    assert tables.done(tables.rows(table), prepare(CELLS[NAMES[1]])) == []
    longer = CELLS[name].copy_and_resolve_references()
    longer.eval.lengths = (12, 24, 48)
    assert tables.done(tables.rows(table), prepare(longer)) == []
    write_jsonl(table / "results.jsonl", rows[:-1])
    assert tables.done(tables.rows(table), setup) == []
    write_jsonl(table / "results.jsonl", [*rows[:-1], rows[-1] | {"final": False}])
    assert tables.done(tables.rows(table), setup) == []


def refusal(table, cells=CELLS):
    with pytest.raises(ConfigError) as error:
        tables.check(table, cells)
    assert error.value.key == "study.table" and "\n" not in str(error.value)
    return str(error.value)


def test_check(table, tmp_path):
    tables.check(table, CELLS)
    assert not table.exists()
    add(table, NAMES[0])
    tables.check(table, CELLS)
    other = CELLS[NAMES[0]].copy_and_resolve_references()
    other.optim.clip, other.population.seeds = 0.5, (0, 1, 2)
    line = refusal(table, {NAMES[0]: other})
    assert NAMES[0] in line and "(optim.clip)" in line
    write_jsonl(table / "results.jsonl", final_rows("somebody-else-s"))
    assert "'somebody-else-s' but not its config" in refusal(table)
    (table / "results.jsonl").write_text('{"cell": "x"}\n{"cel')
    assert "results.jsonl:2" in refusal(table)
    (table / "configs.json").write_text("[]")
    assert "configs.json is damaged" in refusal(table)
    (tmp_path / "file").write_text("")
    assert "is a file" in refusal(tmp_path / "file")
