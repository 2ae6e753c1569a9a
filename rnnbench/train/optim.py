"""Clipping, Adam or AdamW with a decay mask, and the schedule. Each member has its own learning rate."""

from typing import Any

import jax
import jax.numpy as jnp
import optax
from ml_collections import ConfigDict


def optimizer(config: ConfigDict) -> optax.GradientTransformation:
    """grads → the direction to step *against*; the caller scales it by learning rate × schedule.

    `config` is `config.optim`. With decay="kernels", weight decay touches the leaves whose name ends in
    `kernel`, and nothing else: not biases, norms, embeddings or the raw parameters of the dynamics (`A_log`,
    `dt_bias`, `nu_log`). Projections to step sizes or write strengths (Mamba's `dt`, DeltaNet's `beta`) are
    kernels and are decayed. With decay="all" it touches every leaf, as in the public code of Zoology.
    """
    parts = [optax.clip_by_global_norm(config.clip)] if config.clip else []
    parts.append(optax.scale_by_adam(config.b1, config.b2))
    if config.name == "adamw" and config.weight_decay:
        mask = decayed if config.decay == "kernels" else None
        parts.append(optax.add_decayed_weights(config.weight_decay, mask=mask))
    return optax.chain(*parts)


def decayed(params: Any) -> Any:
    """True for the leaves to decay: those whose own name ends in `kernel`."""
    return jax.tree_util.tree_map_with_path(lambda path, _: str(path[-1].key).endswith("kernel"), params)


def schedule(config: ConfigDict, steps: int, step: jax.Array) -> jax.Array:
    """Share of the learning rate at `step` (from 0): linear warm-up, cosine to 0 at `steps` or constant."""
    warmup = max(1, round(config.warmup * steps)) if config.warmup else 0
    rising = (step + 1) / max(warmup, 1)
    if config.schedule == "constant":
        falling = jnp.ones(())
    else:
        falling = 0.5 * (1 + jnp.cos(jnp.pi * jnp.clip((step - warmup) / max(steps - warmup, 1), 0, 1)))
    return jnp.where(step < warmup, rising, falling).astype(jnp.float32)
