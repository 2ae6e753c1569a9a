"""Other packages' implementations as programs that the bench can time: of PyTorch, of memax, of jla; and the
train steps of the PyTorch original.
"""

import importlib
import os
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from rnnbench.bench.subjects import OPS, run_jax
from rnnbench.bench.timing import Prepared, Skip, machine, sample
from rnnbench.bench.trainer import Shape
from rnnbench.mixers.form import apart

Prepare = Callable[[str, Shape], Prepared]


def torch_function(
    ours: str, module: str, name: str, arrange: Callable[..., tuple] = lambda *inputs: inputs, **options: Any
) -> Prepare:
    """`module.name(*arrange(*inputs), **options)` on the random inputs that our op `ours` is timed with."""

    def prepare(kind: str, shape: Shape) -> Prepared:
        function = getattr(importlib.import_module(module), name)
        drawn = OPS[ours][1](jax.random.key(0), shape)
        inputs = [_tensor(x, shape) for x in arrange(*map(np.asarray, drawn))]
        call = lambda *inputs: function(*inputs, **options)
        prepared, y = _run_torch(call, inputs, kind)
        _check(y, jax.jit(OPS[ours][0])(*drawn)[0], shape)
        return prepared

    return prepare


def _tensor(x: np.ndarray, shape: Shape) -> Any:
    """An input that wants a gradient; parameters stay in float32."""
    x = _torch().from_numpy(np.array(x, np.float32, order="C"))
    place = _place(shape)
    return x.to(**place if x.ndim > 2 else place | {"dtype": x.dtype}).requires_grad_()


def _check(theirs: Any, ours: jax.Array, shape: Shape) -> None:
    """Skip if a peer computes something else than our op; some have heads, others channels before time."""
    theirs = theirs.detach().float().cpu().numpy()
    if theirs.shape != ours.shape:
        theirs = np.swapaxes(theirs, 1, 2)
    if theirs.shape != ours.shape or apart(theirs, ours, 1e-3 if shape.dtype == "float32" else 0.1):
        raise Skip("its values differ from ours")


def torch_layer(name: str) -> Prepare:
    """A layer of torch.nn, one direction, as wide as its input."""

    def prepare(kind: str, shape: Shape) -> Prepared:
        torch = _torch()
        layer = getattr(torch.nn, name)(shape.dim, shape.dim, batch_first=True, **_place(shape))
        x = torch.randn(shape.batch, shape.length, shape.dim, **_place(shape)).requires_grad_()
        return _run_torch(lambda x: layer(x)[0], (x,), kind, tuple(layer.parameters()))[0]

    return prepare


def original_step(module: str, name: str) -> Prepare:
    """The training step of the PyTorch original on bit parity, as its trainer makes it, data included.

    Attention goes without its flash option and quasi-LSTM in blocks of 8, as in its configurations.
    """

    def prepare(kind: str, shape: Shape) -> Prepared:
        start = time.perf_counter()
        torch = _torch()
        width = {"h_dim": shape.dim, "d_model": shape.dim, "mlp_dim": shape.mlp_dim}
        heads = {"n_heads": shape.heads, "head_dim": shape.dim // shape.heads, "use_flash": False}
        rest = {"n_layers": shape.layers, "block_length": 8, "max_seq_len": shape.length, "device": "cpu"}
        config = SimpleNamespace(num_input_classes=2, output_size=2, **width, **heads, **rest)
        model = getattr(importlib.import_module(f"projects.{module}"), name)(config)
        parity = importlib.import_module("datasets.bit_parity_dataset").BitParityDatasetIterator
        data = parity(shape.batch, f"{shape.length},{shape.length}")
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, betas=(0.9, 0.95))

        def step() -> None:
            tokens, targets = next(data)
            logits, _ = model(tokens, model.get_init_state(shape.batch, "cpu"))
            loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), targets.argmax(2).flatten())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

        return _prepared(step, start, on_gpu=False)

    return prepare


