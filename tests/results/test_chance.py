"""The committed rows have the chance levels of today's tasks, and the command that wrote them works."""

from pathlib import Path

import chance
import pytest

from rnnbench.store.rows import read_jsonl, write_jsonl

RESULTS = Path(__file__).parents[2] / "results"
TABLES = ("dyck", "original", "controlled_bit_parity", "parity", "mqar")


def test_committed_rows_have_the_chance_of_their_tasks(tmp_path, capsys):
    for table in TABLES:
        (tmp_path / table).mkdir()
        for name in ("results.jsonl", "configs.json"):
            (tmp_path / table / name).write_bytes((RESULTS / table / name).read_bytes())
    chance.main([str(tmp_path / table) for table in TABLES])
    said = capsys.readouterr().out.splitlines()
    assert len(said) == len(TABLES) and all(": 0 of " in line for line in said), said


def test_a_row_with_the_chance_of_a_constant_guess(tmp_path, capsys):
    cell = "dyck-small-lstm"
    kept = [row for row in read_jsonl(RESULTS / "dyck" / "results.jsonl") if row["cell"] == cell]
    assert {row["headline"] for row in kept} == {"balanced_accuracy"}
    old = [row | {"chance": 0.5, "scaled_accuracy": 2 * row["balanced_accuracy"] - 1} for row in kept]
    write_jsonl(tmp_path / "results.jsonl", old)
    (tmp_path / "configs.json").write_bytes((RESULTS / "dyck" / "configs.json").read_bytes())
    chance.main([str(tmp_path)])
    now = read_jsonl(tmp_path / "results.jsonl")
    assert len(now) == len(kept) and "of" in capsys.readouterr().out
    for after, before in zip(now, kept):
        assert after["scaled_accuracy"] == pytest.approx(before["scaled_accuracy"])
        assert after | {"scaled_accuracy": 0} == before | {"scaled_accuracy": 0}
