"""The rooms of the package: imports go one way, and nowhere in a circle."""

import ast
import graphlib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

# A room imports from itself and from those before it.
ROOMS = (
    "errors", "plugins", "tasks", "ops", "mixers", "config", "terminal", "sizes", "model", "parallel",
    "store", "train", "study", "report", "bench", "notebook", "long_streams", "check", "cli", "__main__",
)  # fmt: skip
# A run shows its plot in TensorBoard and the report's medians, and a study ends in its report.
AGAINST_THE_ORDER = {
    ("train.log", "report.draw"),
    ("train.run", "report.summary"),
    ("study.run", "report.console"),
    ("study.run", "report.write"),
}

pytestmark = pytest.mark.fast


def modules(root):
    """{"train.run": its file, "train": that of its room}; the __init__.py of the package is left out."""
    found = {}
    for path in sorted(root.rglob("*.py")):
        parts = path.relative_to(root).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        found |= {name: path} if name else {}
    return found


def imports(path, known):
    """The modules of the package that a file imports, wherever in it the import stands."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}:{node.lineno}: a relative import"
            # A module of a package, or a name in a module.
            inner = [f"{node.module}.{alias.name}" for alias in node.names]
            names = [name if name.removeprefix("rnnbench.") in known else node.module for name in inner]
        else:
            continue
        found |= {name.removeprefix("rnnbench.") for name in names if name.startswith("rnnbench.")}
    assert found <= known.keys(), f"{path} imports {found - known.keys()}"
    return found


def graph(root):
    known = modules(root)
    return {name: imports(path, known) for name, path in known.items()}


def against_the_order(graph):
    place = lambda module: ROOMS.index(module.partition(".")[0])
    return {(name, other) for name, others in graph.items() for other in others if place(other) > place(name)}


def test_no_room_imports_one_below_it():
    assert against_the_order(graph(ROOT / "rnnbench")) == AGAINST_THE_ORDER


def test_no_circle():
    graphlib.TopologicalSorter(graph(ROOT / "rnnbench")).prepare()


def test_faults_are_found(tmp_path):
    for name, text in {
        "store/__init__.py": "",
        "store/rows.py": "def f():\n    from rnnbench.train import run\n",
        "train/__init__.py": "",
        "train/run.py": "from rnnbench.store.rows import f\n",
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    found = graph(tmp_path)
    assert against_the_order(found) == {("store.rows", "train.run")}
    with pytest.raises(graphlib.CycleError):
        graphlib.TopologicalSorter(found).prepare()
