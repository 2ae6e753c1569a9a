"""Several processes on one run: they join, agree, write once, and stop and end together."""

import re
import shutil
import signal
import socket
import time

import jax
import numpy as np
import pytest
from several import TINY, Processes

from rnnbench.config import InputError
from rnnbench.parallel import hosts
from rnnbench.parallel.signals import PREEMPTED
from rnnbench.store.rows import read_jsonl

CHANGING = {"train_seconds", "compile_seconds", "eval_seconds", "tokens_per_second", "versions", "device"}
FILES = ("results.jsonl", "positions.jsonl", "metrics.jsonl")


def rows(folder, name="results.jsonl"):
    return [{k: v for k, v in row.items() if k not in CHANGING} for row in read_jsonl(folder / name)]


def assert_rows_close(folder, other):
    """Results of two topologies: what is counted is equal, what is summed in another order is close."""
    ours, theirs = rows(folder), rows(other)
    assert len(ours) == len(theirs) > 0
    for row, expected in zip(ours, theirs):
        for name, value in expected.items():
            if isinstance(value, float):
                np.testing.assert_allclose(row[name], value, rtol=1e-4, err_msg=name)
            else:
                assert row[name] == value, name


# --- joining ---------------------------------------------------------------------------------------------

SLURM = {"SLURM_JOB_ID": "7", "SLURM_STEP_NODELIST": "node[01-04]", "SLURM_NTASKS": "4"}
SLURM |= {"SLURM_PROCID": "2", "SLURM_LOCALID": "0", "SLURM_STEP_NUM_NODES": "4"}
CLUSTERS = {
    "none": {},
    "a SLURM step of one task": {"SLURM_STEP_NUM_TASKS": "1", "SLURM_JOB_ID": "7"},
    "sbatch without srun": {"SLURM_JOB_ID": "7", "SLURM_NTASKS": "4"},
    "one TPU host": {"TPU_WORKER_HOSTNAMES": "localhost"},
    "srun": {"SLURM_STEP_NUM_TASKS": "4", **SLURM},
    "mpirun": {"OMPI_COMM_WORLD_SIZE": "2"},
    "a TPU pod": {"TPU_WORKER_HOSTNAMES": "host-0,host-1"},
    "several slices": {"MEGASCALE_NUM_SLICES": "2"},
    "a named coordinator": {
        "JAX_COORDINATOR_ADDRESS": "127.0.0.1:1234",
        "JAX_NUM_PROCESSES": "2",
        "JAX_PROCESS_ID": "1",
    },
}
ALONE = ("none", "a SLURM step of one task", "sbatch without srun", "one TPU host")


@pytest.fixture
def joined(monkeypatch):
    """What jax.distributed.initialize was called with; the environment names no cluster."""
    calls, before = [], signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr(jax.distributed, "initialize", lambda *place, **_: calls.append(place))
    for cluster in CLUSTERS.values():
        for name in cluster:
            monkeypatch.delenv(name, raising=False)
    yield calls
    signal.signal(signal.SIGTERM, before)


@pytest.mark.fast
@pytest.mark.parametrize("mode", ["auto", "on", "off"])
@pytest.mark.parametrize("cluster", CLUSTERS)
def test_initialize(cluster, mode, joined, monkeypatch):
    for name, value in CLUSTERS[cluster].items():
        monkeypatch.setenv(name, value)
    hosts.initialize(mode)
    assert len(joined) == (mode == "on" or (mode == "auto" and cluster not in ALONE))
    if joined and cluster == "a named coordinator":
        assert joined == [("127.0.0.1:1234", 2, 1)]


