"""The script of results/gpu: its commands are the project's own, and it ends in time."""

import subprocess
import sys
import time
from importlib import import_module
from pathlib import Path

import pytest
from benched import planned
from launched import environment

from rnnbench.bench import __main__ as bench

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "results" / "gpu" / "measure.py"


def measure(*arguments, timeout=600):
    return subprocess.run(
        [sys.executable, SCRIPT, *map(str, arguments)],
        capture_output=True, text=True, timeout=timeout, cwd=ROOT, env=environment(),
    )  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("part", ["forms", "mqar"])
def test_a_part_in_miniature(part, tmp_path):
    done = measure(f"--out={tmp_path}", f"--parts={part}", "--tiny", "--minutes=9")
    assert done.returncode == 0 and "stopped" not in done.stdout
    codes = [line.rsplit(" ", 1)[1] for line in done.stdout.splitlines() if "ended with exit code" in line]
    logs = {path.name: path.read_text()[-600:] for path in tmp_path.glob("*.log")}
    assert codes and set(codes) == {"0"}, logs
    if part == "mqar":
        assert len(list(tmp_path.glob("mqar_*/results.jsonl"))) == len(codes)
    else:  # once to compile, once to time
        assert len(codes) == 4
        assert {path.name for path in tmp_path.glob("*.json")} == {"pallas.json", "segments.json"}


def test_every_timed_command_can_be_planned(monkeypatch):
    """Also those whose peers are not installed here, and each of them in rehearsal, one name at a time."""
    monkeypatch.syspath_prepend(SCRIPT.parent)
    monkeypatch.syspath_prepend(ROOT / "results" / "bench")
    script, peers = import_module("measure"), import_module("peers")
    parts = script.commands(Path("runs/gpu"), tiny=False)
    assert set(script.TIMED) < set(parts)
    for part in script.TIMED:
        timed, once = parts[part], script.rehearsal(parts[part])
        names = lambda jobs: {flag for _, command in jobs for flag in command if flag.startswith("--names=")}
        assert names(once) == {
            f"--names={name}" for flag in names(timed) for name in flag.removeprefix("--names=").split(",")
        }
        for _, command in timed + once:
            module, given = (peers, command[1:]) if "peers" in command[0] else (bench, command[2:])
            planned(module.parser(), module.plan, *(flag for flag in given if "--json" not in flag))


def test_what_runs_out_of_time_is_stopped(tmp_path):
    start = time.time()
    done = measure(f"--out={tmp_path}", "--parts=ops", "--tiny", "--minutes=0.05")
    assert done.returncode == 0 and "stopped: time is up" in done.stdout
    assert time.time() - start < 60


EXIT = "import sys; sys.exit({})"


def test_what_never_starts_is_named(tmp_path, monkeypatch, capsys):
    monkeypatch.syspath_prepend(SCRIPT.parent)
    jobs = [(name, ["-c", EXIT.format(3)]) for name in ("one", "two")]
    assert import_module("measure").run_all(jobs, tmp_path, 1, end=time.time() - 1) == []
    said = [line.partition(" ")[2] for line in capsys.readouterr().out.splitlines()]
    assert said == [f"{name} not started: time is up" for name in ("one", "two")]


@pytest.mark.parametrize("part", ["ops", "mqar"])
@pytest.mark.parametrize(
    "command,code", [("pass", 0), (EXIT.format(3), 1), ("import time; time.sleep(99)", 0)]
)
def test_the_exit_code_tells_of_a_command_that_failed(part, command, code, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(SCRIPT.parent)
    script = import_module("measure")
    parts = {part: [("one", ["-c", command])] for part in script.commands(tmp_path, tiny=True)}
    monkeypatch.setattr(script, "commands", lambda out, tiny: parts)
    monkeypatch.setattr(script, "rehearsal", lambda jobs: [("once", ["-c", EXIT.format(3)])])
    monkeypatch.setattr(sys, "argv", ["measure.py", f"--out={tmp_path}", f"--parts={part}", "--minutes=0.05"])
    assert script.main() == code


def test_an_unknown_part_is_refused(tmp_path):
    done = measure(f"--out={tmp_path / 'new'}", "--parts=tpu")
    assert done.returncode == 2 and "--parts: unknown 'tpu'" in done.stderr
    assert not (tmp_path / "new").exists()
