"""What comes back from disk is what was saved, bit for bit, or an error that says what to do."""

import gc
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rnnbench.train.checkpoint import SEAL, CheckpointError, Checkpoints


def sharding(devices):
    mesh = jax.make_mesh(
        (devices,), ("seed",), axis_types=(jax.sharding.AxisType.Auto,), devices=jax.devices()[:devices]
    )
    return jax.sharding.NamedSharding(mesh, jax.P("seed")), jax.sharding.NamedSharding(mesh, jax.P())


def make_state(devices=1, seed=0):
    members, replicated = sharding(devices)
    key = jax.random.key(seed)
    state = {
        "params": {
            "kernel": jax.random.normal(key, (8, 64, 33)),
            "scale": jnp.full((8, 5), 1.5, jnp.bfloat16),
        },
        "moments": (jax.random.normal(key, (8, 3)) * 1e-30, jnp.arange(8, dtype=jnp.int8)),
        "phase": jnp.array([1 + 2j] * 8, jnp.complex64),
        "key": jax.random.split(key, 8),
        "diverged": jnp.array([False, True] * 4),
    }
    return {**jax.device_put(state, members), "step": jax.device_put(jnp.int32(seed), replicated)}


def like(devices=1):
    members, replicated = sharding(devices)
    shapes = jax.eval_shape(make_state)
    return {
        name: jax.tree.map(
            lambda leaf: jax.ShapeDtypeStruct(
                leaf.shape, leaf.dtype, sharding=replicated if leaf.shape == () else members
            ),
            part,
        )
        for name, part in shapes.items()
    }


def assert_same_bits(actual, expected):
    assert jax.tree.structure(actual) == jax.tree.structure(expected)
    for one, other in zip(jax.tree.leaves(actual), jax.tree.leaves(expected), strict=True):
        assert one.dtype == other.dtype
        if jax.dtypes.issubdtype(one.dtype, jax.dtypes.prng_key):
            one, other = jax.random.key_data(one), jax.random.key_data(other)
        assert np.asarray(one).tobytes() == np.asarray(other).tobytes()


def saved(folder, steps=(1, 2), devices=1):
    checkpoints = Checkpoints(folder)
    for step in steps:
        checkpoints.save(step, make_state(devices, step), {"train_seconds": step * 0.1})
    checkpoints.close()
    return Checkpoints(folder)


@pytest.mark.parametrize("before, after", [(1, 1), (8, 8), (8, 1), (1, 8), (8, 2)])
def test_round_trip(tmp_path, before, after):
    checkpoints = saved(tmp_path / "checkpoints", devices=before)
    target = like(after)
    assert (tmp_path / "checkpoints" / "2" / SEAL).exists()
    state, extra, step = checkpoints.restore(target)
    assert (extra, step) == ({"train_seconds": 0.2}, 2)
    assert_same_bits(state, make_state(1, 2))
    assert jax.tree.map(lambda x: x.sharding, state) == jax.tree.map(lambda x: x.sharding, target)


def test_the_state_may_be_donated_while_it_is_saved(tmp_path):
    advance = jax.jit(lambda x: x + 1, donate_argnums=0)
    state = advance(jnp.zeros((1000, 1000)))
    checkpoints = Checkpoints(tmp_path / "checkpoints")
    checkpoints.save(1, {"x": state}, {})
    for _ in range(20):
        state = advance(state)
    checkpoints.wait()
    target = {"x": jax.ShapeDtypeStruct((1000, 1000), jnp.float32, sharding=sharding(1)[1])}
    assert jnp.all(checkpoints.restore(target)[0]["x"] == 1)
    checkpoints.close()


def test_only_the_newest_are_kept(tmp_path):
    checkpoints = saved(tmp_path / "checkpoints", steps=(1, 2, 3, 5))
    assert sorted(path.name for path in (tmp_path / "checkpoints").iterdir()) == ["3", "5"]
    assert checkpoints.latest() == 5
    checkpoints.save(5, make_state(1, 7), {})  # already there: kept
    assert int(checkpoints.restore(like())[0]["step"]) == 5
    with pytest.raises(ValueError, match="before the newest"):
        checkpoints.save(4, make_state(1, 4), {})
    checkpoints.save(8, make_state(1, 8), {})
    checkpoints.wait()
    assert checkpoints.latest() == 8
    checkpoints.close()


