"""One backbone for all mixers: embed → N × [norm → mixer → +, norm → MLP → +] → norm → head."""

import inspect
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from ml_collections import ConfigDict

from rnnbench import mixers
from rnnbench.errors import ConfigError, ContractError, told
from rnnbench.mixers.common import flat_dot, linear
from rnnbench.mixers.form import well_formed
from rnnbench.mixers.initial import restart
from rnnbench.ops import over_time
from rnnbench.ops.lookup import lookup
from rnnbench.sizes import mixer_shapes, mlp_dims
from rnnbench.tasks.contract import Task, lengths


class MLP(nnx.Module):
    """y = W₂ gelu(W₁ x)."""

    def __init__(self, dim: int, hidden: int, *, rngs: nnx.Rngs, dtype: jnp.dtype = jnp.float32):
        self.up = linear(dim, hidden, rngs=rngs, dtype=dtype, bias=True)
        self.down = linear(hidden, dim, rngs=rngs, dtype=dtype, bias=True)

    def __call__(self, x: jax.Array) -> jax.Array:
        return self.down(nnx.gelu(self.up(x)))


def norm(config: ConfigDict, *, rngs: nnx.Rngs, dtype: jnp.dtype) -> nnx.Module:
    """x ⊙ scale / rms(x), or with config.norm="layer" (x − mean x) ⊙ scale / std(x) + bias."""
    if config.norm == "layer":
        return nnx.LayerNorm(config.dim, epsilon=1e-5, dtype=dtype, rngs=rngs)
    return nnx.RMSNorm(config.dim, dtype=dtype, rngs=rngs)


class Block(nnx.Module):
    """x ← x + mixer(norm x);  x ← x + MLP(norm x), the second only if there is an MLP."""

    def __init__(self, config: ConfigDict, layer: int, hidden: int, *, rngs: nnx.Rngs, dtype: jnp.dtype):
        self.norm = norm(config, rngs=rngs, dtype=dtype)
        self.mixer = mixers.build(config, dtype, rngs, layer)
        self.mlp_norm = norm(config, rngs=rngs, dtype=dtype) if hidden else None
        self.mlp = MLP(config.dim, hidden, dtype=dtype, rngs=rngs) if hidden else None
        self.dropout = nnx.Dropout(0.0 if config.dropout_at == "embedding" else config.dropout)

    def __call__(self, x: jax.Array, state: Any, keys: Any, options: dict[str, Any]) -> tuple[jax.Array, Any]:
        y, state = self.mixer(self.norm(x), state, **options)
        x = x + self.dropout(y, deterministic=keys is None, rngs=None if keys is None else keys[0])
        if self.mlp is not None:
            y = self.mlp(self.mlp_norm(x))
            x = x + self.dropout(y, deterministic=keys is None, rngs=None if keys is None else keys[1])
        return x, state


