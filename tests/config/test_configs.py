"""The experiments in configs/: every task, protocol and preset can be set up, with models of similar size."""

import re
from pathlib import Path

import jax
import pytest
from flax import nnx
from helpers import covering

from configs import bit_parity, controlled_bit_parity, dyck, mqar, quickstart
from configs import study as study_file
from rnnbench import sizes
from rnnbench.config import ConfigError, schema
from rnnbench.config.build import flat
from rnnbench.mixers import PRESETS
from rnnbench.study import cells as grid
from rnnbench.train import population

FILES = {file.__name__.rpartition(".")[2]: file for file in study_file.FILES}
SHIPPED = ("bit_parity", "controlled_bit_parity", "dyck", "mqar")
EXPERIMENTS = [(task, protocol) for task, file in FILES.items() for protocol in file.PROTOCOLS]
STUDIES = {"quickstart": quickstart, "study": study_file}
# Those that differ from another one in lengths and pairs, or in the group.
ALIKE = ("literature_64", "literature_128", "literature_512", "literature_mix")
ALIKE_GROUPS = ("literature_s4", "literature_a5", "literature_s5")


def num_params(setup):
    return sizes.num_params(nnx.state(nnx.eval_shape(lambda: setup.make(jax.random.key(0))), nnx.Param))


@pytest.mark.parametrize(
    "each, preset", covering([each for each in EXPERIMENTS if each[1] not in ALIKE + ALIKE_GROUPS], PRESETS)
)
def test_every_preset_and_every_protocol_can_be_set_up(each, preset):
    task, protocol = each
    config = FILES[task].get_config(f"{preset},{protocol}")
    assert (config.task.name, config.protocol, config.model.name) == (task, protocol, preset)
    setup, reference = (
        population.prepare(config),
        population.prepare(FILES[task].get_config(f"gpt,{protocol}")),
    )
    assert setup.task.cases() == reference.task.cases()
    if config.model.mlp_dim == -1:
        assert num_params(setup) == pytest.approx(num_params(reference), rel=0.1)


@pytest.mark.parametrize("dim", [32, 128])
def test_matched_sizes_at_every_width(dim):
    sizes = {}
    for preset in PRESETS:
        config = bit_parity.get_config(f"{preset},original")
        config.model.dim, config.model.layers = dim, 1
        sizes[preset] = num_params(population.prepare(config))
    assert max(abs(size / sizes["gpt"] - 1) for size in sizes.values()) <= 0.1, sizes


def test_the_protocols_that_there_are():
    assert {each for each in EXPERIMENTS if each[0] in SHIPPED} == {
        *((task, "original") for task in SHIPPED),
        *((task, protocol) for task in SHIPPED for protocol in ("small", "map")),
        *((task, "literature") for task in ("bit_parity", "dyck", "mqar")),
        ("bit_parity", "quickstart"),
        *(("mqar", protocol) for protocol in ALIKE),
    }


def test_the_default_is_the_original_or_small():
    for task, file in FILES.items():
        first = "original" if task in SHIPPED else "small"
        assert file.get_config("lru") == file.get_config(f"lru,{first}")
        assert file.get_config().model.name == "deltanet"


@pytest.mark.parametrize("task", SHIPPED)
def test_the_original_is_that_of_the_course_project(task):
    config = FILES[task].get_config("gpt,original")
    assert (config.train.batch_size, config.train.steps, config.model.dim, config.model.layers) == (
        32,
        40_000,
        64,
        2,
    )
    assert (config.optim.name, config.optim.b1, config.optim.b2) == ("adam", 0.9, 0.95)
    assert config.population.learning_rates == (1e-3,)
    if task != "mqar":
        assert config.task.train_lengths == (32, 32) and config.eval.lengths == (64, 128, 256)


def cases(argument, file):
    return population.prepare(file.get_config(argument)).task.cases()


