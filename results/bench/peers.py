"""Other people's implementations of the same maths, timed beside ours where they happen to be installed.

    python results/bench/peers.py --lengths=256,1024 --names=delta_rule,lstm --json=peers.json

PyTorch, flash-linear-attention (fla), mamba_ssm and jax-linear-attention (jla); none is a dependency. A peer
is a small function that imports its package itself; what it raises becomes a note. A Triton kernel tries its
tilings in its first call, which may take minutes: that call counts as compilation.
"""

import argparse
import importlib
import importlib.util
import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from rnnbench.bench import run
from rnnbench.bench.plan import Couple, Section, comparisons
from rnnbench.bench.subjects import OPS, STATES, Subject, parse, run_jax
from rnnbench.bench.timing import Prepared, Skip, machine, sample
from rnnbench.bench.trainer import Shape


@dataclass(frozen=True)
class Peer:
    """ours: the subject it is held against; module: what must be importable; on: the platforms it runs on."""

    ours: str
    module: str
    on: tuple[str, ...]
    prepare: Callable[[str, Shape], Prepared]


def torch_lstm(kind: str, shape: Shape) -> Prepared:
    """torch.nn.LSTM: one layer, one direction, as wide as its input."""
    torch = _torch()
    layer = torch.nn.LSTM(shape.dim, shape.dim, batch_first=True, **_place(torch, shape))
    x = _tensors(torch, shape, (shape.batch, shape.length, shape.dim))
    return _run_torch(torch, lambda x: layer(x)[0], x, kind, tuple(layer.parameters()))


def fla_delta_rule_naive(kind: str, shape: Shape) -> Prepared:
    """The delta rule step by step in PyTorch, as flash-linear-attention states it."""
    naive = importlib.import_module("fla.ops.delta_rule.naive")
    torch = _torch()
    # Heads before time, unlike the other functions of that package.
    return _run_torch(torch, naive.delta_rule_recurrence, _delta_inputs(torch, shape, heads_first=True), kind)


def fla_delta_rule_chunked(kind: str, shape: Shape) -> Prepared:
    """Its chunked form in PyTorch (chunk 32)."""
    naive = importlib.import_module("fla.ops.delta_rule.naive")
    torch = _torch()
    return _run_torch(torch, naive.delta_rule_chunkwise, _delta_inputs(torch, shape, heads_first=True), kind)


def fla_delta_rule_triton(kind: str, shape: Shape) -> Prepared:
    """Its Triton kernel; it takes no float32."""
    function = importlib.import_module("fla.ops.delta_rule").chunk_delta_rule
    torch = _torch()
    scaled = lambda *inputs: function(*inputs, scale=1.0)
    return _run_torch(torch, scaled, _delta_inputs(torch, shape), kind)


def fla_linear_attention_naive(kind: str, shape: Shape) -> Prepared:
    """Linear attention step by step in PyTorch, as flash-linear-attention states it."""
    naive = importlib.import_module("fla.ops.linear_attn.naive")
    torch = _torch()
    scaled = lambda *inputs: naive.naive_recurrent_linear_attn(*inputs, scale=1.0)
    return _run_torch(torch, scaled, _heads(torch, shape, 3), kind)


def fla_linear_attention_chunked(kind: str, shape: Shape) -> Prepared:
    """Its chunked form in PyTorch (chunk 64)."""
    naive = importlib.import_module("fla.ops.linear_attn.naive")
    torch = _torch()
    scaled = lambda *inputs: naive.naive_chunk_linear_attn(*inputs, scale=1.0)
    return _run_torch(torch, scaled, _heads(torch, shape, 3), kind)


def fla_linear_attention_triton(kind: str, shape: Shape) -> Prepared:
    """Its Triton kernel."""
    function = importlib.import_module("fla.ops.linear_attn").chunk_linear_attn
    torch = _torch()
    scaled = lambda *inputs: function(*inputs, scale=1.0, normalize=False)
    return _run_torch(torch, scaled, _heads(torch, shape, 3), kind)


