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
from rnnbench.config.build import changed, label
from rnnbench.config.keys import comment, flat, ordered, put
from rnnbench.config.saved import differences, from_saved
from rnnbench.errors import ConfigError, ContractError
from rnnbench.store.rows import read_jsonl
from rnnbench.tasks import contract
from rnnbench.train.population import prepare


def external(module="external_task:Copy", **options):
    sizes = {"task.train_lengths": (9, 9), "eval.lengths": (9, 18)}
    return tiny("lstm", sizes | {f"task.{name}": value for name, value in options.items()}, module)


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


@dataclass(frozen=True)
class Beyond(Copy):
    def sample(self, key, case):
        batch = super().sample(key, case)
        return batch._replace(inputs=batch.inputs + 1)


@dataclass(frozen=True)
class WrongTargets(Copy):
    def sample(self, key, case):
        batch = super().sample(key, case)
        return batch._replace(targets=batch.targets - 1)


@dataclass(frozen=True)
class AsksMore(Copy):
    def supervised(self, case):
        return 3


@dataclass(frozen=True)
class Everywhere(Copy):
    def sample(self, key, case):
        batch = super().sample(key, case)
        return batch._replace(targets=batch.inputs)


BAD_DRAWS = [
    (Beyond, r"tokens such as 4 for {'length': 8}; they must be 0 to 3"),
    (WrongTargets, r"targets such as -1 for {'length': 8}; they must be 0 to 3"),
    (AsksMore, r"has 7 targets in a sequence of {'length': 8}; supervised\(\) returns 3"),
    (Everywhere, "targets other than 0 where the mask is off"),
]


@pytest.mark.parametrize("kind, words", BAD_DRAWS)
def test_draws_out_of_range(kind, words):
    contract.check(kind())
    with pytest.raises(ContractError, match=words):
        contract.check_draws(kind())


NOT_A_TASK = 3


@dataclass(frozen=True)
class Greedy(Copy):
    examples: int = 3


@dataclass(frozen=True, kw_only=True)
class Undecided(Copy):
    colours: int


Nothing = {name: without(name) for name in contract.MEMBERS}

HERE = "test_external_task"
REFUSED = [
    ("no_such_module:Task", {}, "task.module", "cannot be imported .*no_such_module"),
    ("external_task:Missing", {}, "task.module", "cannot be imported .*Missing"),
    ("external_task", {}, "task.name", "unknown task 'external_task'; choose one of: .*bit_parity"),
    (f"{HERE}:NOT_A_TASK", {}, "task.module", "is not a dataclass"),
    (f"{HERE}:Long", {}, "task.module", r"inputs that are int32 of shape \(40,\).*must be integer.*\(9,\)"),
    (f"{HERE}:Soft", {}, "task.module", "mask that are float32.*must be bool"),
    (f"{HERE}:Failing", {}, "task.module", r"cannot be used \(RuntimeError: two lines\)"),
    (f"{HERE}:Homeless", {}, "task.module", "selection case"),
    (f"{HERE}:Twice", {}, "task.module", "the same case twice"),
    (f"{HERE}:Proud", {}, "task.module", "headline 'f2'; choose one of: accuracy"),
    (f"{HERE}:Sure", {}, "task.module", "chance level 1.0"),
    ("external_task:Copy", {"delay": 9}, "task.module", "0 supervised positions"),
    ("external_task:Copy", {"delay": "x"}, "task.delay", "'x' is not of the type of 1"),
    ("external_task:Copy", {"dealy": 3}, "task.dealy", "no such key; did you mean --config.task.delay"),
    ("external_task:Copy", {"depth": 3}, "task.depth", "Copy has no such setting; it has: task.symbols"),
    (f"{HERE}:Greedy", {}, "task.module", "cannot have a field examples: every task has task.examples"),
    (f"{HERE}:Undecided", {}, "task.module", "Undecided.colours has no default"),
]