def test_cases_of_controlled_parity_come_in_pairs():
    """Each length with the training count of ones and with any."""
    found = cases("lru,small", controlled_bit_parity)
    lengths = list(dict.fromkeys(case["length"] for case in found))
    assert lengths == [40, 80, 160, 320]
    assert found == tuple({"length": length, "ones": ones} for length in lengths for ones in (12, "any"))


def test_cases_of_dyck():
    assert [case["length"] for case in cases("lru,original", dyck)] == [32, 64, 128, 256]
    found = cases("lru,small", dyck)
    assert [case["length"] for case in found if case.get("depth") == 8] == [40, 160]
    assert [case["length"] for case in found if "depth" not in case] == [40, 80, 160, 320]
    published = cases("lru,literature", dyck)
    assert {"length": [702, 1400], "depth": 15} in published and published[0]["length"] == 700


def test_cases_of_mqar():
    assert [(case["length"], case["pairs"]) for case in cases("lru,original", mqar)][1:] == [(16, 5), (19, 6)]
    setup = population.prepare(mqar.get_config("deltanet,small"))
    mix = setup.task.train_cases()
    assert [(case["length"], case["pairs"]) for case, _ in mix] == [(64, 4), (64, 8), (64, 16)]
    assert {"length": 64, "pairs": 8} in setup.task.cases()
    assert {"length": 128, "pairs": 32} in setup.task.cases()
    assert setup.task.selection_case()["length"] == 64


def cells_of(file, flags=(), *argument):
    made = file.get_config(*argument)
    return list(grid.cells(made, dict(flags), {}, lambda task: FILES[task].get_config).values())


def test_the_quickstart_is_nine_presets_on_parity():
    found = cells_of(quickstart)
    assert [cell.model.name for cell in found] == list(quickstart.MODELS)
    for cell in found:
        assert (cell.protocol, cell.task.name) == ("quickstart", "bit_parity")
        population.prepare(cell)


@pytest.mark.parametrize("protocol", ["original", "literature"])
def test_the_study_is_every_preset_on_every_task_of_the_protocol(protocol):
    found = cells_of(study_file, (), protocol)
    tasks = {task for task, file in FILES.items() if protocol in file.PROTOCOLS}
    assert {cell.task.name for cell in found} == tasks
    assert len(found) == len(tasks) * len(PRESETS) == len({(c.task.name, c.model.name) for c in found})
    assert {cell.protocol for cell in found} == {protocol}
    with pytest.raises(ConfigError, match=r"no task has a protocol 'large'; choose one of: .*original"):
        study_file.get_config("large")


def test_a_flag_counts_where_it_is_what_another_task_has_anyway():
    """2000 steps are what bit parity's protocol has; for MQAR they are a change."""
    flags = {"study.models": "lstm,lru", "study.tasks": "mqar", "train.steps": 2000}
    found = cells_of(study_file, flags)
    assert [(cell.model.name, cell.train.steps) for cell in found] == [("lstm", 2000), ("lru", 2000)]


def test_flags_of_a_study_reach_every_cell():
    found = cells_of(quickstart, {"train.steps": 3, "mesh.data": 1})
    assert {cell.train.steps for cell in found} == {3}
    assert {cell.mesh.data for cell in found} == {1}
    assert {cell.overrides for cell in found} == {(("train.steps", 3),)}


@pytest.mark.parametrize("path", sorted(Path("configs").glob("*.py")), ids=lambda path: path.stem)
def test_docstrings_name_a_command_that_loads(path):
    command = re.search(
        r"python launch\.py --config=configs/(\w+)\.py(?::(\S+))? --workdir=\S+", path.read_text()
    )
    assert command and command[1] == path.stem
    file = (FILES | STUDIES)[path.stem]
    made = file.get_config(*[command[2]] * bool(command[2]))
    for config in made if isinstance(made, list) else [made]:
        assert set(flat(config)) >= set(schema.KEYS)
