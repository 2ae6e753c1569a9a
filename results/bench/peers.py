"""Other people's implementations of the same maths, timed beside ours where they happen to be installed.

    python results/bench/peers.py --lengths=256,1024 --names=delta_rule,lstm --json=peers.json
    python results/bench/peers.py --original=../modern_rnns --names=lstm

PyTorch, flash-linear-attention (fla), mamba_ssm, memax and jax-linear-attention (jla); none is a dependency.
What a peer raises becomes a note, and so do values of a function of PyTorch that are not those of our op.
On a CPU the functions of fla are its definitions in PyTorch, step by step (naive) or in chunks; on a GPU they
are its Triton kernels. memax has one layer per recurrence, without our short convolutions and gates on the
output. A Triton kernel tries its tilings in its first call, which may take minutes: that call counts as
compilation. `--original` names a clone of the PyTorch project that this benchmark began as
(https://github.com/swiss-ai/modern_rnns), whose train steps are timed beside ours.
"""

import argparse
import importlib.util
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from peer_programs import Prepare, jla, memax_layer, original_step, torch_function, torch_layer

from rnnbench.bench import run
from rnnbench.bench.plan import Couple, Section, comparisons
from rnnbench.bench.subjects import STEPS, Subject, parse
from rnnbench.bench.timing import Prepared, Skip
from rnnbench.bench.trainer import Shape
from rnnbench.config import InputError

KINDS = ("forward", "gradient", "step")
ANYWHERE, ON_CPU, ON_GPU, BY_JAX = ("cpu", "gpu"), ("cpu",), ("gpu",), ("cpu", "gpu", "tpu")


@dataclass(frozen=True)
class Peer:
    """ours: the subject it is held against; module: what must be importable; on: the platforms it runs on."""

    ours: str
    module: str
    on: tuple[str, ...]
    prepare: Prepare
    kinds: tuple[str, ...] = ("forward", "gradient")


def fla(
    form: str, ours: str, path: str, arrange: Any = lambda *inputs: inputs, on: Any = ON_CPU, **options: Any
) -> dict[str, Peer]:
    """A function of flash-linear-attention, `path` inside its ops."""
    module, _, name = f"fla.ops.{path}".rpartition(".")
    return {
        f"fla-{form}:{ours}": Peer(ours, "fla", on, torch_function(ours, module, name, arrange, **options))
    }


def original(preset: str, module: str, name: str) -> dict[str, Peer]:
    """The train step of a model of the PyTorch original."""
    prepare = original_step(module, name)
    return {f"original:{preset}": Peer(f"step:{preset}", "projects", ON_CPU, prepare, ("step",))}


# From our inputs (q, k, v, beta, log_decay), time before heads, to theirs.
DECAY_FIRST = lambda q, k, v, beta, g: (q, k, v, g, beta)
UNSCALED = lambda q, *inputs: (q * np.sqrt(q.shape[-1]), *inputs)  # for what divides q by √K
HEADS_FIRST = lambda *inputs: tuple(np.swapaxes(x, 1, 2) for x in UNSCALED(*inputs))
ONE = {"scale": 1.0}
LOGARITHM = lambda a, b: (b, np.log(a))  # the decay of hgrn
GATED, LINEAR = "gated_delta_rule.naive", "linear_attn.naive"
PRODUCT = "gated_delta_product.naive.naive_recurrent_gated_delta_product"


def side_by_side(q: Any, u: Any, e: Any, w: Any) -> tuple[Any, ...]:
    """(q, k, v, g, β): the steps of a token on the time axis, e = u, no decay."""
    u, w = (np.moveaxis(x, 3, 2).reshape(x.shape[0], -1, x.shape[2], x.shape[-1]) for x in (u, w))
    return q, u, w, np.zeros(q.shape[:3]), np.ones(u.shape[:3])


def time_last(u: Any, delta: Any, A: Any, B: Any, C: Any, D: Any) -> tuple[Any, ...]:
    u, delta, B, C = (np.swapaxes(x, 1, 2) for x in (u, delta, B, C))
    return u, delta, A, B, C, D


