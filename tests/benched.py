"""For tests of the bench: calls of it at tiny sizes, and what a row must be."""

import json
import math

import pytest

from rnnbench.bench import run, timing

TINY = ["--batch=2", "--dim=8", "--heads=2", "--layers=1", "--mlp_dim=8", "--repeats=2"]
LIMITS = dict.fromkeys(("matmul_flops_per_second", "copy_bytes_per_second"), 1e9)
LIMITS |= dict.fromkeys(("small_matmul_flops_per_second", "exponentials_per_second"), 1e8)


def quick(monkeypatch):
    """The shortest samples."""
    monkeypatch.setattr(timing, "SAMPLE_SECONDS", 0.0)
    monkeypatch.setattr(run, "ceilings", lambda dtype, repeats: LIMITS)


def results(main, tmp_path, *arguments):
    """The JSON of a call of one of the bench's commands."""
    file = tmp_path / "bench.json"
    assert main([*TINY, f"--json={file}", *arguments]) == 0
    return json.loads(file.read_text(), parse_constant=pytest.fail)


def planned(parser, plan, *arguments):
    """The sections that a call would measure."""
    return plan(run.parse(parser, arguments))


def assert_sane(row, optional=()):
    assert "note" not in row
    for name, value in row.items():
        if not isinstance(value, str) and name not in optional:
            assert value is not None and math.isfinite(value) and value > 0, name
