"""What several commands declare alike."""

from enum import StrEnum
from typing import Annotated

import typer

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
Names = Annotated[
    list[str] | None, typer.Argument(metavar="[ACTIVATION]...", help="All when none is named.")
]
Name = Annotated[str, typer.Argument(metavar="ACTIVATION")]
MaybeName = Annotated[str | None, typer.Argument(metavar="[ACTIVATION]")]
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


class LogFormat(StrEnum):
    """How log lines look."""

    TEXT = "text"
    JSON = "json"


def group(help: str | None = None) -> typer.Typer:
    """A group of commands."""
    return typer.Typer(help=help, no_args_is_help=True, rich_markup_mode=None)
