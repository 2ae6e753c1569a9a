"""A mixer or a task is one file: dropped into a copy of the package, it is there everywhere."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from launched import environment
from test_readme import block

from rnnbench import check
from rnnbench.errors import ConfigError
from rnnbench.plugins import imported
from rnnbench.store.rows import read_jsonl

ROOT = Path(__file__).parents[1]

LEAKY = '''
"""A leaky sum per head."""

from typing import Annotated

import jax
import jax.numpy as jnp
from flax import nnx

from rnnbench.mixers.common import check_heads, linear
from rnnbench.mixers.preset import Preset
from rnnbench.ops.linear_scan import linear_scan


class Leaky(nnx.Module):
    """h_t = a ⊙ h_{t-1} + W x_t with a = σ(α) per head,  y_t = h_t."""

    def __init__(
        self,
        dim: int,
        *,
        rngs: nnx.Rngs,
        heads: int = 2,
        start: Annotated[float, "where the α of every head starts"] = 3.0,
        dtype=jnp.float32,
    ):
        check_heads(dim, heads)
        self.dim, self.dtype = dim, dtype
        self.alpha = nnx.Param(jnp.full(heads, start))
        self.input = linear(dim, dim, rngs=rngs, dtype=dtype)

    def init_state(self, batch, max_length):
        return {"h": jnp.zeros((batch, self.dim))}

    def __call__(self, x, state=None, axis_name=None):
        decay = jnp.repeat(jax.nn.sigmoid(self.alpha[...]), self.dim // self.alpha.size)[None, None]
        write = self.input(x).astype(jnp.float32)
        h, last = linear_scan(decay, write, None if state is None else state["h"], axis_name=axis_name)
        return h.astype(self.dtype), {"h": last}


PRESETS = {"leaky": Preset(Leaky), "leaky_slow": Preset(Leaky, start=6.0)}
'''

MAJORITY = '''
"""Majority: are more of the bits so far one than zero?"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp

from rnnbench.tasks.contract import Batch, Case, option, unique
from rnnbench.tasks.draw import check_number, entries, span, supervise


@dataclass(frozen=True)
class Majority:
    """target_t = [x_1 + … + x_t > t / 2], each x_t is 1 with probability `share`."""

    share: float = option(0.5, "probability of a one")
    train_lengths: tuple[int, int] = option((8, 8), "length of the training sequences, twice")
    eval_lengths: tuple = option((16,), "lengths of the evaluation cases")

    vocab_size = num_classes = 2
    headline = "accuracy"

    def __post_init__(self):
        check_number("task.share", self.share, 0, 1)

    def train_cases(self) -> tuple[tuple[Case, float], ...]:
        return ((self.selection_case(), 1.0),)

    def selection_case(self) -> Case:
        return {"length": self.train_lengths[1]}

    def cases(self) -> tuple[Case, ...]:
        lengths = [span("eval.lengths", length) for length in entries("eval.lengths", self.eval_lengths)]
        return unique([self.selection_case(), *({"length": length} for length in lengths)])

    def supervised(self, case: Case) -> int:
        return case["length"]

    def chance(self, case: Case) -> float:
        return 0.5

    def sample(self, key: jax.Array, case: Case) -> Batch:
        bits = jax.random.bernoulli(key, self.share, (case["length"],)).astype(jnp.int32)
        position = jnp.arange(1, case["length"] + 1)
        return supervise(bits, 2 * jnp.cumsum(bits) > position, position > 0)
'''

PROTOCOLS = '''
"""Majority.

    python launch.py --config=configs/majority.py:lstm,small --workdir=runs/majority
"""

from rnnbench.config.build import experiment

PROTOCOLS = {
    "small": {
        "model.dim": 8, "model.layers": 1, "model.heads": 4, "eval.batches": 1, "train.steps": 4,
        "train.batch_size": 4, "train.chunk": 2, "task.share": 0.4, "population.seeds": (0, 1),
    },
}


def get_config(argument="lstm,small"):
    return experiment("majority", argument, PROTOCOLS)
