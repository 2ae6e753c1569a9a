"""results/bench: peers, targets and the page, at tiny sizes. Nothing here asserts a time."""

import functools
import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import benched
import page
import peers
import pytest
import targets
from benched import assert_sane

from rnnbench.bench import __main__ as bench
from rnnbench.bench import plan, table

ROOT = Path(__file__).parents[2]
of_targets = functools.partial(benched.results, targets.main)
of_peers = functools.partial(benched.results, peers.main)


@pytest.fixture(autouse=True)
def short_samples(monkeypatch):
    benched.quick(monkeypatch)


def test_targets_of_a_cpu_as_a_page(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(targets, "DISTINCT", ("lru",))
    monkeypatch.setattr(targets, "RECURRENT", ("lru",))
    monkeypatch.setattr(targets, "POPULATIONS", ("lru",))
    monkeypatch.setattr(plan, "TASKS", ("bit_parity",))
    found = of_targets(tmp_path, "cpu", "--lengths=2", "--what=long,population", "--note=a busy machine")
    planned = benched.planned(targets.parser(), targets.plan, "cpu")
    assert [section.what for section in planned] == ["steps", "peers", "long", "population", "sampling"]
    assert planned[0].jobs[0].label == "step:lru step, T = 256"
    (long,), (members,) = found["long"], found["population"]
    assert (long["b"], long["length"]) == ("16 steps at T = 2", 32)
    assert members["a"] == "8 members:lru"
    assert_sane(long)
    capsys.readouterr()
    assert page.main([f"{tmp_path / 'bench.json'}"]) == 0
    said = capsys.readouterr().out
    assert f"| step:lru: time per token at T = 32 against T = 2, batch {long['batch']} " in said
    assert f"{found['population'][0]['ratio']:.3f}×" in said and found["command"] in said
    assert "- a busy machine" in said and "unmeasured" in said and "PyTorch original, T = 256" not in said


def test_what_two_calls_measured_counts_once_and_is_told_twice(tmp_path):
    first = benched.results(bench.main, tmp_path, "--what=steps", "--names=lru", "--lengths=2,4")
    second = json.loads(json.dumps(first))
    short, long = second["steps"]
    short["seconds"], long["seconds"] = 0.077, 0.088
    first["steps"][1]["note"] = "no time left"  # so the second call's is shown
    second["steps"].append(short | {"length": 1, "seconds": 0.099})
    said = page.markdown([first, second], "this test")
    lines = [[cell.strip() for cell in line.split("|")] for line in said.splitlines() if line.startswith("|")]
    once = table.milliseconds(first["steps"][0]["seconds"])
    assert [line[3:5] for line in lines if line[3] in ("1", "2", "4")] == [
        ["1", "99.0"],
        ["2", once],
        ["4", "88.0"],
    ]
    (again,) = [line for line in lines if line[1:3] == ["step:lru", "2"]]
    assert again[3].startswith(f"{once} ms, ") and again[4].startswith("77.0 ms, ")


def test_targets_of_a_gpu_run_at_a_tiny_size(tmp_path, monkeypatch):
    monkeypatch.setattr(targets, "DISTINCT", ("lru",))
    found = of_targets(tmp_path, "gpu", "--lengths=1")
    assert [row["a"] for row in found["population"]] == ["16 members:lru"]
    names = [row["name"] for row in found["ops"]]
    assert names == [n for n in ("delta_rule", "linear_attention", "selective_scan") for _ in range(2)]
    for row in found["population"] + found["ops"]:
        assert_sane(row)
    assert {(row["batch"], row["length"], row["dim"], row["heads"]) for row in found["ops"]} == {(2, 1, 8, 2)}
    sections = benched.planned(targets.parser(), targets.plan, "gpu")
    assert [section.what for section in sections] == ["population", "ops", "peers"]
    assert sections[1].jobs[0].label == "delta_rule forward, T = 2048"


def test_verdicts():
    sizes = dict(
        batch=32, dim=64, heads=4, layers=2, mlp_dim=128, dtype="float32", length=256, platform="cpu"
    )
    seconds = {name: ms / 4000 for name, ms in targets.PYTORCH[256].items()} | {"lru": 0.2}
    steps = [dict(sizes, name=f"step:{name}", seconds=s) for name, s in seconds.items()]
    torch = dict(sizes, a="torch:lstm", b="mixer:lstm", kind="gradient", ratio=0.8)
    found = {
        "steps": steps,
        "peers": [torch, dict(torch, length=1024), dict(torch, length=1024, platform="gpu")],
        "long": [dict(sizes, a="step:lru", ratio=1.2, peak_bytes_a=16**1.1, peak_bytes_b=1.0)],
        "population": [
            dict(sizes, a="8 members:lru", b="8 runs:lru", ratio=1.06),
            dict(torch, a="16 x", ratio=0.1),
        ],
        "sampling": [dict(sizes, kind="mqar", b="step:lru", ratio=0.049)],
    }
    verdicts = [(verdict["measured"], verdict["met"]) for verdict in targets.verdicts(found)]
    mean = 4 ** (5 / 6) * (0.183 / 0.2) ** (1 / 6)
    assert verdicts == [
        (f"{mean:.1f}×", True),
        ("0.9× (lru)", False),
        ("0.80×", True),
        ("0.80×", False),
        ("0.80×", True),
        ("1.20×", True),
        ("1.100", False),
        ("1.060×", False),
        ("10.0×", True),
        ("4.9 %", True),
    ]
    larger = [dict(row, batch=64) for row in steps]
    assert targets.verdicts({"steps": larger}) == targets.verdicts({"steps": steps[1:]}) == []


def test_absent_peers_are_named_and_a_failing_one_is_noted(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(peers.importlib.util, "find_spec", lambda name: name == "torch" or None)

    def fails(kind, shape):
        raise RuntimeError("no such kernel\nsecond line")

    broken = peers.Peer("linear_scan", "torch", ("cpu",), fails)
    others = {name: peer for name, peer in peers.PEERS.items() if not name.startswith("torch:")}
    monkeypatch.setattr(peers, "PEERS", others | {"torch:lstm": broken})
    found = of_peers(tmp_path, "--lengths=4")
    assert {row["note"] for row in found["peers"]} == {"torch:lstm failed: RuntimeError: no such kernel"}
    absent = peers.missing()
    assert absent["jla:delta_rule"] == "jla is not installed"
    assert set(absent) == set(peers.PEERS) - {"torch:lstm"}
    assert "runs on gpu only: fla-triton:delta_rule" in capsys.readouterr().out


def test_torch_where_it_is_installed(tmp_path):
    pytest.importorskip("torch")
    found = of_peers(tmp_path, "--lengths=4")
    rows = [row for row in found["peers"] if row["a"] == "torch:lstm"]
    assert [row["kind"] for row in rows] == ["forward", "gradient"]
    for row in rows:
        assert_sane(row, optional=("peak_bytes_a",))


def test_the_committed_page_is_that_of_its_files():
    """Its own command gives the page again, and the commands that measured are parsed."""
    text = (ROOT / "results" / "bench" / "README.md").read_text()
    python, *command = shlex.split(text.partition("This page is the output of `")[2].partition("`")[0])
    environment = os.environ | {"PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu"}
    done = subprocess.run(
        [sys.executable, *command], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert python == "python" and done.stdout == text, done.stderr
    parsers = {parser.prog: parser for parser in (bench.parser(), targets.parser(), peers.parser())}
    for line in text.partition("```bash\n")[2].partition("```")[0].splitlines():
        (prog,) = [prog for prog in parsers if line.startswith(f"{prog} ")]
        assert parsers[prog].parse_args(shlex.split(line.removeprefix(prog))).json is not None


@pytest.mark.parametrize(
    "main,arguments,hint",
    [
        (targets.main, ["tpu"], "machine"),
        (targets.main, ["cpu", "--names=gpt"], "--names"),
        (targets.main, ["cpu", "--what=everything"], "--what"),
        (targets.main, ["cpu", "--lengths=5"], "--lengths"),
        (peers.main, ["--names=gpt"], "--names"),
        (page.main, ["/no/such/file.json"], "/no/such/file.json"),
        (page.main, [__file__], "FILE"),
    ],
)
def test_refusals_are_one_line(main, arguments, hint, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(arguments)
    said = capsys.readouterr()
    assert said.out == "" and said.err.count("\n") == 1 and hint in said.err
