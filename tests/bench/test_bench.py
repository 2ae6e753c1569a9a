"""The bench: complete and sane rows, ratios, JSON, refusals. Nothing here asserts a time."""

import functools
import json
import math
import re
import subprocess
import sys
from types import SimpleNamespace

import benched
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from benched import LIMITS, TINY, assert_sane
from rich.console import Console

from rnnbench.bench import __main__ as bench
from rnnbench.bench import plan, subjects, table, timing
from rnnbench.bench.cost import count
from rnnbench.bench.rows import with_shares
from rnnbench.bench.timing import Budget, Prepared, Skip, spread
from rnnbench.bench.trainer import Shape
from rnnbench.mixers import PRESETS
from rnnbench.ops.chunks import total
from rnnbench.ops.selective_scan import selective_scan
from rnnbench.tasks import TASKS

results = functools.partial(benched.results, bench.main)


@pytest.fixture(autouse=True)
def short_samples(monkeypatch):
    benched.quick(monkeypatch)


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
        assert {"seconds", "flops_share", "bytes_share", "compile_seconds", "peak_bytes"} <= set(row)
        assert_sane(row)
        assert row["seconds_low"] <= row["seconds"] <= row["seconds_high"]
        assert row["tokens_per_second"] == pytest.approx(2 * 5 / row["seconds"])
    assert {"command", "versions", "machine", "ceilings"} <= set(found)
    shown = capsys.readouterr().out
    assert "delta_rule" in shown and "step:lstm" in shown


def test_an_interrupted_call_keeps_its_rows(tmp_path, monkeypatch, capsys):
    file, measured = tmp_path / "bench.json", iter([with_shares])

    def until_the_second(row, limits):
        for shares in measured:
            return shares(row, limits)
        raise KeyboardInterrupt

    monkeypatch.setattr("rnnbench.bench.run.with_shares", until_the_second)
    arguments = ["--what=ops", "--names=linear_scan", "--lengths=4", f"--json={file}"]
    assert bench.main([*TINY, *arguments]) == 130
    assert [row["kind"] for row in json.loads(file.read_text())["ops"]] == ["forward"]
    said = capsys.readouterr().err.splitlines()
    assert [line.partition(" ")[0] for line in said] == ["now:", "now:", "interrupted"]


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


def test_the_number_of_members(capsys):
    (section,) = benched.planned(bench.parser(), bench.plan, "--population", "--lengths=4", "--members=16")
    assert {job.label for job in section.jobs} == {"16 members:deltanet and 16 runs:deltanet, T = 4"}
    with pytest.raises(SystemExit):
        bench.main(["--population", "--members=3"])
    assert "--members: must be even; it is 3" in capsys.readouterr().err


def test_members_on_several_devices(tmp_path):
    (row,) = results(tmp_path, "--lengths=4", "--devices=2", "--names=lstm")["devices"]
    assert (row["a"], row["b"]) == ("8 members on 2:lstm", "8 members on 1:lstm")
    assert_sane(row)


def test_members_on_too_many_devices_are_refused(capsys):
    with pytest.raises(SystemExit):
        bench.main(["--lengths=4", "--devices=3", "--names=lstm"])
    assert "--devices: must divide the 8 members" in capsys.readouterr().err


def test_sampling_is_planned_for_every_task():
    (section,) = benched.planned(bench.parser(), bench.plan, "--sampling", "--lengths=16")
    assert [job.label.split()[0] for job in section.jobs] == [f"sampling:{task}" for task in TASKS]


def test_a_sample_of_steps_is_a_longer_dispatch(monkeypatch):
    monkeypatch.setattr(timing, "SAMPLE_SECONDS", 0.02)
    seconds = iter([0.0, 0.01] * 2)
    monkeypatch.setattr(timing, "time", SimpleNamespace(perf_counter=lambda: next(seconds)))
    assert timing.calibrate(Prepared(lambda n: None)) == 2
    assert timing.calibrate(Prepared(lambda n: None, longer=timing.STEPS_LONGER)) == 20


def test_what_does_not_fit_the_budget_is_noted(tmp_path, capsys):
    found = results(tmp_path, "--lengths=4,8", "--what=ops", "--names=linear_scan", "--budget=0")
    assert all("--budget=0" in row["note"] and "seconds" not in row for row in found["ops"])
    assert "--budget=0" in capsys.readouterr().out