def jla_delta_rule(function: Any, q: Any, k: Any, v: Any, beta: Any) -> Any:
    return function("deltanet", q, k, v, beta=beta, scale=1.0, output_final_state=True)


def jla_linear_attention(function: Any, q: Any, k: Any, v: Any) -> Any:
    """It has no form without a decay: its decay per head, set to none."""
    return function("simple_gla", q, k, v, g=jnp.zeros(q.shape[:3]), scale=1.0, output_final_state=True)


def jla_selective_scan(function: Any, u: Any, delta: Any, A: Any, B: Any, C: Any, D: Any) -> Any:
    return function("mamba1", C, B, u, dt=delta, a=A, d=D, scale=1.0, output_final_state=True)


MAMBA = torch_function(
    "selective_scan", "mamba_ssm.ops.selective_scan_interface", "selective_scan_fn", time_last
)
PEERS: dict[str, Peer] = {
    "torch:lstm": Peer("mixer:lstm", "torch", ANYWHERE, torch_layer("LSTM")),
    "torch:gru": Peer("mixer:gru", "torch", ANYWHERE, torch_layer("GRU")),
    "torch:rnn": Peer("mixer:elman", "torch", ANYWHERE, torch_layer("RNN")),
    "memax:deltanet": Peer("mixer:deltanet", "memax", ANYWHERE, memax_layer("delta", "DeltaNet", heads=True)),
    "memax:gdn": Peer("mixer:gated_deltanet", "memax", ANYWHERE, memax_layer("gdn", "GDN", heads=True)),
    "memax:lru": Peer("mixer:lru", "memax", ANYWHERE, memax_layer("lru", "LRU", heads=False)),
    **fla("naive", "delta_rule", "delta_rule.naive.delta_rule_recurrence", HEADS_FIRST),
    **fla("chunked", "delta_rule", "delta_rule.naive.delta_rule_chunkwise", HEADS_FIRST),
    **fla("triton", "delta_rule", "delta_rule.chunk_delta_rule", on=ON_GPU, **ONE),
    **fla("naive", "gated_delta_rule", f"{GATED}.naive_recurrent_gated_delta_rule", **ONE),
    **fla("chunked", "gated_delta_rule", f"{GATED}.naive_chunk_gated_delta_rule", DECAY_FIRST, **ONE),
    **fla(
        "triton", "gated_delta_rule", "gated_delta_rule.chunk_gated_delta_rule", DECAY_FIRST, ON_GPU, **ONE
    ),
    **fla("naive", "channel_gated_delta_rule", "kda.naive.naive_recurrent_kda", DECAY_FIRST, **ONE),
    **fla("chunked", "channel_gated_delta_rule", "kda.naive.naive_chunk_kda", DECAY_FIRST, **ONE),
    **fla("triton", "channel_gated_delta_rule", "kda.chunk_kda", DECAY_FIRST, ON_GPU, **ONE),
    **fla("naive", "generalised_delta_rule", PRODUCT, side_by_side, num_householder=STEPS, **ONE),
    **fla("naive", "linear_attention", f"{LINEAR}.naive_recurrent_linear_attn", **ONE),
    **fla("chunked", "linear_attention", f"{LINEAR}.naive_chunk_linear_attn", **ONE),
    **fla("triton", "linear_attention", "linear_attn.chunk_linear_attn", on=ON_GPU, normalize=False, **ONE),
    **fla("naive", "gated_linear_attention", "gla.naive.naive_recurrent_gla", UNSCALED),
    **fla("triton", "gated_linear_attention", "gla.chunk_gla", on=ON_GPU, **ONE),
    **fla("naive", "linear_scan", "hgrn.naive.naive_recurrent_hgrn", LOGARITHM),
    **fla("triton", "linear_scan", "hgrn.chunk_hgrn", LOGARITHM, ON_GPU),
    "mamba_ssm:selective_scan": Peer("selective_scan", "mamba_ssm", ON_GPU, MAMBA),
    "jla:delta_rule": Peer("delta_rule", "jla", BY_JAX, jla("delta_rule", jla_delta_rule)),
    "jla:linear_attention": Peer(
        "linear_attention", "jla", BY_JAX, jla("linear_attention", jla_linear_attention)
    ),
    "jla:selective_scan": Peer("selective_scan", "jla", BY_JAX, jla("selective_scan", jla_selective_scan)),
    **original("gpt", "gpt.modelgpt", "ModelGPT"),
    **original("linear_transformer", "linearTransformer.modelLinTransformer", "ModelLinTransformer"),
    **original("lstm", "lstm.modellstm", "ModelLSTM"),
    **original("qlstm", "qlstm.modelqlstm", "ModelQLSTM"),
    **original("lru", "lru.modellru", "ModelLRU"),
    **original("deltanet", "deltanet.modelDeltanet", "ModelDeltaNet"),
}


