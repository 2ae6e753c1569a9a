"""Every mixer keeps every promise of `rnnbench.check` and refuses settings that cannot work."""

import inspect
from typing import Annotated

import jax
import pytest
from flax import nnx
from helpers import CORES

from rnnbench.config import ConfigError
from rnnbench.mixers import PRESETS, find
from rnnbench.mixers.contract import CHECKS
from rnnbench.mixers.preset import Preset
from rnnbench.ops.blocked_attention import DEFAULTS

DIM, BATCH = 16, 2
LONG = DEFAULTS["cpu"][0] + 5  # more than a block of attention

# name, options, length: 37 is odd, longer than a small chunk and no multiple of one.
CASES = [(name, {}, 37) for name, preset in PRESETS.items() if not preset.pattern] + [
    ("gpt", {"positions": "alibi", "heads": 2}, 13),
    ("gpt", {"positions": "none", "heads": 1, "conv_size": 4}, 13),
    ("gpt", {}, LONG),
    ("linear_transformer", {"heads": 1, "conv_size": 4}, 13),
    ("qlstm", {"heads": 2, "conv_size": 4, "forget_bias": 4.0}, 13),
    ("lru", {"state_dim": 5, "r_min": 0.0, "r_max": 0.5}, 13),
    ("deltanet", {"negative_eigenvalues": True, "heads": 2, "conv_size": 4, "beta_bias": 4.0}, 13),
    ("mamba_neg", {"conv_size": 0}, 13),
    ("mamba", {"expand": 1, "state_dim": 3, "dt_rank": 2, "conv_size": 2}, 13),
    ("s5", {"state_dim": 8, "blocks": 2}, 13),
    ("rglru", {"heads": 2, "conv_size": 0}, 13),
    ("slstm", {"heads": 2, "conv_size": 0}, 13),
    ("fox", {"heads": 2, "conv_size": 4}, LONG),
    ("window", {"heads": 2, "conv_size": 4, "window": 5}, 13),
    ("window", {}, LONG),
]


def label(case):
    name, options, length = case
    return "-".join([name, *(f"{key}={value}" for key, value in options.items()), str(length)])


def build(name, **options):
    return PRESETS[name].build(DIM, rngs=nnx.Rngs(0), **options)


def inputs(length):
    return jax.random.normal(jax.random.key(7), (BATCH, length, DIM))


# Of a preset on the core of another, the normal tests ask for one promise.
PROMISES = [
    pytest.param(case, check, marks=() if quick else pytest.mark.slow, id=f"{label(case)}-{check}")
    for case in CASES
    for check in CHECKS
    for quick in [check == "step_equals_parallel" or (case[0] in CORES and not case[1])]
]


@pytest.mark.parametrize("case, check", PROMISES)
def test_promise(case, check):
    name, options, length = case
    skipped = CHECKS[check](lambda **more: build(name, **options, **more), inputs(length))
    takes_reset = "reset" in inspect.signature(PRESETS[name].mixer.__call__).parameters
    assert (skipped is None) == (check != "packed_equals_alone" or takes_reset), skipped


@pytest.mark.parametrize("name", PRESETS)
def test_the_projections_are_the_kernels(name):
    """Weight decay goes by the name `kernel`: matrices drawn at random have it, and only matrices."""
    draws = [
        nnx.to_pure_dict(nnx.state(PRESETS[name].build(DIM, rngs=nnx.Rngs(seed)), nnx.Param))
        for seed in (0, 1)
    ]
    for (path, leaf), other in zip(jax.tree_util.tree_leaves_with_path(draws[0]), jax.tree.leaves(draws[1])):
        kernel = path[-1].key.endswith("kernel")
        assert leaf.ndim == 2 or not kernel, path
        assert kernel or leaf.ndim != 2 or (leaf == other).all(), path


# --- refusals -----------------------------------------------------------------------------------------------

