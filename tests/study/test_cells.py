"""Which cells a study has: models × tasks × a grid over any key, by flags and from files."""

import pytest
from helpers import tiny

from rnnbench.config import ConfigError
from rnnbench.study import cells as grid


def cells(flags, pristine=None):
    pristine = pristine or tiny("deltanet", {})
    return grid.cells(pristine, flags, lambda task: lambda argument: tiny(argument.split(",")[0], {}, task))


GRID = (("model.dim", (16, 32)), ("train.steps", (20, 40)))
STUDY = {"study.models": ("lstm", "gpt"), "study.tasks": ("bit_parity",)}


def test_the_product_of_all():
    found = list(cells(STUDY | {"study.grid": GRID}).values())
    assert [(c.model.name, c.model.dim, c.train.steps) for c in found] == [
        (model, dim, steps) for model in ("lstm", "gpt") for dim in (16, 32) for steps in (20, 40)
    ]
    assert found[0].protocol == "tiny" and found[0].overrides == ()  # the protocol's own point
    assert (found[1].protocol, found[1].overrides) == ("custom", (("train.steps", 40),))


def test_names_of_cells_are_stable():
    """A longer grid, in another order, has the cells of the shorter one under the same names."""
    short = cells(STUDY | {"study.grid": GRID})
    longer = cells(STUDY | {"study.grid": (("train.steps", (10, 40, 20)), ("model.dim", (32, 16, 64)))})
    assert len(short) == 8 and len(longer) == 18
    assert all(longer[name] == cell for name, cell in short.items())


def test_flags_hold_for_every_point():
    found = cells(STUDY | {"study.grid": (("model.dim", (16, 32)),), "train.steps": 5})
    assert {cell.train.steps for cell in found.values()} == {5}
    assert {cell.protocol for cell in found.values()} == {"custom"}


def test_a_mixer_that_lacks_the_setting_has_one_cell():
    found = cells(STUDY | {"study.grid": (("model.heads", (2, 4, 8)),)})
    assert [(cell.model.name, cell.model.heads) for cell in found.values()] == [
        ("lstm", 0),
        ("gpt", 2),
        ("gpt", 4),
        ("gpt", 8),
    ]


def test_a_task_that_lacks_the_setting_has_one_cell():
    both = STUDY | {"study.models": ("lstm",), "study.tasks": ("bit_parity", "dyck")}
    found = cells(both | {"study.grid": (("task.depth", (2, 3, 4)),), "task.num_types": 2}).values()
    assert [(cell.task.name, cell.task.depth) for cell in found if cell.task.name == "dyck"] == [
        ("dyck", 2),
        ("dyck", 3),
        ("dyck", 4),
    ]
    assert [cell.task.num_types for cell in found if cell.task.name == "bit_parity"] == [3]


def test_a_grid_alone_is_over_the_file_s_own_config():
    pristine = tiny("lru", {"task.module": "external_task:Copy", "task.options.symbols": 4})
    pristine.study.grid = (("task.options.symbols", (4, 6)), ("model.options.r_min", (0.5, 0.9)))
    found = list(cells({}, pristine).values())
    assert [(c.task.options.symbols, c.model.options.r_min) for c in found] == [
        (4, 0.5),
        (4, 0.9),
        (6, 0.5),
        (6, 0.9),
    ]
    assert all(cell.study.grid == () for cell in found)


def test_keys_that_go_together():
    together = (("model.dim", "task.train_lengths"), ((16, (3, 8)), (32, (3, 12))))
    found = cells(STUDY | {"study.models": ("lstm",), "study.grid": (together, ("train.steps", (20, 40)))})
    assert [(c.model.dim, c.task.train_lengths, c.train.steps) for c in found.values()] == [
        (16, (3, 8), 20),
        (16, (3, 8), 40),
        (32, (3, 12), 20),
        (32, (3, 12), 40),
    ]


REFUSED = [
    ({"study.tasks": ()}, "study.tasks", "names no task"),
    ({"study.models": ()}, "study.models", "names no model"),
    ({"study.models": ("lstm", "gru")}, "study.models", "'gru'"),
    ({"study.grid": ("model.dim", (1, 2))}, "study.grid", "must read"),
    ({"study.grid": (("model.dim", 16),)}, "study.grid", "tuple of values"),
    ({"study.grid": (("model.dim", ()),)}, "study.grid", "tuple of values"),
    ({"study.grid": (*GRID, GRID[0])}, "study.grid", "model.dim is there twice"),
    ({"study.grid": (("model.dim", (8,)), (("train.steps", "model.dim"), ((1, 2),)))}, "study.grid", "twice"),
    ({"study.grid": ((("model.dim", "train.steps"), ((1, 2), (3,))),)}, "study.grid", "2 values at a time"),
    ({"study.grid": ((("model.dim", "train.steps"), (1, 2)),)}, "study.grid", "2 values at a time"),
    ({"study.grid": ((("model.dim", 3), ((1, 2),)),)}, "study.grid", "keys are texts"),
    ({"study.grid": (("model.width", (1,)),)}, "study.grid", "no key model.width"),
    ({"study.grid": (("model.dim", ("wide",)),)}, "study.grid", "model.dim: 'wide' is not of the type of 16"),
    ({"study.grid": (("model.options.r_min", (0.5,)),)}, "study.grid", "lstm on bit_parity has no model.opt"),
    ({"study.grid": GRID, "train.steps": 7}, "train.steps", "--config.study.grid too"),
    *(({"study.grid": ((key, (1,)),)}, "study.grid", key) for key in (
        "study.table", "protocol", "overrides", "model.name", "task.name", "population.seeds", "mesh.data",
        "checkpoint.every", "train.chunk",
    )),
]  # fmt: skip


@pytest.mark.parametrize("flags, key, words", REFUSED)
def test_refusals(flags, key, words):
    with pytest.raises(ConfigError) as error:
        cells(STUDY | flags)
    assert error.value.key == key and words in str(error.value) and "\n" not in str(error.value)


def test_two_cells_of_one_name():
    """Two task files that give their task the same label."""
    pristine = tiny("deltanet", {})
    pristine.study.models, pristine.study.tasks = ("lstm",), ("one", "two")
    settings = {"one": {}, "two": {"model.dim": 32}}
    with pytest.raises(ConfigError, match="two different cells called bit_parity-tiny-lstm"):
        grid.cells(pristine, {}, lambda task: lambda argument: tiny("lstm", settings[task]))
