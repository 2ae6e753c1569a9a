"""Figures of one GPU: a population beside single runs, other packages' kernels, layers, papers' settings.

    python results/gpu/measure.py --out=runs/gpu                     as much of all parts as ten minutes allow
    python results/gpu/measure.py --out=runs/gpu --parts=peers,layers --minutes=6
    python results/gpu/measure.py --out=runs/try --tiny --minutes=30   the same in miniature, anywhere

Each part runs some of the project's own commands and prints them as they start. Compiling takes most of their
time, so training commands run side by side, and everything that is timed is first rehearsed, one process per
name and as many at once as there are cores. That fills the compilation caches of JAX and Triton; what is not
ready after 60 % of the time is stopped. Then the same commands are timed, one alone. Every command writes as
it goes, so that a part that runs out of time leaves what it has in --out: the bench's JSON, workdirs, a log
per command. The exit code is 1 if a command other than a rehearsal fails. The peers need
flash-linear-attention, mamba_ssm and PyTorch. A training run that is stopped keeps its checkpoint, and the
same command resumes it: twelve members of a `literature` protocol take half an hour.
"""

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
PARITY = ("lstm", "deltanet_neg", "mamba_neg", "deltanet", "mamba", "gpt")
POPULATIONS = "lstm,deltanet,mamba,gpt"
MATRIX = "delta_rule,linear_attention,gated_delta_rule,channel_gated_delta_rule,gated_linear_attention"
SCANS = "selective_scan,linear_scan"
FORMS = {"pallas": "segments", "segments": "chunked"}  # of the selective scan, against each other
PRESETS = "deltanet,linear_transformer,mamba,lru,gpt,lstm"
LAYERS = "--what=mixers,steps"
TIMED = ("population", "peers", "layers", "forms", "ops")
REHEARSED = 0.6  # of the time
BENCH, PEERS, LAUNCH = ("-m", "rnnbench.bench"), ("results/bench/peers.py",), ("launch.py",)


def commands(out: Path, tiny: bool) -> dict[str, list[tuple[str, list[str]]]]:
    """part -> (name, command line after the interpreter) of its commands, the most wanted first."""
    quick = ["--repeats=1", "--budget=20"] if tiny else ["--repeats=5"]
    dtypes = ("bfloat16", "float32")

    def sizes(length: int, batch: int, **dims: int) -> list[str]:
        length, batch = (32, 2) if tiny else (length, batch)
        dims = {name: min(size, 16) if tiny else size for name, size in dims.items()}
        return [f"--lengths={length}", f"--batch={batch}", *(f"--{k}={n}" for k, n in dims.items()), *quick]

    # Heads of 64 for the matrix states; 1024 channels of 16 states for the scans and inside Mamba's mixer.
    heads, channels = sizes(2048, 8, dim=512, heads=8), sizes(2048, 8, dim=1024)
    model = sizes(2048, 8, dim=512, heads=8, mlp_dim=1024)
    members = sizes(256, 32, dim=128)
    of_ops = ("heads", f"--names={MATRIX}", heads), ("channels", f"--names={SCANS}", channels)

    def timed(name: str, *command: str) -> tuple[str, list[str]]:
        return name, [*command, f"--json={out}/{name}.json"]

    def trained(name: str, *flags: str) -> tuple[str, list[str]]:
        few = ["--config.train.steps=2", "--config.eval.batches=1", "--config.population.seeds=(0,)"]
        few += ["--config.train.batch_size=2", "--config.population.learning_rates=(0.001,)"]
        return name, [*LAUNCH, *flags, *(few if tiny else []), f"--workdir={out}/{name}"]

    return {
        "population": [
            timed("population", *BENCH, "--population", "--members=16", f"--names={POPULATIONS}", *members)
        ],
        "peers": [
            timed("peers_heads", *PEERS, f"--names={MATRIX}", *heads, "--dtype=bfloat16"),
            timed("peers_channels", *PEERS, f"--names={SCANS}", *channels),
            timed("peers_lstm", *PEERS, "--names=lstm", *heads),
        ],
        "layers": [
            timed(f"layers_{dtype}", *BENCH, LAYERS, f"--names={PRESETS}", *model, f"--dtype={dtype}")
            for dtype in dtypes
        ],
        "forms": [
            timed(a, *BENCH, "--compare", f"selective_scan:{a}", f"selective_scan:{b}", *channels)
            for a, b in FORMS.items()
        ],
        "ops": [
            timed(f"ops_{shape}_{dtype}", *BENCH, "--what=ops", names, *of_shape, f"--dtype={dtype}")
            for dtype in dtypes
            for shape, names, of_shape in of_ops
        ],
        "parity": [
            trained(f"parity_{name}", f"--config=configs/bit_parity.py:{name},literature") for name in PARITY
        ],
        "mqar": [
            trained(f"mqar_{name}", f"--config=configs/mqar.py:{name},literature")
            for name in ("deltanet", "gpt", "mamba")
        ],
    }


