"""A process of its own for test_train.py: trains until its first checkpoint is on disk, then is killed.

python tests/interrupted.py CONFIG.pickle WORKDIR COMPILE_CACHE
"""

import os
import pickle
import signal
import sys
from pathlib import Path

import conftest  # noqa: F401  the same devices and compiler settings as in the tests
import jax

from rnnbench.train import run as train
from rnnbench.train.checkpoint import Checkpoints


def main(config, workdir, cache):
    jax.config.update("jax_compilation_cache_dir", cache)
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    wait = Checkpoints.wait

    def wait_and_die(self):
        wait(self)
        if self.latest():
            os.kill(os.getpid(), signal.SIGKILL)

    Checkpoints.wait = wait_and_die
    train.run(pickle.loads(Path(config).read_bytes()), workdir)


if __name__ == "__main__":
    main(*sys.argv[1:])
