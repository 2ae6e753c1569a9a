"""Time split over a mesh axis: every op on p devices against the loops of naive.py, as on one device."""

import functools
import runpy
from pathlib import Path
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import assert_trees_close
from jax.sharding import AxisType
from jax.sharding import PartitionSpec as P
from test_ops import CASES, OPS, normal, options_of, scaled

from rnnbench.ops import naive, over_time
from rnnbench.ops.recurrent import recurrent

LENGTH = 32  # 4 tokens a device on 8 devices
CHECKED = 2  # on so many devices shard_map checks which values vary; the trainer's does not


def mesh_of(devices):
    return jax.make_mesh((devices,), ("time",), axis_types=(AxisType.Auto,), devices=jax.devices()[:devices])


def split(x):
    """The spec of an input: [B, T, ...] goes by time; parameters, states and what is constant do not."""
    return P(None, "time") if np.ndim(x) > 1 and x.shape[1] == LENGTH else P()


def over_devices(op, devices, inputs, reset):
    """`op` with its time split over devices: whole arrays in, (whole y, final state) out."""
    op = functools.partial(op, axis_name="time")
    on_one = lambda reset, *inputs: op(*inputs) if reset is None else op(*inputs, reset=reset)
    specs = tuple(None if x is None else split(x) for x in (reset, *inputs))
    out_specs, check = (P(None, "time"), P()), devices == CHECKED
    op_split = jax.shard_map(
        on_one, mesh=mesh_of(devices), in_specs=specs, out_specs=out_specs, check_vma=check
    )
    return functools.partial(op_split, reset)


def outputs_and_gradients(op, devices, inputs, weights, reset=None, **options):
    op = functools.partial(op, **options)

    def loss(*inputs):
        outputs = over_devices(op, devices, inputs, reset)(*inputs)
        return naive.weighted_sum(outputs, weights), outputs

    with_gradients = jax.value_and_grad(loss, argnums=tuple(range(len(inputs))), has_aux=True)
    (_, outputs), gradients = jax.jit(with_gradients)(*inputs)
    return outputs, gradients


# Compiling is what takes the time: one device is tried with the last kind of each op only.
EVERYWHERE = [(*case, 8) for case in CASES]
EVERYWHERE += [pytest.param(*case, CHECKED, marks=pytest.mark.slow) for case in CASES]
EVERYWHERE += [(name, row[3][-1], 1) for name, row in OPS.items()]


@pytest.mark.parametrize(("name", "kind", "devices"), EVERYWHERE)
def test_outputs_state_and_all_gradients(name, kind, devices):
    op, spec, make, _, _ = OPS[name]
    inputs, options = make(LENGTH, kind), options_of(kind, LENGTH)
    expected = naive.values(spec, *inputs, **options)
    rng = np.random.default_rng(0)
    weights = tuple(normal(rng, *x.shape) * (1 + 0.5j if np.iscomplexobj(x) else 1) for x in expected)
    expected_gradients = naive.gradients(spec, weights, *inputs, **options)
    found = outputs_and_gradients(op, devices, inputs, weights, **options)
    assert_trees_close(scaled(found[0], expected), scaled(expected, expected), atol=5e-6)
    assert_trees_close(
        scaled(found[1], expected_gradients), scaled(expected_gradients, expected_gradients), atol=2e-5
    )


@pytest.mark.parametrize("devices", [1, 2, 3, 5, 8])
def test_state_at_start_is_the_loop_over_devices_in_logarithmic_rounds(devices):
    rng = np.random.default_rng(devices)
    transition, written = normal(rng, devices, 3, 3), normal(rng, devices, 3, 2)
    state, expected = normal(rng, 3, 2), []
    for i in range(devices):
        expected.append(state if i == 0 else transition[i - 1] @ expected[-1] + written[i - 1])

    def start(transition, written, state):
        times = functools.partial(jnp.matmul, precision="highest")
        return over_time.state_at_start(transition[0], written[0], state, "time", times)[None]

    specs = (P("time"), P("time"), P())
    fn = jax.jit(jax.shard_map(start, mesh=mesh_of(devices), in_specs=specs, out_specs=P("time")))
    np.testing.assert_allclose(fn(transition, written, state), np.stack(expected), rtol=1e-4, atol=1e-5)
    rounds = 1 + int(
        np.ceil(np.log2(devices))
    )  # of the pair, or of S alone where M is not asked for any more
    sent = fn.lower(transition, written, state).compile().as_text().count(" collective-permute(")
    assert sent == (2 * rounds - 1 if devices > 1 else 0)