@pytest.mark.parametrize("module, options, key, words", REFUSED)
def test_refusals(module, options, key, words):
    with pytest.raises(ConfigError) as error:
        prepare(external(module, **options))
    assert error.value.key == key and re.search(words, str(error.value)), error.value
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", contract.MEMBERS)
def test_every_member_of_the_contract_is_asked_for(name):
    with pytest.raises(ContractError, match=f"has no {name};"):
        contract.check(Nothing[name]())


def test_settings_of_other_tasks_are_not_for_it():
    config = external()
    config.task.depth = 7
    with pytest.raises(
        ConfigError, match=r"--config.task.depth: .*Copy has no such setting; it has: task.sym"
    ):
        prepare(config)


@pytest.mark.parametrize("key", ["task.name", "model.name"])
def test_a_label_has_to_be_fit_for_a_folder(key):
    config = external()
    config.model.mixer = "external_mixer:RunningSum"
    put(config, key, "a/b")
    with pytest.raises(ConfigError, match=f"--config.{key}: must be of letters"):
        prepare(config)


def test_in_place_of_another_task_it_keeps_what_both_have():
    pristine = tiny("lstm", {"task.num_keys": 5, "train.steps": 7}, task="mqar")
    config = label(changed(pristine, {"task.module": "external_task:Copy"}))
    assert config.task.name == "Copy" and config.protocol == "custom" and config.train.steps == 7
    assert config.overrides == (("task.module", "external_task:Copy"),)
    assert set(config.task) == {"name", "module", "examples", "symbols", "delay", "train_lengths"}
    assert config.task.train_lengths == pristine.task.train_lengths
    assert config.eval.lengths == pristine.eval.lengths and "pairs" not in config.eval


def test_its_fields_in_listings_and_comparisons():
    config = external(symbols=3)
    assert comment("task.symbols", config) == "option of external_task:Copy"
    assert ordered(config) == flat(config)
    saved = json.loads(json.dumps(config.to_dict()))
    assert differences(saved, config) == []
    assert from_saved(saved) == config
    assert differences(saved, external(symbols=4)) == ["task.symbols"]


EXPERIMENT = """
from beside_it import DELAY
from rnnbench.config.build import base

def get_config():
    config = base("my_task:Copy", "my_mixer:RunningSum")
    config.task.name, config.model.name = "copy", "sum"
    config.task.delay = DELAY
    config.task.train_lengths, config.eval.lengths = (8, 8), (8, 16)
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
    done = launch(config, f"--workdir={tmp_path / 'run'}", "--config.task.delay=3")
    assert done.returncode == 0, done.stderr
    rows = read_jsonl(tmp_path / "run" / "results.jsonl")
    assert [row["case"]["length"] for row in rows] == [8, 16]
    assert {(row["task"], row["model"], row["chance"]) for row in rows} == {("copy", "sum", 0.25)}
    assert rows[0]["overrides"]["task.delay"] == 3
    for flag, words in {
        "--config.task.dealy=3": "did you mean --config.task.delay",
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
        "--config.task.delay=3",
    ]
    (elsewhere / "plain.py").write_text(PLAIN)
    done = launch(*flags, f"--workdir={tmp_path / 'run'}")
    assert done.returncode == 0, done.stderr
    row = read_jsonl(tmp_path / "run" / "results.jsonl")[0]
    assert (row["model"], row["task"], row["protocol"]) == ("RunningSum", "Copy", "custom")
    assert row["overrides"]["model.options.gain"] == 2 and row["overrides"]["task.delay"] == 3
    study = "--sweep.task.symbols=2,3"
    found = launch(*flags, study, f"--workdir={tmp_path / 'study'}", "--dry_run")
    assert "2 cells" in found.stdout, found.stderr
    for flag, words in {
        "--config.model.options.gian=2": "no such key; did you mean --config.model.options.gain",
        "--config.model.options.gain=loud": "'loud' is not of the type of 1.0",
        "--config.model.option.gain=2": "there is no such key",
    }.items():
        assert re.search(words, refusal(*flags[:2], flag, f"--workdir={tmp_path / 'other'}"))
    unknown = refusal(flags[0], flags[3], "--config.task.dealy=2", f"--workdir={tmp_path / 'other'}")
    assert "no such key; did you mean --config.task.delay" in unknown
    assert not (tmp_path / "other").exists()
