"""`status`, `runs` and `explain`: what stands in the ledger, without all that a sync needs."""

from typing import Annotated

import typer

from connector.cli.options import Json, Key, MaybeName, Name, group
from connector.cli.working import settings, tell
from connector.project.reporting import Reporting
from connector.show.runs import show_runs
from connector.show.status import show_status
from connector.show.story import show_story

commands = group()


@commands.command()
def status(json: Json = False) -> None:
    """Show where every activation stands."""
    tell({"activations": Reporting(settings()).status()}, show_status, json)


@commands.command()
def runs(
    name: MaybeName = None,
    limit: Annotated[int, typer.Option(min=1, help="How many.")] = 20,
    json: Json = False,
) -> None:
    """Show the newest runs."""
    tell({"runs": Reporting(settings()).runs(name, limit)}, show_runs, json)


@commands.command()
def explain(name: Name, key: Key, json: Json = False) -> None:
    """Tell the whole story of one row."""
    tell(Reporting(settings()).explain(name, key), show_story, json)
