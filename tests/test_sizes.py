"""Sizes told from the shapes of the mixers are those of the whole model."""

import importlib

import jax
import pytest
from flax import nnx
from helpers import CORES, presets, tiny

from rnnbench import sizes
from rnnbench.train.population import prepare

MIXER = """
import jax.numpy as jnp
from flax import nnx

class Wide(nnx.Module):
    def __init__(self, dim, *, rngs, dtype=None):
        self.weights = nnx.Param(nnx.initializers.normal()(rngs.params(), (dim, {width})))

    def init_state(self, batch, max_length):
        return jnp.zeros((batch, 1))

    def __call__(self, x, state=None):
        return x, self.init_state(x.shape[0], 0)
"""


def agree(config):
    setup = prepare(config)
    built = nnx.eval_shape(lambda: setup.make(jax.random.key(0)))
    params, states = sizes.size(setup.config, setup.task)
    assert params == sizes.num_params(nnx.state(built, nnx.Param))
    assert states == {n: sizes.state_size(built, n) for n in states} and set(states) == {12, 24}


@pytest.mark.parametrize("preset", presets((*CORES, "griffin")))
def test_sizes_of_every_preset(preset):
    agree(tiny(preset, {"model.layers": 3}))


def test_sizes_with_a_tied_head_learned_positions_and_layer_norm():
    pairs = {"task.train_mix": ((12, 2), (24, 2)), "eval.lengths": (24,), "eval.pairs": (2,)}
    agree(tiny("lstm", pairs | {"model.norm": "layer", "model.head": "tied"}, task="mqar"))
    agree(tiny("gpt", {"model.positions": "learned", "model.mlp_dim": 0}))


def test_a_mixer_is_traced_once_but_anew_after_a_reload(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    file = tmp_path / "wide_mixer.py"
    for width in (3, 5):
        file.write_text(MIXER.format(width=width) + "#" * width)
        importlib.invalidate_caches()
        importlib.reload(importlib.import_module("wide_mixer"))
        configs = [tiny("wide_mixer:Wide", {"model.mlp_dim": 0}, task) for task in ("bit_parity", "dyck")]
        before = len(sizes._traced)
        found = [sizes.size(config, prepare(config).task)[0] for config in configs]
        assert len(sizes._traced) == before + 1
        assert found[0] == 2 * 16 + (2 * 16 + 16 * width) + 17 * 2  # embeddings, norms and mixer, head
