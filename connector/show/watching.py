"""What goes on, again and again: as a view that renews itself, or as lines where there is no
terminal."""

from collections.abc import Iterator

from rich.console import Group
from rich.live import Live
from rich.text import Text

from connector.rules.deed import Document
from connector.rules.needs import PROJECT
from connector.rules.words import words
from connector.show.blocks import STATUS_STYLES, grid, lasting, moment
from connector.show.layout import Cell, Grid, Paper, out, verbatim

FIGURES = ("read", "staged", "delivered", "rejected", "in_doubt", "sending")
LEAST_NEEDS = 3


class View:
    """The live view; as a context, it has the screen as long as that lasts."""

    def __init__(self) -> None:
        self._console = Paper(highlight=False, emoji=False)
        self._live = Live(console=self._console, screen=True, auto_refresh=False)

    def __enter__(self) -> "View":
        self._live.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._live.stop()

    def show(self, document: Document) -> None:
        """Show this from now on."""
        width, height = self._console.size
        lines = list(_lines(document, width, height))
        self._live.update(Group(*lines), refresh=True)


def show_lines(document: Document) -> None:
    """A line for each run that goes on, or that none does."""
    console, at = out(), moment(document["at"])
    if document["trouble"]:
        console.print(f"{at} {verbatim(document['trouble'])}")
    for run in document["running"]:
        figures = [f"{run[name]:,} {words(name)}" for name in FIGURES]
        told = ", ".join([run["state"], *figures, *_pace(run)])
        console.print(f"{at} [bold]{verbatim(run['activation'])}[/]: {told}")
    needs = len(document["needs"])
    if not document["running"]:
        console.print(f"{at} nothing runs; {needs:,} {'needs' if needs == 1 else 'need'} a person")
    if console.file is not None:
        console.file.flush()


def _pace(run: Document) -> Iterator[str]:
    if run["rate"] is not None:
        yield f"{run['rate']:,.0f} rows/s"
    if run["seconds_left"] is not None:
        yield f"{lasting(run['seconds_left'])} left"


def _lines(document: Document, width: int, height: int) -> Iterator[Text]:
    """The whole view. What needs a person has the lines that the rest leaves."""
    head = f"{moment(document['at'])}   q leaves"
    yield Text(head, style="dim")
    if document["trouble"]:
        yield _marked(f"[red]{verbatim(document['trouble'])}[/]")
    running = _running(document).lines(width) or [Text("Nothing runs.")]
    ended = _ended(document).lines(width)
    yield from running
    needs = document["needs"]
    room = max(LEAST_NEEDS, height - len(running) - len(ended) - 6)
    if needs:
        yield Text()
        yield Text(f"Needs a person ({len(needs):,})", style="bold")
        for need in needs[:room]:
            text = " ".join(need["text"].split())
            whose = verbatim(need["activation"] or PROJECT)
            line = _marked(f"[yellow]{whose}[/]: {verbatim(text)}")
            line.truncate(width, overflow="ellipsis")
            yield line
        if len(needs) > room:
            yield Text(f"… and {len(needs) - room:,} more: connector status", style="dim")
    if ended:
        yield Text()
        yield Text("Last runs", style="bold")
        yield from ended


def _marked(markup: str) -> Text:
    return Paper(highlight=False, emoji=False).render_str(markup)


def _running(document: Document) -> Grid:
    names = ("read", "staged", "delivered", "rejected", "in_doubt", "pending", "sending")
    table = grid("activation", "state", *map(words, names), "rows/s", "left", "for")
    for run in document["running"]:
        table.add(
            run["activation"],
            Cell(run["state"], STATUS_STYLES["running"]),
            *(f"{run[name]:,}" for name in names),
            "-" if run["rate"] is None else f"{run['rate']:,.0f}",
            "-" if run["seconds_left"] is None else lasting(run["seconds_left"]),
            lasting(run["seconds"]),
        )
    return table


def _ended(document: Document) -> Grid:
    table = grid("activation", "status", "delivered", "rejected", "ended")
    for run in document["ended"]:
        table.add(
            run["activation"],
            Cell(run["status"], STATUS_STYLES.get(run["status"], "")),
            *(f"{run[name]:,}" for name in ("delivered", "rejected")),
            moment(run["finished_at"]),
        )
    return table