def test_the_budget_foresees_growth():
    budget = Budget(seconds=10.0, repeats=4)
    budget.check(64)
    budget.add(64, [(0.1, 1)])
    budget.add(256, [(0.8, 1)])  # power 1.5
    budget.check(256)
    with pytest.raises(Skip, match="--budget=10"):
        budget.check(1024)


def test_the_budget_knows_how_long_the_samples_of_each_program_are(monkeypatch):
    monkeypatch.setattr(timing, "SAMPLE_SECONDS", 0.1)
    budget = Budget(seconds=5.0, repeats=7)
    budget.add(64, [(0.001, 1)])
    budget.check(128)  # 0.7 s
    budget.add(64, [(0.001, 1), (0.001, timing.STEPS_LONGER)])
    with pytest.raises(Skip, match="about 8 s more, 5 s left"):
        budget.check(128)


def test_rows_tell_the_budget_of_all_their_programs(tmp_path, monkeypatch):
    budgets = []
    add = Budget.add
    monkeypatch.setattr(Budget, "add", lambda self, *done: budgets.append(self) or add(self, *done))
    monkeypatch.setattr(plan, "TASKS", ("bit_parity",))
    results(tmp_path, "--lengths=4", "--what=ops", "--sampling", "--names=linear_scan,lstm")
    longer = [[of for _, of in programs] for budget in budgets for _, programs in budget.done]
    assert longer == [[timing.OPS_LONGER], [timing.OPS_LONGER], [1, timing.STEPS_LONGER]]


def test_what_does_not_fit_into_memory_is_noted(tmp_path, monkeypatch):
    monkeypatch.setattr(timing, "available_memory", lambda: 1)
    (row, _) = results(tmp_path, "--lengths=4", "--what=ops", "--names=linear_scan")["ops"]
    assert "memory" in row["note"] and "seconds" not in row


def test_memory_that_caches_files_is_free(tmp_path, monkeypatch):
    file = tmp_path / "meminfo"
    monkeypatch.setattr(timing, "MEMINFO", file)
    unknown = timing.available_memory()
    assert 0 < unknown < 2**63
    file.write_text("MemTotal:        8000000 kB\nMemFree:         1000 kB\nMemAvailable:    3000 kB\n")
    assert timing.available_memory() == 3000 * 1024


def test_samples_are_taken_in_turn():
    calls = []
    a, b = Prepared(lambda n: calls.append("a")), Prepared(lambda n: calls.append("b"))
    times = timing.interleave([a, b], Budget(math.inf, 3))
    assert calls == ["a", "b"] * 5  # the first call, one that says how long it takes, three samples
    assert [len(of_one) for of_one in times] == [3, 3]


def test_the_first_call_is_not_paid_from_the_budget(monkeypatch):
    now, calls = [0.0], []
    monkeypatch.setattr(timing, "time", SimpleNamespace(perf_counter=lambda: now[0]))

    def run_once(n):
        now[0] += 1.0 if calls else 500.0  # a kernel that tries its tilings
        calls.append(n)

    budget = Budget(seconds=60.0, repeats=3)
    (samples,) = timing.interleave([Prepared(run_once)], budget)
    assert samples == [1.0] * 3 and budget.spent == 4.0


