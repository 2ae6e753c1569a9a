"""The README keeps its word: its recurrence passes the checks and trains, commands and sizes are right."""

import re
import shlex
from pathlib import Path

import jax
import pytest
from flax import nnx
from helpers import tiny

from rnnbench import check, model, population
from rnnbench.config import PRESETS, experiment

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()

pytestmark = pytest.mark.fast


@pytest.fixture
def own_recurrence(tmp_path, monkeypatch):
    """The README's example as a module that can be imported."""
    (tmp_path / "my_file.py").write_text(re.search(r"```python\n(.*?)```", README, re.DOTALL)[1])
    monkeypatch.syspath_prepend(tmp_path)
    return "my_file:EMA"


def test_its_recurrence_passes_the_checks(own_recurrence, capsys):
    assert check.main([own_recurrence]) == 0, capsys.readouterr().out


def test_its_recurrence_trains(own_recurrence):
    config = tiny("deltanet", {"model.mixer": own_recurrence, "model.heads": 0})
    config.model.options = {}
    setup = population.prepare(config)
    state = population.init_state(setup)
    assert "alpha" in state.members.params["blocks"][0]["mixer"]


def test_its_commands_name_files_that_exist():
    commands = re.findall(r"python\S* (launch\.py .*)", README)
    assert len(commands) >= 3
    for command in commands:
        config = re.search(r"--config=([\w/]+\.py)", command)
        assert config is None or (ROOT / config[1]).exists(), command
        assert shlex.split(command)


def test_its_sizes_are_those_of_the_presets():
    table = dict(re.findall(r"^\| `([a-z_]+)`.*?\| ([\d,]+) \|", README, re.MULTILINE))
    states = dict(re.findall(r"^\| `([a-z_]+)`.*\| ([^|]+) \|$", README, re.MULTILINE))
    sizes = {"model.dim": 64, "model.layers": 2, "model.heads": 4}
    assert set(table) == {name for name in PRESETS if not name.endswith("_neg")}
    for name, shown in table.items():
        setup = population.prepare(experiment("bit_parity", f"{name},x", {"x": sizes}))
        built = nnx.eval_shape(lambda setup=setup: setup.make(jax.random.key(0)))
        assert f"{model.num_params(nnx.state(built, nnx.Param)):,}" == shown, name
        per_sequence = model.state_size(built, 100)
        wanted = states[name].strip()
        assert per_sequence == (256 * 100 if name == "gpt" else int(wanted.replace(",", ""))), name
