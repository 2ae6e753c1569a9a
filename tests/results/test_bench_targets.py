"""results/bench: peers, targets and the page, at tiny sizes. Nothing here asserts a time."""

import contextlib
import functools
import json
import os
import shlex
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import benched
import numpy as np
import page
import peer_programs
import peers
import pytest
import targets
from benched import assert_sane

from rnnbench.bench import __main__ as bench
from rnnbench.bench import plan, run, table
from rnnbench.bench.trainer import Shape

ROOT = Path(__file__).parents[2]
of_targets = functools.partial(benched.results, targets.main)
of_peers = functools.partial(benched.results, peers.main)
MATMUL = "matmul_flops_per_second"
PEER = dict(
    a="torch:lstm", b="mixer:lstm", kind="forward", length=256, batch=32, dim=64, heads=4, layers=2,
    mlp_dim=128, dtype="float32", repeats=1, seconds_a=1.0, seconds_b=1.0, ratio_low=1.0, ratio_high=1.0,
)  # fmt: skip


MODEL = """
import torch

class ModelLSTM(torch.nn.Module):
    def __init__(self, config):
        super().__init__()
        self.embedding = torch.nn.Embedding(config.num_input_classes, config.output_size)

    def get_init_state(self, batch_size, device):
        return None

    def forward(self, x, state):
        return self.embedding(x), state
"""
DATA = """
import torch

class BitParityDatasetIterator:
    def __init__(self, batch_size, sequence_length):
        self.shape = batch_size, int(sequence_length.split(",")[0])

    def __next__(self):
        x = torch.randint(0, 2, self.shape)
        return x, torch.nn.functional.one_hot(x.cumsum(1) % 2, 2)
"""


@pytest.fixture(autouse=True)
def short_samples(monkeypatch):
    benched.quick(monkeypatch)


