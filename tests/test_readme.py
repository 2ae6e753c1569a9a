"""README and docs keep their word: commands work, links lead somewhere, the recurrence ends in a report."""

import importlib.util
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import jax
import pytest
from launched import TINY, environment

from configs import quickstart
from rnnbench.mixers import PRESETS
from rnnbench.tasks import TASKS

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
PAGES = {path: path.read_text() for path in (ROOT / "README.md", *sorted(ROOT.glob("docs/*.md")))}
SHOWN = {"--list", "--show_config", "--show_batch"}
# Studies of a few cells; for larger ones the tests of studies do the same.
PLANNED = re.compile(r"my_study\.py|--sweep|study\.models")
# What a line of a code block starts with; whatever runs Python is checked below.
PROGRAMS = {"python", "python3", "taskset", "srun", "gcloud", "xpk", "[", "tensorboard"}

pytestmark = pytest.mark.fast


def blocks(text, language):
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def block(language, holding, page="README.md"):
    """The code of a page in this language that holds these words."""
    (found,) = [text for text in blocks(PAGES[ROOT / page], language) if holding in text]
    return found


def lines(text):
    """The command lines of a page, continued lines as one, comments left out."""
    joined = "".join(blocks(text, "bash")).replace("\\\n", " ")
    return [line for line in joined.splitlines() if line.strip() and not line.startswith("#")]


def commands(text):
    """The arguments of every `python …` in the code blocks of a page, also within another command."""
    for line in lines(text):
        for match in re.finditer(r"(?:^|[\s\"/])python (?=launch\.py|-m |results/)", line):
            rest = line[match.end() :].partition(" && ")[0]
            quoted = line[: match.start() + 1].count('"') % 2
            yield shlex.split(rest.partition('"')[0] if quoted else rest)


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    """A folder that looks like a checkout and has the files that the pages tell the reader to write."""
    folder = tmp_path_factory.mktemp("checkout")
    for name in ("launch.py", "configs", "rnnbench", "results"):
        (folder / name).symlink_to(ROOT / name)
    (folder / "my_file.py").write_text(block("python", "class EMA"))
    for text in PAGES.values():
        for code in blocks(text, "python"):
            if name := re.match(r"# (\w+\.py)\n", code):
                (folder / name[1]).write_text(code)
    return folder


# Launches what it is told, or parses the command line of another module and runs no more of it.
RUN = """
import argparse, json, runpy, sys
from rnnbench.cli.main import main

class Parsed(BaseException):
    pass

def parsed(parse):
    def stop(*arguments, **more):
        parse(*arguments, **more)
        raise Parsed
    return stop

for name in ("parse_args", "parse_intermixed_args"):
    setattr(argparse.ArgumentParser, name, parsed(getattr(argparse.ArgumentParser, name)))
path = list(sys.path)
for argv in json.loads(sys.argv[1]):
    print(argv, file=sys.stderr)
    if argv[0] == "launch.py":
        assert main(argv) == 0, argv
        continue
    if argv[0] == "-m":
        run, argv = runpy.run_module, argv[1:]
    else:
        run, sys.path[:] = runpy.run_path, [argv[0].rpartition("/")[0], *path]
    sys.argv = argv
    try:
        run(argv[0], run_name="__main__")
    except Parsed:
        continue
    raise AssertionError(argv)
"""


def test_every_command_works(checkout):
    """Runs are configured, small studies planned; of other commands the arguments are parsed."""
    calls = []
    for program, *rest in (command for text in PAGES.values() for command in commands(text)):
        if program == "-m" and rest[0] == "rnnbench":
            program, rest = "launch.py", rest[1:]
        if program != "launch.py" or SHOWN & set(rest):
            calls.append([program, *rest])
        else:
            calls.append([program, *rest, "--dry_run" if PLANNED.search(" ".join(rest)) else "--show_config"])
    assert len(calls) > 40
    settings = environment(PYTHONPATH=str(ROOT))
    command = [sys.executable, "-c", RUN, json.dumps(calls)]
    done = subprocess.run(command, cwd=checkout, env=settings, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    assert not (checkout / "runs").exists()


def test_every_command_is_known():
    """A line that starts with anything else would pass unchecked."""
    told = [line for text in PAGES.values() for line in lines(text)]
    assert {shlex.split(line)[0] for line in told} == PROGRAMS


def anchors(text):
    """The anchors of a page's headings, as GitHub makes them."""
    text = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    headings = re.findall(r"^#+ (.*)", text, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_its_links_lead_somewhere(page):
    for link in re.findall(r"\]\((?!https://)([^)]+)\)", PAGES[page]):
        file, _, anchor = link.partition("#")
        target = (page.parent / file).resolve() if file else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target.read_text()), link


def test_it_is_short_and_leads_to_every_page():
    assert len(README.splitlines()) <= 150
    assert {f"docs/{page.name}" for page in ROOT.glob("docs/*.md")} <= set(
        re.findall(r"\(([\w/.]+)\)", README)
    )


def test_its_recurrence_ends_in_a_report_and_the_notebook_lines_run(tmp_path, monkeypatch):
    """The commands as they stand, but for the workdirs and for smaller sizes."""
    (tmp_path / "my_file.py").write_text(block("python", "class EMA"))
    settings = environment(PYTHONPATH=os.pathsep.join([str(tmp_path), str(ROOT)]))
    told = block("bash", "my_file:EMA").replace("runs/", f"{tmp_path}/").splitlines()
    assert len(told) == 4
    for command in told:
        python, *arguments = shlex.split(command)
        if arguments[0] == "launch.py":
            arguments += ["--compilation_cache=off", *TINY[1:]]
        done = subprocess.run(
            [sys.executable, *arguments], cwd=ROOT, env=settings, capture_output=True, text=True
        )
        assert python == "python" and done.returncode == 0, done.stdout + done.stderr
    text = (tmp_path / "ema" / "report.md").read_text()
    (table,) = [part for part in text.split("\n\n") if part.startswith("| model | ") and "seeds" in part]
    assert [line.split("|")[1].strip() for line in table.splitlines()[2:]] == ["EMA", "deltanet"]

    monkeypatch.syspath_prepend(tmp_path)
    names = {"tokens": jax.numpy.zeros((1, 4), int)}
    notebook = block("python", "rnnbench.load", "docs/results.md")
    exec(notebook.replace("runs/parity", f"{tmp_path}/ema"), names)
    assert names["logits"].shape == (1, 2) and set(names["table"].model) == {"EMA"}


def test_its_recipes_are_for_everyone():
    """One each for a laptop, SLURM, a TPU pod, xpk and a plain cluster."""
    recipes = block("bash", "srun", "docs/scale.md")
    programs = {shlex.split(line)[0] for line in lines(f"```bash\n{recipes}```")}
    assert recipes.count("launch.py") == 5 and programs == {"python", "srun", "gcloud", "xpk", "["}


def test_it_names_every_preset():
    assert set(PRESETS) <= set(re.findall(r"`([a-z0-9_]+)`", README))


def test_the_front_tables_are_those_of_the_rows():
    path = ROOT / "results" / "front.py"
    spec = importlib.util.spec_from_file_location("front", path)
    front = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(front)
    of_map, of_small = front.of_map(), front.of_small(front.summarise(front.small().rows))
    # Two lines of a header; chance has a row too.
    assert len(of_map.splitlines()) == 2 + len(TASKS) and of_map in README
    assert len(of_small.splitlines()) == 3 + len(quickstart.MODELS)
    assert of_small in (ROOT / "results" / "README.md").read_text()
