"""`sandbox` and `demo`: a local Engage, for development, and for the story of all this."""

from pathlib import Path
from typing import Annotated

import typer

from connector.cli.options import group
from connector.sandbox.demo.story import tell
from connector.sandbox.start import TYPES, Files, Place, start

commands = group()
NAMES = ", ".join(TYPES)


@commands.command()
def demo() -> None:
    """See the whole story: sample data, a local Engage, and every row sent once."""
    raise typer.Exit(tell())


@commands.command()
def sandbox(
    port: Annotated[int, typer.Option(min=0, max=65535)] = 8765,
    host: Annotated[str, typer.Option(help="Only names of this machine.")] = "127.0.0.1",
    api_key: Annotated[str, typer.Option(help="The key, or secret, that it takes.")] = "sandbox",
    schemas: Annotated[
        Path | None, typer.Option(help="A folder of schemas; ./schemas if it is there.")
    ] = None,
    contacts: Annotated[
        Path | None, typer.Option(help="A CSV file of contacts; ./contacts.csv if it is there.")
    ] = None,
    behaviour: Annotated[
        Path | None, typer.Option(help="A JSON file of switches and faults.")
    ] = None,
    type_: Annotated[
        str, typer.Option("--type", metavar="TYPE", help=f"The API to imitate: {NAMES}.")
    ] = "engage",
) -> None:
    """Run a local Engage, or another API, with the documented behaviour, for development."""
    start(type_, Place(host, port, api_key), Files(schemas, contacts, behaviour))
