"""One command makes the pages of a folder from its rows alone."""

import pytest
import remake
from report_rows import member, write_run

from rnnbench.store.rows import write_jsonl

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


def test_a_folder_with_pages_of_its_own(folder):
    (folder / "plot.py").write_text(OWN)
    assert [file.name for file in remake.remake(folder)] == ["count.md", "figure.png"]
    assert (folder / "count.md").read_text() == "3 rows"
    assert (folder / "figure.png").read_bytes().startswith(b"\x89PNG")


def test_streams_get_their_plot(tmp_path):
    row = {"task": "bit_parity", "model": "lstm", "case": {"length": 2}, "chance": 0.5}
    write_jsonl(tmp_path / "far.jsonl", [row | {"starts": [0, 1], "accuracy_by_position": [1.0, 0.9]}])
    assert [file.name for file in remake.remake(tmp_path)] == ["far.png"]


def test_a_folder_without_rows_has_no_pages(tmp_path):
    assert remake.remake(tmp_path) == []


def test_no_such_folder(tmp_path, capsys):
    assert remake.main([str(tmp_path / "none")]) == 2
    assert "there is no such folder" in capsys.readouterr().err
