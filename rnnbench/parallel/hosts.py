"""The processes of a run: how they join and agree, who writes, and how all end together.

Every process runs the same program and makes the same calls in the same order. Only process 0 writes logs
and results.
"""

import contextlib
import itertools
import os
import re
import socket
import sys
import threading
import traceback
import zlib
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import jax
import numpy as np
from jax.experimental import multihost_utils

from rnnbench.config import InputError, first_line
from rnnbench.parallel import signals
from rnnbench.parallel.signals import Preempted

T = TypeVar("T")
# A dead process is noticed after this many seconds. Heartbeats come from a thread outside Python.
HEARTBEAT_SECONDS = 40
JOIN_SECONDS = 300  # a process waits this long for the others
SOON = 5  # seconds after which it reports that it waits
LONGEST_TEXT = 400  # bytes of an error that one process sends to the others
# Settings that change numbers are not left to the environment: JAX_DEFAULT_PRNG_IMPL and the like.
PINNED = {
    "jax_default_prng_impl": "threefry2x32",
    "jax_threefry_partitionable": True,
    "jax_random_seed_offset": 0,
    "jax_enable_x64": False,
    "jax_numpy_dtype_promotion": "standard",
    "jax_default_matmul_precision": None,
}

_stopping = threading.Event()  # all processes have agreed to
_borders = itertools.count()


def initialize(
    mode: str, coordinator: str | None = None, processes: int | None = None, process: int | None = None
) -> None:
    """Joins the processes of a cluster: `on` always, `off` never, `auto` if the environment shows several.

    SLURM (under srun), TPU pods and Open MPI are detected by JAX. Elsewhere the address HOST:PORT of process
    0, the number of processes and this one's index are given by flags or by the environment variables
    JAX_COORDINATOR_ADDRESS, JAX_NUM_PROCESSES and JAX_PROCESS_ID. An error of jax.distributed is not
    swallowed: a misconfigured cluster would otherwise start N runs on one workdir.
    """
    signals.listen()
    for name, value in PINNED.items():
        jax.config.update(name, value)
    if mode == "off" and (coordinator, processes, process) != (None, None, None):
        raise InputError("--distributed: is off; leave out --coordinator, --num_processes and --process_id")
    coordinator = coordinator or os.environ.get("JAX_COORDINATOR_ADDRESS")
    processes = _number("num_processes", processes)
    process = _number("process_id", process)
    given = (coordinator, processes, process) != (None, None, None)
    if mode == "on" or (mode == "auto" and (given or _shown_by_environment())):
        _check_place(coordinator, processes, process)
        with _impatient(coordinator, processes, process):
            # JAX now handles SIGTERM and passes one process's notice on to all of them, see `preempted`.
            jax.distributed.initialize(
                coordinator,
                processes,
                process,
                initialization_timeout=2 * JOIN_SECONDS,  # JAX's own timeout ends in a C++ stack trace
                heartbeat_timeout_seconds=HEARTBEAT_SECONDS,
            )


@contextlib.contextmanager
def _impatient(coordinator: str | None, processes: int | None, process: int | None) -> Iterator[None]:
    """Reports which process is being waited for after a while, and gives up after a limit."""
    who = "this process" if process is None else f"process {process} of {processes}"
    whom = "process 0" if process != 0 else f"the other {processes - 1}"
    at = f" at {coordinator}" if coordinator else ""
    text = f"rnnbench: {who} waits for {whom}{at}, at most {JOIN_SECONDS} s"
    timers = [
        threading.Timer(SOON, lambda: print(text, file=sys.stderr, flush=True)),
        threading.Timer(
            JOIN_SECONDS,
            lambda: signals.end(
                f"--coordinator: {who} has waited {JOIN_SECONDS} s for {whom}{at}; start all processes with "
                "the same address",
                1,
            ),
        ),
    ]
    for timer in timers:
        timer.daemon = True
        timer.start()
    try:
        yield
    finally:
        for timer in timers:
            timer.cancel()


def _shown_by_environment() -> bool:
    return (
        int(os.environ.get("SLURM_STEP_NUM_TASKS", "1")) > 1  # set under srun only
        or int(os.environ.get("OMPI_COMM_WORLD_SIZE", "1")) > 1
        or "," in os.environ.get("TPU_WORKER_HOSTNAMES", "")
        or int(os.environ.get("MEGASCALE_NUM_SLICES", "1")) > 1
    )


def _number(flag: str, value: int | None) -> int | None:
    name = f"JAX_{flag.upper()}"
    if value is not None or name not in os.environ:
        return value
    if not os.environ[name].isdecimal():
        raise InputError(f"--{flag}: {name} must be a whole number; it is {os.environ[name]!r}")
    return int(os.environ[name])


