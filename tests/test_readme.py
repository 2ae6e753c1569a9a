"""The README keeps its word: its recurrence ends in a report, commands and sizes are right."""

import importlib.util
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import jax
import pytest
from flax import nnx
from launched import TINY

from rnnbench import model
from rnnbench.config.build import experiment
from rnnbench.mixers import PRESETS
from rnnbench.train import population

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()

pytestmark = pytest.mark.fast


def block(language, holding):
    """The README's code in this language that holds these words."""
    (found,) = [
        text for text in re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL) if holding in text
    ]
    return found


def test_its_recurrence_ends_in_a_report_and_its_notebook_lines_run(tmp_path, monkeypatch):
    """The commands as they stand, but for the workdirs and for smaller sizes."""
    (tmp_path / "my_file.py").write_text(block("python", "class EMA"))
    settings = {"JAX_PLATFORMS": "cpu", "XLA_FLAGS": "--xla_backend_optimization_level=0"}
    environment = os.environ | settings | {"PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])}
    commands = block("bash", "my_file:EMA").replace("runs/", f"{tmp_path}/").splitlines()
    assert len(commands) == 4
    for command in commands:
        python, *arguments = shlex.split(command)
        if arguments[0] == "launch.py":
            arguments += ["--compilation_cache=off", *TINY[1:]]
        done = subprocess.run(
            [sys.executable, *arguments], cwd=ROOT, env=environment, capture_output=True, text=True
        )
        assert python == "python" and done.returncode == 0, done.stdout + done.stderr
    text = (tmp_path / "ema" / "report.md").read_text()
    (table,) = [part for part in text.split("\n\n") if part.startswith("| model | ") and "seeds" in part]
    assert [line.split("|")[1].strip() for line in table.splitlines()[2:]] == ["EMA", "deltanet"]

    monkeypatch.syspath_prepend(tmp_path)
    names = {"tokens": jax.numpy.zeros((1, 4), int)}
    exec(block("python", "rnnbench.load").replace("runs/parity", f"{tmp_path}/ema"), names)
    assert names["logits"].shape == (1, 2) and set(names["table"].model) == {"EMA"}


PARSE = """
import json, os, sys
from rnnbench.cli.main import main
for argv in json.loads(sys.argv[1]):
    if not (child := os.fork()):
        os._exit(main(["launch.py", *argv, "--show_config"]))
    assert os.waitpid(child, 0)[1] == 0, argv
"""


def test_its_recipes_are_command_lines():
    """One each for a laptop, SLURM, a TPU pod, xpk and a plain cluster, with flags and keys that exist."""
    recipes = block("bash", "srun").replace("\\\n", " ")
    commands = re.findall(r"python launch\.py ([^\"\n]*)", recipes)
    assert (
        len(commands) == 5 and len({"srun", "gcloud", "xpk"} & set(shlex.split(recipes, comments=True))) == 3
    )
    arguments = json.dumps([shlex.split(command) for command in commands])
    done = subprocess.run([sys.executable, "-c", PARSE, arguments], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_its_commands_name_files_that_exist():
    commands = re.findall(r"python\S* (launch\.py [^\"\n\\]*)", README)
    assert len(commands) >= 3
    for command in commands:
        config = re.search(r"--config=([\w/]+\.py)", command)
        assert config is None or (ROOT / config[1]).exists(), command
        assert shlex.split(command)


def test_its_sizes_are_those_of_the_presets():
    table = dict(re.findall(r"^\| `([a-z_]+)`.*?\| ([\d,]+) \|", README, re.MULTILINE))
    states = dict(re.findall(r"^\| `([a-z_]+)`.*\| ([^|]+) \|$", README, re.MULTILINE))
    sizes = {"model.dim": 64, "model.layers": 2, "model.heads": 4}
    assert {"gpt", "lstm", "deltanet", "mamba"} < set(table) <= set(PRESETS)
    for name, shown in table.items():
        setup = population.prepare(experiment("bit_parity", f"{name},x", {"x": sizes}))
        built = nnx.eval_shape(lambda setup=setup: setup.make(jax.random.key(0)))
        assert f"{model.num_params(nnx.state(built, nnx.Param)):,}" == shown, name
        per_sequence = model.state_size(built, 100)
        wanted = states[name].strip()
        assert per_sequence == (256 * 100 if name == "gpt" else int(wanted.replace(",", ""))), name


def test_its_front_table_is_that_of_the_rows():
    path = ROOT / "results" / "front.py"
    spec = importlib.util.spec_from_file_location("front", path)
    front = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(front)
    table = front.table(front.summarise(front.rows().rows))
    # The first row is chance; the table may lag behind the presets.
    assert 3 < len(table.splitlines()) <= 3 + len(PRESETS) and table in README
