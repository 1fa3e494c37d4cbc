"""`status`, `runs`, `find` and `explain`: what stands in the ledger, without all that a sync needs;
and the live view of a row, which asks the warehouse and the destination."""

from typing import Annotated, Any, Literal

import typer

from connector.cli.asking import instant, tag_text
from connector.cli.options import COUNTABLE, Json, Key, MaybeName, Name, Names, Page, Since
from connector.cli.working import app, reporting, tell, wait_for
from connector.rules.errors import ConfigurationError

Status = Literal["succeeded", "attention", "held", "stopped", "running"]
MOST = 20
"""Runs that are shown unasked."""


def status(
    names: Names = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Also those without trouble, however many they are.")
    ] = False,
    json: Json = False,
) -> None:
    """Show what needs a person, and where every activation stands."""
    from connector.show.status import show_status

    project = reporting()
    of_project = project.needs()
    document = {
        "activations": project.status(names or ()),
        "needs": [need.document for need in of_project],
    }
    tell(document, lambda ready: show_status(ready, of_project, everything or bool(names)), json)


def runs(
    name: MaybeName = None,
    status: Annotated[Status | None, typer.Option(help="Only those that are so.")] = None,
    since: Since = None,
    before: Annotated[
        str | None, typer.Option(metavar="WHEN", help="Only those that had begun by then.")
    ] = None,
    tag: Annotated[
        str | None, typer.Option(metavar="TAG", help="Those of `sync --tag`, and their sum.")
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option(min=1, max=COUNTABLE, help="How many; 20, or all that have the tag."),
    ] = None,
    page: Page = 1,
    json: Json = False,
) -> None:
    """Show the newest runs, or those that are asked for."""
    from connector.ledger.run_list import Which
    from connector.show.runs import show_runs

    which = Which(status, None, instant(since), instant(before, "--before"))
    if tag is None:
        number = limit or MOST
        found = reporting().runs(name, number * page + 1, which)
        document: dict[str, Any] = {"runs": found[number * (page - 1) : number * page]}
        more = len(found) > number * page
    elif page > 1 and limit is None:
        raise ConfigurationError("--page goes with --limit where --tag is said: all are shown")
    else:
        document = reporting().tagged(tag_text(tag), name, None, which)
        found, number = document["runs"], limit or max(1, len(document["runs"]))
        document["runs"] = found[number * (page - 1) : number * page]
        more = len(found) > number * page
    narrowed = which != Which() or page > 1

    def show(ready: dict[str, Any]) -> None:
        gone = None if more else reporting().pruned(name)
        show_runs({**ready, "pruned": gone}, narrowed, page + 1 if more else None)

    tell(document, show, json)


def find(key: Key, json: Json = False) -> None:
    """Find the rows with a key, in whichever activations."""
    from connector.show.story import show_found

    tell({"rows": reporting().find(key)}, lambda ready: show_found(key, ready["rows"]), json)


def explain(
    name: Name,
    key: Key,
    live: Annotated[
        bool, typer.Option("--live", help="Also what the warehouse and the destination have now.")
    ] = False,
    show_values: Annotated[
        bool, typer.Option("--show-values", help="With --live: do not mask values.")
    ] = False,
    json: Json = False,
) -> None:
    """Tell the whole story of one row."""
    from connector.show.story import show_story

    if not live:
        if show_values:
            raise ConfigurationError("--show-values is said with --live: else no value is shown")
        tell(reporting().explain(name, key), show_story, json)
        return
    from connector.project.row_now import live as look_now
    from connector.show.trying import show_live

    def show(document: dict[str, Any]) -> None:
        show_story(document)
        show_live(document["live"])

    project = app()
    (activation,) = project.activations([name])
    story = project.explain(name, key)
    found = wait_for(look_now(project, activation, key, story))
    document = {**story, "live": found.document(show_values)}
    tell(document, show, json)
