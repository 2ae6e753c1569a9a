"""Eight simulated CPU devices, strict shapes (a silent broadcast is an error), and quick compiles."""

import os

from launched import QUICK

os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {QUICK}"  # before jax is loaded

import jax
import pytest

from rnnbench.errors import warn_once

jax.config.update("jax_platforms", "cpu")
jax.config.update("jax_num_cpu_devices", 8)
jax.config.update("jax_numpy_rank_promotion", "raise")


@pytest.fixture(autouse=True)
def warned_of_nothing():
    """A warning that is printed once per process is printed once per test."""
    warn_once.cache_clear()


@pytest.fixture(scope="module")
def compiled_once(tmp_path_factory):
    """The folder of a compilation cache: a file that uses this compiles each program once."""
    settings = {
        "jax_compilation_cache_dir": str(tmp_path_factory.mktemp("compiled")),
        "jax_persistent_cache_min_compile_time_secs": 0.0,
    }
    before = {name: getattr(jax.config, name) for name in settings}
    for name, value in settings.items():
        jax.config.update(name, value)
    yield settings["jax_compilation_cache_dir"]
    for name, value in before.items():
        jax.config.update(name, value)
