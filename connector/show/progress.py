"""Bars on a terminal: what a command reads, sends or deletes while it does it."""

import sys

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as Bars
from rich.text import Text

from connector.ledger.records import Tally
from connector.show.layout import Paper
from connector.sync.progress import Progress


def progress(as_document: bool) -> Progress:
    """Bars where a person sees them; as a context, shown as long as it lasts."""
    return Progress() if as_document or not sys.stderr.isatty() else TerminalProgress()


class TerminalProgress(Progress):
    """Bars on a terminal's standard error: rows, rate and time left."""

    def __init__(self) -> None:
        self._bars = Bars(
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            Rate(),
            TimeRemainingColumn(),
            console=Paper(stderr=True),
            transient=True,
        )
        self._tasks: dict[tuple[str, str], TaskID] = {}

    def __enter__(self) -> "TerminalProgress":
        self._bars.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._bars.stop()
        while self._tasks:
            self._bars.remove_task(self._tasks.popitem()[1])

    def reading(self, activation: str, rows: int) -> None:
        self._bars.update(self._task(activation, "reading", None), completed=rows)

    def sending(self, activation: str, tally: Tally, total: int) -> None:
        done = tally.delivered + tally.rejected
        self._bars.update(self._task(activation, "reading", None), visible=False)
        self._bars.update(self._task(activation, "sending", total), completed=done, total=total)

    def counting(self, activation: str, verb: str, done: int, total: int) -> None:
        self._bars.update(self._task(activation, verb, total), completed=done, total=total)

    def _task(self, activation: str, verb: str, total: int | None) -> TaskID:
        key = (activation, verb)
        if key not in self._tasks:
            self._tasks[key] = self._bars.add_task(f"{activation}: {verb}", total=total)
        return self._tasks[key]


class Rate(ProgressColumn):
    """Rows a second."""

    def render(self, task: Task) -> Text:
        """The rate of `task`."""
        return Text(f"{task.finished_speed or task.speed or 0:,.0f} rows/s", style="cyan")
