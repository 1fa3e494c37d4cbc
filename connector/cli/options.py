"""What several commands declare alike."""

from enum import StrEnum
from typing import Annotated

import typer

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]


def _chosen(selector: str | None) -> str | None:
    """The one activation that `selector` chooses. Raises ConfigurationError."""
    from connector.rules.selection import is_name, select_one

    if selector is None or is_name(selector):
        return selector
    from connector.cli.working import settings

    project = settings()
    return select_one(selector, project.project.activations, str(project.file))


def _completed(incomplete: str) -> list[str]:
    """For a shell: names, and tags, that begin so."""
    from connector.cli.working import known_selectors

    return [word for word in known_selectors() if word.startswith(incomplete)]


CHOSEN = "A name, a pattern such as crm_*, tag:NAME or owner:NAME."
Names = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[ACTIVATION]...", help=f"{CHOSEN} All when none.", autocompletion=_completed
    ),
]
SomeNames = Annotated[
    list[str], typer.Argument(metavar="ACTIVATION...", help=CHOSEN, autocompletion=_completed)
]
Name = Annotated[
    str, typer.Argument(metavar="ACTIVATION", callback=_chosen, autocompletion=_completed)
]
MaybeName = Annotated[
    str | None, typer.Argument(metavar="[ACTIVATION]", callback=_chosen, autocompletion=_completed)
]
Key = Annotated[str, typer.Argument(metavar="KEY")]
Keys = Annotated[list[str] | None, typer.Argument(metavar="KEY", help="Row keys.")]
RunId = Annotated[str, typer.Argument(metavar="RUN")]
SchemaId = Annotated[str, typer.Argument(metavar="ID")]
Ids = Annotated[list[str] | None, typer.Argument(metavar="[ID]...", help="All when none is named.")]
At = Annotated[
    str | None,
    typer.Option("--destination", metavar="NAME", help="Which one, where there are several."),
]
Reason = Annotated[
    str | None, typer.Option(metavar="TEXT", help="Only rows whose reason holds this.")
]
WHEN = "A date, a time with its zone, or a span such as 7d."
Since = Annotated[
    str | None,
    typer.Option(metavar="WHEN", help=f"Not those of before: {WHEN[0].lower()}{WHEN[1:]}"),
]
COUNTABLE = 1_000_000_000
"""Most rows, runs or pages that may be asked for: no list is longer, and their product is a number
that databases count to."""
Page = Annotated[
    int, typer.Option(min=1, max=COUNTABLE, help="Which page, of as many as --limit says.")
]
By = Annotated[
    str | None, typer.Option(metavar="NAME", help="Who does this; the login name if left out.")
]
Note = Annotated[str | None, typer.Option(metavar="TEXT", help="Why; it goes on record.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only show what would be done.")]
Confirm = Annotated[
    str | None,
    typer.Option(metavar='"ID N"', help="The id and the number of its interactions."),
]


class Progressing(StrEnum):
    """How a sync tells how far it is."""

    BARS = "bars"
    JSON = "json"


class LogFormat(StrEnum):
    """How log lines look."""

    TEXT = "text"
    JSON = "json"


def group(help: str | None = None) -> typer.Typer:
    """A group of commands."""
    return typer.Typer(help=help, no_args_is_help=True, rich_markup_mode=None)
