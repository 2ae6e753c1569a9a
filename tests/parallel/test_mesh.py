"""The mesh that a config gets, and how members run on it."""

from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rnnbench.config import ConfigError
from rnnbench.config.build import base
from rnnbench.parallel import mesh as meshes

pytestmark = pytest.mark.fast


def mesh_config(seed=0, data=0, members="auto", time=1):
    config = base().mesh
    config.seed, config.data, config.members, config.time = seed, data, members, time
    return config


@pytest.mark.parametrize(
    "members,batch_size,seed,data,expected",
    [
        (1, 64, 0, 0, (1, 8)),
        (2, 64, 0, 0, (2, 4)),
        (8, 64, 0, 0, (8, 1)),
        (12, 64, 0, 0, (4, 2)),
        (3, 64, 0, 0, (1, 8)),  # 3 does not divide 8 devices
        (3, 64, 3, 0, (3, 2)),
        (3, 9, 3, 0, (3, 1)),
        (4, 6, 0, 0, (4, 2)),
        (4, 64, 0, 8, (1, 8)),
        (4, 64, 0, 2, (4, 2)),
        (4, 64, 2, 1, (2, 1)),
        (1, 1, 0, 0, (1, 1)),
    ],
)
def test_mesh(members, batch_size, seed, data, expected):
    mesh = meshes.make_mesh(mesh_config(seed, data), members, batch_size)
    assert mesh.axis_names == ("seed", "data", "time")
    assert mesh.devices.shape == (*expected, 1)
    assert mesh.devices.size == len(set(mesh.devices.flat))


@pytest.mark.parametrize(
    "members,batch_size,seed,data,key",
    [
        (4, 64, 3, 0, "mesh.seed"),
        (16, 64, 16, 0, "mesh.seed"),
        (4, 64, 4, 4, "mesh.seed"),
        (4, 64, 0, 3, "mesh.data"),
        (1, 64, 0, 16, "mesh.data"),
    ],
)
def test_a_mesh_that_cannot_be_names_its_flag(members, batch_size, seed, data, key):
    with pytest.raises(ConfigError) as error:
        meshes.make_mesh(mesh_config(seed, data), members, batch_size)
    assert error.value.key == key
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "seed,data,time,expected", [(0, 0, 2, (2, 2, 2)), (0, 0, 8, (1, 1, 8)), (1, 2, 3, (1, 2, 3))]
)
def test_devices_over_time_come_first(seed, data, time, expected):
    mesh = meshes.make_mesh(mesh_config(seed, data, time=time), members=2, batch_size=64)
    assert mesh.devices.shape == expected
    assert meshes.time_axis(mesh) == "time"


@pytest.mark.parametrize("seed,data,time,key", [(0, 0, 9, "time"), (2, 0, 8, "seed"), (0, 4, 4, "data")])
def test_too_many_devices_over_time(seed, data, time, key):
    with pytest.raises(ConfigError, match=f"--config.mesh.{key}: .* over time .*not fit on 8"):
        meshes.make_mesh(mesh_config(seed, data, time=time), members=2, batch_size=64)


@pytest.mark.parametrize("length", [8, 9, 3])
def test_parts_of_time_make_the_whole(length):
    mesh = meshes.make_mesh(mesh_config(1, 1, time=4), 1, 1)
    x = jnp.arange(1, 2 * length + 1).reshape(1, 2, length)
    part = lambda member, _: meshes.part_of_time(member, "time")
    whole = lambda member, _: meshes.whole_time(part(member, _), length, "time")
    total = lambda member, _: meshes.sum_over_time(part(member, _).sum(), "time")
    run = lambda fn: jax.jit(meshes.over_members(fn, mesh, "map"))(x, 0)
    np.testing.assert_array_equal(run(whole), x)
    assert int(run(total)[0]) == int(x.sum())


@pytest.mark.parametrize("count, expected", [(8, "0123 4567"), (4, "01 45"), (2, "0 4")])
def test_every_process_has_its_share_of_a_mesh(count, expected):
    devices = [SimpleNamespace(id=i, process_index=i // 4) for i in range(8)]
    found = [device.id for device in meshes.spread(devices, count)]
    assert found == [int(i) for i in expected.replace(" ", "")]
    with pytest.raises(ConfigError, match="3 devices cannot be spread evenly over 2 processes"):
        meshes.spread(devices, 3)


def test_members_mode(monkeypatch):
    assert meshes.members_mode(mesh_config()) == "map"
    assert meshes.members_mode(mesh_config(members="vmap")) == "vmap"
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert meshes.members_mode(mesh_config()) == "vmap"
    assert meshes.members_mode(mesh_config(members="map")) == "map"


@pytest.mark.parametrize("mode", ["map", "vmap"])
def test_over_members_gives_each_its_own_and_all_the_shared(mode):
    mesh = meshes.make_mesh(mesh_config(4, 2), 8, 8)
    fn = jax.jit(meshes.over_members(lambda member, shared: 10 * member + shared, mesh, mode))
    members = np.arange(8)
    np.testing.assert_array_equal(fn(members, np.int32(3)), 10 * members + 3)
