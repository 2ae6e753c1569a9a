"""A nonlinear recurrence with its time split over a mesh axis: parts of the batch go through the devices.

Nothing shorter than the loop itself gives the state at the start of a device's piece of time. So device d
runs its piece for part m of the batch at tick d + m, from the state in which device d − 1 ended it the tick
before. M parts on p devices take M + p − 1 ticks, each of T/p steps on a part: every device is busy for M of
them. A tick's loop is run again for its gradient, so that a device keeps its inputs and outputs only.

Source: Huang et al. 2019, arXiv 1811.06965 (the schedule and the recomputation, there over layers).
"""

import jax
import jax.numpy as jnp

from rnnbench.ops import over_time


def pipelined(op, x, state, axis_name):
    """(y, final state) of `op(x, state) -> (y, final state)`, a recurrence on one device.

    x, y: pytrees of [B, T/p, ...], this device's piece; states: pytrees of [B, ...], of the whole sequence
    and the same on all devices. The batch is cut into the most parts that it has up to p.
    """
    batch = jax.tree.leaves(state)[0].shape[0]
    devices, device = jax.lax.axis_size(axis_name), jax.lax.axis_index(axis_name)
    parts = max(n for n in range(1, devices + 1) if batch % n == 0)
    # A part has sequences from everywhere in the batch, which may be split over devices itself.
    cut = lambda leaf: jnp.swapaxes(leaf.reshape(-1, parts, *leaf.shape[1:]), 0, 1)
    x, state = over_time.varying(jax.tree.map(cut, (x, state)), axis_name)
    of_part = lambda tree, i: jax.tree.map(lambda leaf: jax.lax.dynamic_index_in_dim(leaf, i, 0, False), tree)
    run = jax.checkpoint(lambda x, part, state: op(of_part(x, part), state), prevent_cse=False)

    def tick(carry, now):
        arrived, done = carry
        part = jnp.clip(now - device, 0, parts - 1)
        first = lambda own, arrived: jnp.where(device == 0, own, arrived)
        before = jax.tree.map(first, of_part(state, part), arrived)
        found = run(x, part, before)
        # Before its first part and after its last a device runs for nothing.
        mine = (now >= device) & (now < device + parts)
        keep = lambda all, new: all.at[part].set(jnp.where(mine, new, all[part]))
        return (over_time.shift(found[1], axis_name), jax.tree.map(keep, done, found)), None

    start = of_part(state, 0)
    done = jax.eval_shape(op, of_part(x, 0), start)
    done = jax.tree.map(lambda leaf: jnp.zeros((parts, *leaf.shape), leaf.dtype), done)
    carry = over_time.varying((start, done), axis_name)
    (_, done), _ = jax.lax.scan(tick, carry, jnp.arange(parts + devices - 1))
    y, last = jax.tree.map(lambda leaf: jnp.swapaxes(leaf, 0, 1).reshape(batch, *leaf.shape[2:]), done)
    return y, over_time.of_last(last, axis_name)
