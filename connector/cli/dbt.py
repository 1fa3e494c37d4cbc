"""`dbt …`: what dbt may know of the activations that read its models."""

from pathlib import Path
from typing import Annotated

import typer

from connector.cli.options import Json, group
from connector.cli.working import settings, tell

dbt = group("What dbt may know of the activations that read its models.")


@dbt.callback()
def _several() -> None:
    """What dbt may know of the activations that read its models."""


@dbt.command("exposures")
def exposures(
    write: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write them there, for dbt to read.")
    ] = None,
    json: Json = False,
) -> None:
    """Print an exposure of dbt for each activation that reads a model of dbt."""
    from connector.project import exposures as making

    found = making.exposures(settings())
    text = making.as_yaml(found)
    if write is not None:
        making.write(write, text)
    document = {"exposures": found, "file": str(write) if write else None}
    tell(document, lambda _: print(write or text, end="\n" if write else ""), json)