@pytest.mark.fast
def test_slurm_tells_jax_its_place(monkeypatch):
    """What JAX makes of srun's variables: the first node is the coordinator, a task is a process."""
    from jax._src.clusters import SlurmCluster

    for name, value in SLURM.items():
        monkeypatch.setenv(name, value)
    assert SlurmCluster.is_env_present()
    address = SlurmCluster.get_coordinator_address(timeout_secs=1, override_coordinator_port=None)
    assert re.fullmatch(r"node01:\d+", address)
    assert (SlurmCluster.get_process_count(), SlurmCluster.get_process_id()) == (4, 2)


@pytest.mark.fast
@pytest.mark.parametrize(
    "place, flag",
    [
        (dict(processes=2, process=0), "--coordinator"),
        (dict(coordinator="host", processes=2, process=0), "--coordinator"),
        (dict(coordinator="host:0", processes=2, process=0), "--coordinator"),
        (dict(coordinator="host:70000", processes=2, process=0), "--coordinator"),
        (dict(coordinator="http://host:1234", processes=2, process=0), "--coordinator"),
        (dict(coordinator="host:1234", process=0), "--num_processes"),
        (dict(coordinator="host:1234", processes=2), "--process_id"),
        (dict(coordinator="host:1234", processes=2, process=2), "--process_id"),
        (dict(coordinator="host:1234", processes=0, process=0), "--num_processes"),
    ],
)
def test_a_place_that_cannot_be_names_its_flag(place, flag, joined):
    with pytest.raises(InputError, match=f"^{flag}: .*[^\n]$"):
        hosts.initialize("on", **place)
    assert not joined


@pytest.mark.fast
def test_a_place_without_a_coordinator_is_not_a_run_of_its_own(joined):
    with pytest.raises(InputError, match=r"^--coordinator: is missing"):
        hosts.initialize("auto", processes=2, process=0)


@pytest.mark.fast
def test_a_port_in_use(joined):
    with (
        socket.create_server(("", 0)) as other,
        pytest.raises(InputError, match=r"^--coordinator: port \d+ "),
    ):
        hosts.initialize("on", f"localhost:{other.getsockname()[1]}", 2, 0)
    assert not joined


@pytest.mark.fast
def test_joining_counts_no_devices(joined, monkeypatch):
    """Their number can be set afterwards: --cpu_devices."""
    monkeypatch.setattr(jax, "process_count", lambda: pytest.fail("JAX has counted its devices"))
    hosts.initialize("on", "localhost:1234", 2, 1)
    assert joined == [("localhost:1234", 2, 1)]


@pytest.mark.fast
def test_a_place_that_is_given_and_off(joined, monkeypatch):
    with pytest.raises(InputError, match=r"^--distributed: is off; leave out"):
        hosts.initialize("off", "host:1234", 2, 0)
    monkeypatch.setenv("JAX_COORDINATOR_ADDRESS", "host:1234")
    hosts.initialize("off")  # a cluster may set it for other programs
    assert not joined


@pytest.mark.fast
def test_a_number_that_is_none(joined, monkeypatch):
    monkeypatch.setenv("JAX_PROCESS_ID", "first")
    with pytest.raises(InputError, match=r"--process_id: JAX_PROCESS_ID .* 'first'"):
        hosts.initialize("on", "host:1234", 2)


@pytest.mark.fast
def test_an_error_of_joining_is_not_swallowed(joined, monkeypatch):
    def fail(*_, **__):
        raise RuntimeError("no coordinator")

    monkeypatch.setattr(jax.distributed, "initialize", fail)
    with pytest.raises(RuntimeError, match="no coordinator"):
        hosts.initialize("on")


# --- two processes ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """Two processes with two devices each: an undisturbed run, a stopped run, and that run resumed."""
    base = tmp_path_factory.mktemp("two")
    cache = f"--compilation_cache={base / 'cache'}"
    whole = Processes(base / "log", 2, 2, *TINY, cache, f"--workdir={base / 'whole'}").ended()
    stopped = Processes(base / "log", 2, 2, *TINY, cache, f"--workdir={base / 'stopped'}")
    stopped.wait_for((base / "stopped" / "config.json").exists)
    stopped.children[1].send_signal(signal.SIGTERM)
    stopped = stopped.ended()
    shutil.copytree(base / "stopped", base / "elsewhere")
    resumed = Processes(base / "log", 2, 2, *TINY, cache, f"--workdir={base / 'stopped'}").ended()
    return base, {"whole": whole, "stopped": stopped, "resumed": resumed}


