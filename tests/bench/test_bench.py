"""The bench: complete and sane rows, ratios, JSON, refusals. Nothing here asserts a time."""

import json
import math

import jax
import jax.numpy as jnp
import pytest

from rnnbench.bench import __main__ as bench
from rnnbench.bench import page, peers, plan, rows, table, targets, timing
from rnnbench.bench.cost import count
from rnnbench.bench.timing import Budget, Prepared, Skip, spread
from rnnbench.mixers import PRESETS
from rnnbench.tasks import TASKS

TINY = ["--batch=2", "--dim=8", "--heads=2", "--layers=1", "--mlp_dim=8", "--repeats=2"]


@pytest.fixture(autouse=True)
def short_samples(monkeypatch):
    monkeypatch.setattr(timing, "SAMPLE_SECONDS", 0.0)
    monkeypatch.setattr(bench, "ceilings", lambda dtype, repeats: LIMITS)


LIMITS = {"matmul_flops_per_second": 1e9, "copy_bytes_per_second": 1e9}


def results(tmp_path, *arguments):
    file = tmp_path / "bench.json"
    assert bench.main([*TINY, f"--json={file}", *arguments]) == 0
    return json.loads(file.read_text(), parse_constant=pytest.fail)


def assert_sane(row, optional=("note",)):
    assert row["note"] is None
    numbers = {
        name: value for name, value in row.items() if not isinstance(value, str) and name not in optional
    }
    for name, value in numbers.items():
        assert value is not None and math.isfinite(value) and value > 0, name


def test_ops_mixers_and_steps_give_complete_rows(tmp_path, capsys):
    found = results(tmp_path, "--lengths=5", "--names=delta_rule,recurrent,lstm")
    assert {row["name"] for row in found["ops"]} == {"delta_rule", "recurrent"}
    assert [row["kind"] for row in found["ops"]] == ["forward", "gradient"] * 2
    assert [(row["name"], row["kind"]) for row in found["mixers"]] == [
        ("mixer:lstm", "forward"),
        ("mixer:lstm", "gradient"),
    ]
    assert [row["name"] for row in found["steps"]] == ["step:lstm"]
    for row in found["ops"] + found["mixers"] + found["steps"]:
        assert set(rows.SINGLE) <= set(row)
        assert_sane(row)
        assert row["seconds_low"] <= row["seconds"] <= row["seconds_high"]
        assert row["tokens_per_second"] == pytest.approx(2 * 5 / row["seconds"])
    assert {"command", "versions", "machine", "ceilings"} <= set(found)
    shown = capsys.readouterr().out
    assert "delta_rule" in shown and "step:lstm" in shown


def test_an_op_against_itself_gives_a_ratio(tmp_path, capsys):
    found = results(tmp_path, "--lengths=4,6", "--compare", "linear_scan", "linear_scan:associative")
    rows = found["compare"]
    assert [(row["kind"], row["length"]) for row in rows] == [
        ("forward", 4),
        ("forward", 6),
        ("gradient", 4),
        ("gradient", 6),
    ]
    for row in rows:
        assert_sane(row)
        assert row["ratio_low"] <= row["ratio"] <= row["ratio_high"]
    assert "A / B" in capsys.readouterr().out
    assert "ops" not in found


def test_sampling_and_population(tmp_path, monkeypatch):
    monkeypatch.setattr(plan, "TASKS", ("bit_parity",))
    found = results(tmp_path, "--lengths=4", "--sampling", "--population", "--names=lstm")
    (sampling,), (population,) = found["sampling"], found["population"]
    assert (sampling["a"], sampling["b"]) == ("sampling:bit_parity", "step:lstm")
    assert (population["a"], population["b"]) == ("8 members:lstm", "8 runs:lstm")
    assert_sane(sampling)
    assert_sane(population)


def test_sampling_is_planned_for_every_task():
    (section,) = plan.plan(bench.parse(["--sampling", "--lengths=16"]), dict)
    assert [job.label.split()[0] for job in section.jobs] == [f"sampling:{task}" for task in TASKS]


