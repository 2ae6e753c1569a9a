"""Measures how long a trained member keeps a bit, by its weights and by its answers, and writes leak.jsonl.

    python results/parity_leak/leak.py runs/parity_leak/cells/* [RUN ...]

By the weights: in a model of one block without convolution what enters the mixer depends on the token alone,
so its recurrence is S_t = A_x S_{t-1} + B_x with two fixed pairs (A_0, B_0), (A_1, B_1). Let p_t be 1 after
an even number of ones, −1 after an odd one. Over random bits p_{t-1} has mean 0 and is independent of x_t, so

    E[p_t S_t] = M E[p_{t-1} S_{t-1}]  with  M = ½ (A_0 − A_1)

from the second token on. Let ρ be M's greatest eigenvalue. What the state knows of the parity shrinks by ρ
with each token and lasts τ = −1 / log ρ tokens. For DeltaNet's head M = ½ (β_1 k_1 k_1ᵀ − β_0 k_0 k_0ᵀ), at
best ρ = β_1 / 2; for a channel of Mamba M = ½ (Ā_0 − Ā_1). The greatest ρ of all heads or channels counts.

By the answers: the first position of a stream at which fewer than 0.95 are right, or its length.
"""

import argparse
import dataclasses
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from rnnbench import long_streams, notebook
from rnnbench.mixers.deltanet import normalise
from rnnbench.mixers.mamba import Mamba
from rnnbench.store.rows import read_jsonl, write_jsonl
from rnnbench.train import evaluate

ROWS = Path(__file__).with_name("leak.jsonl")
LENGTH, SEQUENCES, PIECE, RIGHT = 20_000, 64, 1000, 0.95


def lasts(model):
    """τ in tokens of a trained one-block model."""
    M = shrinkage(model)
    rho = M.max() if isinstance(model.blocks[0].mixer, Mamba) else np.linalg.eigvalsh(M).max()
    return float(-1 / np.log(rho))


def shrinkage(model):
    """M: for DeltaNet [H, K, K], for Mamba the diagonal, [E, N]."""
    (block,) = model.blocks
    x, mixer = block.norm(model.embed(jnp.array([[0], [1]]))), block.mixer  # [2 tokens, 1, D]
    if isinstance(mixer, Mamba):
        u = jax.nn.silu(jnp.split(mixer.input(x), 2, axis=-1)[0])
        step = jax.nn.softplus(mixer.dt(mixer.select(u)[..., : mixer.rank]) + mixer.dt_bias[...][None, None])
        A = 2 * jnp.exp(-step[:, 0, :, None] * jnp.exp(mixer.A_log[...])[None]) - 1
        return np.asarray((A[0] - A[1]) / 2, float)
    (_, k, _), _ = mixer.qkv(x)
    k = np.asarray(normalise(jax.nn.silu(k)), float)[:, 0]  # [2, H, K]
    beta = np.asarray(mixer.write_strength(x), float)[:, 0]  # [2, H]
    write = np.einsum("xh,xhi,xhj->xhij", beta, k, k)
    return (write[1] - write[0]) / 2


def reach(right, count):
    """Start of the first stretch with too few right answers; its length is an eighth of its start."""
    start = 0
    while start < len(right):
        end = start + max(16, start // 8)
        if right[start:end].sum() < RIGHT * count[start:end].sum():
            return start
        start = end
    return len(right)


def rows_of(run):
    case = {"length": LENGTH}
    # A row per member, of the longest case.
    for row in long_streams.solved(read_jsonl(run / "results.jsonl"), 0.0):
        member = notebook.load(run, seed=row["seed"], learning_rate=row["learning_rate"])
        task = dataclasses.replace(member.task, supervision="every")  # whatever it was trained on
        key = evaluate.case_key(member.config.eval.seed, case)
        sums = long_streams.stream(member.model, task, case, key, SEQUENCES, PIECE)
        kept = {name: row[name] for name in ("cell", "model", "overrides", "learning_rate", "seed")}
        yield kept | {
            "accuracy": row[row["headline"]],
            "accuracy_at": row["case"],
            "lasts": lasts(member.model),
            "reach": reach(sums["right"], sums["count"]),
            "length": LENGTH,
            "sequences": SEQUENCES,
        }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", type=Path, nargs="+", help="their workdirs")
    rows = []
    for run in parser.parse_args().runs:
        for row in rows_of(run):
            print(row, flush=True)
            rows.append(row)
    write_jsonl(ROWS, rows)


if __name__ == "__main__":
    main()
