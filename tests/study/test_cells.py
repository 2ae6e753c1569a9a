"""Which cells a study has: the configs of its file, for the models and tasks of flags, over a sweep."""

import pytest
from helpers import tiny

from rnnbench.config import ConfigError, InputError
from rnnbench.config.build import base, changed
from rnnbench.study import cells as grid


def file_of(task):
    return lambda argument: tiny(argument.split(",")[0], {}, task)


def cells(flags=(), sweep=(), configs=None):
    return grid.cells(configs or [tiny("deltanet", {})], dict(flags), dict(sweep), file_of)


SWEEP = {"model.dim": "16,32", "train.steps": "20,40"}
STUDY = {"study.models": "lstm,gpt", "study.tasks": "bit_parity"}


def named(found):
    return [(cell.task.name, cell.model.name) for cell in found.values()]


def test_a_list_is_its_cells():
    """Each labelled by what it is; flags hold for all."""
    plain = tiny("lstm", {})
    configs = [plain, changed(plain, {"model.dim": 32}), tiny("gpt", {}, task="dyck")]
    found = list(cells(configs=configs).values())
    assert [(c.task.name, c.model.name, c.overrides) for c in found] == [
        ("bit_parity", "lstm", ()),
        ("bit_parity", "lstm", (("model.dim", 32),)),
        ("dyck", "gpt", ()),
    ]
    assert [cell.protocol for cell in found] == ["tiny", "custom", "tiny"]
    assert all(cell.study == base().study for cell in found)
    assert {cell.train.steps for cell in cells({"train.steps": 5}, configs=configs).values()} == {5}


def test_the_product_of_all():
    found = list(cells(STUDY, SWEEP).values())
    assert [(c.model.name, c.model.dim, c.train.steps) for c in found] == [
        (model, dim, steps) for model in ("lstm", "gpt") for dim in (16, 32) for steps in (20, 40)
    ]
    assert found[0].protocol == "tiny" and found[0].overrides == ()  # the protocol's own point
    assert (found[1].protocol, found[1].overrides) == ("custom", (("train.steps", 40),))


def test_names_of_cells_are_stable():
    """A longer sweep, in another order, has the cells of the shorter one under the same names."""
    short = cells(STUDY, SWEEP)
    longer = cells(STUDY, {"train.steps": "10,40,20", "model.dim": "32,16,64"})
    assert len(short) == 8 and len(longer) == 18
    assert all(longer[name] == cell for name, cell in short.items())


def test_models_and_tasks_choose_from_a_list_and_add_to_it():
    """What is added is run as the first is: in its protocol, with its changes."""
    change = {"train.steps": 7, "model.heads": 4, "population.seeds": (0, 1)}
    plain = [
        tiny(model, {}, task) for task in ("bit_parity", "dyck") for model in ("deltanet", "lstm", "lru")
    ]
    configs = [changed(config, change) if config.model.name == "deltanet" else config for config in plain]
    chosen = cells({"study.models": "lru,lstm", "study.tasks": "dyck"}, configs=configs)
    assert named(chosen) == [("dyck", "lru"), ("dyck", "lstm")]
    assert all(cell.protocol == "tiny" for cell in chosen.values())
    models = {"study.models": "external_mixer:RunningSum,lstm", "study.tasks": "bit_parity"}
    external, lstm = cells(models, configs=configs).values()
    assert (external.model.name, external.model.mixer) == ("RunningSum", "external_mixer:RunningSum")
    assert (external.train.steps, external.population.seeds, external.model.heads) == (7, (0, 1), 0)
    assert external.overrides == (("train.steps", 7),) and lstm.overrides == ()
    tasks = cells({"study.tasks": "bit_parity,controlled_bit_parity"}, configs=configs)
    models = ("deltanet", "lstm", "lru")
    both = ("bit_parity", "controlled_bit_parity")
    assert named(tasks) == [(task, model) for task in both for model in models]
    assert [cell.train.steps for cell in tasks.values()] == [7, 20, 20] * 2


