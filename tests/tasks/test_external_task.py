"""External tasks: built from a path, held to the contract, trained from another folder."""

import json
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest
from external_task import Copy
from helpers import tiny
from launched import launch, refusal

from rnnbench import tasks
from rnnbench.config import ConfigError
from rnnbench.config import build as configs
from rnnbench.config.build import changed, label, put
from rnnbench.config.schema import KEYS
from rnnbench.store.rows import read_jsonl
from rnnbench.tasks import contract
from rnnbench.train.population import prepare


def external(module="external_task:Copy", **options):
    config = tiny("lstm", {"task.module": module, "task.train_lengths": (9, 9), "eval.lengths": (9, 18)})
    for name, value in options.items():
        config.task.options[name] = value
    return config


def test_its_fields_are_its_options_and_what_every_task_has():
    task = prepare(external(symbols=7)).task
    assert task == Copy(symbols=7, delay=1, train_lengths=(9, 9), eval_lengths=(9, 18))
    assert prepare(external()).make  # a model for its vocabulary can be built


def test_the_package_s_own_tasks_can_be_named_by_path():
    task = tasks.build(external("rnnbench.tasks.bit_parity:BitParity", supervision="last"))
    assert task.supervision == "last" and task.train_lengths == (9, 9)


def without(name):
    """Copy with an attribute that cannot be read."""

    def missing(self):
        raise AttributeError(name)

    return dataclass(frozen=True)(type("Lacking", (Copy,), {name: property(missing)}))


@dataclass(frozen=True)
class Long(Copy):
    def sample(self, key, case):
        return super().sample(key, {"length": 40})


@dataclass(frozen=True)
class Soft(Copy):
    def sample(self, key, case):
        batch = super().sample(key, case)
        return batch._replace(mask=batch.mask.astype(float))


@dataclass(frozen=True)
class Failing(Copy):
    def sample(self, key, case):
        raise RuntimeError("two\nlines")


@dataclass(frozen=True)
class Homeless(Copy):
    def selection_case(self):
        return {"length": 5}

    def cases(self):
        return ({"length": 6},)


@dataclass(frozen=True)
class Twice(Copy):
    def cases(self):
        return super().cases() * 2


Proud = dataclass(frozen=True)(type("Proud", (Copy,), {"headline": "f2"}))
Sure = dataclass(frozen=True)(type("Sure", (Copy,), {"chance": lambda self, case: 1.0}))
NOT_A_TASK = 3
Nothing = {name: without(name) for name in contract.MEMBERS}

HERE = "test_external_task"
REFUSED = [
    ("no_such_module:Task", {}, "task.module", "cannot be imported .*no_such_module"),
    ("external_task:Missing", {}, "task.module", "cannot be imported .*Missing"),
    ("external_task", {}, "task.module", "must read my_package.my_module:Name"),
    (f"{HERE}:NOT_A_TASK", {}, "task.module", "is not a dataclass"),
    (f"{HERE}:Long", {}, "task.module", r"inputs that are int32 of shape \(40,\).*must be integer.*\(9,\)"),
    (f"{HERE}:Soft", {}, "task.module", "mask that are float32.*must be bool"),
    (f"{HERE}:Failing", {}, "task.module", r"cannot be used \(RuntimeError: two lines\)"),
    (f"{HERE}:Homeless", {}, "task.module", "selection case"),
    (f"{HERE}:Twice", {}, "task.module", "the same case twice"),
    (f"{HERE}:Proud", {}, "task.module", "headline 'f2'; choose one of accuracy"),
    (f"{HERE}:Sure", {}, "task.module", "chance level 1.0"),
    ("external_task:Copy", {"delay": 9}, "task.module", "0 supervised positions"),
    ("external_task:Copy", {"delay": "x"}, "task.module", "TypeError"),
    ("external_task:Copy", {"colours": 3}, "task.options.colours", "Copy has no such option"),
    (
        "external_task:Copy",
        {"train_lengths": (3, 3)},
        "task.options.train_lengths",
        "--config.task.train_lengths",
    ),
    ("external_task:Copy", {"eval_lengths": (3,)}, "task.options.eval_lengths", "--config.eval.lengths"),
]


@pytest.mark.parametrize("module, options, key, words", REFUSED)
def test_refusals(module, options, key, words):
    with pytest.raises(ConfigError) as error:
        prepare(external(module, **options))
    assert error.value.key == key and re.search(words, str(error.value)), error.value
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", contract.MEMBERS)
def test_every_member_of_the_contract_is_asked_for(name):
    with pytest.raises(ConfigError, match=f"--config.task.module: .* has no {name};"):
        contract.check(Nothing[name](), external())


def test_settings_of_the_registry_s_tasks_are_not_for_it():
    config = external()
    config.task.depth = 7
    with pytest.raises(ConfigError, match=r"--config.task.depth: .*--config.task.options.NAME"):
        prepare(config)


@pytest.mark.parametrize("key", ["task.name", "model.name"])
def test_a_label_has_to_be_fit_for_a_folder(key):
    config = external()
    config.model.mixer = "external_mixer:RunningSum"
    put(config, key, "a/b")
    with pytest.raises(ConfigError, match=f"--config.{key}: must be of letters"):
        prepare(config)


