"""Every mixer keeps every promise of `rnnbench.check` and refuses settings that cannot work."""

import jax
import pytest
from flax import nnx

from rnnbench.config import ConfigError
from rnnbench.mixers import MIXERS, find
from rnnbench.mixers.attention import BLOCK
from rnnbench.mixers.contract import CHECKS

DIM, BATCH = 16, 2

# name, options, length: 37 is odd, longer than a small chunk and no multiple of one.
CASES = [(name, {}, 37) for name in MIXERS] + [
    ("attention", {"positions": "alibi", "heads": 2}, 13),
    ("attention", {"positions": "none", "heads": 1, "conv_size": 4}, 13),
    ("attention", {}, BLOCK + 5),
    ("linear_attention", {"heads": 1, "conv_size": 4}, 13),
    ("qlstm", {"heads": 2, "conv_size": 4, "forget_bias": 4.0}, 13),
    ("lru", {"state_dim": 5, "r_min": 0.0, "r_max": 0.5}, 13),
    ("deltanet", {"negative_eigenvalues": True, "heads": 1}, 37),
    ("deltanet", {"negative_eigenvalues": True, "heads": 2, "conv_size": 4, "beta_bias": 4.0}, 13),
    ("mamba", {"negative_eigenvalues": True, "conv_size": 0}, 37),
    ("mamba", {"expand": 1, "state_dim": 3, "dt_rank": 2, "conv_size": 2}, 13),
]


def label(case):
    name, options, length = case
    return "-".join([name, *(f"{key}={value}" for key, value in options.items()), str(length)])


def build(name, **options):
    return MIXERS[name](DIM, rngs=nnx.Rngs(0), **options)


def inputs(length):
    return jax.random.normal(jax.random.key(7), (BATCH, length, DIM))


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("case", CASES, ids=label)
def test_promise(case, check):
    name, options, length = case
    CHECKS[check](lambda **more: build(name, **options, **more), inputs(length))


@pytest.mark.parametrize("name", MIXERS)
def test_only_kernels_are_matrices_of_projections(name):
    """Weight decay goes by the name `kernel`: every projection has it, no dynamics parameter does."""
    params = nnx.to_pure_dict(nnx.state(build(name), nnx.Param))
    dynamics = {"nu_log", "theta_log", "gamma_log", "A_log", "dt_bias", "skip", "scale", "bias"}
    for path, leaf in jax.tree_util.tree_leaves_with_path(params):
        leaf_name = path[-1].key
        assert leaf_name.endswith("kernel") != (leaf_name in dynamics), leaf_name
        assert leaf.ndim == 2 or not leaf_name.endswith("kernel")


# --- refusals -----------------------------------------------------------------------------------------------

REFUSED = [
    ("attention", {"heads": 3}, "model.heads"),
    ("attention", {"heads": 16}, "model.heads"),  # rope turns pairs
    ("attention", {"heads": 0}, "model.heads"),
    ("attention", {"positions": "learned"}, "model.positions"),
    ("attention", {"conv_size": 1}, "model.conv_size"),
    ("linear_attention", {"heads": 3}, "model.heads"),
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
]


@pytest.mark.parametrize("name, options, key", REFUSED, ids=[f"{n}-{o}" for n, o, _ in REFUSED])
def test_refused(name, options, key):
    with pytest.raises(ConfigError) as error:
        build(name, **options)
    assert error.value.key == key
    assert "\n" not in str(error.value)


def test_find():
    assert find("lru") is MIXERS["lru"]
    assert find("rnnbench.mixers.lru:LRU") is MIXERS["lru"]
    for unknown in ("gru", "no_such_package:Mixer", "rnnbench.mixers.lru:GRU"):
        with pytest.raises(ConfigError, match=r"--config\.model\.mixer: .*" + unknown):
            find(unknown)
