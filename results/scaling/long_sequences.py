"""One mixer on a sequence of a million tokens, split over simulated devices: memory, and 8 devices against 1.

    python results/scaling/long_sequences.py

For DeltaNet, Mamba and the LRU it measures the bytes per device of the compiled forward and gradient, at
several lengths T and numbers of devices p. At the longest T it runs each once on 1 device and once on 8, and
compares the gradients of the parameters. It prints the tables of long_sequences.md beside it.
"""

import functools
import time

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.sharding import AxisType
from jax.sharding import PartitionSpec as P

from rnnbench.mixers import PRESETS

LENGTHS, DEVICES = (1 << 17, 1 << 18, 1 << 19, 1 << 20), (1, 2, 4, 8)
DIM = 8
OPTIONS = {
    "deltanet": {"heads": 1},
    "mamba": {"expand": 1, "state_dim": 4},
    "lru": {},
    "gpt": {"heads": 1},
    "lstm": {},
}
# A run of GPT takes T² steps, and one sequence goes through the LSTM's pipeline at 8 times the work.
LONGEST = {"gpt": 1 << 14, "lstm": 1 << 17}


def gradient(name, devices):
    """(jitted (params, x) -> (loss, gradient of params), params, the sharding of x [1, T, D])."""
    graphdef, params = nnx.split(PRESETS[name].mixer(DIM, rngs=nnx.Rngs(0), **OPTIONS[name]))
    mesh = jax.make_mesh((devices,), ("time",), axis_types=(AxisType.Auto,), devices=jax.devices()[:devices])

    def mean_square(params, x):
        y, _ = nnx.merge(graphdef, params)(x, axis_name="time")
        return jnp.sum(y**2) / (x.shape[1] * devices)

    def total(params, x):
        return jax.lax.psum(jax.value_and_grad(mean_square)(params, x), "time")

    by_time = P(None, "time")
    split = jax.shard_map(total, mesh=mesh, in_specs=(P(), by_time), out_specs=P(), check_vma=False)
    return jax.jit(split), params, jax.NamedSharding(mesh, by_time)


@functools.cache
def compiled(name, length, devices):
    fn, params, sharding = gradient(name, devices)
    x = jax.ShapeDtypeStruct((1, length, DIM), jnp.float32, sharding=sharding)
    return fn.lower(params, x).compile(), params, sharding


def mebibytes(name, length, devices):
    """What one device holds: its part of the input, the parameters, and everything in between."""
    memory = compiled(name, length, devices)[0].memory_analysis()
    return (memory.argument_size_in_bytes + memory.output_size_in_bytes + memory.temp_size_in_bytes) / 2**20


def run(name, length, devices):
    """(seconds, loss, gradient) at the first call of a compiled program."""
    fn, params, sharding = compiled(name, length, devices)
    x = jax.device_put(np.random.default_rng(0).normal(size=(1, length, DIM)).astype(np.float32), sharding)
    clock = time.perf_counter()
    loss, grads = jax.block_until_ready(fn(params, x))
    return time.perf_counter() - clock, float(loss), jax.tree.map(np.asarray, grads)


def main():
    jax.config.update("jax_num_cpu_devices", max(DEVICES))
    length, most = max(LENGTHS), max(DEVICES)
    points = [(length, p) for p in DEVICES] + [(shorter, most) for shorter in LENGTHS[-2::-1]]
    print(
        "| mixer | " + " | ".join(f"{n:,} / {p}" for n, p in points) + " |\n|---" + "|--:" * len(points) + "|"
    )
    for name in OPTIONS:
        row = [f"{mebibytes(name, *point):.1f}" for point in points]
        print(f"| {name} | " + " | ".join(row) + " |", flush=True)
    print(f"\n| mixer | T | loss, p = 1 | p = {most} | gradients differ by | seconds |")
    print("|---|--:|--:|--:|--:|--:|")
    for name in OPTIONS:
        length = LONGEST.get(name, max(LENGTHS))
        _, one_loss, one = run(name, length, 1)
        seconds, loss, many = run(name, length, most)
        apart = jax.tree.map(lambda a, b: float(np.abs(a - b).max() / np.abs(a).max()), one, many)
        worst = max(jax.tree.leaves(apart))
        print(
            f"| {name} | {length:,} | {one_loss:.6f} | {loss:.6f} | {worst:.1e} | {seconds:.0f} |", flush=True
        )


if __name__ == "__main__":
    main()