def test_in_place_of_a_task_of_the_registry_it_takes_over_what_all_tasks_have():
    pristine = tiny("lstm", {"task.num_keys": 5}, task="mqar")
    config = label(changed(pristine, {"task.module": "external_task:Copy"}))
    assert config.task.name == "Copy" and config.protocol == "custom"
    assert config.task.num_keys == KEYS["task.num_keys"][0]
    assert config.task.train_lengths == pristine.task.train_lengths


def test_options_in_tables_listings_and_comparisons():
    config = external(symbols=3)
    assert configs.comment("task.options.symbols", config) == "option of external_task:Copy"
    assert configs.ordered(config) == configs.flat(config)
    saved = json.loads(json.dumps(config.to_dict()))
    assert configs.differences(saved, config) == []
    assert configs.differences(saved, external(symbols=4)) == ["task.options.symbols"]
    table = tiny("lstm", {"task.module": "external_task:Copy", "task.options.symbols": 5})
    assert table.task.options.symbols == 5
    with pytest.raises(ConfigError, match=r"task\.options\.symbols: there is no such key"):
        tiny("lstm", {"task.options.symbols": 5})


EXPERIMENT = """
from beside_it import DELAY
from rnnbench.config.build import base

def get_config():
    config = base()
    config.task.name, config.task.module = "copy", "my_task:Copy"
    config.task.options.delay = DELAY
    config.task.train_lengths, config.eval.lengths = (8, 8), (8, 16)
    config.model.name, config.model.mixer = "sum", "my_mixer:RunningSum"
    config.model.options.gain = 0.5
    config.model.dim, config.model.layers = 8, 1
    config.train.steps, config.train.chunk, config.train.batch_size, config.eval.batches = 4, 2, 4, 2
    return config
"""

PLAIN = """
from rnnbench.config.build import experiment

SMALL = {
    "model.dim": 8, "model.layers": 1, "task.train_lengths": (8, 8), "eval.lengths": (8, 16),
    "eval.batches": 2, "train.steps": 4, "train.chunk": 2, "train.batch_size": 4,
}

def get_config():
    return experiment("bit_parity", "lstm,small", {"small": SMALL})
"""


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory):
    """A folder outside the package with a config, a task, a mixer and a helper of one's own."""
    folder = tmp_path_factory.mktemp("elsewhere")
    (folder / "my_experiment.py").write_text(EXPERIMENT)
    (folder / "beside_it.py").write_text("DELAY = 2\n")
    shutil.copy(Path(__file__).parents[1] / "external_task.py", folder / "my_task.py")
    shutil.copy(Path(__file__).parents[1] / "external_mixer.py", folder / "my_mixer.py")
    return folder


def test_an_external_experiment(elsewhere, tmp_path):
    config = f"--config={elsewhere / 'my_experiment.py'}"
    done = launch(config, f"--workdir={tmp_path / 'run'}", "--config.task.options.delay=3")
    assert done.returncode == 0, done.stderr
    rows = read_jsonl(tmp_path / "run" / "results.jsonl")
    assert [row["case"]["length"] for row in rows] == [8, 16]
    assert {(row["task"], row["model"], row["chance"]) for row in rows} == {("copy", "sum", 0.25)}
    assert rows[0]["overrides"] == {"task.options.delay": 3}
    for flag, words in {
        "--config.task.options.dealy=3": "did you mean --config.task.options.delay",
        "--config.task.module=my_task:Nothing": "--config.task.module: .*cannot be imported",
    }.items():
        assert re.search(words, refusal(config, flag, f"--workdir={tmp_path / 'other'}"))
    assert not (tmp_path / "other").exists()


def test_options_by_flags_of_a_mixer_and_a_task_that_flags_name(elsewhere, tmp_path):
    flags = [
        f"--config={elsewhere / 'plain.py'}",
        "--config.model.mixer=my_mixer:RunningSum",
        "--config.model.options.gain=2",
        "--config.task.module=my_task:Copy",
        "--config.task.options.delay=3",
    ]
    (elsewhere / "plain.py").write_text(PLAIN)
    done = launch(*flags, f"--workdir={tmp_path / 'run'}")
    assert done.returncode == 0, done.stderr
    row = read_jsonl(tmp_path / "run" / "results.jsonl")[0]
    assert (row["model"], row["task"], row["protocol"]) == ("RunningSum", "Copy", "custom")
    assert row["overrides"]["model.options.gain"] == 2 and row["overrides"]["task.options.delay"] == 3
    study = "--sweep.task.options.symbols=2,3"
    found = launch(*flags, study, f"--workdir={tmp_path / 'study'}", "--dry_run")
    assert "2 cells" in found.stdout, found.stderr
    for flag, words in {
        "--config.model.options.gian=2": "the mixer RunningSum has no such option",
        "--config.model.options.gain=loud": "'loud' is not of the type of 1.0",
        "--config.model.option.gain=2": "there is no such key",
    }.items():
        assert re.search(words, refusal(*flags[:2], flag, f"--workdir={tmp_path / 'other'}"))
    unknown = refusal(flags[0], flags[3], "--config.task.options.dealy=2", f"--workdir={tmp_path / 'other'}")
    assert "the task Copy has no such option" in unknown
    assert not (tmp_path / "other").exists()