def _check_place(coordinator: str | None, processes: int | None, process: int | None) -> None:
    """Refuses settings that jax.distributed would reject with a traceback or wait for."""
    if coordinator is None:
        if processes is not None or process is not None:
            raise InputError("--coordinator: is missing; give HOST:PORT of process 0")
        return
    address = re.fullmatch(r"[^\s/]+:(\d{1,5})", coordinator)
    if not address or not 0 < int(address[1]) < 2**16:
        raise InputError(f"--coordinator: must read HOST:PORT, such as node1:1234; it is {coordinator!r}")
    if (processes is None) != (process is None):
        missing = "num_processes" if processes is None else "process_id"
        raise InputError(f"--{missing}: is missing; with --coordinator all three are needed")
    if processes is not None and processes < 1:
        raise InputError(f"--num_processes: must be at least 1; it is {processes}")
    if processes is not None and not 0 <= process < processes:
        raise InputError(f"--process_id: must be from 0 to {processes - 1}; it is {process}")
    if process == 0:
        _check_port(int(address[1]))


def _check_port(port: int) -> None:
    """Refuses a port on which this process cannot listen: JAX would crash."""
    both = socket.has_dualstack_ipv6()
    family = socket.AF_INET6 if both else socket.AF_INET
    try:
        socket.create_server(("", port), family=family, dualstack_ipv6=both).close()
    except OSError as error:
        reason = f"port {port} of this machine cannot be used ({os.strerror(error.errno)})"
        raise InputError(f"--coordinator: {reason}; choose another") from None


def is_main() -> bool:
    """Whether this is the process that writes logs and results."""
    return jax.process_index() == 0


def introduce() -> None:
    """With several processes, each prints its identity once; afterwards only process 0 prints to stdout.

    Problems go to stderr, which stays open.
    """
    index, count = jax.process_index(), jax.process_count()
    if count == 1:
        signals.listen()  # again, because JAX handles SIGTERM where a single process has joined itself
        return
    here, there, kind = jax.local_device_count(), jax.device_count(), jax.devices()[0].device_kind
    print(f"process {index} of {count}: {here} of {there} devices ({kind})", flush=True)
    if index > 0:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())  # the descriptor: libraries below Python print too
        os.close(nowhere)


def from_main(value: bool) -> bool:
    """The main process's value, broadcast to all processes, so that they agree on what to do next."""
    return bool(multihost_utils.broadcast_one_to_all(np.asarray(value))) if jax.process_count() > 1 else value


def together(check: Callable[[], T], seen: Callable[[T], Any] = lambda found: None) -> T:
    """check() on every process. An InputError on one is raised on all, so that none waits for an exited one.

    `seen(result)` must be the same on all processes: with different files or different flags they would run
    different programs and wait for each other forever.
    """
    if jax.process_count() == 1:
        return check()
    text, found = b"", None
    try:
        found = check()
    except InputError as error:
        text = str(error).encode()[:LONGEST_TEXT]
    digest = 0 if text else zlib.crc32(repr(seen(found)).encode())
    said = np.frombuffer(text.ljust(LONGEST_TEXT) + digest.to_bytes(4, "big"), np.uint8)
    everyone = multihost_utils.process_allgather(said)
    texts = [bytes(row[:LONGEST_TEXT]).decode(errors="replace").strip() for row in everyone]
    for index, text in enumerate(texts):
        if text:
            raise InputError(text if all(text == other for other in texts) else f"{text} (process {index})")
    if different := [i for i, row in enumerate(everyone) if bytes(row) != bytes(everyone[0])]:
        raise InputError(
            f"--workdir: process {different[0]} sees another state of the run than process 0; start all with "
            "the same flags and a shared workdir"
        )
    return found


def preempted() -> bool:
    """Whether to save and stop now, at this border between two chunks; the same answer on all processes.

    A SIGTERM to any process reaches all of them. Costs no communication before that.
    """
    if jax.process_count() == 1:
        return signals.told_to_stop.is_set()
    if multihost_utils.reached_preemption_sync_point(next(_borders)):
        _stopping.set()  # JAX reports it only once
    return _stopping.is_set()


@contextlib.contextmanager
def ending_together() -> Iterator[None]:
    """Exits at once if this process fails, so that the others end too.

    The interpreter's normal exit would wait for processes that wait for this one.
    """
    try:
        yield
    except (InputError, Preempted):
        raise
    except BaseException as error:
        if jax.process_count() == 1:
            raise
        who = f"process {jax.process_index()} of {jax.process_count()}"
        what = f"{who} stops"
        if isinstance(error, jax.errors.JaxRuntimeError):
            what += f", perhaps because another has died: {first_line(error)[:200]}"
        else:
            traceback.print_exc()
        sys.stdout.flush()
        sys.stderr.flush()
        signals.end(f"{what}; the same command resumes at the newest checkpoint", 1)
