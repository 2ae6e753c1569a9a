"""The script of results/gpu: its commands are the project's own, and it ends in time."""

import subprocess
import sys
import time
from pathlib import Path

import pytest
from launched import environment

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "results" / "gpu" / "measure.py"


def measure(*arguments, timeout=600):
    return subprocess.run(
        [sys.executable, SCRIPT, *map(str, arguments)],
        capture_output=True, text=True, timeout=timeout, cwd=ROOT, env=environment(),
    )  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("part", ["ops", "population", "mqar"])
def test_a_part_in_miniature(part, tmp_path):
    done = measure(f"--out={tmp_path}", f"--parts={part}", "--tiny", "--minutes=9")
    assert done.returncode == 0 and "stopped" not in done.stdout
    codes = [line.rsplit(" ", 1)[1] for line in done.stdout.splitlines() if "ended with exit code" in line]
    logs = {path.name: path.read_text()[-600:] for path in tmp_path.glob("*.log")}
    assert codes and set(codes) == {"0"}, logs
    written = list(tmp_path.glob("mqar_*/results.jsonl" if part == "mqar" else "*.json"))
    assert len(written) == len(codes)


def test_what_runs_out_of_time_is_stopped(tmp_path):
    start = time.time()
    done = measure(f"--out={tmp_path}", "--parts=ops", "--tiny", "--minutes=0.05")
    assert done.returncode == 0 and "stopped: time is up" in done.stdout
    assert time.time() - start < 60


def test_an_unknown_part_is_refused(tmp_path):
    done = measure(f"--out={tmp_path / 'new'}", "--parts=tpu")
    assert done.returncode == 2 and "--parts: unknown 'tpu'" in done.stderr
    assert not (tmp_path / "new").exists()
