"""`status`, `runs` and `explain`: what stands in the ledger, without all that a sync needs."""

from typing import Annotated

import typer

from connector.cli.options import Json, Key, MaybeName, Name
from connector.cli.working import reporting, tell


def status(json: Json = False) -> None:
    """Show where every activation stands."""
    from connector.show.status import show_status

    tell({"activations": reporting().status()}, show_status, json)


def runs(
    name: MaybeName = None,
    limit: Annotated[int, typer.Option(min=1, help="How many.")] = 20,
    json: Json = False,
) -> None:
    """Show the newest runs."""
    from connector.show.runs import show_runs

    tell({"runs": reporting().runs(name, limit)}, show_runs, json)


def explain(name: Name, key: Key, json: Json = False) -> None:
    """Tell the whole story of one row."""
    from connector.show.story import show_story

    tell(reporting().explain(name, key), show_story, json)
