"""Every preset's train chunk lowers for hardware that is not at hand, in the form it would take there."""

import jax
import jax.numpy as jnp
import pytest
from helpers import presets, tiny

from rnnbench.train.population import make_train_chunk, prepare, state_shapes


def export(preset, platforms, backend, monkeypatch):
    """Ops and trainer choose their form by the default backend when traced: traced as on that platform."""
    monkeypatch.setattr(jax, "default_backend", lambda: backend)
    setup = prepare(
        tiny(preset, {"task.train_lengths": (3, 40), "eval.lengths": (40,), "train.dtype": "bfloat16"})
    )
    assert setup.mode == ("map" if backend == "cpu" else "vmap")
    steps = jax.ShapeDtypeStruct((), jnp.int32)
    return setup, jax.export.export(make_train_chunk(setup), platforms=platforms)(state_shapes(setup), steps)


@pytest.mark.parametrize("platforms,backend", [(["cpu"], "cpu"), (["cuda", "tpu"], "gpu")])
@pytest.mark.parametrize("preset", presets(normal=("deltanet_neg", "lru", "gpt")))
def test_train_chunk_lowers(preset, platforms, backend, monkeypatch):
    setup, exported = export(preset, platforms, backend, monkeypatch)
    assert exported.platforms == tuple(platforms)
    shapes = jax.tree.leaves(state_shapes(setup))
    found = [(out.shape, out.dtype) for out in exported.out_avals]
    assert found[: len(shapes)] == [(leaf.shape, leaf.dtype) for leaf in shapes]


def test_the_form_is_that_of_the_platform(monkeypatch):
    """The LRU's scan is a loop over time on a CPU and log-depth on an accelerator."""
    loops = {}
    for platform, backend in (("cpu", "cpu"), ("tpu", "tpu")):
        _, exported = export("lru", [platform], backend, monkeypatch)
        loops[platform] = exported.mlir_module().count("stablehlo.while")
    assert loops["tpu"] < loops["cpu"]