def mamba_ssm_scan(kind: str, shape: Shape) -> Prepared:
    """The CUDA kernel of mamba_ssm; its time axis is the last."""
    function = importlib.import_module("mamba_ssm.ops.selective_scan_interface").selective_scan_fn
    torch = _torch()
    channels, states = (shape.batch, shape.dim, shape.length), (shape.batch, STATES, shape.length)
    u, delta, B, C = _tensors(torch, shape, channels, channels, states, states)
    delta = torch.nn.functional.softplus(delta.detach()).requires_grad_()
    A = -torch.arange(1.0, STATES + 1, device=u.device).repeat(shape.dim, 1)
    D = torch.ones(shape.dim, device=u.device)
    return _run_torch(torch, function, (u, delta, A.requires_grad_(), B, C, D.requires_grad_()), kind)


def jla_delta_rule(kind: str, shape: Shape) -> Prepared:
    """jax-linear-attention's choice for this device."""
    function = importlib.import_module("jla.ops").linear_attention
    call = lambda q, k, v, beta: function("deltanet", q, k, v, beta=beta, scale=1.0, output_final_state=True)
    return run_jax(call, OPS["delta_rule"][1], kind, shape)


def jla_linear_attention(kind: str, shape: Shape) -> Prepared:
    """jax-linear-attention has no form without a decay: its decay per head, set to none."""
    function = importlib.import_module("jla.ops").linear_attention

    def call(q: jax.Array, k: jax.Array, v: jax.Array) -> Any:
        g = jnp.zeros(q.shape[:3])
        return function("simple_gla", q, k, v, g=g, scale=1.0, output_final_state=True)

    return run_jax(call, OPS["linear_attention"][1], kind, shape)


def jla_selective_scan(kind: str, shape: Shape) -> Prepared:
    """jax-linear-attention's Mamba-1."""
    function = importlib.import_module("jla.ops").linear_attention

    def call(u: jax.Array, delta: jax.Array, A: jax.Array, B: jax.Array, C: jax.Array, D: jax.Array) -> Any:
        return function("mamba1", C, B, u, dt=delta, a=A, d=D, scale=1.0, output_final_state=True)

    return run_jax(call, OPS["selective_scan"][1], kind, shape)


ANYWHERE, ON_GPU = ("cpu", "gpu"), ("gpu",)
PEERS: dict[str, Peer] = {
    "torch:lstm": Peer("mixer:lstm", "torch", ANYWHERE, torch_lstm),
    "fla-naive:delta_rule": Peer("delta_rule", "fla", ANYWHERE, fla_delta_rule_naive),
    "fla-chunked:delta_rule": Peer("delta_rule", "fla", ANYWHERE, fla_delta_rule_chunked),
    "fla-triton:delta_rule": Peer("delta_rule", "fla", ON_GPU, fla_delta_rule_triton),
    "fla-naive:linear_attention": Peer("linear_attention", "fla", ANYWHERE, fla_linear_attention_naive),
    "fla-chunked:linear_attention": Peer("linear_attention", "fla", ANYWHERE, fla_linear_attention_chunked),
    "fla-triton:linear_attention": Peer("linear_attention", "fla", ON_GPU, fla_linear_attention_triton),
    "mamba_ssm:selective_scan": Peer("selective_scan", "mamba_ssm", ON_GPU, mamba_ssm_scan),
    "jla:delta_rule": Peer("delta_rule", "jla", (*ANYWHERE, "tpu"), jla_delta_rule),
    "jla:linear_attention": Peer("linear_attention", "jla", (*ANYWHERE, "tpu"), jla_linear_attention),
    "jla:selective_scan": Peer("selective_scan", "jla", (*ANYWHERE, "tpu"), jla_selective_scan),
}


def missing() -> dict[str, str]:
    """The peers that cannot run here, each with the reason."""
    reasons = {}
    for name, peer in PEERS.items():
        if jax.default_backend() not in peer.on:
            reasons[name] = f"runs on {' or '.join(peer.on)} only"
        elif importlib.util.find_spec(peer.module) is None:
            reasons[name] = f"{peer.module} is not installed"
    return reasons


def not_timed() -> str:
    """`missing` in a line; nothing if all are there."""
    by_reason: dict[str, list[str]] = {}
    for name, reason in missing().items():
        by_reason.setdefault(reason, []).append(name)
    absent = "; ".join(f"{reason}: {', '.join(names)}" for reason, names in by_reason.items())
    return f"not timed: {absent}" if absent else ""


