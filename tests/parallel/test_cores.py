"""How many devices the CPU becomes: by cores, members and the mesh that is asked for."""

import os
from types import SimpleNamespace

import pytest
from helpers import tiny

from rnnbench.config.build import changed
from rnnbench.parallel import cores

pytestmark = pytest.mark.fast


@pytest.mark.parametrize(
    "members, available, devices",
    [
        (1, 16, 1),
        (6, 1, 1),
        (6, 2, 2),
        (6, 4, 6),  # 3 would leave a core idle
        (6, 16, 6),
        (16, 16, 16),
        (9, 2, 3),
        (5, 2, 5),
        (11, 2, 1),  # 11 would crowd a core
        (25, 8, 25),
        (27, 8, 9),
        (64, 16, 16),
    ],
)
def test_members_side_by_side(members, available, devices):
    assert cores.side_by_side(members, available) == devices


@pytest.mark.parametrize(
    "mesh, available, devices",
    [
        ({}, 4, 4),
        ({"mesh.data": 2}, 4, 4),
        ({"mesh.data": 2}, 2, 2),
        ({"mesh.time": 4}, 2, 2),  # refused by the mesh: 4 do not fit on 2
        ({"mesh.seed": 2}, 16, 2),
        ({"mesh.seed": 4, "mesh.data": 2}, 4, 4),
    ],
)
def test_devices_of_a_mesh(mesh, available, devices):
    free = {"mesh.seed": 0, "mesh.data": 0, "population.seeds": (0, 1, 2, 3)}
    assert cores.wanted(changed(tiny("lstm", {}), free | mesh), available) == devices


@pytest.mark.parametrize(
    "meshes, available, devices",
    [
        ([{}, {}], 4, 4),
        ([{}, {"population.seeds": (0, 1)}], 4, 2),
        ([{"population.seeds": (0, 1, 2)}, {"mesh.data": 2}], 2, 2),  # 3 and 2 have no common divisor
        ([{"mesh.time": 2}, {"mesh.data": 3}], 8, 6),
    ],
)
def test_devices_of_several_configs(meshes, available, devices):
    free = {"mesh.seed": 0, "mesh.data": 0, "population.seeds": (0, 1, 2, 3)}
    configs = [changed(tiny("lstm", {}), free | mesh) for mesh in meshes]
    assert cores.common(configs, available) == devices


@pytest.mark.parametrize(
    "limit, expected", [("max 100000", 8), ("250000 100000", 3), ("50000 100000", 1), ("1600000 100000", 8)]
)
def test_cores_of_a_container(monkeypatch, tmp_path, limit, expected):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    monkeypatch.setattr(cores, "LIMIT", tmp_path / "cpu.max")
    assert cores.cores() == 8
    (tmp_path / "cpu.max").write_text(f"{limit}\n")
    assert cores.cores() == expected


@pytest.mark.parametrize(
    "given, in_jax, flags, several, expected",
    [
        (None, -1, "", False, [2]),
        (5, -1, "", False, [5]),
        (5, 2, "", True, [5]),
        (None, 2, "", False, []),
        (None, -1, "--xla_force_host_platform_device_count=4", False, []),
        (None, -1, "", True, []),
    ],
)
def test_what_the_user_has_set_stays(monkeypatch, given, in_jax, flags, several, expected):
    found = []
    config = SimpleNamespace(
        jax_num_cpu_devices=in_jax, update=lambda name, value: found.append((name, value))
    )
    distributed = SimpleNamespace(is_initialized=lambda: several)
    monkeypatch.setattr(cores, "jax", SimpleNamespace(config=config, distributed=distributed))
    monkeypatch.setattr(cores, "cores", lambda: 16)
    monkeypatch.setenv("XLA_FLAGS", flags)
    run = lambda seeds: changed(tiny("lstm", {}), {"mesh.seed": 0, "population.seeds": tuple(range(seeds))})
    cores.use(given, [run(4), run(6)])  # 2 divides the members of both
    assert found == [("jax_num_cpu_devices", number) for number in expected]
