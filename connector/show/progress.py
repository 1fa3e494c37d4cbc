"""Bars on a terminal: what a command reads, sends or deletes while it does it."""

import sys

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TaskID,
    TimeRemainingColumn,
)
from rich.progress import Progress as Bars
from rich.table import Column
from rich.text import Text

from connector.ledger.records import Run, Tally
from connector.rules.tempo import Tempo
from connector.show.layout import Paper
from connector.sync.progress import Progress


def progress(as_document: bool) -> Progress:
    """Bars where a person sees them; as a context, shown as long as it lasts."""
    return Progress() if as_document or not sys.stderr.isatty() else TerminalProgress()


class TerminalProgress(Progress):
    """Bars on a terminal's standard error: rows, rate, time left, requests in flight and doubts."""

    def __init__(self) -> None:
        self._bars = Bars(
            SpinnerColumn(),
            Doing(table_column=_whole()),
            BarColumn(bar_width=None),  # has the room that the rest leaves
            MofNCompleteColumn(table_column=_whole()),
            Rate(table_column=_whole()),
            TimeRemainingColumn(table_column=_whole()),
            expand=True,
            console=Paper(stderr=True),
            transient=True,
        )
        self._tasks: dict[tuple[str, str], TaskID] = {}
        self._tempos: dict[str, Tempo] = {}

    def __enter__(self) -> "TerminalProgress":
        self._bars.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._bars.stop()
        while self._tasks:
            self._bars.remove_task(self._tasks.popitem()[1])

    def begun(self, run: Run, tempo: Tempo) -> None:
        self._tempos[run.activation] = tempo

    def reading(self, activation: str, rows: int) -> None:
        self._bars.update(self._task(activation, "reading", None), completed=rows)

    def sending(self, activation: str, tally: Tally, total: int) -> None:
        done = tally.delivered + tally.submitted + tally.rejected
        self._bars.update(self._task(activation, "reading", None), visible=False)
        task, doubts = self._task(activation, "sending", total), tally.in_doubt
        self._bars.update(task, completed=done, total=total, doubts=doubts)

    def counting(self, activation: str, verb: str, done: int, total: int) -> None:
        self._bars.update(self._task(activation, verb, total), completed=done, total=total)

    def _task(self, activation: str, verb: str, total: int | None) -> TaskID:
        key = (activation, verb)
        if key not in self._tasks:
            told, tempo = f"{activation}: {verb}", self._tempos.get(activation)
            self._tasks[key] = self._bars.add_task(told, total=total, tempo=tempo, doubts=0)
        return self._tasks[key]


def _whole() -> Column:
    """A column that a narrow terminal does not cut."""
    return Column(no_wrap=True, min_width=1, overflow="fold")


class Doing(ProgressColumn):
    """What goes on; and in a line below, where there are any, requests that were begun and have not
    ended, as many as there are when it is shown, and rows of which nobody knows yet what became of
    them."""

    def render(self, task: Task) -> Text:
        """That of `task`."""
        tempo: Tempo | None = task.fields["tempo"]
        told = {"in flight": tempo.in_flight if tempo else 0, "in doubt": task.fields["doubts"]}
        parts = ", ".join(f"{number:,} {what}" for what, number in told.items() if number)
        below = Text(f"\n  {parts}", style="yellow" if told["in doubt"] else "cyan")
        return Text(task.description) + below if parts else Text(task.description)


class Rate(ProgressColumn):
    """Rows a second."""

    def render(self, task: Task) -> Text:
        """The rate of `task`."""
        return Text(f"{task.finished_speed or task.speed or 0:,.0f} rows/s", style="cyan")
