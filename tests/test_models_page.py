"""docs/models.md says what the code says."""

import re
from pathlib import Path

import pytest

from rnnbench.cli import models
from rnnbench.mixers import PRESETS

PAGE = Path(__file__).parents[1] / "docs" / "models.md"
FLOPS = models.COLUMNS.index("FLOPs per token")


def cells(table):
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in table.splitlines()]


def numbers(cell):
    return [float(number.replace(",", "")) for number in re.findall(r"[\d,.]+", cell)]


@pytest.fixture(scope="module")
def made():
    return models.table()


def test_the_table_is_that_of_the_presets(made):
    """JAX versions differ in the operations that they trace: FLOPs may be off by two percent."""
    (shown,) = models.TABLE.findall(PAGE.read_text())
    for now, before in zip(cells(made)[2:], cells(shown)[2:], strict=True):
        assert numbers(before.pop(FLOPS)) == pytest.approx(numbers(now.pop(FLOPS)), rel=0.02)
        assert now == before
    assert [line[0] for line in cells(shown)[2:]] == [f"`{name}`" for name in PRESETS]


def test_every_mixer_says_what_it_computes_and_where_it_is_from():
    for name, preset in PRESETS.items():
        recurrence, source = models.described(preset.mixer)
        assert re.search("=|←", recurrence) and re.search(r"\d{4}", source), name


def test_sizes_that_grow_with_the_length():
    assert models.growing(64, 64) == "64"
    assert models.growing(1500, 2500) == "500 + 1 · length"
    assert models.growing(256_000, 512_000) == "256 · length"


def test_the_command_replaces_the_table_and_nothing_else(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(models, "table", lambda: "| new |")
    page = tmp_path / "page.md"
    page.write_text("Text.\n\n<!-- models -->\n| old |\n|---|\n")
    for _ in range(2):
        assert models.main([str(page)]) == 0
        assert page.read_text() == "Text.\n\n<!-- models -->\n| new |\n"
    assert models.main([]) == 0
    assert capsys.readouterr().out == "| new |\n"
