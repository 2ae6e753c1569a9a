"""The tables of docs/tasks.md, from the tasks.

python results/tasks_page.py
"""

import re
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from rnnbench.mixers import PRESETS  # noqa: E402
from rnnbench.tasks import TASKS  # noqa: E402
from rnnbench.tasks.theory import verdict  # noqa: E402

PAGE = ROOT / "docs" / "tasks.md"
# What a column stands for, and the preset whose verdicts it shows.
COLUMNS = {
    "decay in [0, 1], constant (`linear_transformer`)": "linear_transformer",
    "decay in [0, 1] (`mamba`)": "mamba",
    "in [−1, 1] (`mamba_neg`)": "mamba_neg",
    "complex, constant (`lru`)": "lru",
    "complex (`mamba3`)": "mamba3",
    "rank 1 in [0, 1] (`deltanet`)": "deltanet",
    "rank 1 in [−1, 1] (`deltanet_neg`)": "deltanet_neg",
    "nonlinear, bounded (`gru`)": "gru",
    "nonlinear (`lstm`)": "lstm",
    "attention (`gpt`)": "gpt",
}
GROUPS = ("Z3", "S4", "A5", "S5")
PAPER = re.compile(r"([A-Z][\w-]+(?: et al\.| & [A-Z]\w+)? \d{4})[^(;]*\(arXiv (\d+\.\d+)\)")


def tables() -> dict[str, str]:
    """{marker: the text after it}."""
    tasks = {f"`{name}`": kind() for name, kind in TASKS.items()}
    more = {f"`group_word` in {group}": TASKS["group_word"](group=group) for group in GROUPS}
    return {"tasks": described(tasks), "theory": decided(tasks | more), "theorems": sources(tasks | more)}


def described(tasks: dict[str, Any]) -> str:
    rows = [
        (
            name,
            example(task),
            task.language,
            f"{task.chance(task.selection_case()):.2g}",
            papers(task.__doc__),
        )
        for name, task in tasks.items()
    ]
    return markdown(("task", "example: inputs, targets", "class", "chance", "source"), rows)


def example(task: Any) -> str:
    """The first worked example of the docstring."""
    inputs, targets = re.search(r"inputs +(.*)\n +targets +(.*)\n", task.__doc__).groups()
    return "<br>".join("`" + " ".join(line.split()).replace("|", r"\|") + "`" for line in (inputs, targets))


def papers(text: str) -> str:
    source = " ".join(text.rpartition("Source:")[2].split())
    found = [f"[{name}](https://arxiv.org/abs/{number})" for name, number in PAPER.findall(source)]
    return ", ".join(dict.fromkeys(found)) or "the course project"


def decided(tasks: dict[str, Any]) -> str:
    def cell(task: Any, name: str) -> str:
        preset = PRESETS[name]
        found = verdict(task.theory, preset.spectrum, preset.structure, preset.selective, name)
        return "" if found == "open" else found

    rows = [(name, *(cell(task, preset) for preset in COLUMNS.values())) for name, task in tasks.items()]
    return markdown(("task", *COLUMNS), rows)


def sources(tasks: dict[str, Any]) -> str:
    of: dict[str, list[str]] = {}
    for name, task in tasks.items():
        for theorem in task.theory:
            about = f" ({', '.join(f'`{each}`' for each in theorem.presets)} only)" if theorem.presets else ""
            of.setdefault(theorem.source + about, []).append(name)
    return "\n".join(f"- {source}. {', '.join(dict.fromkeys(names))}." for source, names in of.items())


def markdown(headings: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    headings = list(headings)
    lines = [headings, ["---"] * len(headings), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def page(text: str) -> str:
    """The page with its tables made again: each stands between its marker and the next blank line."""
    for marker, table in tables().items():
        block = re.compile(rf"(<!-- {marker} -->\n)(.*?)(?=\n\n|\Z)", re.DOTALL)
        text = block.sub(lambda match, table=table: match[1] + table, text)
    return text


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text()))
    print(PAGE.relative_to(ROOT))