def rehearsal(jobs: list[tuple[str, list[str]]]) -> list[tuple[str, list[str]]]:
    """The commands once for each of their names, with one sample of each row."""
    found = []
    for job, command in jobs:
        (names,) = [flag for flag in command if flag.startswith("--names=")] or [""]
        for name in names.removeprefix("--names=").split(","):
            once = f"{job}_{name}_once" if name else f"{job}_once"
            flags = [flag for flag in command if not flag.startswith(("--names=", "--repeats=", "--json="))]
            flags += [f"--names={name}"] * bool(name) + ["--repeats=1"]
            found.append((once, flags))
    return found


def run_all(
    jobs: list[tuple[str, list[str]]], out: Path, at_once: int, end: float, tuned: bool = True
) -> list[str]:
    """Runs the commands, `at_once` of them at a time, until `end`, and stops those still running then.

    Returns the names of those that failed by themselves.
    """
    # Members of a population need no share of memory set aside; small products gain nothing from tuning.
    env = os.environ | {
        "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
        "JAX_COMPILATION_CACHE_DIR": str(out / "compiled"),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "TRITON_CACHE_AUTOTUNING": "1",
    }
    if not tuned:
        env["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} --xla_gpu_autotune_level=0".strip()
    running: dict[str, subprocess.Popen[bytes]] = {}
    waiting, failed = list(jobs), []
    while (waiting or running) and time.time() < end:
        while waiting and len(running) < at_once:
            name, command = waiting.pop(0)
            print(f"{time.strftime('%H:%M:%S')} python {' '.join(command)}", flush=True)
            with open(out / f"{name}.log", "wb") as log:
                process = subprocess.Popen(
                    [sys.executable, *command], cwd=ROOT, env=env, stdout=log, stderr=log
                )
            running[name] = process
        time.sleep(0.2)
        for name in [name for name, process in running.items() if process.poll() is not None]:
            code = running.pop(name).returncode
            failed += [name] * bool(code)
            print(f"{time.strftime('%H:%M:%S')} {name} ended with exit code {code}", flush=True)
    for name, _ in waiting:
        print(f"{time.strftime('%H:%M:%S')} {name} not started: time is up", flush=True)
    for name, process in running.items():
        process.terminate()
        print(f"{time.strftime('%H:%M:%S')} {name} stopped: time is up", flush=True)
    for process in running.values():
        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
    return failed


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True, help="folder for everything that is written")
    parser.add_argument("--minutes", type=float, default=10.0, help="time in all (default 10)")
    parts = ",".join(commands(Path(), tiny=True))
    parser.add_argument("--parts", default=parts, help=f"which, in this order (default {parts})")
    parser.add_argument(
        "--tiny", action="store_true", help="in miniature: tries the commands, measures nothing"
    )
    args = parser.parse_args()
    out = args.out.absolute()
    parts = commands(out, args.tiny)
    if unknown := [name for name in args.parts.split(",") if name not in parts]:
        parser.error(f"argument --parts: unknown {unknown[0]!r}; choose from: {' '.join(parts)}")
    out.mkdir(parents=True, exist_ok=True)
    start, seconds = time.time(), 60 * args.minutes
    chosen = args.parts.split(",")
    several = min(16, os.cpu_count() or 1)
    to_time = [job for part in chosen if part in TIMED for job in parts[part]]
    run_all(rehearsal(to_time), out, several, start + REHEARSED * seconds)
    failed = run_all(to_time, out, 1, start + seconds)
    to_train = [job for part in chosen if part not in TIMED for job in parts[part]]
    failed += run_all(to_train, out, several, start + seconds, tuned=False)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
