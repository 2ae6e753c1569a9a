"""Sizes of a model: parameters, state, the width of its MLPs. From shapes alone."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from ml_collections import ConfigDict

from rnnbench import mixers
from rnnbench.tasks.contract import Task, lengths


def num_params(params: Any) -> int:
    """The number of parameters in a tree of arrays or shapes."""
    return sum(leaf.size for leaf in jax.tree.leaves(params))


def state_size(model: nnx.Module, length: int) -> int:
    """The number of real floats in a sequence's state over all layers (complex: two); for GPT at `length`."""
    graphdef, params = nnx.split(model)  # the model may be shapes only, from nnx.eval_shape
    shapes = jax.eval_shape(lambda params: nnx.merge(graphdef, params).init_state(1, length), params)
    floats = [leaf for leaf in jax.tree.leaves(shapes) if jnp.issubdtype(leaf.dtype, jnp.inexact)]
    return sum(leaf.size * (2 if jnp.iscomplexobj(leaf) else 1) for leaf in floats)


# Tracing a mixer takes a tenth of a second, and the cells of a study share few of them.
_traced: dict[tuple, nnx.Module] = {}


def mixer_shapes(config: ConfigDict, layer: int, dtype: str = "float32") -> nnx.Module:
    """The mixer of a layer of `config`, that of the model, as shapes; ConfigError if it cannot be built."""
    # With the class, because an external one may be another after a reload.
    key = repr(config.to_dict()), mixers.of_layers(config)[layer][0].mixer, layer, dtype
    if key not in _traced:
        build = lambda: mixers.build(config, jnp.dtype(dtype), nnx.Rngs(0), layer)
        _traced[key] = nnx.eval_shape(build)
    return _traced[key]


# Of the shapes in `_traced`.
_params = functools.cache(lambda mixer: num_params(nnx.state(mixer, nnx.Param)))
_state = functools.cache(state_size)


def mlp_dims(config: ConfigDict) -> list[int]:
    """The MLP width of each layer up to where they repeat: `mlp_dim`, or if that is -1, as follows.

    The width that gives a block as many parameters as GPT's with an MLP of 4·dim; at least 0.
    """
    layers = len(mixers.of_layers(config))
    if config.mlp_dim >= 0:
        return [config.mlp_dim] * layers

    count = lambda config, layer=0: _params(mixer_shapes(config, layer))
    plain = {"name": "gpt", "mixer": "", "pattern": (), "options": {}}
    plain |= {"heads": 1, "conv_size": 0, "positions": "none"}
    gpt = count(ConfigDict({**config, **plain}))
    widths = (4 * config.dim + (gpt - count(config, i)) / (2 * config.dim + 1) for i in range(layers))
    return [max(0, 4 * round(width / 4)) for width in widths]


def size(config: ConfigDict, task: Task) -> tuple[int, dict[int, int]]:
    """The model's number of parameters, and {length: its state_size} at the longest length of every case.

    Those of `build`, without tracing it whole.
    """
    own, dim = config.model, config.model.dim
    widths = mlp_dims(own)
    layers = [mixer_shapes(own, i, config.train.dtype) for i in range(len(widths))]
    norm = dim * (2 if own.norm == "layer" else 1)
    mlp = lambda hidden: (2 * dim * hidden + hidden + dim + norm) if hidden else 0
    blocks = [norm + _params(mixer) + mlp(hidden) for mixer, hidden in zip(layers, widths)]
    over_layers = lambda values: sum(values[i % len(values)] for i in range(own.layers))
    rows = task.vocab_size + (max(lengths(task)) if own.positions == "learned" else 0)
    head = 0 if own.head == "tied" else (dim + 1) * task.num_classes
    states = {n: over_layers([_state(mixer, n) for mixer in layers]) for n in set(lengths(task))}
    return rows * dim + over_layers(blocks) + norm + head, states