FAULTS = """
import resource
from rnnbench.bench import subjects
program = subjects.op("linear_scan", {}, "gradient", subjects.Shape(1024))
for n in (1, 1, 20):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    program.run(n)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="counts Linux's page faults")
def test_a_sample_of_an_op_maps_its_memory_once():
    """Faults are counted, not timed: pages that the system clears for one call and for twenty."""
    done = subprocess.run([sys.executable, "-c", FAULTS], capture_output=True, text=True, check=True)
    _, one, twenty = map(int, done.stdout.split())
    assert one > 1000 and twenty < 2 * one, (one, twenty)


def test_a_sample_of_an_op_computes_as_often_as_it_says():
    calls = []
    count = lambda x: jax.debug.callback(calls.append, x) or x + 1
    program = timing.repeated(lambda x: (count(x), x))
    assert program(np.int32(3), jnp.float32(1))[0] == 2
    jax.effects_barrier()
    assert len(calls) == 3


def test_a_narrow_terminal_gets_fewer_columns_and_no_cut_numbers():
    sizes = dict(name="linear_attention", kind="gradient", length=16384, batch=32)
    rates = dict(tokens_per_second=466e3, flops_per_second=20.3e9, bytes_per_second=15.3e9)
    times = dict(seconds=1.125, seconds_low=1.1, seconds_high=1.13, compile_seconds=0.4, peak_bytes=1.81e9)
    rows = [with_shares(sizes | rates | times, LIMITS), sizes | {"note": "no [memory]"}]
    for width in (60, 80, 140):
        console = Console(width=width, record=True, color_system=None)
        console.print(table.fitting("ops", rows, console))
        said = console.export_text()
        assert "…" not in said and re.search(r"gradient +16384 +1125 +1100–1130", said), said
        assert ("1.81 GB" in said) == (width == 140) and "no [memory]" in said


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
    assert flops(lambda x: total(x, 1), x) == flops(lambda x: jnp.sum(x, 1), x) == x.size
    moved = count(jax.make_jaxpr(jnp.cos)(x).jaxpr)[1]
    assert moved == 2 * x.nbytes
    running = lambda x: jax.lax.scan(lambda h, x: (h + x, h), jnp.zeros(8), x)[1]
    assert count(jax.make_jaxpr(running)(x).jaxpr)[1] == 2 * 2 * x.nbytes  # of the program and of its loop


def test_a_pallas_kernel_costs_what_its_programs_compute():
    def cost(impl, batch):
        inputs = subjects.OPS["selective_scan"][1](jax.random.key(0), Shape(32, batch=batch, dim=16))
        scan = lambda *inputs: selective_scan(*inputs, impl=impl)
        return count(jax.make_jaxpr(scan)(*inputs).jaxpr), 4 * sum(x.size for x in inputs)

    (flops, moved), inputs = cost("pallas", 2)
    (twice, moved_twice), inputs_twice = cost("pallas", 4)
    (steps, _), _ = cost("sequential", 2)
    assert twice == pytest.approx(2 * flops, rel=0.01)
    assert steps / 2 < flops < 2 * steps
    assert inputs < moved < 4 * inputs and moved_twice - moved > inputs_twice - inputs


def test_real_ceilings_are_positive(monkeypatch):
    monkeypatch.undo()
    monkeypatch.setattr(timing, "SAMPLE_SECONDS", 0.0)
    assert all(math.isfinite(value) and value > 0 for value in timing.ceilings("float32", 1).values())


def test_presets_that_cost_the_same_are_timed_once():
    assert {PRESETS[name].mixer for name in plan.DISTINCT} == {each.mixer for each in PRESETS.values()}
    assert "deltanet" in plan.DISTINCT and "deltanet_neg" not in plan.DISTINCT
    assert {"deltaproduct2", "deltaproduct3", "griffin", "hybrid_deltanet"} < set(plan.DISTINCT)


@pytest.mark.parametrize(
    "arguments,hint",
    [
        (["--lengths=0"], "--lengths"),
        (["--lengths=4,x"], "--lengths"),
        (["--what=everything"], "--what"),
        (["--json=/"], "--json"),
        (["--names=lsmt"], "lsmt"),
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
        (["--compare", "step:lsmt", "step:lstm"], "unknown preset"),
        (["--compare", "step:lstm", "mixer:lstm"], "--compare"),
        (["--what=mixers", "--names=gpt", "--dim=2"], "--heads"),
        (["--sampling", "--lengths=5"], "--lengths"),
        (["--what=ops", "--names=lstm"], "--names: nothing to measure for ops among: lstm"),
        (["--what=ops,mixers", "--names=griffin"], "--names"),
        (["--sampling", "--names=delta_rule"], "--names"),
        (["--population", "--devices=2", "--names=delta_rule"], "--names"),
        (["--what="], "--what"),
        (["--names=,"], "--names"),
        (["--members=4"], "--members: needs --population or --devices"),
        (["--sampling", "--members=4"], "--members"),
    ],
)
def test_refusals_are_one_line_and_write_nothing(arguments, hint, tmp_path, capsys):
    file = tmp_path / "bench.json"
    with pytest.raises(SystemExit, match="2"):
        bench.main([*TINY, f"--json={file}", *arguments])
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("\n") == 1 and hint in said.err
    assert not file.exists()
