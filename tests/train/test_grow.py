"""A run that grows: its files are those of a run that had it all from the start; only the rest is trained."""

import json
import shutil

import jax
import numpy as np
import pytest
from helpers import assert_trees_close, tiny

from rnnbench.config import ConfigError
from rnnbench.config.build import changed, label
from rnnbench.store.rows import FILES, read_jsonl
from rnnbench.store.workdir import WorkdirError
from rnnbench.train import run as train
from rnnbench.train.checkpoint import Checkpoints
from rnnbench.train.population import prepare, state_shapes

pytestmark = pytest.mark.usefixtures("compiled_once")

CHANGING = {"train_seconds", "compile_seconds", "eval_seconds", "tokens_per_second", "versions", "device"}
STEADY = {"optim.schedule": "constant", "optim.warmup": 0.0}


def config(rates=(0.01, 0.003), seeds=(0, 1), **settings):
    """8 steps of a tiny model, evaluated after 4 and 8, on one device: equal means in every bit."""
    settings = {key.replace("__", "."): value for key, value in settings.items()}
    base = {"train.steps": 8, "train.chunk": 3, "eval.every": 4}
    grid = {"population.learning_rates": rates, "population.seeds": seeds}
    return label(changed(tiny("lstm", base | STEADY), grid | settings))


def rows_of(folder, name="results.jsonl"):
    return [{k: v for k, v in row.items() if k not in CHANGING} for row in read_jsonl(folder / name)]


def assert_same_files(folder, other):
    for name in FILES:
        assert rows_of(folder, name) == rows_of(other, name), name


def grids(folder):
    """{folder of a part: its learning rates and seeds}, as its config.json has them."""
    found = {}
    for file in [folder / "config.json", *sorted(folder.glob("grown/*/config.json"))]:
        population = json.loads(file.read_text())["population"]
        found[str(file.parent.relative_to(folder))] = population["learning_rates"], population["seeds"]
    return found


