"""The config keys that every task and mixer share. Tasks and mixers check their own settings."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple


class Key(NamedTuple):
    """A key's default, what it means, which values are fine, and what they must be; every value if none."""

    default: Any
    comment: str
    fine: Callable[[Any], bool] = lambda value: True
    must_be: str = ""


def number(default: float, comment: str, least: float = 0, below: float = math.inf) -> Key:
    """A number from `least` on, below `below` (unlimited: finite)."""
    if below == math.inf:
        must_be = f"at least {least}"
    elif below == 1:
        must_be = "in [0, 1)"
    else:
        must_be = f"at least {least} and below 2**31"
    return Key(default, comment, lambda x: least <= x < below, must_be)


def choice(default: str, comment: str, *names: str) -> Key:
    """One of the names, the default among them."""
    return Key(default, comment, lambda x: x in names, f"{', '.join(names[:-1])} or {names[-1]}")


INT32 = 2**31

# The order is the order of --show_config.
KEYS: dict[str, Key] = {
    "protocol": Key(
        "custom", "label of the setting; set by the argument of get_config, 'custom' once overridden"
    ),
    "overrides": Key(
        (), "((key, value), ...) in which the config differs from its protocol; set automatically"
    ),
    "model.name": Key(
        "deltanet", "preset, set by the argument of get_config; any label for an external mixer"
    ),
    "model.mixer": Key(
        "", "dotted path of an external mixer, my_package.my_module:MyMixer; '' = the preset's"
    ),
    "model.pattern": Key(
        (),
        "presets of the layers, repeated to the depth, each with its settings: ('deltanet', 'gpt heads=2')",
    ),
    "model.dim": number(64, "width of the residual stream", 1),
    "model.layers": number(2, "number of blocks", 1),
    "model.heads": number(0, "heads of the mixer; 0 = its own default, and for mixers without heads"),
    "model.mlp_dim": number(
        -1, "hidden units of the MLP; 0 = no MLP, -1 = so many that the block has GPT's size", -1
    ),
    "model.conv_size": number(0, "width of the short causal convolution; 0 = none"),
    "model.positions": choice(
        "none",
        "rope | alibi (attention only) | learned (added to the embedding) | none",
        *("rope", "alibi", "learned", "none"),
    ),
    "model.head": choice(
        "linear",
        "logits: linear (a separate projection) | tied (products with the embeddings of the class tokens)",
        *("linear", "tied"),
    ),
    "model.embedding_std": number(0.0, "initial standard deviation of the embeddings; 0 = dim^(-1/2)"),
    "model.norm": choice("rms", "the backbone's norms: rms (RMSNorm) | layer (LayerNorm)", "rms", "layer"),
    "model.init": choice(
        "own",
        "start of projections: own (each mixer's) | torch (uniform, ±1/√inputs) | normal (std 0.02)",
        *("own", "torch", "normal"),
    ),
    "model.conv_init": choice(
        "own",
        "start of the short convolution: own | torch (uniform, ±1/√width, its bias too) | normal (std 0.02)",
        *("own", "torch", "normal"),
    ),
    "model.init_residual": number(
        0, "output projections start divided by the root of this times model.layers; 0 = by nothing"
    ),
    "model.dropout": number(0.0, "dropout rate of the embedding and of both residual branches", below=1),
    "model.dropout_at": choice(
        "all",
        "where model.dropout applies: all | embedding (not the residual branches)",
        *("all", "embedding"),
    ),
    "task.name": Key("bit_parity", "the task, set by its config file; any label for an external task"),
    "task.module": Key("", "dotted path of an external task, my_package.my_module:MyTask; '' = task.name's"),
    "task.examples": number(
        0, "size of a finite training set, reused in shuffled passes; 0 = always fresh ones", below=INT32
    ),
    "eval.batches": number(16, "batches of train.batch_size sequences per evaluation case", 1),
    "eval.every": number(1000, "steps between evaluations; 0 = only at the end"),
    "eval.seed": number(1234, "seed of the evaluation data, the same for all members and steps", below=INT32),
    "train.steps": number(1000, "optimiser steps", 1, INT32),
    "train.batch_size": number(64, "sequences per step, over all devices of a member", 1),
    "train.chunk": number(100, "steps per dispatch to the device; metrics are logged once per chunk", 1),
    "train.windows": number(
        1, "windows of a training sequence, one step each; the state is carried from one to the next", 1
    ),
    "train.accumulate": number(1, "gradient accumulation: number of pieces of a batch", 1),
    "train.dtype": choice(
        "float32",
        "compute type, float32 | bfloat16; parameters and states stay float32",
        *("float32", "bfloat16"),
    ),
    "train.stop_accuracy": Key(
        0.0,
        "stop once every member's headline at the longest training length is this; 0 = never",
        lambda x: 0 <= x <= 1,
        "in [0, 1]",
    ),
    "optim.name": choice("adamw", "adamw | adam", "adamw", "adam"),
    "optim.schedule": choice(
        "cosine", "cosine (to zero) | constant, after the warm-up", *("cosine", "constant")
    ),
    "optim.warmup": number(0.1, "share of the steps with a linearly rising learning rate", below=1),
    "optim.weight_decay": number(0.01, "decoupled weight decay; adamw only"),
    "optim.decay": choice(
        "kernels", "what weight_decay touches: kernels | all parameters", *("kernels", "all")
    ),
    "optim.clip": number(1.0, "maximum global norm of the gradient; 0 = no clipping"),
    "optim.b1": number(0.9, "decay of Adam's first moment", below=1),
    "optim.b2": number(0.95, "decay of Adam's second moment", below=1),
    "population.learning_rates": Key(
        (1e-3,),
        "learning rates; each is trained with every seed",
        # The name of a member's TensorBoard run shows six digits.
        lambda x: (
            all(type(r) is float and 0 < r < math.inf for r in x) and 0 < len(x) == len({f"{r:g}" for r in x})
        ),
        "a tuple of different decimal numbers above 0 such as (0.001, 0.003)",
    ),
    "population.seeds": Key(
        (0,),
        "seeds of initialisation and data",
        lambda x: all(type(s) is int and 0 <= s < INT32 for s in x) and 0 < len(x) == len(set(x)),
        "a tuple of different integers from 0 such as (0, 1, 2)",
    ),
    "checkpoint.every": number(0, "steps between checkpoints; 0 = at every evaluation"),
    "checkpoint.keep": number(2, "number of newest checkpoints to keep", 1),
    "mesh.seed": number(0, "devices that share the members; 0 = gcd of members and devices"),
    "mesh.data": number(0, "devices that share the batch; 0 = gcd of batch and remaining devices"),
    "mesh.time": number(1, "devices that share each sequence; dropout is drawn per device", 1),
    "mesh.params": choice(
        "replicated",
        "parameters: replicated | sharded over the devices of mesh.data (wide models)",
        *("replicated", "sharded"),
    ),
    "mesh.members": choice(
        "auto",
        "how a device runs its members: map (one by one) | vmap | auto (map on CPU)",
        *("auto", "map", "vmap"),
    ),
    "study.models": Key("", "a study: its models, such as lstm,my_file:EMA; '' = those of the config file"),
    "study.tasks": Key("", "a study: its tasks, such as dyck,mqar (names of config files); '' = as above"),
    "study.positions": Key(
        True, "a study: whether its table also keeps accuracy by position, which doubles its size"
    ),
    "study.table": Key("", "a study: folder of finished cells, such as results/parity; they are not rerun"),
}
