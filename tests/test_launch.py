"""The command line as a person runs it: what cannot work is refused in one line; --list, --show_config …"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from launched import PARITY, ROOT, environment, launch, refusal

from rnnbench.config.schema import KEYS
from rnnbench.mixers import PRESETS

TASKS = ["bit_parity", "controlled_bit_parity", "dyck", "mqar"]
REFUSED = {
    # the flags beside --workdir, the flag that is named, and words of the line
    "no config": ([], "--config", "is missing"),
    "empty config": (["--config="], "--config", "is missing"),
    "unknown model": ([f"{PARITY}:transformer"], "--config", "unknown model 'transformer'.*deltanet_neg"),
    "no model": (["--config=configs/quickstart.py:lstm"], "--config", "takes no argument"),
    "unknown protocol": ([f"{PARITY}:lstm,large"], "--config", "no protocol 'large'.*original small"),
    "no such protocol of this task": (["--config=configs/controlled_bit_parity.py:lstm,literature"],
                                      "--config", "no protocol 'literature'"),
    "unknown task file": (["--config=configs/sorting.py:lstm"], "--config", "no file.*configs/dyck.py"),
    "a task for a file": (["--config=bit_parity:lstm"], "--config", "bit_parity;.*configs/bit_parity.py"),
    "unknown task": ([f"{PARITY}:lstm", "--config.task.name=sorting"], "--config.task.name", "'sorting'"),
    "unknown key": ([f"{PARITY}:lstm", "--config.train.step=5"], "--config.train.step",
                    "did you mean --config.train.steps?"),
    "unknown key, bare": ([f"{PARITY}:lstm", "--noconfig.task.unique"], "--config.task.unique", "no such"),
    "another mixer's option": ([f"{PARITY}:lstm", "--config.model.options.r_min=0.5"],
                               "--config.model.options.r_min", "no such key"),
    "not an int": ([f"{PARITY}:lstm", "--config.train.steps=1e4"], "--config.train.steps", "not of type int"),
    "not a float": ([f"{PARITY}:lstm", "--config.optim.clip=no"], "--config.optim.clip", "not of type float"),
    "not a bool": (["--config=configs/mqar.py:lstm,small", "--config.task.separator=maybe"],
                   "--config.task.separator", "bool"),
    "not a tuple": ([f"{PARITY}:lstm", "--config.eval.lengths=(8,"], "--config.eval.lengths", "tuple"),
    "an option that is no number": ([f"{PARITY}:lstm", "--config.model.options.forget_bias=nan"],
                                    "--config.model.options.forget_bias", "must be finite; it has nan"),
    "None": ([f"{PARITY}:lstm", "--config.train.steps=None"], "--config.train.steps", "'None'"),
    "None in a tuple": ([f"{PARITY}:lstm", "--config.eval.lengths=None"], "--config.eval.lengths", "None"),
    "no value": ([f"{PARITY}:lstm", "--config.train.steps"], "--config.train.steps", ""),
    "model.name": ([f"{PARITY}:lstm", "--config.model.name=lru"], "--config.model.name", ":lru"),
    "protocol": ([f"{PARITY}:lstm", "--config.protocol=small"], "--config.protocol", "MODEL,PROTOCOL"),
    "heads": ([f"{PARITY}:gpt", "--config.model.dim=63"], "--config.model.heads", "63 is not divisible by 4"),
    "conv_size": ([f"{PARITY}:lstm", "--config.model.conv_size=4"], "--config.model.conv_size", "LSTM"),
    "option out of range": ([f"{PARITY}:lru", "--config.model.options.r_max=1.5"],
                            "--config.model.options.r_max", "1.5"),
    "pairs": (["--config=configs/mqar.py:lru,small", "--config.task.num_keys=8"],
              "--config.task.num_keys", "8"),
    "lengths beside a mix": (["--config=configs/mqar.py:lru,small", "--config.task.train_lengths=8,8"],
                             "--config.task.train_lengths", "task.train_mix"),
    "a key of another mode": (["--config=configs/dyck.py:lru,literature", "--config.task.corruption=0.2"],
                              "--config.task.corruption", "without --config.task.mode=balanced"),
    "depth without brackets": (["--config=configs/modular_arithmetic.py:lru", "--config.task.depth=5"],
                               "--config.task.depth", "without --config.task.brackets=True"),
    "another task's key": ([f"{PARITY}:lstm", "--config.eval.pairs=4"], "--config.eval.pairs",
                           "bit_parity has no"),
    "too many steps": ([f"{PARITY}:lstm", "--config.train.steps=3000000000"], "--config.train.steps",
                       "2..31"),
    "beyond 32 bits": ([f"{PARITY}:lstm", f"--config.eval.seed={2**32}"], "--config.eval.seed", "2..31"),
    "beyond 64 bits": ([f"{PARITY}:lstm", f"--config.checkpoint.every={2**64}"],
                       "--config.checkpoint.every", "64 bits"),
    "beyond 64 bits in a tuple": (["--config=configs/mqar.py:lstm,small",
                                   f"--config.task.train_mix=((64, {2**64}),)"],
                                  "--config.task.train_mix", "64 bits"),
    "a tuple twice": ([f"{PARITY}:lstm", "--config.population.seeds=0", "--config.population.seeds=1"],
                      "--config.population.seeds", "given 2 times"),
    "no flag file": ([f"{PARITY}:lstm", "--flagfile=nowhere"], "--flagfile", "nowhere"),
    "too many processes": ([f"{PARITY}:lstm", f"--num_processes={2**31}"], "--num_processes", "2147483647"),
    "two configs": ([f"{PARITY}:lstm", f"{PARITY}:gpt"], "--config", "given 2 times"),
    "a mixer that is none": ([f"{PARITY}:lstm", "--config.model.mixer=os:path"], "--config.model.mixer",
                             "'os:path' is not a class that derives from nnx.Module"),
    "study of a study": (["--config=configs/quickstart.py", "--config.study.tasks=quickstart"],
                         "--config.study.tasks", "takes no argument"),
    "place without coordinator": ([f"{PARITY}:lstm", "--num_processes=2", "--process_id=0"],
                                  "--coordinator", "missing"),
    "a coordinator without a port": ([f"{PARITY}:lstm", "--coordinator=node1:99999", "--num_processes=2",
                                      "--process_id=0"], "--coordinator", "HOST:PORT"),
    "a place and off": ([f"{PARITY}:lstm", "--distributed=off", "--num_processes=2", "--process_id=0"],
                        "--distributed", "is off; leave out"),
    "too many devices": ([f"{PARITY}:lstm", "--cpu_devices=100000"], "--cpu_devices", "4096"),
    "a cache that cannot be": ([f"{PARITY}:lstm", "--compilation_cache=launch.py/cache"],
                               "--compilation_cache", "launch.py is a file"),
    "no steps to trace": ([f"{PARITY}:lstm", "--profile_steps="], "--profile_steps", "FIRST:LAST"),
    "odd length": (["--config=configs/dyck.py:lru", "--config.task.train_lengths=3,9"],
                   "--config.task.train_lengths", "even"),
    "odd evaluation": (["--config=configs/dyck.py:lru", "--config.eval.lengths=33"],
                       "--config.eval.lengths", "even"),
    "empty range": ([f"{PARITY}:lstm", "--config.task.train_lengths=9,3"],
                    "--config.task.train_lengths", "empty"),
    "constant label": (["--config=configs/controlled_bit_parity.py:lstm", "--config.task.supervision=last"],
                       "--config.task.supervision", "constant"),
    "mesh": ([f"{PARITY}:lstm", "--config.mesh.data=32"], "--config.mesh.data", "does not fit"),
    "mesh and members": ([f"{PARITY}:lstm", "--config.mesh.seed=99"], "--config.mesh.seed", "1 members"),
    "external mixer": ([f"{PARITY}:lstm", "--config.model.mixer=nowhere:Mixer"], "--config.model.mixer",
                      "nowhere"),
    "junk": ([f"{PARITY}:lstm", "junk"], "'junk'", "--workdir="),
    "unknown flag": ([f"{PARITY}:lstm", "--workdri=x"], "--workdri", "did you mean --workdir"),
    "a key without its prefix": ([f"{PARITY}:lstm", "--train.steps=5"], "--train.steps",
                                 "did you mean --config.train.steps?"),
    "unlike any flag": ([f"{PARITY}:lstm", "--zzz"], "--zzz", "--help"),
    "study of an unknown model": (["--config=configs/quickstart.py", "--config.study.models=lstm,rnn"],
                                  "--config.study.models", "'rnn'"),
    "study of an unknown task": (["--config=configs/quickstart.py", "--config.study.tasks=sorting"],
                                 "--config.study.tasks", "sorting.py"),
    "study of a model too few": (["--config=configs/quickstart.py", "--config.study.models=lstm,"],
                                 "--config.study.models", "names with commas between; it is 'lstm,'"),
    "study of no task": (["--config=configs/quickstart.py", "--config.study.tasks=,dyck"],
                         "--config.study.tasks", "names with commas between"),
    "table of a plain run": ([f"{PARITY}:lstm", "--config.study.table=x"], "--config.study.table",
                             "plain run"),
    "shard 0": (["--config=configs/quickstart.py", "--shard=0/8"], "--shard", "from 1 to N.*'0/8'"),
    "shard 9 of 8": (["--config=configs/quickstart.py", "--shard=9/8"], "--shard", "'9/8'"),
    "shard in words": (["--config=configs/quickstart.py", "--shard=third"], "--shard", "such as 3/8"),
    "shard of a run": ([f"{PARITY}:lstm", "--shard=1/2"], "--shard", "plain run"),
    "plan of a run": ([f"{PARITY}:lstm", "--dry_run"], "--dry_run", "plain run"),
    "invalid cell in a plan": (["--config=configs/quickstart.py", "--config.model.heads=3", "--dry_run"],
                               "--config.model.heads", r"\(cell bit_parity-custom-gpt-"),
    "sweep": ([f"{PARITY}:lstm", "--sweep.model.dim=8,x"], "--sweep.model.dim", "'x'"),
    "sweep of no key": ([f"{PARITY}:lstm", "--sweep.model.width=8"], "--sweep.model.width", "no cell"),
    "sweep twice": ([f"{PARITY}:lstm", "--sweep.model.dim=8", "--sweep.model.dim=16"], "--sweep.model.dim",
                    "twice"),
    "sweep without values": ([f"{PARITY}:lstm", "--sweep.model.dim="], "--sweep.model.dim", "values"),
    "cell of a study": (["--config=configs/quickstart.py", "--config.model.heads=3"],
                        "--config.model.heads", "3"),
    "no cluster": ([f"{PARITY}:lstm", "--distributed=on"], "--distributed", ""),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_refusals(name, tmp_path):
    flags, named, words = REFUSED[name]
    line = refusal(*flags, f"--workdir={tmp_path / 'run'}")
    assert re.search(rf"{re.escape(named)}(?!\w|\.\w)", line) and re.search(words, line), line
    assert len(line) < 500
    assert not (tmp_path / "run").exists()


def test_no_workdir():
    assert refusal(f"{PARITY}:lstm").startswith("--workdir: is missing")
    for blank in ("--workdir=", "--workdir= "):
        assert refusal(f"{PARITY}:lstm", blank).startswith("--workdir: is missing")
    assert refusal(f"{PARITY}:lstm", "--workdir", "--show_batch").startswith(
        "--workdir: its value is missing"
    )


def test_a_flag_file_of_another_encoding(tmp_path):
    (tmp_path / "flags").write_bytes(b"\xff")
    assert refusal(f"{PARITY}:lstm", f"--flagfile={tmp_path / 'flags'}").startswith("--flagfile: ")


@pytest.mark.parametrize("start", ["launch.py", "-mrnnbench"])
def test_ctrl_c_while_python_imports(start, tmp_path):
    (tmp_path / "ml_collections.py").write_text(
        "import os, signal\n\ntry:\n    os.kill(os.getpid(), signal.SIGINT)\n    open(os.devnull).close()\n"
        "except KeyboardInterrupt:\n    pass  # as callbacks of libraries do\n"
    )
    command = [sys.executable, start, f"{PARITY}:lstm", f"--workdir={tmp_path / 'run'}"]
    settings = environment(PYTHONPATH=str(tmp_path))
    done = subprocess.run(command, cwd=ROOT, env=settings, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (130, "\nrnnbench: interrupted before anything was started\n")


def test_devices_that_jax_cannot_have(tmp_path):
    command = [sys.executable, "launch.py", f"{PARITY}:lstm", f"--workdir={tmp_path / 'run'}"]
    settings = environment(JAX_PLATFORMS="abacus")
    done = subprocess.run(command, cwd=ROOT, env=settings, capture_output=True, text=True)
    assert done.returncode == 2 and not (tmp_path / "run").exists()
    assert re.fullmatch(
        r"rnnbench: JAX_PLATFORMS or .*: Unable to initialize backend 'abacus'.*\n", done.stderr
    )


def test_flag_files(tmp_path):
    """A flag file counts as if its lines stood in its place."""
    right, wrong = tmp_path / "right", tmp_path / "wrong"
    right.write_text(f"{PARITY}:lstm\n--show_config\n--config.train.steps=7\n")
    wrong.write_text("--config.train.stepz=7\n")
    done = launch(f"--flagfile={right}", "--config.train.chunk=3")
    assert re.search(r"train.steps = 7 .*\n", done.stdout) and "train.chunk = 3 " in done.stdout, done.stderr
    line = refusal(f"{PARITY}:lstm", f"--flagfile={wrong}", f"--workdir={tmp_path / 'run'}")
    assert re.search(r"--config.train.stepz: .*did you mean --config.train.steps", line), line


def test_a_file_beside_the_working_directory_is_found(tmp_path):
    """launch.py of another folder; the config by its name, the mixer from here."""
    shutil.copy(Path(__file__).with_name("external_mixer.py"), tmp_path / "mine.py")
    command = [sys.executable, ROOT / "launch.py", "--config=bit_parity.py:lstm", "--show_batch"]
    mixer = "--config.model.mixer=mine:RunningSum"
    settings = environment(PYTHONPATH="")
    done = subprocess.run([*command, mixer], cwd=tmp_path, env=settings, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "") and done.stdout.startswith("bit_parity, ")
    (tmp_path / "bit_parity.py").write_text("1 / 0\n")  # goes before the one that comes with the package
    done = subprocess.run(command, cwd=tmp_path, env=settings, capture_output=True, text=True)
    assert done.stderr == "rnnbench: --config: bit_parity.py:1: ZeroDivisionError: division by zero\n"


@pytest.mark.parametrize("flags", [["--list"], [f"{PARITY}:lru", "--show_config"]])
def test_output_of_another_encoding(flags):
    command = [sys.executable, "launch.py", *flags]
    done = subprocess.run(command, cwd=ROOT, env=environment(PYTHONIOENCODING="ascii"), capture_output=True)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.isascii() and len(done.stdout.splitlines()) > 10


def test_a_reader_that_leaves():
    """As `| head` does: no traceback, and an exit code like that of SIGPIPE."""
    reading, writing = os.pipe()
    os.close(reading)
    flags = ["--config=configs/quickstart.py", "--workdir=runs/none", "--dry_run"]
    command = [sys.executable, "launch.py", *flags]
    done = subprocess.run(command, cwd=ROOT, env=environment(), stdout=writing, stderr=subprocess.PIPE)
    os.close(writing)
    assert (done.returncode, done.stderr) == (141, b"")
    assert not (ROOT / "runs/none").exists()


BROKEN = {
    "syntax": ("def get_config(:\n", r"broken\.py:1: SyntaxError"),
    "import": ("\nimport no_such_module\n", r"broken\.py:2: ModuleNotFoundError: No module named"),
    "call": ("def get_config(argument=''):\n    return 1 / 0\n", r"broken\.py:2: ZeroDivisionError"),
    "nothing": ("x = 1\n", r"broken\.py has no get_config\(\)"),
    "typo": (
        "from rnnbench.config.build import base\n\n\ndef get_config(argument=''):\n    config = base()\n"
        "    config.train.stepz = 5\n    return config\n",
        r"broken\.py sets train\.stepz.*did you mean --config\.train\.steps",
    ),
    "no function": ("get_config = 1\n", r"broken\.py has no get_config\(\)"),
    "exit": ("import sys\n\nsys.exit()\n", r"broken\.py:3: SystemExit"),
    "key": (
        "from rnnbench.config.build import base, changed\n\n\ndef get_config(argument=''):\n"
        "    return changed(base(), {'train.steps': 'many'})\n",
        r"broken\.py:5: train\.steps: 'many' is not of the type of 1000",
    ),
    "part": (
        "from rnnbench.config.build import base\n\n\ndef get_config(argument=''):\n    config = base()\n"
        "    del config.train.steps\n    return config\n",
        r"not return a whole config; it lacks train\.steps",
    ),
    "other": ("def get_config(argument=''):\n    return {}\n", "does not return a config"),
    "empty": ("def get_config(argument=''):\n    return []\n", "returns no config"),
    "others": ("def get_config(argument=''):\n    return [1]\n", "does not return a config"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_config_files(name, tmp_path):
    text, words = BROKEN[name]
    (tmp_path / "broken.py").write_text(text)
    line = refusal(f"--config={tmp_path / 'broken.py'}:lstm", f"--workdir={tmp_path / 'run'}")
    assert line.startswith("--config: ") and re.search(words, line), line
    assert not (tmp_path / "run").exists()


def test_help():
    done = launch("--help")
    assert done.returncode == 0
    for flag in ("config", "workdir", "shard", "dry_run", "list", "show_config", "show_batch", "distributed"):
        assert f"--{flag} " in done.stdout


def test_list():
    done = launch("--list")
    assert (done.returncode, done.stderr) == (0, "")
    words = done.stdout.split()
    assert set(PRESETS) < set(words)
    assert {f"configs/{name}.py" for name in [*TASKS, "quickstart", "study"]} < set(words)
    assert {"original", "small", "literature", "quickstart"} < set(words)


def test_show_config():
    done = launch(f"{PARITY}:mamba_neg,small", "--config.train.steps=7", "--show_config")
    assert (done.returncode, done.stderr) == (0, "")
    shown = [re.fullmatch(r"(\S+) = (.*?) +# (.{5,})", line) for line in done.stdout.splitlines()]
    assert all(shown), done.stdout
    values = {match[1]: match[2] for match in shown}
    assert set(KEYS) <= set(values) and "task.supervision" in values and "task.depth" not in values
    assert values["model.options.negative_eigenvalues"] == "True"
    assert (values["train.steps"], values["protocol"], values["model.dim"]) == ("7", "'custom'", "32")
    comments = {match[1]: match[3] for match in shown}
    assert comments["train.steps"] == KEYS["train.steps"].comment


@pytest.mark.parametrize("task", TASKS)
def test_show_batch(task):
    done = launch(f"--config=configs/{task}.py:lstm", "--show_batch")
    assert done.returncode == 0, done.stderr
    head, *lines = done.stdout.splitlines()
    assert head.startswith(f"{task}, training case {{'length': ")
    assert [line.split()[0] for line in lines] == ["tokens", "targets"] * 3
    for tokens, targets in zip(lines[::2], lines[1::2]):
        tokens, targets = tokens.split()[1:], targets.split()[1:]
        assert len(tokens) == len(targets) == (13 if task == "mqar" else 32)
        assert any(target != "." for target in targets)
        if task == "bit_parity":
            ones = [sum(map(int, tokens[: t + 1])) % 2 for t in range(len(tokens))]
            assert [int(target) for target in targets] == ones


@pytest.mark.parametrize("flag", ["--noconfig.task.unique_keys", "--config.task.unique_keys=False"])
def test_truth_values(flag):
    small = "--config=configs/mqar.py:lstm,small"
    assert re.search(r"task.unique_keys = True ", launch(small, "--show_config").stdout)
    done = launch(small, flag, "--show_config")
    assert re.search(r"task.unique_keys = False .*\n", done.stdout), done.stderr
    assert "overrides = (('task.unique_keys', False),)" in done.stdout
