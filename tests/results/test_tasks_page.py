"""docs/tasks.md shows the tasks as they are."""

import pytest
import tasks_page

from rnnbench.tasks import TASKS
from rnnbench.tasks.bit_parity import BitParity

pytestmark = pytest.mark.fast


def test_the_page_is_that_of_the_tasks():
    text = tasks_page.PAGE.read_text()
    assert tasks_page.page(text) == text, "python results/tasks_page.py"


def test_every_task_is_in_every_table():
    found = tasks_page.tables()
    for name in TASKS:
        assert f"| `{name}` | " in found["tasks"] and f"| `{name}` | " in found["theory"]
    assert tasks_page.example(BitParity()) == "`0 0 1 0 1 0 0`<br>`0 0 1 1 0 0 0`"


def test_a_stale_table_is_made_again():
    text = tasks_page.PAGE.read_text()
    stale = text.replace("| `bit_parity` |", "| `parity` |")
    assert stale != text and tasks_page.page(stale) == text


def test_papers_are_linked_once():
    text = "x (arXiv 1.1). Source: Ab et al. 2023, y (arXiv 2207.02098); Cd & Ef 2024\n (arXiv 2411.12537)."
    linked = [
        "[Ab et al. 2023](https://arxiv.org/abs/2207.02098)",
        "[Cd & Ef 2024](https://arxiv.org/abs/2411.12537)",
    ]
    assert tasks_page.papers(text) == ", ".join(linked)