def memax_layer(module: str, name: str, heads: bool) -> Prepare:
    """A layer of memax with a state of the width of its input, or, with heads, one layer per head.

    memax has no heads: the sum of layers with states of dim/heads is the same as heads that are joined and
    projected.
    """

    def prepare(kind: str, shape: Shape) -> Prepared:
        equinox = importlib.import_module("equinox")
        layer = getattr(importlib.import_module(f"memax.equinox.semigroups.{module}"), name)
        count = shape.heads if heads else 1
        build = lambda key: layer(hidden_size=shape.dim, recurrent_size=shape.dim // count, key=key)
        _, static = equinox.partition(build(jax.random.key(0)), equinox.is_array)
        starts = jnp.zeros(shape.length, bool)

        def inputs(key: jax.Array, s: Shape) -> tuple[Any, ...]:
            weights = lambda key: equinox.filter(build(key), equinox.is_array)
            return jax.vmap(weights)(jax.random.split(key, count)), jax.random.normal(
                key, (s.batch, s.length, s.dim)
            )

        def head(weights: Any, x: jax.Array) -> jax.Array:
            module = equinox.combine(weights, static)
            return module(module.initialize_carry(), (x, starts))[1]

        one = lambda weights, x: jnp.sum(jax.vmap(head, in_axes=(0, None))(weights, x), axis=0)
        batched = jax.vmap(one, in_axes=(None, 0))
        return run_jax(lambda weights, x: (batched(weights, x), None), inputs, kind, shape)

    return prepare


def jla(ours: str, call: Callable[..., Any]) -> Prepare:
    """`call(linear_attention, *inputs)` with the one function of jax-linear-attention."""

    def prepare(kind: str, shape: Shape) -> Prepared:
        function = importlib.import_module("jla.ops").linear_attention
        return run_jax(lambda *inputs: call(function, *inputs), OPS[ours][1], kind, shape)

    return prepare


def _torch() -> Any:
    # Its threads would otherwise spin while they wait, at the cost of whatever is timed next.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    import torch

    torch.manual_seed(0)
    return torch


def _place(shape: Shape) -> dict[str, Any]:
    device = "cuda" if jax.default_backend() == "gpu" else "cpu"
    return {"device": device, "dtype": getattr(_torch(), shape.dtype)}


def _run_torch(
    function: Any, inputs: tuple[Any, ...], kind: str, parameters: tuple = ()
) -> tuple[Prepared, Any]:
    """The function forward, or with the gradient of all inputs and parameters for a random dy; and its value.

    All until the end of the first `run` counts as compilation, also the call whose value is returned.
    """
    torch = _torch()
    on_gpu = inputs[0].is_cuda
    first = lambda y: y[0] if isinstance(y, tuple) else y
    start = time.perf_counter()
    with torch.no_grad():
        y = first(function(*inputs))
        dy = torch.randn_like(y)

    def once() -> None:
        if kind == "forward":
            with torch.no_grad():
                function(*inputs)
        else:
            torch.autograd.grad(first(function(*inputs)), (*inputs, *parameters), dy)

    return _prepared(once, start, on_gpu), y


def _prepared(once: Callable[[], None], start: float, on_gpu: bool) -> Prepared:
    """A call of PyTorch, repeated. All between `start` and the end of the first run counts as compilation."""
    torch = _torch()

    def run(n: int) -> None:
        torch.set_num_threads(threads)
        for _ in range(n):
            once()
        if on_gpu:
            torch.cuda.synchronize()

    # Small problems are often faster on one thread, above all on a busy machine: the peer gets the better.
    threads = 1
    run(1)
    seconds_until_run = time.perf_counter() - start
    if not on_gpu:
        seconds = {}
        for threads in (1, machine()["cpu_cores"]):
            run(1)
            seconds[threads] = sample(Prepared(run), 1)
        threads = min(seconds, key=seconds.get)
    return Prepared(run, compile_seconds=seconds_until_run)
