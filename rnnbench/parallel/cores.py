"""CPU devices, so that members train side by side on the cores. JAX has a single one unless it is told."""

import math
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

import jax
from ml_collections import ConfigDict

LIMIT = Path("/sys/fs/cgroup/cpu.max")  # of a container: microseconds of all cores in each period
CROWDED = 4  # devices that may share a core


def use(devices: int | None, configs: Iterable[ConfigDict]) -> None:
    """Sets the number of CPU devices, before JAX counts them; by default as many as all `configs` can use.

    A config with members for only some of them would split its batch over the others, with collectives in
    every step (see `mesh.readable`). So several configs get what divides the members of each.

    A number set for JAX, by JAX_NUM_CPU_DEVICES or XLA_FLAGS, stays, and so does one device per process where
    several processes share a run.
    """
    if devices is None:
        if jax.distributed.is_initialized() or jax.config.jax_num_cpu_devices >= 0:
            return
        if "xla_force_host_platform_device_count" in os.environ.get("XLA_FLAGS", ""):
            return
        devices = common(list(configs), cores())
    jax.config.update("jax_num_cpu_devices", devices)


def cores() -> int:
    """The cores that this process may use: fewer than the machine's under `taskset` or in a container."""
    here = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = map(int, LIMIT.read_text().split())
    except (OSError, ValueError):  # no container, or "max": no limit
        return here
    return min(here, max(1, math.ceil(quota / period)))


def common(configs: Sequence[ConfigDict], cores: int) -> int:
    """The devices for all of these configs."""
    devices = math.gcd(*(wanted(config, cores) for config in configs))
    needed = math.lcm(*(of_member(config) for config in configs))
    return devices if devices % needed == 0 else min(needed, cores)


def of_member(config: ConfigDict) -> int:
    """The devices that the config's mesh asks for each member."""
    return max(config.mesh.data, 1) * max(config.mesh.time, 1)


def wanted(config: ConfigDict, cores: int) -> int:
    """The devices of a config's mesh on so many cores; axes that the config sets get no more than that."""
    mesh, population = config.mesh, config.population
    each = of_member(config)
    if mesh.seed or each > cores:
        return min(max(mesh.seed, 1) * each, cores)
    members = len(population.learning_rates) * len(population.seeds)
    return each * side_by_side(members, cores // each)


def side_by_side(members: int, cores: int) -> int:
    """The devices that share the members evenly: one each, or the fewest that leave no core idle.

    9 members on 2 cores take 3 devices, because 2 do not divide them.
    """
    shares = [n for n in range(1, max(members, 1) + 1) if members % n == 0]
    busy = [n for n in shares if cores <= n <= CROWDED * cores]
    return min(busy, default=max(n for n in shares if n <= cores))