class SequenceModel(nnx.Module):
    """tokens [B, T] → logits [B, T, classes] in float32, and the state after the last token.

    `config` is `config.model`; `max_length` the length of the longest sequence (for learned positions). With
    config.head="tied" the logit of class c is ⟨norm(x_t), embedding of the token class_tokens[c]⟩, without a
    separate projection or bias (Press & Wolf 2016, arXiv 1608.05859).
    With `reset` [B, T], bool, the state before token t is that of a new sequence wherever reset[b, t],
    learned positions included; this packs several sequences into one. With a `dropout_key` dropout is
    active; without one the model is deterministic. With `positions` [B, n] there are logits [B, n, classes]
    at those positions only. With `axis_name` the tokens are this device's part of sequences split over that
    axis of a `jax.shard_map`, and so are resets, positions and logits; the states are those before and after
    the whole sequence.
    """

    def __init__(
        self,
        config: ConfigDict,
        *,
        vocab_size: int,
        num_classes: int,
        max_length: int,
        class_tokens: Sequence[int] | None = None,
        rngs: nnx.Rngs,
        dtype: jnp.dtype = jnp.float32,
    ):
        std = config.embedding_std
        start = {"embedding_init": nnx.initializers.normal(std)} if std else {}
        table = lambda rows: nnx.Embed(rows, config.dim, dtype=dtype, rngs=rngs, **start)
        self.embed = table(vocab_size)
        self.positions = table(max_length) if config.positions == "learned" else None
        widths = mlp_dims(config)
        self.blocks = nnx.List(
            [Block(config, i, widths[i % len(widths)], rngs=rngs, dtype=dtype) for i in range(config.layers)]
        )
        self.norm = norm(config, rngs=rngs, dtype=dtype)
        tied = config.head == "tied"
        self.head = None if tied else linear(config.dim, num_classes, rngs=rngs, dtype=dtype, bias=True)
        self.class_tokens = tuple(class_tokens) if tied else None
        self.dropout = nnx.Dropout(config.dropout)
        restart(self, config, rngs)

    def init_state(self, batch: int, max_length: int) -> dict[str, Any]:
        """The state before the first token, of static shapes, for streams of up to `max_length` tokens."""
        layers = [block.mixer.init_state(batch, max_length) for block in self.blocks]
        start = {} if self.positions is None else {"start": jnp.zeros(batch, jnp.int32)}
        return {"position": jnp.zeros((), jnp.int32), "layers": layers} | start

    def __call__(
        self,
        tokens: jax.Array,
        state: Any = None,
        *,
        reset: jax.Array | None = None,
        dropout_key: jax.Array | None = None,
        positions: jax.Array | None = None,
        axis_name: str | None = None,
    ) -> tuple[jax.Array, dict[str, Any]]:
        after, at = self._positions(tokens, state, reset, axis_name)
        x = self._embedded(tokens, at)
        options = {} if reset is None else {"reset": reset}
        if axis_name is not None:
            options["axis_name"] = axis_name
            if dropout_key is not None:
                dropout_key = jax.random.fold_in(dropout_key, jax.lax.axis_index(axis_name))
        keys = None if dropout_key is None else jax.random.split(dropout_key, (len(self.blocks) + 1, 2))
        x = self.dropout(x, deterministic=keys is None, rngs=None if keys is None else keys[-1, 0])
        layers = []
        for i, block in enumerate(self.blocks):
            with jax.named_scope(f"block_{i}"):
                x, layer = block(
                    x,
                    None if state is None else state["layers"][i],
                    None if keys is None else keys[i],
                    options,
                )
            layers.append(layer)
        if positions is not None:
            x = jnp.take_along_axis(x, positions[..., None], axis=1)
        return self._logits(self.norm(x)), after | {"layers": layers}

    def _positions(self, tokens: jax.Array, state: Any, reset: Any, axis_name: str | None) -> tuple[Any, Any]:
        """The state after the tokens but for the layers, and the tokens' positions, [T] or [B, T]."""
        batch, length = tokens.shape[:2]
        offset = jnp.zeros((), jnp.int32) if state is None else state["position"]
        at = over_time.positions(offset, length, axis_name)
        after = {"position": offset + length * (1 if axis_name is None else jax.lax.axis_size(axis_name))}
        if self.positions is None:
            return after, at
        start = jnp.zeros(batch, jnp.int32) if state is None else state["start"]
        if state is None and reset is None:
            return after | {"start": start}, at
        starts = over_time.segment_starts(reset, at, start, axis_name)
        last = starts[:, -1] if axis_name is None else over_time.of_last(starts[:, -1], axis_name)
        return after | {"start": last}, at[None] - starts

    def _logits(self, x: jax.Array) -> jax.Array:
        if self.head is not None:
            return self.head(x).astype(jnp.float32)
        classes = self.embed.embedding[...][jnp.array(self.class_tokens)].astype(self.embed.dtype)
        return flat_dot(x, classes.T).astype(jnp.float32)

    def _embedded(self, tokens: jax.Array, positions: jax.Array) -> jax.Array:
        x = lookup(self.embed.embedding[...].astype(self.embed.dtype), tokens)
        if self.positions is None:
            return x
        # A position beyond the table gives NaN: visible, whereas clipping would be silently wrong.
        table = self.positions.embedding[...]
        added = table.at[positions].get(mode="fill", fill_value=jnp.nan).astype(x.dtype)
        return x + (added[None] if added.ndim == 2 else added)


def check_split(config: ConfigDict, task: Task) -> None:
    """ConfigError unless the model's time axis can be split into `mesh.time` parts."""
    parts = config.mesh.time
    for mixer in (preset.mixer for preset, _ in mixers.of_layers(config.model)):
        if parts > 1 and "axis_name" not in inspect.signature(mixer.__call__).parameters:
            reason = f"the mixer {mixer.__name__} takes no axis_name, so it cannot be split over time"
            raise ConfigError("mesh.time", f"{reason}; set it to 1")
    for length in lengths(task):
        if length % parts and config.model.positions == "learned":
            advice = (
                f"learned positions end at the longest sequence: {parts} parts do not divide length {length}"
            )
            raise ConfigError("mesh.time", advice)


# Checking a mixer takes half a second, and the cells of a study share few of them.
_checked: set[nnx.Module] = set()


def check_form(config: ConfigDict, layer: int, name: str) -> None:
    """ConfigError unless the mixer `name` of a layer of `config`, that of the model, has the form of one."""
    key = "model.mixer" if config.mixer else "model.pattern"
    try:
        make = lambda: mixers.build(config, jnp.float32, nnx.Rngs(0), layer)
        well_formed(make, jnp.zeros((2, 4, config.dim)))
    except ContractError as error:
        raise ConfigError(key, f"{name}: {error}") from None
    except Exception as error:  # an external mixer may raise anything
        raise ConfigError(key, f"{name} cannot be called ({told(error)})") from error


def build(config: ConfigDict, task: Task) -> Any:
    """A function of a PRNG key that makes the model of a whole config for a task.

    ConfigError for a mixer that cannot be built.
    """
    max_length, class_tokens = max(lengths(task)), getattr(task, "class_tokens", None)
    if config.model.head == "tied" and class_tokens is None:
        raise ConfigError("model.head", f"{config.task.name} has no tokens for its classes; set it to linear")
    for layer, (preset, _) in enumerate(mixers.of_layers(config.model)):
        shapes = mixer_shapes(config.model, layer, config.train.dtype)
        if preset not in mixers.PRESETS.values() and shapes not in _checked:
            check_form(config.model, layer, preset.mixer.__name__)
            _checked.add(shapes)

    def make(key: jax.Array) -> SequenceModel:
        return SequenceModel(
            config.model,
            vocab_size=task.vocab_size,
            num_classes=task.num_classes,
            max_length=max_length,
            class_tokens=class_tokens,
            rngs=nnx.Rngs(key),
            dtype=jnp.dtype(config.train.dtype),
        )

    return make