@pytest.mark.parametrize("length", [8, 16, 32])  # 1, 2 and 4 inputs a device: less than the tail, and more
def test_the_tail_before_each_device(length):
    width = 3
    x, tail = np.arange(length, dtype=np.float32)[None], -np.arange(width, 0, -1, dtype=np.float32)[None]
    whole = np.concatenate([tail, x], axis=1)
    find = functools.partial(over_time.tail_before, axis_name="time")
    specs = (P(None, "time"), P())
    found = jax.shard_map(find, mesh=mesh_of(8), in_specs=specs, out_specs=P(None, "time"))(x, tail)
    part = length // 8
    expected = [whole[:, i * part : i * part + width] for i in range(8)]
    np.testing.assert_array_equal(found, np.concatenate(expected, axis=1))


def long_sequences():
    path = Path(__file__).parents[2] / "results" / "scaling" / "long_sequences.py"
    return SimpleNamespace(**runpy.run_path(str(path)))


@pytest.mark.slow
def test_memory_of_attention_goes_with_the_part_of_the_sequence_too():
    """But for one pair of blocks; with all scores of a device it would be a hundred times as much."""
    mebibytes, length = functools.partial(long_sequences().mebibytes, "gpt"), 1 << 17
    eighth = mebibytes(length, 8)
    assert mebibytes(length, 2) > 3 * eighth
    assert mebibytes(2 * length, 8) < 2 * eighth < 20


@pytest.mark.slow
@pytest.mark.parametrize("name", ["deltanet", "mamba", "lru", "lstm"])
def test_memory_of_a_device_goes_with_its_part_of_the_sequence(name):
    """As results/scaling/long_sequences.md has it for a million tokens, here at a fraction of the length."""
    script = long_sequences()
    length = 1 << 15
    eighth = script.mebibytes(name, length, 8)
    assert script.mebibytes(name, length, 2) / eighth == pytest.approx(4, rel=0.1)
    assert script.mebibytes(name, 2 * length, 8) / eighth == pytest.approx(2, rel=0.1)
    loss, grads = script.run(name, length, 8)[1:]
    expected_loss, expected = script.run(name, length, 2)[1:]
    assert loss == pytest.approx(expected_loss, rel=1e-4)
    assert_trees_close(scaled(grads, expected), scaled(expected, expected), rtol=1e-3, atol=1e-4)


def test_a_pipeline_over_the_batch_equals_the_loop():
    """6 sequences are 3 parts on 4 devices; outputs, final state and all gradients, with resets."""
    rng = np.random.default_rng(0)
    batch, length, dim = 6, 12, 3
    x, state = normal(rng, batch, length, dim), {"h": normal(rng, batch, dim)}
    U, reset = normal(rng, dim, dim), rng.uniform(size=(batch, length)) < 0.2
    weights = normal(rng, batch, length, dim), normal(rng, batch, dim)

    def cell(U, state, x):
        h = jnp.tanh(state["h"] @ U + x)
        return {"h": h}, h * x

    def on(devices):
        by_time, axis_name = P(None, "time"), "time" if devices > 1 else None
        run = lambda U, x, state, reset: recurrent(cell, U, x, state, reset=reset, axis_name=axis_name)
        specs, out_specs = (P(), by_time, P(), by_time), (by_time, P())
        split = jax.shard_map(
            run, mesh=mesh_of(devices), in_specs=specs, out_specs=out_specs, check_vma=False
        )

        def loss(U, x, state):
            y, last = split(U, x, state, reset)
            return jnp.sum(y * weights[0]) + jnp.sum(last["h"] * weights[1]), (y, last)

        return jax.jit(jax.value_and_grad(loss, argnums=(0, 1, 2), has_aux=True))(U, x, state)

    assert_trees_close(on(4), on(1), rtol=1e-4, atol=1e-5)
