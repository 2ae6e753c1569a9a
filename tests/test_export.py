"""Every preset's train chunk lowers for hardware that is not at hand: XLA's own check by `jax.export`."""

import jax
import jax.numpy as jnp
import pytest
from helpers import tiny

from rnnbench.config import PRESETS
from rnnbench.population import make_train_chunk, prepare, state_shapes

IN_THE_NORMAL_SUITE = ("deltanet_neg", "mamba", "gpt")
EACH = [
    name if name in IN_THE_NORMAL_SUITE else pytest.param(name, marks=pytest.mark.slow) for name in PRESETS
]


@pytest.mark.parametrize("platform,backend", [("cpu", "cpu"), ("cuda", "gpu"), ("tpu", "tpu")])
@pytest.mark.parametrize("preset", EACH)
def test_train_chunk_lowers(preset, platform, backend, monkeypatch):
    """Ops and trainer choose their form by the default backend when traced: traced as on that platform."""
    monkeypatch.setattr(jax, "default_backend", lambda: backend)
    jax.clear_caches()  # else a form traced for another platform would serve
    settings = {"task.train_lengths": (3, 40), "eval.lengths": (40,), "train.dtype": "bfloat16"}
    setup = prepare(tiny(preset, settings))
    assert setup.mode == ("map" if platform == "cpu" else "vmap")
    step_count = jax.ShapeDtypeStruct((), jnp.int32)
    exported = jax.export.export(make_train_chunk(setup), platforms=[platform])(
        state_shapes(setup), step_count
    )
    assert exported.platforms == (platform,)
    assert len(exported.out_avals) > len(jax.tree.leaves(state_shapes(setup)))
    assert len(exported.mlir_module_serialized) > 10_000