def test_reading_where_nothing_is_writes_nothing(tmp_path):
    checkpoints = Checkpoints(tmp_path / "run" / "checkpoints")
    assert checkpoints.latest() is None
    with pytest.raises(CheckpointError, match="no checkpoint"):
        checkpoints.restore(like())
    checkpoints.close()
    assert list(tmp_path.iterdir()) == []


def truncate(file):
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def flip_a_bit(file):
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def largest(folder):
    return max((path for path in folder.rglob("*") if path.is_file()), key=lambda path: path.stat().st_size)


@pytest.mark.parametrize(
    "damage",
    [
        lambda step: truncate(largest(step)),
        lambda step: flip_a_bit(largest(step)),
        lambda step: largest(step).unlink(),
        lambda step: truncate(step / "extra" / "metadata"),
        lambda step: truncate(step / "state" / "_METADATA"),
        lambda step: flip_a_bit(step / "state" / "manifest.ocdbt"),
        lambda step: truncate(step / SEAL),
        lambda step: [path.unlink() for path in sorted(step.rglob("*")) if path.is_file()],
    ],
    ids=["half", "bit", "gone", "extra", "metadata", "manifest", "seal", "empty"],
)
def test_a_corrupt_checkpoint_is_named_and_never_skipped(tmp_path, damage, capfd):
    checkpoints = saved(tmp_path / "checkpoints")
    damage(tmp_path / "checkpoints" / "2")
    with pytest.raises(CheckpointError) as caught:
        checkpoints.restore(like())
    message = str(caught.value)
    assert str(tmp_path / "checkpoints" / "2") in message and "\n" not in message
    assert "delete this folder to fall back to step 1" in message
    del caught
    gc.collect()
    assert capfd.readouterr() == ("", "")  # the error is all that a user gets to see
    for path in sorted((tmp_path / "checkpoints" / "2").rglob("*"), reverse=True):
        path.unlink() if path.is_file() else path.rmdir()
    (tmp_path / "checkpoints" / "2").rmdir()
    state, _, step = Checkpoints(tmp_path / "checkpoints").restore(like())
    assert step == 1
    assert_same_bits(state, make_state(1, 1))


def test_another_shape_is_refused(tmp_path):
    checkpoints = saved(tmp_path / "checkpoints", steps=(1,))
    target = like()
    target["phase"] = jax.ShapeDtypeStruct((9,), jnp.complex64, sharding=sharding(1)[1])
    with pytest.raises(CheckpointError, match=r"phase.*\[8\] there.*\[9\] in this.*beginning"):
        checkpoints.restore(target)


KILLED = """
    import os, signal, sys
    import jax.numpy as jnp
    from rnnbench.train.checkpoint import Checkpoints

    checkpoints = Checkpoints(sys.argv[1])
    checkpoints.save(1, {"x": jnp.ones((2000, 2000))}, {"n": 1})
    checkpoints.wait()
    checkpoints.save(2, {"x": jnp.ones((2000, 2000))}, {"n": 2})
    print(os.listdir(sys.argv[1]), flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_kill_in_mid_save_leaves_the_one_before(tmp_path):
    folder = tmp_path / "checkpoints"
    root = Path(__file__).parents[2]
    child = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(KILLED), str(folder)],
        env={**os.environ, "JAX_PLATFORMS": "cpu", "PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert child.returncode == -signal.SIGKILL, child.stderr
    assert child.stderr == ""
    left = {path.name for path in folder.iterdir()}
    assert "1" in left and "2" not in left and len(left) == 2, left  # the other is the unfinished one
    checkpoints = Checkpoints(folder)
    target = {"x": jax.ShapeDtypeStruct((2000, 2000), jnp.float32, sharding=sharding(1)[1])}
    state, extra, step = checkpoints.restore(target)
    assert (extra, step) == ({"n": 1}, 1) and jnp.all(state["x"] == 1)
    assert {path.name for path in folder.iterdir()} == left  # reading cleans nothing up
    checkpoints.save(2, state, {"n": 2})
    checkpoints.close()
    assert {path.name for path in folder.iterdir()} == {"1", "2"}