def test_targets_of_a_cpu_as_a_page(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(targets, "DISTINCT", ("lru",))
    monkeypatch.setattr(targets, "RECURRENT", ("lru",))
    monkeypatch.setattr(targets, "POPULATIONS", ("lru",))
    monkeypatch.setattr(plan, "TASKS", ("bit_parity",))
    found = results(
        tmp_path, "--targets=cpu", "--lengths=2", "--what=long,population", "--note=a busy machine"
    )
    planned = targets.plan(bench.parse(["--targets=cpu"]), dict)
    assert [section.what for section in planned] == ["steps", "peers", "long", "population", "sampling"]
    assert planned[0].jobs[0].label == "step:lru step, T = 256"
    (long,), (members,) = found["long"], found["population"]
    assert (long["b"], long["length"]) == ("16 steps at T = 2", 32)
    assert members["a"] == "8 members:lru"
    assert_sane(long)
    capsys.readouterr()
    assert bench.main([f"--from_json={tmp_path / 'bench.json'}"]) == 0
    said = capsys.readouterr().out
    assert f"| step:lru: time per token at T = 32 against T = 2, batch {long['batch']} " in said
    assert f"{found['population'][0]['ratio']:.3f}×" in said and found["command"] in said
    assert "- a busy machine" in said and "unmeasured" in said and "PyTorch original, T = 256" not in said


def test_what_two_calls_measured_stands_once_on_the_page(tmp_path):
    first = results(tmp_path, "--what=steps", "--names=lru", "--lengths=2,4")
    second = json.loads(json.dumps(first))
    short, long = second["steps"]
    short["seconds"], long["seconds"] = 0.077, 0.088
    first["steps"][1]["note"] = "no time left"  # so the second call's is shown
    second["steps"].append(short | {"length": 1, "seconds": 0.099})
    said = page.markdown([first, second])
    lines = [[cell.strip() for cell in line.split("|")] for line in said.splitlines() if line.startswith("|")]
    once = table.milliseconds(first["steps"][0]["seconds"])
    assert [line[3:5] for line in lines if line[3] in ("1", "2", "4")] == [
        ["1", "99.0"],
        ["2", once],
        ["4", "88.0"],
    ]


def test_targets_of_a_gpu_run_at_a_tiny_size(tmp_path, monkeypatch):
    monkeypatch.setattr(targets, "DISTINCT", ("lru",))
    found = results(tmp_path, "--targets=gpu", "--lengths=1")
    assert [row["a"] for row in found["population"]] == ["16 members:lru"]
    names = [row["name"] for row in found["ops"]]
    assert names == [n for n in ("delta_rule", "linear_attention", "selective_scan") for _ in range(2)]
    for row in found["population"] + found["ops"]:
        assert_sane(row)
    assert {(row["batch"], row["length"], row["dim"], row["heads"]) for row in found["ops"]} == {(2, 1, 8, 2)}
    sections = targets.plan(bench.parse(["--targets=gpu"]), dict)
    assert [section.what for section in sections] == ["population", "ops", "peers"]
    assert sections[1].jobs[0].label == "delta_rule forward, T = 2048"


def test_verdicts():
    sizes = dict(batch=32, dim=64, heads=4, layers=2, mlp_dim=128, dtype="float32", length=256, note=None)
    seconds = {name: ms / 4000 for name, ms in targets.PYTORCH[256].items()} | {"lru": 0.2}
    steps = [dict(sizes, name=f"step:{name}", seconds=s) for name, s in seconds.items()]
    torch = dict(sizes, a="torch:lstm", b="mixer:lstm", kind="gradient", ratio=0.8)
    found = {
        "steps": steps,
        "peers": [torch, dict(torch, length=1024)],
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
        ("1.20×", True),
        ("1.100", False),
        ("1.060×", False),
        ("10.0×", True),
        ("4.9 %", True),
    ]
    larger = [dict(row, batch=64) for row in steps]
    assert targets.verdicts({"steps": larger}) == targets.verdicts({"steps": steps[1:]}) == []


def test_a_sample_of_steps_is_a_longer_dispatch(monkeypatch):
    monkeypatch.setattr(timing, "SAMPLE_SECONDS", 0.02)
    seconds = iter([0.0, 0.01] * 2)
    monkeypatch.setattr(timing.time, "perf_counter", lambda: next(seconds))
    assert timing.calibrate(Prepared(lambda n: None)) == 2
    assert timing.calibrate(Prepared(lambda n: None, longer=timing.STEPS_LONGER)) == 20


def test_what_does_not_fit_the_budget_is_noted(tmp_path, capsys):
    found = results(tmp_path, "--lengths=4,8", "--what=ops", "--names=linear_scan", "--budget=0")
    assert all("--budget=0" in row["note"] and row["seconds"] is None for row in found["ops"])
    assert "--budget=0" in capsys.readouterr().out


def test_the_budget_foresees_growth():
    budget = Budget(seconds=10.0, repeats=4)
    budget.check(64)
    budget.add(64, 0.1, 0.5)
    budget.add(256, 0.8, 0.5)  # power 1.5
    budget.check(256)
    with pytest.raises(Skip, match="--budget=10"):
        budget.check(1024)


def test_what_does_not_fit_into_memory_is_noted(tmp_path, monkeypatch):
    monkeypatch.setattr(timing, "available_memory", lambda: 1)
    (row, _) = results(tmp_path, "--lengths=4", "--what=ops", "--names=linear_scan")["ops"]
    assert "memory" in row["note"] and row["seconds"] is None


def test_samples_are_taken_in_turn():
    calls = []
    a, b = Prepared(lambda n: calls.append("a")), Prepared(lambda n: calls.append("b"))
    times = timing.interleave(a, b, 3)
    assert calls[-6:] == ["a", "b"] * 3
    assert [len(of_one) for of_one in times] == [3, 3]


def test_quartiles():
    assert spread([3.0]) == (3.0, 3.0, 3.0)
    assert spread([5.0, 1.0, 2.0, 4.0, 3.0]) == (2.0, 3.0, 4.0)


def test_costs_count_a_loop_as_often_as_it_runs():
    x = jnp.ones((4, 8))
    kernel = jnp.ones((8, 8))
    matmul = lambda x: x @ kernel
    product = 2 * 4 * 8 * 8

    def repeated(x):
        return jax.lax.scan(lambda x, _: (jnp.tanh(matmul(x)), None), x, None, length=5)[0]

    def until(x, n):
        return jax.lax.fori_loop(0, n, lambda _, x: repeated(x), x)

    flops = lambda fn, *args: count(jax.make_jaxpr(fn)(*args).jaxpr)[0]
    assert flops(matmul, x) == product
    assert flops(repeated, x) == 5 * (product + x.size)
    assert (
        product * 5 <= flops(until, x, 7) <= 5 * (product + x.size) + 10
    )  # one round of a loop of unknown length
    assert flops(jax.grad(lambda x: jnp.sum(matmul(x))), x) >= product
    moved = count(jax.make_jaxpr(jnp.cos)(x).jaxpr)[1]
    assert moved == 2 * x.nbytes
    running = lambda x: jax.lax.scan(lambda h, x: (h + x, h), jnp.zeros(8), x)[1]
    assert count(jax.make_jaxpr(running)(x).jaxpr)[1] == 2 * 2 * x.nbytes  # of the program and of its loop


def test_real_ceilings_are_positive(monkeypatch):
    monkeypatch.undo()
    monkeypatch.setattr(timing, "SAMPLE_SECONDS", 0.0)
    assert all(math.isfinite(value) and value > 0 for value in timing.ceilings("float32", 1).values())


def test_presets_that_share_a_mixer_are_timed_once():
    mixers = [PRESETS[name].mixer for name in plan.DISTINCT]
    assert len(set(mixers)) == len(mixers) == len({preset["mixer"] for preset in PRESETS.values()})
    assert "deltanet" in plan.DISTINCT and "deltanet_neg" not in plan.DISTINCT


def test_absent_peers_are_named_and_a_failing_one_is_noted(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(peers.importlib.util, "find_spec", lambda name: name == "torch" or None)

    def fails(kind, shape):
        raise RuntimeError("no such kernel\nsecond line")

    broken = peers.Peer("linear_scan", "torch", ("cpu",), fails)
    monkeypatch.setitem(peers.PEERS, "torch:lstm", broken)
    found = results(tmp_path, "--what=none", "--peers", "--lengths=4")
    assert {row["note"] for row in found["peers"]} == {"torch:lstm failed: RuntimeError: no such kernel"}
    assert found["missing"]["jla:delta_rule"] == "jla is not installed"
    assert set(found["missing"]) == set(peers.PEERS) - {"torch:lstm"}
    assert "runs on gpu only: fla-triton:delta_rule" in capsys.readouterr().out


def test_torch_where_it_is_installed(tmp_path):
    pytest.importorskip("torch")
    found = results(tmp_path, "--what=none", "--peers", "--lengths=4")
    rows = [row for row in found["peers"] if row["a"] == "torch:lstm"]
    assert [row["kind"] for row in rows] == ["forward", "gradient"]
    for row in rows:
        assert_sane(row, optional=("note", "compile_seconds_a", "peak_bytes_a"))


@pytest.mark.parametrize(
    "arguments,hint",
    [
        (["--lengths=0"], "--lengths"),
        (["--lengths=4,x"], "--lengths"),
        (["--what=everything"], "--what"),
        (["--what=none,steps"], "--what"),
        (["--json=/"], "--json"),
        (["--names=gru"], "gru"),
        (["--heads=3"], "--heads"),
        (["--batch=0"], "--batch"),
        (["--batch=x"], "--batch"),
        (["--dtype=int8"], "--dtype"),
        (["--unheard"], "--unheard"),
        (["--json=/no/such/folder/x.json"], "--json"),
        (["--compare", "delta_rule", "delta"], "unknown op"),
        (["--compare", "delta_rule:quick", "delta_rule"], "impl must be one of"),
        (["--compare", "delta_rule:chunked:3", "delta_rule"], "power of two"),
        (["--compare", "delta_rule:chunked:x", "delta_rule"], "op[:impl[:chunk]]"),
        (["--compare", "linear_scan:sequential:4", "linear_scan"], "has no chunks"),
        (["--compare", "step:gru", "step:lstm"], "unknown preset"),
        (["--compare", "step:lstm", "mixer:lstm"], "--compare"),
        (["--what=mixers", "--names=gpt", "--dim=2"], "--heads"),
        (["--sampling", "--lengths=5"], "--lengths"),
        (["--targets=tpu"], "--targets"),
        (["--targets=cpu", "--names=gpt"], "--names"),
        (["--targets=cpu", "--what=everything"], "--what"),
        (["--targets=cpu", "--lengths=5"], "--lengths"),
        (["--from_json=/no/such/file.json"], "--from_json"),
        ([f"--from_json={__file__}"], "--from_json"),
    ],
)
def test_refusals_are_one_line_and_write_nothing(arguments, hint, tmp_path, capsys):
    file = tmp_path / "bench.json"
    assert bench.main([*TINY, f"--json={file}", *arguments]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("\n") == 1 and hint in said.err
    assert not file.exists()