def bytes_of(folder):
    return {p: (p.read_bytes(), p.stat().st_mtime_ns) for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    return folder, train.run(config((0.01, 0.003), (0, 1, 2)), folder)


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    folder = tmp_path_factory.mktemp("small")
    train.run(config((0.003,), (0, 1)), folder)
    return folder


@pytest.fixture
def copy(small, tmp_path):
    return shutil.copytree(small, tmp_path / "run")


@pytest.fixture
def nothing_trained(monkeypatch):
    monkeypatch.setattr(train, "compile_all", lambda *args: pytest.fail("trained again"))


def test_a_grown_run_has_the_files_of_a_whole_one(whole, copy):
    """A learning rate that comes first, and a seed: that rate with all seeds, that seed at the old rate."""
    rows = train.run(config((0.01, 0.003), (0, 1, 2)), copy)
    assert_same_files(copy, whole[0])
    assert rows == [row for row in read_jsonl(copy / "results.jsonl") if row["final"]]
    assert grids(copy) == {
        ".": ([0.003], [0, 1]),
        "grown/1": ([0.01], [0, 1, 2]),
        "grown/2": ([0.003], [2]),
    }


def test_an_unfinished_run_is_finished_first_and_grows_twice(whole, copy):
    shutil.rmtree(copy / "checkpoints" / "8")
    train.run(config((0.003,), (0, 1, 2)), copy)
    assert grids(copy) == {".": ([0.003], [0, 1]), "grown/1": ([0.003], [2])}
    assert rows_of(copy) == [row for row in rows_of(whole[0]) if row["learning_rate"] == 0.003]
    before = bytes_of(copy / "grown" / "1")
    train.run(config((0.01, 0.003), (0, 1)), copy)  # every rate with every seed, those not named included
    assert sorted(map(str, rows_of(copy))) == sorted(map(str, rows_of(whole[0])))
    assert grids(copy)["grown/2"] == ([0.01], [0, 1, 2]) and bytes_of(copy / "grown" / "1") == before


@pytest.mark.parametrize("grid", [((0.01,), (0, 1, 2)), ((0.003, 0.01), (2, 0)), ((0.01, 0.003), (0, 1, 2))])
def test_fewer_members_train_and_lose_nothing(grid, whole, nothing_trained):
    before = bytes_of(whole[0])
    assert train.run(config(*grid), whole[0]) == whole[1]
    assert bytes_of(whole[0]) == before


def test_a_growth_that_is_killed_resumes(whole, copy, monkeypatch):
    """The kill comes at the first checkpoint of the second part, before the first part's rows are merged."""
    save, saves = train._Session._save, []

    def killed(self):
        save(self)
        saves.append(self.step)
        if len(saves) == 3:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(train._Session, "_save", killed)
        patch.setattr(train.grow, "write_jsonl", lambda *args: None)
        with pytest.raises(KeyboardInterrupt):
            train.run(config((0.01, 0.003), (0, 1, 2)), copy)
    assert saves == [4, 8, 4] and {row["learning_rate"] for row in rows_of(copy)} == {0.003}
    steps, advance = [], train._Session._advance

    def counted(self):
        steps.append((self.step, len(self.members)))
        advance(self)

    monkeypatch.setattr(train._Session, "_advance", counted)
    train.run(config((0.01, 0.003), (0, 1, 2)), copy)
    assert steps == [(4, 1), (6, 1)]
    assert_same_files(copy, whole[0])


def test_members_that_are_elsewhere_are_not_trained(whole, tmp_path):
    rows = train.run(config((0.01, 0.003), (0, 1, 2)), tmp_path, have={(0.003, 0), (0.003, 1)})
    assert grids(tmp_path) == {".": ([0.01], [0, 1, 2]), "grown/1": ([0.003], [2])}
    elsewhere = lambda row: row["learning_rate"] == 0.003 and row["seed"] < 2
    assert rows_of(tmp_path) == [row for row in rows_of(whole[0]) if not elsewhere(row)]
    assert len(rows) == 8


def final_members(folder, config):
    checkpoints = Checkpoints(folder / "checkpoints")
    state, _, step = checkpoints.restore(state_shapes(prepare(config)))
    checkpoints.close()
    assert step == config.train.steps
    return jax.tree.map(np.asarray, state.members.replace(key=jax.random.key_data(state.members.key)))


def test_more_steps_equal_a_run_of_that_length(copy, tmp_path, monkeypatch):
    """The run has grown, and is killed before the first of these steps."""
    grid = (0.003,), (0, 1, 2)
    train.run(config(*grid), copy)
    longer = config(*grid, train__steps=12)
    assert train.cell_name(longer) != train.cell_name(config(*grid))
    fresh = train.run(longer, tmp_path / "fresh")
    with monkeypatch.context() as patch:
        patch.setattr(train, "compile_all", lambda *args: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            train.run(longer, copy)
    assert len(train.run(longer, copy)) == len(fresh) == 6
    assert_same_files(copy, tmp_path / "fresh")
    two = jax.tree.map(lambda leaf: leaf[:2], final_members(tmp_path / "fresh", longer))
    assert_trees_close(final_members(copy, config((0.003,), (0, 1), train__steps=12)), two, 0, 0)
    assert json.loads((copy / "config.json").read_text())["train"]["steps"] == 12


def trained_with(folder, settings):
    """As if the run had been trained with other settings."""
    saved = config((0.003,), (0, 1), **settings).to_dict()
    (folder / "config.json").write_text(json.dumps(saved))


@pytest.mark.parametrize(
    "settings, key",
    [
        ({"optim__schedule": "cosine"}, "optim.schedule"),
        ({"optim__warmup": 0.25}, "optim.warmup"),
        ({"train__stop_accuracy": 1.0}, "train.stop_accuracy"),
    ],
)
def test_more_steps_are_refused_where_the_first_would_have_been_others(settings, key, copy):
    trained_with(copy, settings)
    before = bytes_of(copy)
    with pytest.raises(
        ConfigError, match=r"to add to the 8 steps of this run \(.*\); choose another --workdir"
    ) as error:
        train.run(config((0.003,), (0, 1), train__steps=12, **settings), copy)
    assert error.value.key == key and "\n" not in str(error.value)
    assert bytes_of(copy) == before


@pytest.mark.parametrize("settings", [{"train__steps": 4}, {"optim__clip": 0.5}])
def test_another_config_is_refused(settings, small):
    with pytest.raises(WorkdirError, match=f"another config .*{next(iter(settings)).replace('__', '.')}"):
        train.run(config((0.003,), (0, 1, 2), **settings), small)


def test_a_population_that_stops_together_does_not_grow(copy, nothing_trained):
    settings = {"train__stop_accuracy": 0.01}
    trained_with(copy, settings)
    with pytest.raises(ConfigError, match="population stop together") as error:
        train.run(config((0.003,), (0, 1, 2), **settings), copy)
    assert error.value.key == "train.stop_accuracy"
    assert len(train.run(config((0.003,), (0,), **settings), copy)) == 4
