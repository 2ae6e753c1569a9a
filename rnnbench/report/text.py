"""The words of a report, and report.md."""

from collections.abc import Sequence

from rnnbench.report import tables
from rnnbench.report.findings import findings, scale
from rnnbench.report.panels import Plot
from rnnbench.report.read import Results
from rnnbench.report.summary import groups, title
from rnnbench.report.tables import Table

ABOUT = {
    "bit_parity": "is the number of ones read so far odd or even? One bit of memory that any token may flip.",
    "controlled_bit_parity": "bit parity, trained with a fixed number of ones. A model that only counts them "
    "passes at that number and fails where it may be any (ones any).",
    "dyck": "are the brackets read so far balanced? Asks for a stack of bounded depth.",
    "mqar": "which value was last bound to this key? Recall of many pairs of key and value.",
}


def introduction(entries: Sequence[dict]) -> str:
    """What this page is, for someone who has never seen the project."""
    models = len(dict.fromkeys(entry["label"] for entry in entries))
    tasks = list(dict.fromkeys(title(entry["task"]) for entry in entries))
    members = sum(entry["members"] for entry in entries)
    return (
        "rnnbench trains small sequence models on tasks that ask for memory and then tests them on sequences "
        "longer than any they were trained on: what can a recurrence learn, does it keep working, and what "
        f"does it cost? This report compares {_count(models, 'model')} on {_count(len(tasks), 'task')} "
        f"({', '.join(tasks)}), {_count(members, 'trained member')} in all: every model with every learning "
        "rate and seed. A model is shown at its own learning rate, the one with the best median over seeds "
        "at the longest length of training; longer sequences never take part in that choice."
    )


def about(entries: Sequence[dict]) -> list[tuple[str, str]]:
    """(task, what it asks) of the tasks in the report that have a sentence."""
    tasks = dict.fromkeys(entry["task"] for entry in entries)
    return [(title(task), ABOUT[task]) for task in tasks if task in ABOUT]


def missing(found: Results) -> str:
    number = len(found.missing)
    have = "has" if number == 1 else "have"
    return f"{_count(number, 'cell')} of the study {have} no results yet." if number else ""


def _count(number: int, name: str) -> str:
    return f"{number} {name}" if number == 1 else f"{number} {name}s"


def markdown(entries: Sequence[dict], found: Results, drawn: Sequence[Plot]) -> str:
    """report.md; the figures are PNG files beside it."""
    parts = ["# What the models learned", introduction(entries)]
    parts += [f"- **{task}**: {sentence}" for task, sentence in about(entries)] + ["## Findings"]
    for setting, sentences in findings(entries):
        parts += [f"**{setting}**", "\n".join(f"- {sentence}" for sentence in sentences)]
    parts += [scale(), missing(found)]
    for plot in drawn:
        parts += [f"## {plot.title}", f"![{plot.title}]({plot.name}.png)", plot.caption]
    for group in groups(entries):
        parts += [
            f"## {group.task}, protocol {group.protocol}",
            group.changes and f"Changed: {group.changes}.",
        ]
        parts += [pipe_table(tables.results(group)), tables.note(group)]
        parts.append("\n".join(f"- {line}" for line in tables.warnings(group.entries)))
        if rates := tables.learning_rates(group):
            parts += [
                f"Median {group.headline} at the longest training length per learning rate:",
                pipe_table(rates),
            ]
    for heading, table in (("Diverged", tables.diverged(entries)), ("Failed", tables.failures(found))):
        parts += [f"## {heading}", pipe_table(table)] if table else []
    parts += ["## Cost", tables.cost_sentence(entries), pipe_table(tables.cost(entries))]
    parts += ["## Configs and versions", "\n".join(f"- {line}" for line in tables.versions(found))]
    shared, own = tables.configs(found)
    parts += ["Keys that all cells share:", _keys(shared)] if shared else []
    for cell, keys in own:
        parts += [f"{cell}:", _keys(keys)] if keys else []
    return "\n\n".join(filter(None, parts)) + "\n"


def _keys(keys: Sequence[tuple[str, str]]) -> str:
    return "\n".join(f"    {key} = {value}" for key, value in keys)


def pipe_table(table: Table) -> str:
    texts = [table.columns, ["---", *["---:"] * (len(table.columns) - 1)]]
    plain = lambda cell: f"{cell.text} ({cell.detail})" if cell.detail else cell.text
    texts += [[plain(cell).replace("|", "\\|").replace("\n", " ") for cell in line] for line in table.lines]
    return "\n".join(f"| {' | '.join(line)} |" for line in texts)
