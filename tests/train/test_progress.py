"""The display of a running study: what a terminal shows and what a log file gets."""

import io
import re

import pytest
from rich.console import Console

from rnnbench.train import progress as module
from rnnbench.train.progress import Progress


class Clock:
    now = 0.0

    def monotonic(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    return clock


def text_of(console):
    return console.file.getvalue()


def console(terminal, width=80):
    return Console(
        file=io.StringIO(), force_terminal=terminal, width=width, highlight=False, color_system=None
    )


def test_log_lines_are_sparse_and_tell_everything(clock):
    log = console(terminal=False, width=100)
    with Progress(total_runs=9, console=log) as progress:
        progress.start("deltanet_neg", steps=1000, step=100)
        progress.note("compiling")
        for step in range(110, 1010, 10):
            clock.now += 0.5
            progress.update(step, loss=0.25, accuracy=0.875)
        progress.done("1.000 at length=256")
    lines = text_of(log).splitlines()
    assert lines[0] == "[1/9] deltanet_neg: 1000 steps, resumed at 100"
    assert lines[1] == "[1/9] deltanet_neg: step 200/1000  loss 0.250 acc 0.875 20 steps/s, ETA 0:40"
    assert lines[-1] == "[1/9] deltanet_neg: done: 1.000 at length=256  (0:45)"
    assert len(lines) == 2 + 45 / 5


def test_compile_time_does_not_count_as_speed(clock):
    log = console(terminal=False, width=100)
    with Progress(console=log) as progress:
        progress.start("mamba", steps=30)
        clock.now += 60
        progress.update(10, 0.5, 0.5)
        clock.now += 10
        progress.update(20, 0.5, 0.5)
    assert text_of(log).splitlines()[1:] == [
        "mamba: step 10/30  loss 0.500 acc 0.500",
        "mamba: step 20/30  loss 0.500 acc 0.500 1.0 steps/s, ETA 0:10",
    ]


def test_a_population_that_diverged(clock):
    log = console(terminal=False)
    with Progress(console=log) as progress:
        progress.start("lru", steps=10)
        clock.now += 6
        progress.update(5, None, None)
    assert "lru: step 5/10  diverged" in text_of(log)


def test_a_terminal_keeps_a_line_per_finished_run(clock):
    screen = console(terminal=True)
    with Progress(total_runs=2, console=screen) as progress:
        for name in ("gpt", "mamba [x]"):
            progress.start(name, steps=10)
            progress.note("compiling [abc]")
            progress.update(5, 0.5, 0.75)
            progress.done("0.500 at length=64")
    shown = text_of(screen)
    assert "✓ 1/2 gpt" in shown and "✓ 2/2 mamba [x]" in shown
    assert shown.count("0.500 at length=64") == 2


def test_the_live_line_fits_a_terminal_of_80_columns(clock):
    screen = console(terminal=True)
    with Progress(total_runs=9, console=screen) as progress:
        progress.start("linear_transformer", steps=2000)
        for step in (500, 1000, 1500):
            clock.now += 1
            progress.update(step, 0.123, 0.999)
        progress._live.refresh()
        shown = text_of(screen)
    assert "1500/2000 loss 0.123 acc 0.999 500/s ETA 0:01" in shown


def test_an_error_ends_the_display(clock):
    with pytest.raises(RuntimeError), Progress(console=console(terminal=True)) as progress:
        progress.start("gpt", steps=10)
        raise RuntimeError
    assert not progress._live.live.is_started


def test_runs_inside_a_study_share_its_display(clock):
    screen = console(terminal=True)
    with Progress(total_runs=2, console=screen) as study:
        study.skip("gpt", "finished before")
        with study as progress:
            progress.start("lstm", steps=10)
            progress.done("1.000")
        assert study._live.live.is_started
    assert not study._live.live.is_started
    assert "1/2 gpt" in text_of(screen) and "2/2 lstm" in text_of(screen)


def test_the_eta_of_a_whole_study(clock):
    log, screen = console(terminal=False, width=100), console(terminal=True, width=100)
    for out in (log, screen):
        with Progress(total_runs=3, console=out) as progress:
            progress.expect(60, after=3600)
            progress.start("gpt", steps=100)
            for step in (10, 20):
                clock.now += 10
                progress.update(step, 0.5, 0.5)
            if out is screen:
                progress._live.refresh()
            progress.done("0.500")
    assert "[1/3] gpt: step 20/100  loss 0.500 acc 0.500 1.0 steps/s, ETA 1:20, study 1:01:20" in text_of(log)
    shown = " ".join(text_of(screen).split())
    assert "study 0/3 cells ETA 1:01:20" in shown


@pytest.mark.parametrize("terminal", [False, True])
def test_a_run_that_fails_or_is_left_to_others(clock, terminal):
    out = console(terminal)
    with Progress(total_runs=3, console=out) as progress:
        progress.fail("gpt", "before it began [x]")
        progress.start("lstm", steps=10)
        progress.fail("lstm", "in the middle")
        progress.skip("lru", "", "left to others")
        assert all(task.description.startswith("[bold]study") for task in progress._live.tasks)
    shown = " ".join(text_of(out).split())
    for number, (name, words) in enumerate(
        [("gpt", "before it began [x]"), ("lstm", "in the middle"), ("lru", "left to others")], start=1
    ):
        assert re.search(rf"{number}/3\]? {name}:?( failed:)? {re.escape(words)}", shown), shown
