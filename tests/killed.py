"""A run that is killed again and again, for test_kills.py: python tests/killed.py COUNT SEED FOLDER FLAGS...

launch.py is loaded once; each run is a fork of this process, so that a kill costs no imports. Prints, as
JSON, how long an undisturbed run takes and at which moment each kill hit it.
"""

import json
import os
import random
import signal
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from rnnbench.cli import main as command_line
from rnnbench.store.rows import FILES, read_jsonl
from rnnbench.train import evaluate, population  # noqa: F401

ROUND = 8  # kills between a run's beginning and its end


def start(flags):
    """A child that is launch.py with these flags."""
    child = os.fork()
    if child:
        return child
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os._exit(command_line.main(["launch.py", *flags]))


def wait(child, seconds):
    """The child's exit code if it ends within so many seconds, else None."""
    limit = time.monotonic() + seconds
    while time.monotonic() < limit:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.002)
    return None


def main(count, seed, folder, *flags):
    moment, found = random.Random(int(seed)), {"kills": [], "whole": 0, "seconds": 0.0}
    folder, count = Path(folder), int(count)
    assert wait(start([*flags, f"--workdir={folder / 'warm'}"]), 300) == 0  # fills the compile cache
    clock = time.monotonic()
    assert wait(start([*flags, f"--workdir={folder / 'undisturbed'}"]), 300) == 0
    found["seconds"] = time.monotonic() - clock
    while len(found["kills"]) < count:
        run = folder / f"killed{found['whole']}"
        for part in range(ROUND):  # a random moment of every eighth of the time that a run takes
            child = start([*flags, f"--workdir={run}"])
            after = (part + moment.random()) / ROUND * found["seconds"]
            code = wait(child, after)
            if code is None:
                os.kill(child, signal.SIGKILL)
                os.waitpid(child, 0)
                found["kills"].append([after, newest(run)])
            assert code in (None, 0), (run, code)
            check(run)
        assert wait(start([*flags, f"--workdir={run}"]), 300) == 0
        found["whole"] += 1
    print(json.dumps(found))


def newest(folder):
    """The step of the newest checkpoint; -1 before there is one."""
    steps = [int(path.name) for path in (folder / "checkpoints").glob("*") if path.name.isdigit()]
    return max(steps, default=-1)


def check(folder):
    """What must hold after a kill at any moment: the files can be read, and no row occurs twice."""
    for name in FILES:
        rows = read_jsonl(folder / name)
        keys = [json.dumps([row["step"], row["seed"], row["learning_rate"], row.get("case")]) for row in rows]
        assert len(set(keys)) == len(keys), (name, keys)
    if (folder / "config.json").exists():
        json.loads((folder / "config.json").read_text())


if __name__ == "__main__":
    main(*sys.argv[1:])
