"""What gets Mamba with a tied head off the plateau: shared parameters, or an aligned start?

    python results/mqar_head/aligned.py [HEAD ...] [--seeds=0,1] [--steps=800]

A tied head does two things. It starts aligned: copying the embedding of a value to the output is already the
right answer. It is also shared: what the head learns of a value, the embedding learns too. HEAD separates the
two. All heads start with embeddings of standard deviation 0.02 and have no bias:

tied       aligned and shared
copied     a projection of its own that starts as a copy of the values' embeddings: aligned, not shared
rolled     the embedding of the next value answers for each value: shared, not aligned
separate   a projection of its own, drawn with the same standard deviation: neither

The setting is that of results/mqar at the rate 0.003, stopped early: the schedule is of 1,500 steps. A row of
aligned.jsonl has the mean over 100 steps of a member's loss and accuracy in training, on 4, 8 and 16 pairs.
It also has, after these steps, the size of the values' embeddings and of their rows in the head, and the mean
cosine between the two of a value.
"""

import argparse
import dataclasses
from pathlib import Path

import jax
import jax.numpy as jnp
from flax import nnx
from ml_collections import ConfigDict

from rnnbench.config import load
from rnnbench.config.build import changed
from rnnbench.mixers.common import linear
from rnnbench.store.rows import read_jsonl, write_jsonl
from rnnbench.train import population

ROWS = Path(__file__).with_name("aligned.jsonl")
STUDY = Path(__file__).parents[1] / "mqar" / "study.py"
HEADS = ("tied", "copied", "rolled", "separate")
RATE, CHUNK = 0.003, 100


def setup_of(head: str, seed: int, config: ConfigDict) -> population.Setup:
    """The study's setup of one member with another head."""
    alone = {"population.learning_rates": (RATE,), "population.seeds": (seed,)}
    setup = population.prepare(changed(config, alone))
    make = lambda key: with_head(head, setup.make(key), key, config.model.embedding_std)
    return dataclasses.replace(setup, make=make)


def with_head(head: str, model: nnx.Module, key: jax.Array, std: float) -> nnx.Module:
    """A model with a tied head, given one of HEADS instead."""
    values = model.class_tokens
    if head == "rolled":
        model.class_tokens = (*values[1:], values[0])
    if head in ("copied", "separate"):
        kernel = model.embed.embedding[...][jnp.array(values)].T
        if head == "separate":
            kernel = std * jax.random.normal(jax.random.fold_in(key, 1), kernel.shape)
        model.head = nnx.data(linear(*kernel.shape, rngs=nnx.Rngs(0), dtype=model.embed.dtype))
        model.head.kernel[...] = kernel
    return model


def train(head: str, seed: int, steps: int, config: ConfigDict) -> list[dict]:
    setup = setup_of(head, seed, config)
    state, chunk, rows = population.init_state(setup), population.make_train_chunk(setup), []
    for step in range(CHUNK, steps + 1, CHUNK):
        state, metrics = chunk(state, CHUNK)
        measured = {name: float(metrics[name][0]) for name in ("loss", "accuracy")} | sizes(
            head, setup, state
        )
        rows.append({"head": head, "seed": seed, "learning_rate": RATE, "step": step} | measured)
        print(rows[-1], flush=True)
    return rows


def sizes(head: str, setup: population.Setup, state: population.TrainState) -> dict[str, float]:
    """Root mean square of the values' embeddings and head; mean cosine between the two of a value."""
    params = jax.tree.map(lambda leaf: leaf[0], state.members.params)
    values = params["embed"]["embedding"][-setup.task.num_values :]
    own = params["head"]["kernel"].T if "head" in params else jnp.roll(values, -(head == "rolled"), axis=0)
    norm = lambda x: jnp.linalg.norm(x, axis=1)
    cosine = jnp.mean(jnp.sum(values * own, axis=1) / norm(values) / norm(own))
    rms = lambda x: float(jnp.sqrt(jnp.mean(x**2)))
    return {"embedding": rms(values), "readout": rms(own), "cosine": float(cosine)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("heads", metavar="HEAD", nargs="*", default=HEADS, help=" | ".join(HEADS))
    parser.add_argument("--seeds", default="0")
    parser.add_argument("--steps", type=int, default=800)
    options = parser.parse_args()
    (config,) = (config for config in load.make(str(STUDY)) if config.model.name == "mamba")
    for seed in map(int, options.seeds.split(",")):
        for head in options.heads:
            rows = train(head, seed, options.steps, config)
            kept = [row for row in read_jsonl(ROWS) if (row["head"], row["seed"]) != (head, seed)]
            write_jsonl(ROWS, kept + rows)


if __name__ == "__main__":
    main()
