"""Studies by the command line: killed at random moments, split between processes, with a cell that fails."""

import json
import random
import shutil
import subprocess
import sys

import pytest
from launched import ROOT, environment, launch

from rnnbench.store.rows import read_jsonl

SMALL = [
    "--config=configs/study.py",
    "--config.study.models=lstm,deltanet_neg",
    "--config.study.tasks=bit_parity,dyck",
    "--config.model.dim=8",
    "--config.model.layers=1",
    "--config.eval.lengths=16",
    "--config.eval.batches=1",
    "--config.eval.every=5",
    "--config.train.batch_size=4",
    "--config.train.steps=20",
    "--config.train.chunk=5",
    "--config.population.learning_rates=0.001,0.003",
    "--config.population.seeds=0",
]
FREE = {"train_seconds", "compile_seconds", "eval_seconds", "tokens_per_second", "versions", "device"}


def start(folder, cache, *flags):
    command = [sys.executable, "-u", "launch.py", *SMALL, *flags]
    command += [f"--compilation_cache={cache}", f"--workdir={folder}"]
    output = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    return subprocess.Popen(command, cwd=ROOT, env=environment(), **output)


def end(process):
    output = process.communicate()[0]
    assert process.returncode == 0, output
    return output


def rows(folder):
    """All rows of all cells in the study's order, without what may differ."""
    cells = json.loads((folder / "study.json").read_text())["cells"]
    files = [
        folder / "cells" / cell / f"{name}.jsonl"
        for cell in cells
        for name in ("results", "positions", "metrics")
    ]
    return [{k: v for k, v in row.items() if k not in FREE} for file in files for row in read_jsonl(file)]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """(folder of programs compiled, rows) of a study that ran through."""
    folder = tmp_path_factory.mktemp("undisturbed")
    output = end(start(folder / "study", folder / "cache"))
    assert "4 cells, " in output and ": compile " in output
    found = rows(folder / "study")
    # models × members × (evaluations × cases × files + chunks); Dyck has two cases more, of greater depth
    assert len(found) == 2 * 2 * ((4 * 2 * 2 + 4) + (4 * 4 * 2 + 4))
    return folder / "cache", found


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0])
def test_killed_at_random_it_ends_as_if_undisturbed(seed, undisturbed, tmp_path):
    """Each kill comes up to two seconds after some line of output; then the same command is run again."""
    (cache, expected), moments, kills = undisturbed, random.Random(seed), 0
    while kills < 6:
        process = start(tmp_path, cache)
        for _ in range(moments.randint(1, 6)):
            process.stdout.readline()
        try:
            process.wait(moments.uniform(0, 2))
        except subprocess.TimeoutExpired:
            process.kill()
            kills += 1
        process.communicate()
        if process.returncode == 0:
            break
    assert kills >= 5
    end(start(tmp_path, cache))
    assert rows(tmp_path) == expected


@pytest.mark.slow
def test_processes_at_once_share_a_study(undisturbed, tmp_path):
    """Two shards start together; the whole study then finds nothing to do."""
    cache, expected = undisturbed
    shards = [start(tmp_path, cache, f"--shard={number}/2") for number in (1, 2)]
    outputs = [end(shard) for shard in shards]
    assert all("[2/2] " in output for output in outputs)
    assert rows(tmp_path) == expected
    assert end(start(tmp_path, cache)).count("already finished") == 4


BROKEN = """
from external_mixer import RunningSum

class Broken(RunningSum):
    def __call__(self, x, state=None):
        if x.shape[1] > 4:  # longer than what a mixer is tried on before a study
            raise RuntimeError("out of order")
        return super().__call__(x, state)
"""


def test_a_cell_that_fails(tmp_path):
    """The error shows only when the cell is compiled; the other one runs, and the exit code is 1."""
    for file in (ROOT / "configs" / "bit_parity.py", ROOT / "tests" / "external_mixer.py"):
        shutil.copy(file, tmp_path)
    (tmp_path / "broken.py").write_text(BROKEN)
    models = "--config.study.models=broken:Broken,external_mixer:RunningSum"
    tiny = [flag for flag in SMALL if "study" not in flag]
    folder = tmp_path / "study"
    config = f"--config={tmp_path / 'bit_parity.py'}:lstm,small"
    done = launch(config, *tiny, models, f"--workdir={folder}")
    assert done.returncode == 1, done.stderr
    failed, fine = json.loads((folder / "study.json").read_text())["cells"]
    error = json.loads((folder / "cells" / failed / "error.json").read_text())
    assert error["error"] == "RuntimeError: out of order" and "in __call__" in error["traceback"]
    assert done.stderr.rstrip().endswith(f"rnnbench: failed: {folder}/cells/{failed}/error.json")
    assert {row["cell"] for row in read_jsonl(folder / "cells" / fine / "results.jsonl")} == {fine}
    assert "RunningSum" in (folder / "report.md").read_text()
