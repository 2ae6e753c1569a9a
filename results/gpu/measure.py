"""Figures of one GPU: ops beside other packages' kernels, a population beside single runs, papers' settings.

    python results/gpu/measure.py --out=runs/gpu                     as much of all parts as ten minutes allow
    python results/gpu/measure.py --out=runs/gpu --parts=ops,peers --minutes=4
    python results/gpu/measure.py --out=runs/try --tiny --minutes=30   the same in miniature, anywhere

Each part runs some of the project's own commands and prints them as they start. Compiling takes most of their
time, so commands run several at a time: training commands at once, and those that are timed first in a
rehearsal, which fills JAX's compilation cache, and then alone. Every command writes as it goes, so that a
part that runs out of time leaves what it has in --out: the bench's JSON, workdirs, a log per command.
The peers need flash-linear-attention and PyTorch. A run that is stopped keeps its checkpoint, and the same
command resumes it: twelve members of a `literature` protocol take some half an hour.
"""

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
PARITY = ("lstm", "deltanet_neg", "mamba_neg", "deltanet", "mamba", "gpt")
BENCH, PEERS, LAUNCH = ("-m", "rnnbench.bench"), ("results/bench/peers.py",), ("launch.py",)


def commands(out: Path, tiny: bool) -> dict[str, list[tuple[str, list[str]]]]:
    """part -> (name, command line after the interpreter) of its commands, the most wanted first."""
    lengths, batch = ("32", "2") if tiny else ("2048", "8")
    quick = ["--repeats=1", "--budget=20"] if tiny else ["--repeats=5"]
    # Heads of 64 for the matrix states, 1024 channels of 16 states for the scans.
    heads = [f"--lengths={lengths}", f"--batch={batch}", f"--dim={16 if tiny else 512}", "--heads=8", *quick]
    wide = [f"--lengths={lengths}", f"--batch={batch}", f"--dim={16 if tiny else 1024}", *quick]
    members = ["--lengths=16", "--dim=16", *quick] if tiny else ["--lengths=256", "--dim=128", *quick]
    matrix, scans = "--names=delta_rule,linear_attention", "--names=linear_scan,selective_scan"

    def timed(name: str, *command: str) -> tuple[str, list[str]]:
        return name, [*command, f"--json={out}/{name}.json"]

    def trained(name: str, *flags: str) -> tuple[str, list[str]]:
        few = ["--config.train.steps=2", "--config.eval.batches=1", "--config.population.seeds=(0,)"]
        few += ["--config.train.batch_size=2", "--config.population.learning_rates=(0.001,)"]
        return name, [*LAUNCH, *flags, *(few if tiny else []), f"--workdir={out}/{name}"]

    dtypes = ("bfloat16", "float32")
    ops = [
        timed(f"ops_{shape}_{dtype}", *BENCH, "--what=ops", names, *sizes, f"--dtype={dtype}")
        for dtype in dtypes
        for shape, names, sizes in (("heads", matrix, heads), ("channels", scans, wide))
    ]
    peers = [timed(f"peers_{dtype}", *PEERS, matrix, *heads, f"--dtype={dtype}") for dtype in dtypes]
    peers.append(timed("peers_lstm", *PEERS, "--names=lstm", *heads))
    population = [
        timed(f"population_{name}", *BENCH, "--population", f"--names={name}", *members)
        for name in ("lstm", "deltanet")
    ]
    parity = [
        trained(f"parity_{name}", f"--config=configs/bit_parity.py:{name},literature") for name in PARITY
    ]
    mqar = [
        trained(f"mqar_{name}", f"--config=configs/mqar.py:{name},literature")
        for name in ("deltanet", "gpt", "mamba")
    ]
    return {"ops": ops, "peers": peers, "population": population, "parity": parity, "mqar": mqar}


def rehearsal(jobs: list[tuple[str, list[str]]]) -> list[tuple[str, list[str]]]:
    """The commands with one sample of each row."""
    quick = lambda flag: (
        "--repeats=1" if flag.startswith("--repeats=") else flag.replace(".json", "_once.json")
    )
    return [(f"{name}_once", [quick(flag) for flag in command]) for name, command in jobs]


def run_all(
    jobs: list[tuple[str, list[str]]], out: Path, at_once: int, end: float, tuned: bool = True
) -> None:
    """Runs the commands, `at_once` of them at a time, until `end`, and stops those still running then."""
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
    waiting = list(jobs)
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
            print(f"{time.strftime('%H:%M:%S')} {name} ended with exit code {code}", flush=True)
    for name, process in running.items():
        process.terminate()
        print(f"{time.strftime('%H:%M:%S')} {name} stopped: time is up", flush=True)
    for process in running.values():
        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True, help="folder for everything that is written")
    parser.add_argument("--minutes", type=float, default=10.0, help="time in all (default 10)")
    parser.add_argument("--parts", default="population,ops,peers,parity,mqar", help="which, in this order")
    parser.add_argument(
        "--tiny", action="store_true", help="in miniature: tries the commands, measures nothing"
    )
    args = parser.parse_args()
    out = args.out.absolute()
    parts = commands(out, args.tiny)
    if unknown := [name for name in args.parts.split(",") if name not in parts]:
        parser.error(f"argument --parts: unknown {unknown[0]!r}; choose from: {' '.join(parts)}")
    out.mkdir(parents=True, exist_ok=True)
    end = time.time() + 60 * args.minutes
    for part in args.parts.split(","):
        several = min(8, os.cpu_count() or 1)
        if part in ("ops", "peers", "population"):
            run_all(rehearsal(parts[part]), out, several, end)
            run_all(parts[part], out, 1, end)
        else:
            run_all(parts[part], out, several, end, tuned=False)
    return 0


if __name__ == "__main__":
    sys.exit(main())
