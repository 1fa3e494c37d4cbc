"""`sandbox` and `demo`: a local Engage, for development, and for the story of all this."""

from pathlib import Path
from typing import Annotated

import typer

from connector.cli.working import Before
from connector.sandbox import TYPES

NAMES = ", ".join(TYPES)


def demo() -> None:
    """See the whole story: sample data, a local Engage, and every row sent once."""
    from connector.sandbox.demo.story import tell
    from connector.show.logs import log_to_stderr

    log_to_stderr(Before.quiet, Before.log_format)
    raise typer.Exit(tell())


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
    from connector.sandbox.start import Files, Place, start
    from connector.show.logs import log_to_stderr

    log_to_stderr(Before.quiet, Before.log_format)
    start(type_, Place(host, port, api_key), Files(schemas, contacts, behaviour))