'''


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    """A copy of the repository with two more mixers and a task: the README's mixer and those above."""
    root = tmp_path_factory.mktemp("copy")
    for name in ("rnnbench", "configs", "tests"):
        shutil.copytree(ROOT / name, root / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("launch.py", "setup.cfg", "README.md"):
        shutil.copy(ROOT / name, root)
    ema = block("python", "class EMA")
    ema += '\n\nfrom rnnbench.mixers.preset import Preset\nPRESETS = {"ema": Preset(EMA)}\n'
    for path, text in {
        "rnnbench/mixers/leaky.py": LEAKY,
        "rnnbench/mixers/ema.py": ema,
        "rnnbench/tasks/majority.py": MAJORITY,
        "configs/majority.py": PROTOCOLS,
    }.items():
        (root / path).write_text(text.lstrip("\n"))
    return root


@pytest.mark.parametrize(
    "path, words",
    [
        ("a_mixer.py:Mixer", "without .py"),
        ("./a_mixer:Mixer", "must read my_package.my_module:Name"),
        ("a_mixer:", "must read"),
        (":Mixer", "must read"),
        ("a_mixer:Missing", "AttributeError"),
        ("a_command:Mixer", "cannot be imported .SystemExit: 2"),
    ],
)
def test_what_is_no_plug_in_names_the_key(path, words, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "a_mixer.py").write_text("class Mixer: pass\n")
    (tmp_path / "a_command.py").write_text("import sys\n\nsys.exit(2)\n")
    with pytest.raises(ConfigError, match=f"^--config.model.mixer: .*{words}"):
        imported("model.mixer", path)


def test_a_plug_in_of_a_file_with_a_hyphen(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "a-mixer.py").write_text("Mixer = 1\n")
    assert imported("model.mixer", "a-mixer:Mixer") == 1


def test_the_check_refuses_what_is_neither_model_nor_task(capsys):
    assert check.main(["dick"]) == 2
    assert re.search(r"^unknown model 'dick'; .* lstm .*; or a task: .* dyck ", capsys.readouterr().err)
    assert check.main(["nowhere:Mixer"]) == 2
    assert capsys.readouterr().err.startswith("'nowhere:Mixer' cannot be imported (")
    assert check.main(["lstm", "--dim=0"]) == 2
    assert capsys.readouterr().err == "--dim: must be at least 1; it is 0\n"


def run(root, *arguments):
    settings = environment(PYTHONPATH=str(root))
    command = [sys.executable, *map(str, arguments)]
    return subprocess.run(command, cwd=root, env=settings, capture_output=True, text=True)


def test_they_are_listed_and_set_by_flags(copy):
    done = run(copy, "launch.py", "--list")
    assert done.returncode == 0, done.stderr
    words = re.findall(r"^  (\S+)", done.stdout, re.MULTILINE)
    assert words.index("mamba_neg") < words.index("ema") < words.index("leaky") < words.index("leaky_slow")
    assert re.search(r"leaky_slow +mixer Leaky +start=6.0", done.stdout)
    assert re.search(r"configs/majority.py +small", done.stdout)

    config = "--config=configs/majority.py:leaky_slow,small"
    done = run(copy, "launch.py", config, "--config.task.share=0.3", "--show_config")
    shown = dict(re.findall(r"^(\S+) = (.*)$", done.stdout, re.MULTILINE))
    assert re.search(r"^6.0 +# where the α of every head starts", shown["model.options.start"])
    assert re.search(r"^0.3 +# probability of a one", shown["task.share"])
    assert shown["model.heads"].startswith("4 ") and shown["eval.lengths"].startswith("(16,) ")
    for flag, words in {
        "--config.model.options.stat=2.0": "did you mean --config.model.options.start",
        "--config.model.heads=3": "--config.model.heads: dim 8 is not divisible by 3",
        "--config.task.share=2.0": "--config.task.share: must be a number from 0 to 1",
    }.items():
        done = run(copy, "launch.py", config, flag, f"--workdir={copy / 'refused'}")
        assert done.returncode == 2 and words in done.stderr and not (copy / "refused").exists()


@pytest.mark.slow
def test_they_pass_the_tests_of_the_built_in_ones(copy):
    files = ["mixers/test_mixers.py", "tasks/test_tasks.py", "config", "test_trained.py"]
    chosen = "ema or leaky or leaky_slow or majority"
    done = run(copy, "-m", "pytest", "-q", "-n", "1", "-m", "", "-k", chosen, *(f"tests/{f}" for f in files))
    assert done.returncode == 0, done.stdout
    passed = int(re.search(r"(\d+) passed", done.stdout)[1])
    assert passed > 40, done.stdout


@pytest.mark.slow
def test_they_are_studied_and_reported(copy):
    workdir = copy / "study"
    models = "--config.study.models=lstm,ema,leaky,leaky_slow"
    done = run(copy, "launch.py", "--config=configs/study.py:small", models, "--config.study.tasks=majority",
               f"--workdir={workdir}")  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    rows = [row for path in workdir.glob("cells/*/results.jsonl") for row in read_jsonl(path)]
    assert {(row["task"], row["model"], row["protocol"]) for row in rows if row["final"]} == {
        ("majority", model, "small") for model in ("lstm", "ema", "leaky", "leaky_slow")
    }
    saved = json.loads((workdir / "cells" / "majority-small-leaky_slow" / "config.json").read_text())
    assert saved["model"]["options"] == {"start": 6.0} and saved["task"]["share"] == 0.4
    report = (workdir / "report.md").read_text()
    assert all(f"| {model} " in report for model in ("ema", "leaky", "leaky_slow")) and "ajority" in report
