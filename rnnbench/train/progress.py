"""Progress display: live on a terminal, sparse log lines elsewhere."""

import time

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, SpinnerColumn, Task, TextColumn
from rich.progress import Progress as LiveDisplay

LINE_EVERY = 5.0  # seconds between two log lines of a run
WIDE = 92  # columns; wider consoles get the longer labels
SMOOTHING = 600.0  # seconds over which the speed is averaged


class Progress:
    """Follows `total_runs` runs one after another; each of them may enter it again.

    with Progress(total_runs=2) as progress:
        progress.start("lstm", steps=1000)
        progress.note("compiling")
        progress.update(100, loss=0.3, accuracy=0.9)
        progress.done("1.000 at length=256")
    """

    def __init__(self, total_runs: int = 1, console: Console | None = None):
        self._console = console or Console(highlight=False)
        self._screen = self._console.is_terminal
        self._live = _live_display(self._console)  # off a terminal it only times the tasks
        self._total_runs = total_runs
        self._run = self._depth = 0
        self._name = self._task = self._study = None
        self._after = 0.0
        self._line_at = float("-inf")

    def __enter__(self):
        self._depth += 1
        if self._depth == 1:
            self._live.start()
        return self

    def __exit__(self, *error):
        self._depth -= 1
        if self._depth == 0:
            for task in self._live.task_ids:
                self._live.remove_task(task)
            self._live.stop()

    def more(self, runs: int) -> None:
        """Adds to the number of runs."""
        self._total_runs += runs

    def start(self, name: str, steps: int, step: int = 0) -> None:
        """A run begins at `step`, which is not 0 if it was resumed."""
        self._run += 1
        self._name = name
        self._task = self._add(self._title(), steps, step)
        if not self._screen:
            self._line(f"{steps} steps" + (f", resumed at {step}" if step else ""))

    def expect(self, seconds: float, after: float) -> None:
        """Sets the expected seconds of the next run, and of all runs after it."""
        self._after = after
        if self._study is None:
            self._study = self._add(f"[bold]{'study':<18}[/]", self._total_runs)
        self._live.update(self._study.id, completed=self._run)
        self._show_study(seconds)

    def update(self, step: int, loss: float | None, accuracy: float | None) -> None:
        """The run reached `step`; a loss of None stands for a population that has diverged."""
        self._live.update(self._task.id, completed=step)
        loss_text = "diverged" if loss is None else f"loss {loss:.3f}"
        accuracy_text = "" if accuracy is None else f" acc {accuracy:.3f}"
        self._say(f"{loss_text}{accuracy_text}{self._speed()}")

    def note(self, text: str) -> None:
        """Shows the activity between two updates: "compiling", "evaluating length=256"."""
        self._say(text, "italic dim")

    def _add(self, title: str, total: int, completed: int = 0) -> Task:
        task_id = self._live.add_task(title, total=total, completed=completed, status="")
        return next(task for task in self._live.tasks if task.id == task_id)

    def _say(self, status: str, style: str = "none") -> None:
        if self._screen:
            self._live.update(self._task.id, status=f"[{style}]{escape(status)}")
        elif time.monotonic() - self._line_at >= LINE_EVERY:
            self._line(f"step {self._task.completed:.0f}/{self._task.total:.0f}  {status}")

    def _show_study(self, seconds: float) -> None:
        self._live.update(self._study.id, status=f"cells ETA {duration(seconds + self._after)}")

    def done(self, summary: str) -> None:
        """The run is over; its summary stays on the screen."""
        seconds = duration(self._task.elapsed)
        self._end_task()
        if self._screen:
            line = f"[green]✓[/] {self._title('green')} {escape(summary)}  [dim]{seconds}[/]"
            self._console.print(line, soft_wrap=True)
        else:
            self._line(f"done: {summary}  ({seconds})")

    def skip(self, name: str, summary: str, why: str = "already finished") -> None:
        """Counts a run that was already finished or belongs to another process, and shows which."""
        self._run += 1
        self._name = name
        if self._screen:
            line = f"[green]✓[/] {self._title('green')} {escape(summary)}  [dim]{escape(why)}[/]"
            self._console.print(line, soft_wrap=True)
        else:
            self._line(": ".join(filter(None, (why, summary))))

    def fail(self, name: str, reason: str) -> None:
        """A run ended in an error, perhaps before it started."""
        if self._name != name:
            self._run, self._name = self._run + 1, name
        self._end_task()
        if self._screen:
            self._console.print(f"[red]✗[/] {self._title('red')} {escape(reason)}", soft_wrap=True)
        else:
            self._line(f"failed: {reason}")

    def _end_task(self) -> None:
        if self._task is not None:
            self._live.remove_task(self._task.id)
            self._task = None

    def _speed(self) -> str:
        speed, left = self._task.speed, self._task.time_remaining
        if not speed or left is None:  # known from the second interval on: the first holds the compilation
            return ""
        rate = f"{speed:.0f}" if speed >= 10 else f"{speed:.1f}"
        unit = " steps/s," if self._console.width >= WIDE else "/s"
        if self._study is not None:
            self._show_study(left)
        study = f", study {duration(left + self._after)}" if self._after and not self._screen else ""
        return f" {rate}{unit} ETA {duration(left)}{study}"

    def _title(self, colour: str = "cyan") -> str:
        digits = len(str(self._total_runs))
        counter = f"[dim]{self._run:>{digits}}/{self._total_runs}[/] " if self._total_runs > 1 else ""
        return f"{counter}[bold {colour}]{escape(self._name):<18}[/]"

    def _line(self, text: str) -> None:
        self._line_at = time.monotonic()
        counter = f"[{self._run}/{self._total_runs}] " if self._total_runs > 1 else ""
        self._console.print(f"{counter}{self._name}: {text}", markup=False, soft_wrap=True)


def _live_display(console: Console) -> LiveDisplay:
    bar = BarColumn(min(max(console.width - 75, 6), 40), complete_style="cyan", finished_style="green")
    return LiveDisplay(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        bar,
        MofNCompleteColumn(),
        TextColumn("{task.fields[status]}"),
        console=console,
        disable=not console.is_terminal,
        refresh_per_second=4,
        speed_estimate_period=SMOOTHING,
        get_time=lambda: time.monotonic(),
    )


def duration(seconds: float) -> str:
    """`0:07`, `12:34`, `3:25:01`."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
