"""`status`, `runs` and `explain`: what stands in the ledger, without all that a sync needs."""

from typing import Annotated

import typer

from connector.cli.options import Json, Key, MaybeName, Name, group
from connector.cli.working import settings, tell
from connector.project.reporting import Reporting
from connector.show import texts as show

commands = group()


@commands.command()
def status(json: Json = False) -> None:
    """Show where every activation stands."""
    document = {"activations": Reporting(settings()).status()}
    tell(document, lambda d: show.status(d["activations"]), json)


@commands.command()
def runs(
    name: MaybeName = None,
    limit: Annotated[int, typer.Option(min=1, help="How many.")] = 20,
    json: Json = False,
) -> None:
    """Show the newest runs."""
    document = {"runs": Reporting(settings()).runs(name, limit)}
    tell(document, lambda d: show.runs(d["runs"], "There was no run yet.", history=True), json)


@commands.command()
def explain(name: Name, key: Key, json: Json = False) -> None:
    """Tell the whole story of one row."""
    tell(Reporting(settings()).explain(name, key), show.story, json)
