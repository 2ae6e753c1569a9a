"""Eight simulated CPU devices, strict shapes (a silent broadcast is an error), and quick compiles."""

import os

# Most of the suite's time is compiling; programs of a few steps need no optimising. Before jax is loaded.
os.environ["XLA_FLAGS"] = os.environ.get("XLA_FLAGS", "") + " --xla_backend_optimization_level=0"

import jax

jax.config.update("jax_platforms", "cpu")
jax.config.update("jax_num_cpu_devices", 8)
jax.config.update("jax_numpy_rank_promotion", "raise")
