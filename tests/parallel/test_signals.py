"""A signal ends a process that runs C code, as while XLA compiles, or that waits for other processes."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DEAF = "import hashlib; hashlib.pbkdf2_hmac('sha256', b'', b'', 10**9)"  # runs no Python meanwhile


class Child:
    """A Python program in a process of its own."""

    def __init__(self, *lines, **settings):
        environment = os.environ | {"JAX_PLATFORMS": "cpu", "PYTHONPATH": str(ROOT)} | settings
        command = [sys.executable, "-c", "\n".join(lines)]
        self.process = subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def ready(self):
        assert self.process.stdout.readline() == "ready\n", self.process.stderr.read()
        time.sleep(0.5)
        return self

    def send(self, number):
        self.process.send_signal(number)
        return self

    def ended(self):
        """(exit code, what it said on stderr); the test fails if that takes as long as the child sleeps."""
        try:
            self.out, said = self.process.communicate(timeout=40)
        finally:
            self.process.kill()
            self.process.communicate()
        return self.process.returncode, said


LISTEN = ("from rnnbench.parallel import signals", "signals.listen()")


def listening(*lines):
    return Child(*LISTEN, *lines, "print('ready', flush=True)", DEAF).ready()


@pytest.mark.parametrize("number, code, how", [(15, 75, "preempted"), (2, 130, "interrupted")])
def test_what_is_saved_ends_at_once(number, code, how):
    child = listening("signals.saved('run is saved at step 4 of 8')")
    expected = f"rnnbench: {how}: run is saved at step 4 of 8; the same command resumes\n"
    assert child.send(number).ended() == (code, expected)


def test_before_anything_is_saved():
    code, said = listening().send(signal.SIGTERM).ended()
    assert (code, said.count("\n")) == (75, 1) and "nothing is saved yet" in said


def test_the_second_interrupt_ends_at_once_what_is_not_saved():
    child = listening("signals.saved('saved at 4')", "signals.unsaved()")
    child.send(signal.SIGINT)
    assert child.process.stderr.readline() == "rnnbench: saving after this chunk; Ctrl-C again ends at once\n"
    assert child.process.poll() is None
    code, said = child.send(signal.SIGINT).ended()
    assert (code, said.count("\n")) == (130, 1) and said.startswith(
        "rnnbench: interrupted: saved at 4; steps"
    )


@pytest.mark.parametrize("number, how", [(15, "preempted"), (2, "interrupted")])
def test_what_is_not_saved_is_told_to_save(number, how):
    wait = "signals.told_to_stop.wait(20); import sys; sys.exit(f'{signals.how()} {signals.exit_code()}')"
    child = Child(*LISTEN, "signals.unsaved()", "print('ready', flush=True)", wait).ready()
    code, said = child.send(number).ended()
    assert code == 1 and f"{how} {75 if number == 15 else 130}" in said.splitlines()


JOIN = "hosts.initialize('on', 'localhost:{port}', 2, {process})"


def joining(process, soon, limit):
    port = 20000 + os.getpid() % 20000
    settings = f"hosts.SOON, hosts.JOIN_SECONDS = {soon}, {limit}"
    return Child("from rnnbench.parallel import hosts", settings, JOIN.format(port=port, process=process))


@pytest.mark.parametrize("process, whom", [(0, "the other 1"), (1, "process 0")])
def test_a_process_says_whom_it_waits_for_and_obeys(process, whom):
    child = joining(process, 0.5, 60)
    said = child.process.stderr.readline()
    assert re.fullmatch(rf"rnnbench: process {process} of 2 waits for {whom} at localhost:\d+, .*\n", said)
    code, said = child.send(signal.SIGTERM).ended()
    assert (code, said.count("\n")) == (75, 1), said


def test_a_wait_has_an_end_in_one_line():
    code, said = joining(1, 60, 1).ended()
    assert (code, said.count("\n")) == (1, 1), said
    assert said.startswith(
        "rnnbench: --coordinator: process 1 of 2 has waited 1 s for process 0 at localhost:"
    )


def test_the_environment_does_not_decide_numbers():
    settings = {"JAX_DEFAULT_PRNG_IMPL": "rbg", "JAX_ENABLE_X64": "1", "JAX_RANDOM_SEED_OFFSET": "7"}
    settings |= {"JAX_THREEFRY_PARTITIONABLE": "0", "JAX_DEFAULT_MATMUL_PRECISION": "bfloat16"}
    draw = "print(jax.random.normal(jax.random.key(3), (5,)).tobytes().hex(), jax.numpy.ones(1).dtype)"
    lines = ("import jax", "from rnnbench.parallel import hosts", "hosts.initialize('off')", draw)
    children = [Child(*lines), Child(*lines, **settings)]
    assert [child.ended()[0] for child in children] == [0, 0]
    shown = [child.out for child in children]
    assert shown[0] == shown[1] and shown[0].endswith(" float32\n")
