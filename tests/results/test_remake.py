"""One command makes the pages of a folder from its rows alone."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import remake
from report_rows import member, write_run

from rnnbench.store.rows import write_jsonl

ROOT = Path(__file__).parents[2]
OWN = """
from rnnbench.report.figures import accuracy_vs_length
from rnnbench.report.summary import summarise

def pages(rows):
    return {"count.md": f"{len(rows)} rows", "figure.png": accuracy_vs_length(summarise(rows))}
"""


@pytest.fixture
def folder(tmp_path):
    write_run(tmp_path, member((1.0, 0.9, 0.8)))
    return tmp_path


def test_a_report_without_its_large_files(folder, capsys):
    before = set(folder.iterdir())
    assert remake.main([str(folder)]) == 0
    files = set(folder.iterdir()) - before
    assert {file.suffix for file in files} == {".md", ".png"} and folder / "report.md" in files
    assert set(map(str, files)) == set(capsys.readouterr().out.split())


def test_a_folder_whose_readme_stands_alone_keeps_the_figures_it_has(folder):
    for name in ("README.md", "cost.png"):
        (folder / name).write_text("old")
    assert [file.name for file in remake.remake(folder)] == ["cost.png"]
    assert (folder / "cost.png").read_bytes().startswith(b"\x89PNG")


def test_a_folder_with_pages_of_its_own(folder):
    (folder / "plot.py").write_text(OWN)
    assert [file.name for file in remake.remake(folder)] == ["count.md", "figure.png"]
    assert (folder / "count.md").read_text() == "3 rows"
    assert (folder / "figure.png").read_bytes().startswith(b"\x89PNG")


def test_each_folder_has_its_own_study(tmp_path):
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        write_run(tmp_path / name, member((1.0, 0.9, 0.8)))
        (tmp_path / name / "study.py").write_text(f"NAME = {name!r}\n")
        own = "from study import NAME\n\ndef pages(rows):\n    return {'name.md': NAME}\n"
        (tmp_path / name / "plot.py").write_text(own)
        remake.remake(tmp_path / name)
    assert [(tmp_path / name / "name.md").read_text() for name in ("first", "second")] == ["first", "second"]


def test_as_a_command_it_finds_what_a_study_imports(tmp_path):
    """The study beside this plot imports configs, which is not installed."""
    folder = shutil.copytree(ROOT / "results" / "state_tracking", tmp_path / "state_tracking")
    (folder / "depth.md").unlink()
    alone = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = [sys.executable, "results/remake.py", str(folder)]
    subprocess.run(command, cwd=ROOT, env=alone | {"JAX_PLATFORMS": "cpu"}, check=True)
    assert (folder / "depth.md").read_text() == (ROOT / "results" / "state_tracking" / "depth.md").read_text()


def test_streams_get_their_plot(tmp_path):
    who = {"cell": "a", "task": "bit_parity", "protocol": "small", "model": "lstm"}
    row = who | {"case": {"length": 2}, "chance": 0.5}
    write_jsonl(tmp_path / "far.jsonl", [row | {"starts": [0, 1], "accuracy_by_position": [1.0, 0.9]}])
    assert [file.name for file in remake.remake(tmp_path)] == ["far.png"]


def test_a_folder_without_rows_has_no_pages(tmp_path):
    assert remake.remake(tmp_path) == []


def test_no_such_folder(tmp_path, capsys):
    assert remake.main([str(tmp_path / "none")]) == 2
    assert "there is no such folder" in capsys.readouterr().err