REFUSED = [
    ("gpt", {"heads": 3}, "model.heads"),
    ("gpt", {"heads": 16}, "model.heads"),  # rope rotates pairs
    ("gpt", {"heads": 0}, "model.heads"),
    ("gpt", {"positions": "learned"}, "model.positions"),
    ("gpt", {"conv_size": 1}, "model.conv_size"),
    ("linear_transformer", {"heads": 3}, "model.heads"),
    ("qlstm", {"heads": 3}, "model.heads"),
    ("qlstm", {"conv_size": -1}, "model.conv_size"),
    ("lru", {"state_dim": -1}, "model.options.state_dim"),
    ("lru", {"r_min": -0.1}, "model.options.r_min"),
    ("lru", {"r_min": 0.9, "r_max": 0.8}, "model.options.r_max"),
    ("lru", {"r_max": 1.0}, "model.options.r_max"),
    ("lru", {"max_phase": 0.0}, "model.options.max_phase"),
    ("deltanet", {"heads": 3}, "model.heads"),
    ("mamba", {"expand": 0}, "model.options.expand"),
    ("mamba", {"state_dim": 0}, "model.options.state_dim"),
    ("mamba", {"dt_rank": -1}, "model.options.dt_rank"),
    ("mamba", {"dt_min": 0.0}, "model.options.dt_min"),
    ("mamba", {"dt_max": 1e-4}, "model.options.dt_max"),
    ("mamba", {"conv_size": 1}, "model.conv_size"),
    ("s5", {"state_dim": 5}, "model.options.state_dim"),
    ("s5", {"blocks": 0}, "model.options.blocks"),
    ("s5", {"dt_max": 1e-4}, "model.options.dt_max"),
    ("rglru", {"heads": 3}, "model.heads"),
    ("rglru", {"r_min": 0.0}, "model.options.r_min"),
    ("rglru", {"r_max": 1.0}, "model.options.r_max"),
    ("slstm", {"heads": 3}, "model.heads"),
    ("fox", {"heads": 3}, "model.heads"),
    ("window", {"heads": 16}, "model.heads"),
    ("window", {"window": 1}, "model.options.window"),
    ("retnet", {"heads": 16}, "model.heads"),  # keys turn in pairs
    ("retnet", {"expand_v": 0}, "model.options.expand_v"),
    ("gla", {"gate_rank": 0}, "model.options.gate_rank"),
    ("gla", {"temperature": 0.0}, "model.options.temperature"),
    ("hgrn2", {"lower_bound": 1.0}, "model.options.lower_bound"),
    ("mamba2", {"expand": 0}, "model.options.expand"),
    ("mamba2", {"state_dim": -1}, "model.options.state_dim"),
    ("mamba3", {"heads": 3}, "model.heads"),
    ("mamba3", {"expand": 0}, "model.options.expand"),
    ("mamba3", {"state_dim": -1}, "model.options.state_dim"),
    ("mamba3", {"rotated": 1.5}, "model.options.rotated"),
    ("mlstm", {"heads": 3}, "model.heads"),
]


@pytest.mark.parametrize("name, options, key", REFUSED, ids=[f"{n}-{o}" for n, o, _ in REFUSED])
def test_refused(name, options, key):
    with pytest.raises(ConfigError) as error:
        build(name, **options)
    assert error.value.key == key
    assert "\n" not in str(error.value)


def test_find():
    assert find("lru") is PRESETS["lru"]
    assert find("rnnbench.mixers.lru:LRU").mixer is PRESETS["lru"].mixer
    with pytest.raises(ConfigError, match=r"--config\.model\.name: unknown model 'lsmt'.*lru deltanet"):
        find("lsmt")
    for unknown in ("no_such_package:Mixer", "rnnbench.mixers.lru:GRU", "os:path"):
        with pytest.raises(ConfigError, match=r"--config\.model\.mixer: .*" + unknown):
            find(unknown)


def test_a_preset_is_read_from_the_signature():
    preset = Preset(Full, order=3, conv_size=2, gain=2.0)
    assert preset.options() == {"width": (3, ""), "gain": (2.0, "how loud"), "shape": ((1, 2), "")}
    assert preset.shared() == {"conv_size": 2, "positions": "none"}
    assert preset.build(5, rngs=None, gain=4.0).got == (5, 2, 4.0)
    with pytest.raises(TypeError, match="Full has no argument 'loud'"):
        Preset(Full, loud=True)


class Full:
    def __init__(
        self, dim, *, rngs, width: int = 3, heads=4, conv_size=0, gain: Annotated[float, "how loud"] = 1.0,
        shape=(1, 2), made_by=None, dtype=None,
    ):  # fmt: skip
        self.got = dim, conv_size, gain
