"""The mesh of devices, and the shardings on it.

Axes of the mesh: `seed` splits the members of a population, `data` the batch, `time` the sequence.
"""

import os
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding
from jax.sharding import PartitionSpec as P
from ml_collections import ConfigDict

from rnnbench.config import ConfigError


def keep_compiled(folder: str | None) -> None:
    """Keeps compiled programs in `folder` (None: the user's cache; "off": nowhere) for later starts."""
    if folder is None:
        caches = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
        folder = "off" if caches.startswith("~") else os.path.join(caches, "rnnbench")  # no home folder
    if folder == "off":
        return
    jax.config.update("jax_compilation_cache_dir", folder)
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.2)


def quickly(level: int) -> dict[str, Any] | None:
    """Options for compiling with less optimisation on the CPU, for programs that run only now and then.

    A level in XLA_FLAGS stays.
    """
    option = "xla_backend_optimization_level"
    own = jax.default_backend() != "cpu" or option in os.environ.get("XLA_FLAGS", "")
    return None if own else {option: level}


def make_mesh(config: ConfigDict, members: int, batch_size: int) -> Mesh:
    """The mesh (seed, data, time) of `config.mesh`; an axis of 0 = gcd(its work, devices left)."""
    devices = len(jax.devices()) // config.time
    if not devices:
        raise ConfigError("mesh.time", f"{config.time} devices over time do not fit on {len(jax.devices())}")

    def most(work: int, available: int) -> int:
        return max(n for n in range(1, available + 1) if work % n == 0 and available % n == 0)

    seed = config.seed or most(members, devices // max(config.data, 1) or 1)
    data = config.data or most(batch_size, devices // seed or 1)
    if members % seed:
        raise ConfigError("mesh.seed", f"must divide the {members} members of the population; it is {seed}")
    if batch_size % data:
        raise ConfigError(
            "mesh.data", f"must divide the {batch_size} sequences of a (micro)batch; it is {data}"
        )
    if seed * data > devices:
        axis = "mesh.seed" if config.seed else "mesh.data"
        each = f" of {config.time} over time" if config.time > 1 else ""
        raise ConfigError(
            axis, f"a mesh of {seed} x {data} devices{each} does not fit on {len(jax.devices())}"
        )
    return jax.make_mesh(
        (seed, data, config.time),
        ("seed", "data", "time"),
        axis_types=(AxisType.Auto,) * 3,
        devices=spread(jax.devices(), seed * data * config.time),
    )


def spread(devices: list[jax.Device], count: int) -> list[jax.Device]:
    """The first `count` devices, evenly over processes, because every process needs at least one."""
    by_process: dict[int, list[jax.Device]] = {}
    for device in devices:
        by_process.setdefault(device.process_index, []).append(device)
    each, rest = divmod(count, len(by_process))
    if rest or any(each > len(mine) for mine in by_process.values()):
        raise ConfigError(
            "mesh.data",
            f"a mesh of {count} devices cannot be spread evenly over {len(by_process)} processes; set "
            "mesh.seed and mesh.data so that every process gets the same number of devices",
        )
    return [device for mine in by_process.values() for device in mine[:each]]


def members_mode(config: ConfigDict) -> str:
    """How a device runs its members: one by one on CPU, where weight-batched matmuls are slow."""
    if config.members != "auto":
        return config.members
    return "map" if jax.default_backend() == "cpu" else "vmap"


def over_members(fn: Callable[[Any, Any], Any], mesh: Mesh, mode: str) -> Callable[[Any, Any], Any]:
    """`fn(member, shared)` for every member of a population: trees with a leading member axis in and out.

    The members are split over the mesh axis `seed` by shard_map, so that a `map` runs over the local
    ones only. `fn` may split its sequences over `time` (see `time_axis`), and its results must be the same
    on all devices of that axis; `data` is left to the compiler (see `shard_batch`).
    """

    def local(members: Any, shared: Any) -> Any:
        if mode == "map":
            return jax.lax.map(lambda member: fn(member, shared), members)
        return jax.vmap(fn, in_axes=(0, None))(members, shared)

    return jax.shard_map(
        local,
        mesh=mesh,
        in_specs=(P("seed"), P()),
        out_specs=P("seed"),
        axis_names={"seed", "time"},
        check_vma=False,
    )


def shard_batch(tree: Any) -> Any:
    """Splits the leading (batch) axis over the mesh axis `data`; for use inside `over_members`."""
    sharding = NamedSharding(jax.sharding.get_abstract_mesh(), P("data"))
    return jax.lax.with_sharding_constraint(tree, sharding)


def time_axis(mesh: Mesh) -> str | None:
    """The axis over which a model's time is split inside `over_members`; None if it is not split."""
    return "time" if mesh.shape["time"] > 1 else None


def part_of_time(tree: Any, axis_name: str | None) -> Any:
    """This device's part [B, ⌈T/p⌉, ...] of arrays [B, T, ...] that all devices have; zeros after the end."""
    if axis_name is None:
        return tree
    parts = jax.lax.axis_size(axis_name)

    def part(x: jax.Array) -> jax.Array:
        length = -(-x.shape[1] // parts)
        x = jnp.pad(x, [(0, 0), (0, parts * length - x.shape[1])] + [(0, 0)] * (x.ndim - 2))
        return jax.lax.dynamic_slice_in_dim(x, jax.lax.axis_index(axis_name) * length, length, axis=1)

    return jax.tree.map(part, tree)


def whole_time(tree: Any, length: int, axis_name: str | None) -> Any:
    """The inverse of `part_of_time`."""
    if axis_name is None:
        return tree
    gather = lambda x: jax.lax.all_gather(x, axis_name, axis=1, tiled=True)[:, :length]
    return jax.tree.map(gather, tree)


def sum_over_time(tree: Any, axis_name: str | None) -> Any:
    """The sum over the devices that hold the parts of time."""
    return tree if axis_name is None else jax.lax.psum(tree, axis_name)


def by_member(mesh: Mesh) -> NamedSharding:
    """The sharding of a tree with a leading member axis."""
    return NamedSharding(mesh, P("seed"))


def by_batch(mesh: Mesh) -> NamedSharding:
    """The sharding of a batch [B, ...]."""
    return NamedSharding(mesh, P("data"))


def by_member_and_batch(mesh: Mesh) -> NamedSharding:
    """The sharding of a tree with a member axis followed by a batch axis."""
    return NamedSharding(mesh, P("seed", "data"))


def by_member_in_parts(mesh: Mesh, shape: tuple[int, ...]) -> NamedSharding:
    """The sharding of a leaf [members, ...] of parameters or optimiser state that is split over `data` too.

    Its longest axis that the number of devices divides is split; a leaf without such an axis is replicated.
    """
    return NamedSharding(mesh, P("seed", *_longest(shape[1:], mesh.shape["data"])))


def in_parts(tree: Any) -> Any:
    """Constrains one member's leaves to the layout of `by_member_in_parts`; for use inside `over_members`."""
    mesh = jax.sharding.get_abstract_mesh()

    def place(leaf: jax.Array) -> jax.Array:
        parts = P(*_longest(leaf.shape, mesh.shape["data"]))
        return jax.lax.with_sharding_constraint(leaf, NamedSharding(mesh, parts))

    return jax.tree.map(place, tree)


def _longest(shape: tuple[int, ...], devices: int) -> list[str | None]:
    """The partition over `data` of the longest axis that the number of devices divides."""
    lengths = [length if length % devices == 0 else 0 for length in shape]
    longest = lengths.index(max(lengths)) if any(lengths) else None
    return ["data" if i == longest else None for i in range(len(shape))]


def everywhere(mesh: Mesh) -> NamedSharding:
    """Replicated."""
    return NamedSharding(mesh, P())


def readable(mesh: Mesh) -> NamedSharding:
    """The sharding of results [members, ...] that every process reads: replicated where there are several.

    In one process the members stay where they are. XLA's CPU devices share one pool of threads, and a
    collective blocks a thread until all devices have come to it: several at once can block all of them.
    """
    return everywhere(mesh) if jax.process_count() > 1 else by_member(mesh)


def to_host(tree: Any) -> Any:
    """`readable` arrays as NumPy arrays."""
    return jax.tree.map(np.asarray, tree)
