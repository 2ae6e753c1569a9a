"""The wheel: built, installed into a fresh environment and run in another folder, with files of one's own."""

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
from launched import TINY, environment

from rnnbench.store.rows import read_jsonl

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[1]
SOURCES = ("rnnbench", "configs", "setup.cfg", "pyproject.toml", "README.md", "LICENSE")
MINE = """
from rnnbench.config.load import make


def get_config(preset="lstm"):
    config = make(f"bit_parity.py:{preset},small")
    config.model.layers = 1
    return config
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """The Python of an environment with the wheel; all other packages are those of the running one."""
    folder = tmp_path_factory.mktemp("wheel")
    (folder / "source").mkdir()
    for name in SOURCES:  # a copy: building leaves files beside the sources
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, folder / "source" / name)
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "wheel", "--no-deps", "--wheel-dir", folder, folder / "source"], check=True)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder / "venv"], check=True)
    python = folder / "venv/bin/python"
    (wheel,) = folder.glob("*.whl")
    # A checkout on PYTHONPATH would count as installed.
    alone = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    subprocess.run([*pip, "--python", python, "install", "--no-deps", wheel], check=True, env=alone)
    (site,) = folder.glob("venv/lib/python*/site-packages")
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return python


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory):
    """A working directory with a config file and a mixer."""
    folder = tmp_path_factory.mktemp("elsewhere")
    (folder / "my_config.py").write_text(MINE)
    shutil.copy(ROOT / "tests/external_mixer.py", folder / "my_mixer.py")
    return folder


@pytest.fixture
def run(installed, elsewhere):
    def run(*arguments):
        settings = {name: value for name, value in environment().items() if name != "PYTHONPATH"}
        done = subprocess.run(
            [installed, *arguments], cwd=elsewhere, env=settings, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run


def test_it_is_the_installed_package(run, installed):
    assert Path(run("-c", "import rnnbench; print(rnnbench.__file__)")).is_relative_to(installed.parents[1])


def test_everything_is_listed(run):
    here = subprocess.run([sys.executable, "launch.py", "--list"], cwd=ROOT, capture_output=True, text=True)
    assert run("-m", "rnnbench", "--list") == here.stdout


@pytest.mark.parametrize("config", ["bit_parity.py", "configs/bit_parity.py"])
def test_configs_are_found_by_name(run, config):
    shown = run("-m", "rnnbench", f"--config={config}:lstm,small", "--show_config")
    assert "protocol = 'small' " in shown and "model.name = 'lstm' " in shown


def test_a_study_is_planned(run):
    assert "mamba_neg" in run(
        "-m", "rnnbench", "--config=quickstart.py", "--workdir=runs/quickstart", "--dry_run"
    )


def test_files_of_ones_own_are_trained_and_reported(run, elsewhere):
    mixer = "--config.model.mixer=my_mixer:RunningSum"
    for name, flags in {
        "lru": ["--config=my_config.py:lru"],
        "sum": ["--config=my_config.py", mixer],
    }.items():
        run("-m", "rnnbench", f"--workdir=runs/{name}", "--compilation_cache=off", *flags, *TINY[1:])
    run("-m", "rnnbench.report", "runs/lru", "runs/sum", "--out", "page")
    rows = [row for name in ("lru", "sum") for row in read_jsonl(elsewhere / "runs" / name / "results.jsonl")]
    assert {row["model"] for row in rows} == {"lru", "RunningSum"}
    assert os.path.getsize(elsewhere / "page" / "report.md") > 500
    assert "RunningSum" in (elsewhere / "page" / "report.html").read_text()
