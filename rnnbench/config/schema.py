"""The config keys that every task and mixer share: default, comment and check."""

import math
from collections.abc import Callable

from rnnbench.plugins import Options

# key -> (default, comment). The order is the order of --show_config.
KEYS: Options = {
    "protocol": (
        "custom",
        "label of the setting; set by the argument of get_config, 'custom' once overridden",
    ),
    "overrides": ((), "((key, value), ...) in which the config differs from its protocol; set automatically"),
    "model.name": (
        "deltanet",
        "preset, set by the argument of get_config; any label for an external mixer",
    ),
    "model.mixer": ("", "dotted path of an external mixer, my_package.my_module:MyMixer; '' = the preset's"),
    "model.dim": (64, "width of the residual stream"),
    "model.layers": (2, "number of blocks"),
    "model.heads": (0, "heads of the mixer; 0 = its own default, and for mixers without heads"),
    "model.mlp_dim": (-1, "hidden units of the MLP; 0 = no MLP, -1 = so many that the block has GPT's size"),
    "model.conv_size": (0, "width of the short causal convolution; 0 = none"),
    "model.positions": ("none", "rope | alibi (attention only) | learned (added to the embedding) | none"),
    "model.head": (
        "linear",
        "logits: linear (a separate projection) | tied (products with the embeddings of the class tokens)",
    ),
    "model.embedding_std": (
        0.0,
        "initial standard deviation of the embeddings; 0 = dim^(-1/2)",
    ),
    "model.dropout": (0.0, "dropout rate of the embedding and of both residual branches"),
    "task.name": ("bit_parity", "the task, set by its config file; any label for an external task"),
    "task.module": ("", "dotted path of an external task, my_package.my_module:MyTask; '' = task.name's"),
    "task.examples": (0, "size of a finite training set, reused in shuffled passes; 0 = always fresh ones"),
    "eval.batches": (16, "batches of train.batch_size sequences per evaluation case"),
    "eval.every": (1000, "steps between evaluations; 0 = only at the end"),
    "eval.seed": (1234, "seed of the evaluation data, the same for all members and steps"),
    "train.steps": (1000, "optimiser steps"),
    "train.batch_size": (64, "sequences per step, over all devices of a member"),
    "train.chunk": (100, "steps per dispatch to the device; metrics are logged once per chunk"),
    "train.windows": (
        1,
        "windows of a training sequence, one step each; the state is carried from one to the next",
    ),
    "train.accumulate": (1, "gradient accumulation: number of pieces of a batch"),
    "train.dtype": ("float32", "compute type, float32 | bfloat16; parameters and states stay float32"),
    "train.stop_accuracy": (
        0.0,
        "stop once every member's headline at the longest training length is this; 0 = never",
    ),
    "optim.name": ("adamw", "adamw | adam"),
    "optim.schedule": ("cosine", "cosine (to zero) | constant, after the warm-up"),
    "optim.warmup": (0.1, "share of the steps with a linearly rising learning rate"),
    "optim.weight_decay": (0.01, "decoupled weight decay; adamw only"),
    "optim.decay": ("kernels", "what weight_decay touches: kernels | all parameters"),
    "optim.clip": (1.0, "maximum global norm of the gradient; 0 = no clipping"),
    "optim.b1": (0.9, "decay of Adam's first moment"),
    "optim.b2": (0.95, "decay of Adam's second moment"),
    "population.learning_rates": ((1e-3,), "learning rates; each is trained with every seed"),
    "population.seeds": ((0,), "seeds of initialisation and data"),
    "checkpoint.every": (0, "steps between checkpoints; 0 = at every evaluation"),
    "checkpoint.keep": (2, "number of newest checkpoints to keep"),
    "mesh.seed": (0, "devices that share the members; 0 = gcd of members and devices"),
    "mesh.data": (0, "devices that share the batch; 0 = gcd of batch and remaining devices"),
    "mesh.time": (1, "devices that share the sequence, not for lstm and gpt; dropout is drawn per device"),
    "mesh.params": (
        "replicated",
        "parameters: replicated | sharded over the devices of mesh.data (wide models)",
    ),
    "mesh.members": ("auto", "how a device runs its members: map (one by one) | vmap | auto (map on CPU)"),
    "study.models": ("", "a study: its models, such as lstm,my_file:EMA; '' = those of the config file"),
    "study.tasks": ("", "a study: its tasks, such as dyck,mqar (names of config files); '' = as above"),
    "study.table": ("", "a study: folder of finished cells, such as results/parity; they are not rerun"),
}

