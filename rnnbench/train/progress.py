"""What a person sees while models train: a live display on a terminal, sparse log lines anywhere else."""

import time

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, SpinnerColumn, TextColumn
from rich.progress import Progress as LiveDisplay

LINE_EVERY = 5.0  # seconds between two log lines of a run
WIDE = 92  # columns from which there is room for words
SMOOTHING = 0.3  # weight of the newest speed in the running mean


class Progress:
    """Follows `total_runs` runs one after another; may be entered again by each of them.

    with Progress(total_runs=2) as progress:
        progress.start("lstm", steps=1000)
        progress.note("compiling")
        progress.update(100, loss=0.3, accuracy=0.9)
        progress.done("1.000 at length=256")
    """

    def __init__(self, total_runs: int = 1, console: Console | None = None):
        self._console = console or Console(highlight=False)
        self._total_runs = total_runs
        self._run = 0
        self._name = self._task = self._study = None
        self._after = 0.0
        self._depth = 0
        self._live = _live_display(self._console) if self._console.is_terminal else None
        self._line_at = float("-inf")

    def __enter__(self):
        self._depth += 1
        if self._live and self._depth == 1:
            self._live.start()
        return self

    def __exit__(self, *error):
        self._depth -= 1
        if self._live and self._depth == 0:
            for task in self._live.task_ids:
                self._live.remove_task(task)
            self._live.stop()

    def start(self, name: str, steps: int, step: int = 0) -> None:
        """A run begins at `step`, which is not 0 if it was resumed."""
        self._run += 1
        self._name, self._steps, self._step = name, steps, step
        self._started = self._began = time.monotonic()
        self._first = step
        self._rate = None
        if self._live:
            self._task = self._live.add_task(self._title(), total=steps, completed=step, status="")
        else:
            self._line(f"{steps} steps" + (f", resumed at {step}" if step else ""))

    def expect(self, seconds: float, after: float) -> None:
        """How long the next run will take, and how long all those after it."""
        self._after = after
        if self._live:
            if self._study is None:
                self._study = self._live.add_task(
                    f"[bold]{'study':<18}[/]", total=self._total_runs, status=""
                )
            self._live.update(self._study, completed=self._run)
            self._show_study(seconds)

    def _show_study(self, seconds: float) -> None:
        self._live.update(self._study, status=f"cells ETA {duration(seconds + self._after)}")

    def update(self, step: int, loss: float | None, accuracy: float | None) -> None:
        """The run has reached `step`; None stands for a population that has diverged."""
        now = time.monotonic()
        if step > self._step and self._step > self._first:  # the first interval holds the compilation
            rate = (step - self._step) / max(now - self._began, 1e-9)
            self._rate = rate if self._rate is None else SMOOTHING * rate + (1 - SMOOTHING) * self._rate
        self._step, self._began = step, now
        loss_text = "diverged" if loss is None else f"loss {loss:.3f}"
        accuracy_text = "" if accuracy is None else f" acc {accuracy:.3f}"
        status = f"{loss_text}{accuracy_text}{self._speed()}"
        if self._live:
            self._live.update(self._task, completed=step, status=status)
        elif now - self._line_at >= LINE_EVERY:
            self._line(f"step {step}/{self._steps}  {status}")

    def note(self, text: str) -> None:
        """What goes on between two updates: "compiling", "evaluating length=256"."""
        if self._live:
            self._live.update(self._task, status=f"[italic dim]{escape(text)}")
        elif time.monotonic() - self._line_at >= LINE_EVERY:
            self._line(f"step {self._step}/{self._steps}  {text}")

    def done(self, summary: str) -> None:
        """The run is over; its summary stays on the screen."""
        seconds = duration(time.monotonic() - self._started)
        if self._live:
            self._live.remove_task(self._task)
            self._task = None
            line = f"[green]✓[/] {self._title('green')} {escape(summary)}  [dim]{seconds}[/]"
            self._console.print(line, soft_wrap=True)
        else:
            self._line(f"done: {summary}  ({seconds})")

    def skip(self, name: str, summary: str, why: str = "already finished") -> None:
        """A run that was finished before, or that another process has, counts too, and says so."""
        self._run += 1
        self._name = name
        if self._live:
            line = f"[green]✓[/] {self._title('green')} {escape(summary)}  [dim]{escape(why)}[/]"
            self._console.print(line, soft_wrap=True)
        else:
            self._line(": ".join(filter(None, (why, summary))))

    def fail(self, name: str, reason: str) -> None:
        """A run has ended in an error, perhaps before it began."""
        if self._name != name:
            self._run, self._name = self._run + 1, name
        if self._live:
            if self._task is not None:
                self._live.remove_task(self._task)
                self._task = None
            self._console.print(f"[red]✗[/] {self._title('red')} {escape(reason)}", soft_wrap=True)
        else:
            self._line(f"failed: {reason}")

    def _speed(self) -> str:
        if self._rate is None:
            return ""
        rate = f"{self._rate:.0f}" if self._rate >= 10 else f"{self._rate:.1f}"
        unit = " steps/s," if self._console.width >= WIDE else "/s"
        left = (self._steps - self._step) / self._rate
        if self._live and self._study is not None:
            self._show_study(left)
        study = f", study {duration(left + self._after)}" if self._after and not self._live else ""
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
    return LiveDisplay(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(
            bar_width=min(max(console.width - 75, 6), 40), complete_style="cyan", finished_style="green"
        ),
        TextColumn("{task.completed:.0f}/{task.total:.0f}", style="dim"),
        TextColumn("{task.fields[status]}"),
        console=console,
        refresh_per_second=4,
    )


def duration(seconds: float) -> str:
    """`0:07`, `12:34`, `3:25:01`."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
