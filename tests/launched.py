"""launch.py in a process of its own, for the tests of the command line."""

import atexit
import functools
import json
import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
# Most of the suite's time is compiling; programs of a few steps need no optimising. XLA's emitters before
# those for fusions compile small programs six times as fast; a version without them ignores the option.
QUICK = (
    "--xla_backend_optimization_level=0 --xla_cpu_parallel_codegen_split_count=1 "
    "--xla_backend_extra_options=xla_cpu_disable_new_fusion_emitters"
)
PARITY = "--config=configs/bit_parity.py"
TINY = [
    f"{PARITY}:lstm",
    "--config.model.dim=16",
    "--config.model.layers=1",
    "--config.task.train_lengths=3,8",
    "--config.eval.lengths=16",
    "--config.eval.batches=2",
    "--config.train.batch_size=4",
    "--config.train.steps=10",
    "--config.train.chunk=5",
    "--config.population.seeds=0,1",
]


def environment(**settings):
    """A process's environment: on the CPU, with quick compiles."""
    quick = {"JAX_PLATFORMS": "cpu", "XLA_FLAGS": QUICK}
    return os.environ | quick | settings


def launch(*arguments):
    """launch.py in a process of its own; what it compiles is logged to its stderr."""
    command = [sys.executable, "launch.py", "--compilation_cache=off", *map(str, arguments)]
    settings = environment(JAX_LOG_COMPILES="1")
    return subprocess.run(command, cwd=ROOT, env=settings, capture_output=True, text=True)


@functools.cache
def _forking():
    command = [sys.executable, Path(__file__).with_name("forked.py")]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    process = subprocess.Popen(command, cwd=ROOT, env=environment(JAX_LOG_COMPILES="1"), text=True, **pipes)
    atexit.register(lambda: (process.stdin.close(), process.stdout.close(), process.wait()))
    return process


def early(*arguments):
    """`launch` for a command that ends early, without the seconds of importing."""
    process = _forking()
    command = ["--compilation_cache=off", *map(str, arguments)]
    print(json.dumps(command), file=process.stdin, flush=True)
    code, out, err = json.loads(process.stdout.readline())
    return subprocess.CompletedProcess(command, code, out, err)


def compiled(done):
    return re.findall(r"Compiling (?:jit\()?(\w+)", done.stderr)


def refusal(*arguments):
    """The line of a command that is refused before anything but the making of keys is compiled."""
    done = early(*arguments)
    assert set(compiled(done)) <= {"convert_element_type", "_threefry_seed"}
    lines = [line for line in done.stderr.splitlines() if not line.startswith("WARNING:jax._src.")]
    assert len(lines) == 1 and lines[0].startswith("rnnbench: "), done.stderr
    assert (done.returncode, done.stdout) == (2, "")
    return lines[0].removeprefix("rnnbench: ")


def contents(folder):
    return {path.relative_to(folder): path.is_file() and path.read_bytes() for path in folder.rglob("*")}