# key -> (whether a value is valid, what it must be). Tasks and mixers check their own settings.
CHECKS: dict[str, tuple[Callable[..., bool], str]] = {
    "model.dim": (lambda x: x >= 1, "at least 1"),
    "model.layers": (lambda x: x >= 1, "at least 1"),
    "model.heads": (lambda x: x >= 0, "at least 0"),
    "model.mlp_dim": (lambda x: x >= -1, "at least -1"),
    "model.conv_size": (lambda x: x >= 0, "at least 0"),
    "model.positions": (lambda x: x in ("rope", "alibi", "learned", "none"), "rope, alibi, learned or none"),
    "model.head": (lambda x: x in ("linear", "tied"), "linear or tied"),
    "model.embedding_std": (lambda x: 0 <= x < math.inf, "at least 0"),
    "model.dropout": (lambda x: 0 <= x < 1, "in [0, 1)"),
    "task.examples": (lambda x: 0 <= x < 2**31, "at least 0 and below 2**31"),
    "eval.batches": (lambda x: x >= 1, "at least 1"),
    "eval.seed": (lambda x: 0 <= x < 2**31, "at least 0 and below 2**31"),
    "eval.every": (lambda x: x >= 0, "at least 0"),
    "train.steps": (lambda x: 1 <= x < 2**31, "at least 1 and below 2**31"),
    "train.batch_size": (lambda x: x >= 1, "at least 1"),
    "train.chunk": (lambda x: x >= 1, "at least 1"),
    "train.windows": (lambda x: x >= 1, "at least 1"),
    "train.accumulate": (lambda x: x >= 1, "at least 1"),
    "train.dtype": (lambda x: x in ("float32", "bfloat16"), "float32 or bfloat16"),
    "train.stop_accuracy": (lambda x: 0 <= x <= 1, "in [0, 1]"),
    "optim.name": (lambda x: x in ("adamw", "adam"), "adamw or adam"),
    "optim.schedule": (lambda x: x in ("cosine", "constant"), "cosine or constant"),
    "optim.warmup": (lambda x: 0 <= x < 1, "in [0, 1), a share of the steps"),
    "optim.weight_decay": (lambda x: 0 <= x < math.inf, "at least 0"),
    "optim.decay": (lambda x: x in ("kernels", "all"), "kernels or all"),
    "optim.clip": (lambda x: 0 <= x < math.inf, "at least 0"),
    "optim.b1": (lambda x: 0 <= x < 1, "in [0, 1)"),
    "optim.b2": (lambda x: 0 <= x < 1, "in [0, 1)"),
    "population.learning_rates": (
        # The name of a member's TensorBoard run shows six digits.
        lambda x: (
            all(type(r) is float and 0 < r < math.inf for r in x) and 0 < len(x) == len({f"{r:g}" for r in x})
        ),
        "a tuple of different decimal numbers above 0 such as (0.001, 0.003)",
    ),
    "population.seeds": (
        lambda x: all(type(s) is int and 0 <= s < 2**31 for s in x) and 0 < len(x) == len(set(x)),
        "a tuple of different integers from 0 such as (0, 1, 2)",
    ),
    "checkpoint.every": (lambda x: x >= 0, "at least 0"),
    "checkpoint.keep": (lambda x: x >= 1, "at least 1"),
    "mesh.seed": (lambda x: x >= 0, "at least 0"),
    "mesh.data": (lambda x: x >= 0, "at least 0"),
    "mesh.time": (lambda x: x >= 1, "at least 1"),
    "mesh.params": (lambda x: x in ("replicated", "sharded"), "replicated or sharded"),
    "mesh.members": (lambda x: x in ("auto", "map", "vmap"), "auto, map or vmap"),
}