def test_each_process_says_who_it_is_and_only_the_first_goes_on(two):
    _, ended = two
    for name, code in {"whole": 0, "stopped": PREEMPTED, "resumed": 0}.items():
        first, second = ended[name]
        assert (first.code, second.code) == (code, code), first.err + second.err
        assert first.out.startswith("process 0 of 2: 2 of 4 devices (cpu)\n")
        assert second.out == "process 1 of 2: 2 of 4 devices (cpu)\n"
        assert len(second.err.splitlines()) == (name == "stopped"), second.err  # JAX: "SIGTERM caught"
    assert "done: length=8" in ended["whole"][0].out and ended["whole"][0].err == ""


def test_every_row_is_written_once(two):
    base, _ = two
    found = [(row["step"], row["seed"], row["case"]["length"]) for row in rows(base / "whole")]
    assert found == [(step, seed, length) for step in (4, 8) for length in (8, 16) for seed in (0, 1)]
    assert len(list((base / "whole" / "tensorboard").glob("*/*"))) == 2


def test_a_sigterm_to_one_stops_all_with_a_checkpoint_and_the_same_command_goes_on(two):
    base, ended = two
    last = ended["stopped"][0].err.splitlines()
    step = re.fullmatch(
        r"rnnbench: preempted: .* is saved at step (\d) of 8; the same command resumes", last[0]
    )
    assert len(last) == 1 and 0 < int(step[1]) < 8, last
    assert (base / "elsewhere" / "checkpoints" / step[1]).is_dir()
    assert f"resumed at {step[1]}" in ended["resumed"][0].out
    for name in FILES:
        assert rows(base / "stopped", name) == rows(base / "whole", name)


def test_one_process_goes_on_where_two_were_stopped(two):
    base, _ = two
    cache = f"--compilation_cache={base / 'cache'}"
    shutil.copytree(base / "elsewhere", base / "alone")
    alone = Processes(base / "log", 1, 4, *TINY, cache, f"--workdir={base / 'alone'}").ended()
    assert alone[0].code == 0 and "resumed at" in alone[0].out, alone[0].err
    assert_rows_close(base / "alone", base / "whole")


def test_one_process_alone_stops_at_a_sigterm_too(tmp_path):
    """It writes its checkpoint at the end of the chunk; a second signal meanwhile does no harm."""
    flags = [*TINY, "--config.train.steps=1000000", "--config.eval.every=0", f"--workdir={tmp_path / 'run'}"]
    alone = Processes(tmp_path / "log", 1, 4, *flags, f"--compilation_cache={tmp_path / 'cache'}")
    alone.wait_for(lambda: "loss" in alone.said())
    alone.children[0].send_signal(signal.SIGTERM)
    alone.children[0].send_signal(signal.SIGTERM)
    (ended,) = alone.ended()
    assert ended.code == PREEMPTED, ended.err
    assert re.search(r"^rnnbench: preempted: .* saved at step \d+ of 1000000; the same", ended.err)
    assert len([path for path in (tmp_path / "run" / "checkpoints").iterdir() if path.name.isdigit()]) == 1


# --- four processes, and what goes wrong -----------------------------------------------------------------