def missing() -> dict[str, str]:
    """The peers that cannot run here, each with the reason."""
    reasons = {}
    for name, peer in PEERS.items():
        if jax.default_backend() not in peer.on:
            reasons[name] = f"runs on {' or '.join(peer.on)} only"
        elif importlib.util.find_spec(peer.module) is None:
            package = peer.module != "projects"  # a folder of the original
            reasons[name] = f"{peer.module} is not installed" if package else "--original is not given"
    return reasons


def not_timed() -> str:
    """`missing` in a line; nothing if all are there."""
    by_reason: dict[str, list[str]] = {}
    for name, reason in missing().items():
        by_reason.setdefault(reason, []).append(name)
    absent = "; ".join(f"{reason}: {', '.join(names)}" for reason, names in by_reason.items())
    return f"not timed: {absent}" if absent else ""


def subject(name: str, kinds: Sequence[str]) -> Subject:
    """A peer as something to time; whatever goes wrong in its package becomes a Skip."""

    def prepare(kind: str, shape: Shape) -> Prepared:
        try:
            return PEERS[name].prepare(kind, shape)
        except Skip:
            raise
        except Exception as error:
            reason = (str(error) or "no message").splitlines()[0]
            raise Skip(f"{name} failed: {type(error).__name__}: {reason}") from error

    return Subject(name, tuple(kind for kind in PEERS[name].kinds if kind in kinds), prepare)


def couples(names: Sequence[str], shape: Shape, kinds: Sequence[str] = KINDS) -> list[Couple]:
    """What can run here with ours; `names`: only against these ops and presets (none: all)."""
    absent = missing()
    there = {name: PEERS[name].ours for name in PEERS if name not in absent}
    wanted = {name: ours for name, ours in there.items() if not names or ours.split(":")[-1] in names}
    found = [(subject(name, kinds), parse(ours, shape)) for name, ours in wanted.items()]
    return [(theirs, ours) for theirs, ours in found if theirs.kinds]


def plan(args: argparse.Namespace) -> list[Section]:
    find_original(args.original)
    shapes = args.shapes(256, 1024)
    jobs = comparisons(couples(args.names, shapes[0]), shapes, args.budget)
    return [Section("peers", jobs, not_timed())]


def add_original(parser: argparse.ArgumentParser) -> None:
    help = "a clone of https://github.com/swiss-ai/modern_rnns, to time its train steps too"
    parser.add_argument("--original", metavar="FOLDER", help=help)


def find_original(folder: str | None) -> None:
    """Lets Python import from the original's folder."""
    if folder is None:
        return
    if not (Path(folder) / "projects/lstm/modellstm.py").is_file():
        raise InputError(f"--original: {folder} is no clone of https://github.com/swiss-ai/modern_rnns")
    sys.path.insert(0, str(Path(folder).resolve()))


def parser() -> argparse.ArgumentParser:
    parser = run.parser("python results/bench/peers.py", __doc__)
    add_original(parser)
    ours = dict.fromkeys(peer.ours.split(":")[-1] for peer in PEERS.values())
    parser.add_argument("--names", type=run.words(*ours), default=(), help=f"of {','.join(ours)}")
    return parser


def main(given: Sequence[str] | None = None) -> int:
    return run.main(parser(), plan, given)


if __name__ == "__main__":
    sys.exit(main())
