"""launch.py as several processes on this machine, for the tests of what they do together."""

import os
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
TINY = [
    "--config=configs/bit_parity.py:lstm",
    "--config.model.dim=8",
    "--config.model.layers=1",
    "--config.task.train_lengths=3,8",
    "--config.eval.lengths=16",
    "--config.eval.batches=1",
    "--config.eval.every=4",
    "--config.train.batch_size=8",
    "--config.train.steps=8",
    "--config.train.chunk=2",
    "--config.population.seeds=0,1",
    "--config.mesh.seed=2",
    "--config.mesh.data=2",
]


@dataclass
class Ended:
    """How a process ended."""

    code: int
    out: str
    err: str


class Processes:
    """`count` processes of launch.py with `devices` CPU devices each; the flags of a rank come last."""

    def __init__(self, folder, count, devices, *flags, of_rank=lambda rank: []):
        folder.mkdir(parents=True, exist_ok=True)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        settings = {"JAX_PLATFORMS": "cpu", "JAX_NUM_CPU_DEVICES": str(devices)}
        joined = [f"--coordinator=127.0.0.1:{port}", f"--num_processes={count}"] if count > 1 else []
        self.files, self.children = [], []
        for rank in range(count):
            place = [*joined, f"--process_id={rank}"] if count > 1 else []
            command = [sys.executable, "launch.py", *place, *map(str, flags), *of_rank(rank)]
            out, err = (folder / f"{name}.{rank}" for name in ("out", "err"))
            self.files.append((out, err))
            with out.open("wb") as stdout, err.open("wb") as stderr:
                self.children.append(
                    subprocess.Popen(
                        command, cwd=ROOT, env=os.environ | settings, stdout=stdout, stderr=stderr
                    )
                )

    def wait_for(self, condition, seconds=120):
        """Waits until condition() holds. AssertionError if a process ends before that."""
        limit = time.monotonic() + seconds
        while not condition():
            assert all(child.poll() is None for child in self.children), self.said()
            assert time.monotonic() < limit, self.said()
            time.sleep(0.05)

    def ended(self, seconds=240):
        """Waits for all processes and returns how each ended; kills those that take longer."""
        limit = time.monotonic() + seconds
        try:
            for child in self.children:
                child.wait(max(limit - time.monotonic(), 0.1))
        finally:
            for child in self.children:
                child.kill()
                child.wait()
        return [
            Ended(child.returncode, out.read_text(), err.read_text())
            for child, (out, err) in zip(self.children, self.files)
        ]

    def said(self):
        return "\n".join(path.read_text() for pair in self.files for path in pair)