@pytest.mark.slow
def test_four_processes_and_two_continue_each_other(two):
    """A stopped run of two processes resumes as four with one device each; one of four resumes as two."""
    base, _ = two
    cache = f"--compilation_cache={base / 'cache'}"
    four = Processes(base / "log", 4, 1, *TINY, cache, f"--workdir={base / 'four'}")
    four.wait_for((base / "four" / "config.json").exists)
    four.children[2].send_signal(signal.SIGTERM)
    assert [process.code for process in four.ended()] == [PREEMPTED] * 4
    resumed = Processes(base / "log", 2, 2, *TINY, cache, f"--workdir={base / 'four'}").ended()
    assert [process.code for process in resumed] == [0, 0] and "resumed at" in resumed[0].out, resumed[0].err
    assert_rows_close(base / "four", base / "whole")
    stopped = Processes(base / "log", 2, 2, *TINY, cache, f"--workdir={base / 'as_four'}")
    stopped.wait_for((base / "as_four" / "config.json").exists)
    stopped.children[0].send_signal(signal.SIGTERM)
    assert [process.code for process in stopped.ended()] == [PREEMPTED] * 2
    resumed = Processes(base / "log", 4, 1, *TINY, cache, f"--workdir={base / 'as_four'}").ended()
    assert [process.code for process in resumed] == [0] * 4 and "resumed at" in resumed[0].out, resumed[0].err
    assert_rows_close(base / "as_four", base / "whole")


@pytest.mark.slow
@pytest.mark.parametrize("victim", [0, 1])
def test_a_crash_of_one_ends_the_other_within_a_minute(victim, two, tmp_path):
    base, _ = two
    flags = [*TINY, "--config.train.steps=1000000", "--config.eval.every=0", f"--workdir={tmp_path / 'run'}"]
    pair = Processes(tmp_path, 2, 2, *flags, f"--compilation_cache={base / 'cache'}")
    pair.wait_for((tmp_path / "run" / "tensorboard").exists)
    pair.children[victim].kill()
    clock = time.monotonic()
    other = pair.ended(90)[1 - victim]
    assert time.monotonic() - clock < 60
    assert other.code not in (0, 2, PREEMPTED)
    told = "perhaps because another has died" in other.err or "another task died" in other.err
    assert told and "Traceback" not in other.err, other.err


@pytest.mark.slow
def test_processes_with_different_flags_or_workdirs_refuse_together(two, tmp_path):
    base, _ = two
    cache = f"--compilation_cache={base / 'cache'}"
    own = lambda rank: [f"--workdir={tmp_path / str(rank)}"]
    steps = lambda rank: [f"--config.train.steps={9 + rank}", f"--workdir={tmp_path / 'run'}"]
    odd = lambda rank: [f"--workdir={tmp_path / 'run'}", *(["--config.mesh.data=3"] if rank else [])]
    for of_rank, said in (
        (own, "--workdir: "),
        (steps, "--workdir: process 1 sees"),
        (odd, "mesh.data: must"),
    ):
        first, second = Processes(tmp_path / "log", 2, 2, *TINY, cache, of_rank=of_rank).ended()
        assert (first.code, second.code) == (2, 2), first.err + second.err
        assert len(first.err.splitlines()) == 1 and said in first.err, first.err
        assert second.err == ""


@pytest.mark.slow
def test_a_study_of_two_processes_is_that_of_one(two, tmp_path):
    base, _ = two
    cache = f"--compilation_cache={base / 'cache'}"
    study = ["--config=configs/quickstart.py", "--config.study.models=lstm,lru", *TINY[1:], cache]
    pair = Processes(tmp_path / "log", 2, 2, *study, f"--workdir={tmp_path / 'two'}").ended()
    alone = Processes(tmp_path / "log", 1, 4, *study, f"--workdir={tmp_path / 'one'}").ended()
    assert [process.code for process in pair + alone] == [0, 0, 0], pair[0].err + alone[0].err
    cells = [path.name for path in sorted((tmp_path / "one" / "cells").iterdir())]
    assert len(cells) == 2 and (tmp_path / "two" / "report.md").exists()
    for cell in cells:
        assert_rows_close(tmp_path / "two" / "cells" / cell, tmp_path / "one" / "cells" / cell)