def subject(name: str, kinds: tuple[str, ...]) -> Subject:
    """A peer as something to time; whatever goes wrong in its package becomes a Skip."""

    def prepare(kind: str, shape: Shape) -> Prepared:
        try:
            return PEERS[name].prepare(kind, shape)
        except Skip:
            raise
        except Exception as error:
            reason = (str(error) or "no message").splitlines()[0]
            raise Skip(f"{name} failed: {type(error).__name__}: {reason}") from error

    return Subject(name, kinds, prepare)


def couples(
    names: Sequence[str], shape: Shape, kinds: tuple[str, ...] = ("forward", "gradient")
) -> list[Couple]:
    """What can run here with ours; `names`: only against these ops and presets (none: all)."""
    absent = missing()
    there = {name: peer.ours for name, peer in PEERS.items() if name not in absent}
    wanted = {name: ours for name, ours in there.items() if not names or ours.split(":")[-1] in names}
    return [(subject(name, kinds), parse(ours, shape)) for name, ours in wanted.items()]


def plan(args: argparse.Namespace) -> list[Section]:
    shapes = args.shapes(256, 1024)
    jobs = comparisons(couples(args.names, shapes[0]), shapes, args.budget)
    return [Section("peers", jobs, not_timed())]


def parser() -> argparse.ArgumentParser:
    parser = run.parser("python results/bench/peers.py", __doc__)
    ours = dict.fromkeys(peer.ours.split(":")[-1] for peer in PEERS.values())
    parser.add_argument("--names", type=run.words(*ours), default=(), help=f"of {','.join(ours)}")
    return parser


def main(given: Sequence[str] | None = None) -> int:
    return run.main(parser(), plan, given)


def _torch() -> Any:
    # Its threads would otherwise spin while they wait, at the cost of whatever is timed next.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    import torch

    torch.manual_seed(0)
    return torch


def _place(torch: Any, shape: Shape) -> dict[str, Any]:
    device = "cuda" if jax.default_backend() == "gpu" else "cpu"
    return {"device": device, "dtype": getattr(torch, shape.dtype)}


def _tensors(torch: Any, shape: Shape, *sizes: tuple[int, ...]) -> tuple[Any, ...]:
    return tuple(torch.randn(size, **_place(torch, shape)).requires_grad_() for size in sizes)


def _heads(torch: Any, shape: Shape, n: int, heads_first: bool = False) -> tuple[Any, ...]:
    middle = (shape.heads, shape.length) if heads_first else (shape.length, shape.heads)
    return _tensors(torch, shape, *[(shape.batch, *middle, shape.dim // shape.heads)] * n)


def _delta_inputs(torch: Any, shape: Shape, heads_first: bool = False) -> tuple[Any, ...]:
    q, k, v = _heads(torch, shape, 3, heads_first)
    k = torch.nn.functional.normalize(k.detach(), dim=-1).requires_grad_()
    beta = torch.rand(q.shape[:3], **_place(torch, shape)).requires_grad_()
    return q, k, v, beta


def _run_torch(
    torch: Any, function: Any, inputs: tuple[Any, ...], kind: str, parameters: tuple = ()
) -> Prepared:
    """The function forward, or with the gradient of all inputs and parameters for a random dy."""
    on_gpu = inputs[0].is_cuda
    first = lambda y: y[0] if isinstance(y, tuple) else y
    with torch.no_grad():
        dy = torch.randn_like(first(function(*inputs)))

    def once() -> None:
        if kind == "forward":
            with torch.no_grad():
                function(*inputs)
        else:
            wanted = [x for x in (*inputs, *parameters) if x.requires_grad]
            torch.autograd.grad(first(function(*inputs)), wanted, dy)

    def run(n: int) -> None:
        torch.set_num_threads(threads)
        for _ in range(n):
            once()
        if on_gpu:
            torch.cuda.synchronize()

    # Small problems are often faster on one thread, above all on a busy machine: the peer gets the better.
    threads = 1
    start = time.perf_counter()
    run(1)
    first_call = time.perf_counter() - start
    if not on_gpu:
        seconds = {}
        for threads in (1, machine()["cpu_cores"]):
            run(1)
            seconds[threads] = sample(Prepared(run), 1)
        threads = min(seconds, key=seconds.get)
    return Prepared(run, compile_seconds=first_call)


if __name__ == "__main__":
    sys.exit(main())
