"""The starts that a config can choose: which parameters they touch, and how large these are."""

import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from helpers import tiny
from ml_collections import ConfigDict

from rnnbench.config.build import changed, label
from rnnbench.mixers import PRESETS
from rnnbench.mixers.common import linear
from rnnbench.mixers.initial import restart
from rnnbench.mixers.short_conv import ShortConv
from rnnbench.train.population import prepare

pytestmark = pytest.mark.fast

D, W = 64, 4
OWN = {"init": "own", "conv_init": "own", "init_residual": 0, "layers": 2}
PROJECTIONS = {"mixer.input.kernel", "mixer.output.kernel", "mlp.down.kernel"}


class Part(nnx.Module):
    """Stands for a mixer or an MLP."""

    def __init__(self, **parts):
        for name, part in parts.items():
            setattr(self, name, part)


def start(**settings):
    """{path: values} of one block before and after `restart`; before it every parameter is 1."""
    square = lambda bias=False: linear(D, D, rngs=nnx.Rngs(0), dtype=jnp.float32, bias=bias)
    conv = ShortConv(D, W, rngs=nnx.Rngs(0), dtype=jnp.float32, use_bias=True)
    mixer = Part(
        input=square(bias=True), output=square(), conv=conv, recurrent_kernel=nnx.Param(jnp.ones((D, D)))
    )
    model = Part(blocks=nnx.List([Part(mixer=mixer, mlp=Part(down=square()))]))
    nnx.update(model, nnx.map_state(lambda _, leaf: jnp.ones_like(leaf), nnx.state(model, nnx.Param)))
    restart(model, ConfigDict(OWN | settings), nnx.Rngs(1))
    flat = nnx.to_flat_state(nnx.state(model, nnx.Param))
    return {".".join(map(str, path[2:])): np.asarray(leaf[...]) for path, leaf in flat}


def touched(found):
    return {path for path, values in found.items() if not (values == 1).all()}


def test_own_touches_nothing():
    assert touched(start()) == set()


@pytest.mark.parametrize("init, std", [("torch", (3 * D) ** -0.5), ("normal", 0.02)])
def test_projections(init, std):
    found = start(init=init)
    assert touched(found) == PROJECTIONS
    for path in PROJECTIONS:
        assert found[path].std() == pytest.approx(std, rel=0.05), path
        largest = np.abs(found[path]).max() * D**0.5
        assert 0.95 < largest <= 1 if init == "torch" else largest < 1, path
    assert not np.array_equal(found["mixer.output.kernel"], found["mlp.down.kernel"])


def test_a_start_of_the_recurrence_s_own_stays():
    """The gates of an mLSTM start closed to the input, the transitions of a SLiCE near the identity."""
    for preset, kernels in (("mlstm", ["gates"]), ("slice", ["transition"])):
        model = Part(mixer=PRESETS[preset].mixer(16, rngs=nnx.Rngs(0)))
        before = {name: getattr(model.mixer, name).kernel[...] for name in (*kernels, "output")}
        restart(model, ConfigDict(OWN | {"init": "torch"}), nnx.Rngs(1))
        kept = [
            name
            for name, kernel in before.items()
            if (kernel == getattr(model.mixer, name).kernel[...]).all()
        ]
        assert kept == kernels, preset


def test_convolutions():
    torch, normal = start(conv_init="torch"), start(conv_init="normal")
    assert touched(torch) == {"mixer.conv.kernel", "mixer.conv.bias"}
    assert touched(normal) == {"mixer.conv.kernel"}
    for values in (torch["mixer.conv.kernel"], torch["mixer.conv.bias"]):
        assert 0.45 < np.abs(values).max() <= W**-0.5
        assert values.std() == pytest.approx((3 * W) ** -0.5, rel=0.2)
    assert normal["mixer.conv.kernel"].std() == pytest.approx(0.02, rel=0.2)


def test_output_projections_are_divided_by_the_root_of_the_depth():
    found = start(init_residual=3)
    assert touched(found) == {"mixer.output.kernel", "mlp.down.kernel"}
    for path in touched(found):
        np.testing.assert_allclose(found[path], 6**-0.5, rtol=1e-6)
    both = start(init="normal", init_residual=3)
    assert both["mlp.down.kernel"].std() == pytest.approx(0.02 / 6**0.5, rel=0.05)


def test_the_keys_reach_a_model():
    settings = {"model.init": "normal", "model.conv_init": "torch", "model.init_residual": 2}
    config = label(changed(tiny("deltanet", {}), settings | {"model.conv_size": W, "model.dim": D}))
    model = prepare(config).make(nnx.Rngs(0).params())
    mixer = model.blocks[0].mixer
    assert mixer.qkv.linear.kernel.std() == pytest.approx(0.02, rel=0.1)
    assert mixer.output.kernel.std() == pytest.approx(0.02 / 2**0.5, rel=0.1)
    assert mixer.qkv.conv.kernel.std() == pytest.approx(12**-0.5, rel=0.1)
    assert model.head.kernel.std() == pytest.approx(0.02, rel=0.3)