def test_targets_of_a_cpu_as_a_page(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(targets, "POPULATIONS", ("lru",))
    monkeypatch.setattr(plan, "TASKS", ("bit_parity",))
    only = "--names=lru"
    found = of_targets(
        tmp_path, "cpu", only, "--lengths=2", "--what=long,population", "--note=a busy machine"
    )
    planned = benched.planned(targets.parser(), targets.plan, "cpu", only)
    all_presets = benched.planned(targets.parser(), targets.plan, "cpu")
    assert (len(planned[0].jobs), len(all_presets[0].jobs)) == (2, 2 * len(plan.DISTINCT))
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


def called(tmp_path, *arguments, **matmul):
    """What a call of the bench wrote, with these limits of its matmul by dtype."""
    call = benched.results(bench.main, tmp_path, *arguments)
    return call | {"ceilings": {of: benched.LIMITS | {MATMUL: flops} for of, flops in matmul.items()}}


def test_limits_in_one_dtype_do_not_accuse_a_call_in_another(tmp_path):
    op = ("--what=ops", "--names=linear_scan", "--lengths=2")
    half = called(tmp_path, *op, "--dtype=bfloat16", bfloat16=9e12)
    full = called(tmp_path, *op, float32=1e12)
    said = page.markdown([half, full], "this test")
    assert "other work" not in said
    assert "bfloat16 matmul 9.00 TFLOP/s" in said and "float32 matmul 1.00 TFLOP/s" in said
    busy = full | {"command": "busy", "ceilings": {"float32": benched.LIMITS | {MATMUL: 0.4e12}}}
    said = page.markdown([half, full, busy], "this test")
    assert "other work ran during `busy`: its float32 matmul reached 40% of that" in said
    old = tmp_path / "old.json"
    old.write_text(json.dumps(half | {"ceilings": half["ceilings"]["bfloat16"]}))
    assert page.results(str(old)) == half


def test_other_sizes_are_no_repeats_and_a_call_repeats_nothing_itself(tmp_path):
    call = called(tmp_path, "--what=ops", "--names=linear_scan", "--lengths=2", float32=1e12)
    call["machine"] = {"platform": "gpu", "device": "X", "devices": 1, "cpu_cores": 4}
    peers_of = lambda *ratios, **sizes: call | {"peers": [PEER | {"ratio": r} | sizes for r in ratios]}
    told = lambda *calls: [line for line in page.markdown(calls, "").splitlines() if "measured again" in line]
    assert told(peers_of(2.0, 3.0), peers_of(4.0, dim=512), peers_of(5.0, dtype="bfloat16")) == []
    assert told(peers_of(2.0, 3.0), peers_of(4.0, dim=512), peers_of(5.0, 6.0)) == [
        "- measured again, X, 4 CPU cores: mixer:lstm against torch:lstm, forward, T = 256, "
        "batch 32, width 64, 4 heads, float32: 2×, in later calls 5×"
    ]


def test_steps_measured_again_stand_below_their_calls(tmp_path):
    step = called(tmp_path, "--what=steps", "--names=lru", "--lengths=2", float32=1e12)
    nothing, (row,) = step | {"steps": []}, step["steps"]
    steps = lambda *lengths: step | {"steps": [row | {"length": length} for length in lengths]}
    said = page.markdown([nothing, steps(2), steps(2, 4, 4), steps(4)], "")
    table_of = said.partition("## Train steps measured again")[2].partition("## ")[0].splitlines()
    lines = [[cell.strip() for cell in line.split("|")] for line in table_of if line.startswith("|")]
    assert lines[0][1:-1] == ["step", "T", "call 2", "call 3", "call 4"]
    assert [[cell != "–" for cell in line[3:-1]] for line in lines[2:]] == [
        [True, True, False],
        [False, True, True],
    ]


def test_targets_of_a_gpu_run_at_a_tiny_size(tmp_path, monkeypatch):
    monkeypatch.setattr(targets, "DISTINCT", ("lru",))
    limits = {"float32": benched.LIMITS, "bfloat16": dict.fromkeys(benched.LIMITS, 8e9)}
    monkeypatch.setattr(run, "ceilings", lambda dtype, repeats: limits[dtype])
    found = of_targets(tmp_path, "gpu", "--lengths=1")
    assert found["ceilings"] == limits
    assert {row["dtype"] for row in found["ops"]} == set(limits)
    for row in found["ops"]:  # each by the limits in its own dtype
        assert row["flops_share"] * limits[row["dtype"]][MATMUL] == pytest.approx(row["flops_per_second"])
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
    ratios = dict.fromkeys(targets.ORIGINAL, 10.0) | {"lru": 4.0}
    steps = [
        dict(sizes, a=f"original:{name}", b=f"step:{name}", kind="step", ratio=ratio)
        for name, ratio in ratios.items()
    ]
    torch = dict(sizes, a="torch:lstm", b="mixer:lstm", kind="gradient", ratio=0.8)
    found = {
        "peers": [*steps, torch, dict(torch, length=1024), dict(torch, length=1024, platform="gpu")],
        "long": [dict(sizes, a="step:lru", ratio=1.2, peak_bytes_a=16**1.1, peak_bytes_b=1.0)],
        "population": [
            dict(sizes, a="8 members:lru", b="8 runs:lru", ratio=1.06),
            dict(torch, a="16 x", ratio=0.1, platform="gpu"),
            dict(torch, a="16 x", ratio=1.01),
        ],
        "sampling": [dict(sizes, kind="mqar", b="step:lru", ratio=0.049)],
    }
    verdicts = [(verdict["measured"], verdict["met"]) for verdict in targets.verdicts(found)]
    assert verdicts == [
        (f"{10 ** (5 / 6) * 4 ** (1 / 6):.1f}×", True),
        ("4.0× (lru)", False),
        ("0.80×", True),
        ("0.80×", False),
        ("0.80×", True),
        ("1.20×", True),
        ("1.100", False),
        ("1.060×", False),
        ("10.0×", True),
        ("1.010×", True),
        ("4.9 %", True),
    ]
    larger = [dict(row, batch=64) for row in steps]
    assert targets.verdicts({"peers": larger}) == targets.verdicts({"peers": steps[1:]}) == []


def installed(monkeypatch, *names):
    """These modules alone are installed, for `peers` alone."""
    util = SimpleNamespace(find_spec=lambda name: name in names or None)
    monkeypatch.setattr(peers, "importlib", SimpleNamespace(util=util))


def test_absent_peers_are_named_and_a_failing_one_is_noted(tmp_path, monkeypatch, capsys):
    installed(monkeypatch, "torch")

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


def test_without_any_peer_there_is_a_file(tmp_path, monkeypatch):
    installed(monkeypatch)
    assert of_peers(tmp_path, "--lengths=4")["peers"] == []


class FakeTensor:
    """What a function on PyTorch's tensors returns, as far as it is looked at."""

    is_cuda = False
    detach = float = cpu = lambda self: self
    numpy = lambda self: np.zeros((2, 4, 8))


@pytest.mark.parametrize("kind", ["forward", "gradient"])
def test_the_very_first_call_of_a_peer_is_compilation(kind, monkeypatch):
    now, calls = [0.0], []
    monkeypatch.setattr(peer_programs, "time", SimpleNamespace(perf_counter=lambda: now[0]))

    def kernel(*inputs):
        now[0] += 1.0 if calls else 500.0  # tries its tilings
        calls.append(inputs)
        return FakeTensor(), None

    torch = SimpleNamespace(
        no_grad=contextlib.nullcontext,
        randn_like=lambda y: y,
        set_num_threads=lambda n: None,
        autograd=SimpleNamespace(grad=lambda *of: None),
    )
    monkeypatch.setattr(peer_programs, "_torch", lambda: torch)
    monkeypatch.setattr(peer_programs, "_tensor", lambda x, shape: FakeTensor())
    monkeypatch.setattr(peer_programs, "apart", lambda theirs, ours, tolerance: False)
    imported = SimpleNamespace(import_module=lambda name: SimpleNamespace(kernel=kernel))
    monkeypatch.setattr(peer_programs, "importlib", imported)  # that file's alone: JAX imports, too
    shape = Shape(4, batch=2, dim=8, heads=2)
    prepared = peer_programs.torch_function("linear_scan", "a.module", "kernel")(kind, shape)
    assert 500 < prepared.compile_seconds < 510


def test_torch_where_it_is_installed(tmp_path):
    pytest.importorskip("torch")
    found = of_peers(tmp_path, "--lengths=4")
    rows = [row for row in found["peers"] if row["a"] == "torch:lstm"]
    assert [row["kind"] for row in rows] == ["forward", "gradient"]
    for row in rows:
        assert_sane(row, optional=("peak_bytes_a",))


def test_a_clone_of_the_original_adds_its_steps(tmp_path, monkeypatch):
    """With a model that stands in for the original's."""
    pytest.importorskip("torch")
    model = tmp_path / "projects" / "lstm" / "modellstm.py"
    data = tmp_path / "datasets" / "bit_parity_dataset.py"
    for file, text in ((model, MODEL), (data, DATA)):
        file.parent.mkdir(parents=True)
        file.write_text(text)
    monkeypatch.setattr(sys, "path", list(sys.path))
    found = of_peers(tmp_path, f"--original={tmp_path}", "--names=lstm", "--lengths=4")
    (row,) = (row for row in found["peers"] if row["a"] == "original:lstm")
    assert (row["b"], row["kind"]) == ("step:lstm", "step")
    assert_sane(row, optional=("peak_bytes_a",))
    targets_rows = benched.planned(targets.parser(), targets.plan, "cpu", f"--original={tmp_path}")[1].jobs
    assert "original:lstm and step:lstm, T = 1024" in [job.label for job in targets_rows]


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
        (targets.main, ["cpu", "--names=lstn"], "--names"),
        (targets.main, ["cpu", "--what=everything"], "--what"),
        (targets.main, ["cpu", "--lengths=5"], "--lengths"),
        (targets.main, ["gpu", "--what=steps"], "--what"),
        (peers.main, ["--names=mamba"], "--names"),
        (peers.main, ["--original=results"], "--original"),
        (targets.main, ["cpu", "--original=/no/such/folder"], "--original"),
        (page.main, ["/no/such/file.json"], "/no/such/file.json"),
        (page.main, [__file__], "FILE"),
    ],
)
def test_refusals_are_one_line(main, arguments, hint, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(arguments)
    said = capsys.readouterr()
    assert said.out == "" and said.err.count("\n") == 1 and hint in said.err