def test_a_mixer_that_lacks_the_setting_has_one_cell():
    found = cells(STUDY, {"model.heads": "2,4,8"})
    assert [(cell.model.name, cell.model.heads) for cell in found.values()] == [
        ("lstm", 0),
        ("gpt", 2),
        ("gpt", 4),
        ("gpt", 8),
    ]


def test_a_task_or_model_that_lacks_the_setting_has_one_cell():
    both = {"study.models": "lstm,lru", "study.tasks": "bit_parity,dyck"}
    found = cells(both | {"model.options.r_min": 0.5}, {"task.depth": "2,3,4"}).values()
    assert [(cell.task.name, cell.model.name) for cell in found] == [
        ("bit_parity", "lstm"),
        ("bit_parity", "lru"),
        *[("dyck", "lstm")] * 3,
        *[("dyck", "lru")] * 3,
    ]
    assert [cell.task.depth for cell in found if cell.task.name == "dyck"] == [2, 3, 4] * 2
    assert {cell.model.options.r_min for cell in found if cell.model.name == "lru"} == {0.5}


def test_a_sweep_of_an_external_task():
    configs = [tiny("lru", {"task.symbols": 4}, task="external_task:Copy")]
    sweep = {"task.symbols": "4,6", "model.options.r_min": "0.5,0.9"}
    found = list(cells((), sweep, configs).values())
    assert [(c.task.symbols, c.model.options.r_min) for c in found] == [
        (4, 0.5),
        (4, 0.9),
        (6, 0.5),
        (6, 0.9),
    ]


@pytest.mark.parametrize(
    "text, values",
    [
        ("0,1", (0, 1)),
        ("1e-3", (1e-3,)),
        ("(3,40),(40,40)", ((3, 40), (40, 40))),
        ("every, last", ("every", "last")),
        ("True,False", (True, False)),
    ],
)
def test_values_of_a_sweep(text, values):
    assert [point["eval.cases"] for point in grid.points({"eval.cases": text})] == list(values)


def test_settings_tell_cells_apart():
    found = cells(STUDY | {"optim.clip": 0.5}, {"train.steps": "20,40"})
    assert list(grid.settings(found).values()) == ["", "train.steps=40"] * 2
    (alone,) = grid.settings(cells({"optim.clip": 0.5})).values()
    assert alone == "optim.clip=0.5"


REFUSED = [
    ({"study.models": "lstm,lsmt"}, {}, "--config.study.models: unknown model 'lsmt'"),
    ({}, {"model.width": "1"}, "--sweep.model.width: no cell of the study has this key"),
    ({}, {"model.dim": "8,wide"}, "--sweep.model.dim: 'wide' is not of the type of 16"),
    ({}, {"model.dim": ""}, "--sweep.model.dim: must be values"),
    ({}, {"model.dim": "8,,"}, "--sweep.model.dim: must be values"),
    ({}, {"model.options.r_min": "0.5"}, "--sweep.model.options.r_min: no cell"),
    ({"model.options.r_min": 0.5}, {}, "--config.model.options.r_min: no cell"),
    ({"train.steps": 7}, SWEEP, "--sweep.train.steps: is given by --config.train.steps too"),
    *(({}, {key: "1"}, f"--sweep.{key}: ") for key in (
        "study.table", "protocol", "overrides", "model.name", "task.name", "population.seeds", "mesh.data",
        "checkpoint.every", "train.chunk",
    )),
]  # fmt: skip


@pytest.mark.parametrize("flags, sweep, words", REFUSED)
def test_refusals(flags, sweep, words):
    with pytest.raises(InputError) as error:
        cells(STUDY | flags, sweep)
    assert words in str(error.value) and "\n" not in str(error.value)


def test_a_config_without_a_protocol_has_no_other_models():
    with pytest.raises(ConfigError, match=r"study\.models: gpt cannot take the place"):
        cells({"study.models": "gpt"}, configs=[base()])


def test_two_cells_of_one_name():
    """Two configs that give their task the same label."""
    one, two = tiny("lstm", {}), tiny("lstm", {"model.dim": 32})
    with pytest.raises(ConfigError, match="two different cells called bit_parity-tiny-lstm"):
        cells(configs=[one, two])
