"""`sync` and `serve`, and what lets runs go or keeps them: `pause`, `resume`, `restored`."""

import os
from typing import Annotated

import typer

from connector.basis.leaving import INTERRUPTED, Leaving
from connector.cli.asking import person, span_of, tag_text
from connector.cli.options import By, Json, Names, Progressing, SomeNames
from connector.cli.working import (
    Before,
    app,
    interruptible,
    progress,
    settings,
    tell,
    wait_for,
)
from connector.rules.errors import ConfigurationError, FailOn, Interrupted

NO_DRY_RUN = (
    "a sync has no dry run: `connector preview {}` shows what it would send, and `connector check`"
    " whether it would work"
)


def sync(
    names: Names = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Send at most so many rows.")] = None,
    approve: Annotated[bool, typer.Option("--approve", help="Let a held run go.")] = False,
    by: By = None,
    note: Annotated[
        str | None, typer.Option(metavar="TEXT", help="With --approve: why; it goes on record.")
    ] = None,
    wait: Annotated[
        bool, typer.Option("--wait", help="Stay until the run's own doubts are settled.")
    ] = False,
    full: Annotated[
        bool,
        typer.Option("--full", help="Read whole models; what is recorded is not sent again."),
    ] = False,
    budget: Annotated[
        str | None,
        typer.Option(
            "--for", metavar="SPAN", help="End in order, and with code 0, after so long: 10m."
        ),
    ] = None,
    tag: Annotated[
        str | None, typer.Option(metavar="TAG", help="A mark, by which `runs` finds these runs.")
    ] = None,
    told: Annotated[
        Progressing, typer.Option("--progress", help="Bars on a terminal, or lines of JSON.")
    ] = Progressing.BARS,
    fail_on: Annotated[
        FailOn,
        typer.Option(
            help="When to end with 1: this run has left something for a person; something waits"
            " for one, whichever run left it; never."
        ),
    ] = FailOn.WAITING,
    dry_run: Annotated[bool, typer.Option("--dry-run", hidden=True)] = False,
    json: Json = False,
) -> None:
    """Send what is new: one run of each activation."""
    from connector.project import run
    from connector.show.runs import show_synced
    from connector.sync.flow import Orders
    from connector.sync.result import exit_code

    if dry_run:
        raise ConfigurationError(NO_DRY_RUN.format(" ".join(names or ["ACTIVATION"])))
    if note is not None and not approve:
        raise ConfigurationError("--note goes with --approve")
    span, mark = None if budget is None else span_of(budget), None if tag is None else tag_text(tag)
    project, who = app(), person(by, note)
    chosen = project.activations(names or [])
    orders = Orders(limit, approve, wait, full, by=who.name, note=who.note, tag=mark)
    with project.ledger() as ledger:
        activations, passed_by = run.to_run(project, ledger, chosen, names or [])
        with progress(json, told is Progressing.JSON) as following:
            work = run.sync(project, ledger, activations, orders, following, span)
            ended = interruptible(project, work)
        runs = run.run_documents(project, ledger, ended)
    code = exit_code([end.exit_code(fail_on) for end in ended])
    tell({"runs": runs}, lambda ready: show_synced(ready, passed_by, span is not None), json, code)


def serve(
    host: Annotated[str, typer.Option(help="Beyond this machine only with a token.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535)] = 8700,
) -> None:
    """Run by schedule and on request, with a web page, until SIGTERM."""
    Leaving.code = 0  # it ends when it is told to, also where that comes early
    from connector.serve.web.server import serve as serve_web
    from connector.show.logs import log_to_stderr

    if Before.quiet:
        log_to_stderr(quiet=True, log_format=None, serving=True)
    token = os.environ.get("CONNECTOR_TOKEN") or None
    try:
        wait_for(serve_web(Before.config, settings(), host, port, token))
    except Interrupted:
        raise typer.Exit(INTERRUPTED) from None


WhoSays = Annotated[str | None, typer.Option(help="Who says so; default: your login name.")]


def pause(names: SomeNames, by: WhoSays = None, as_document: Json = False) -> None:
    """Let nothing run an activation until it is resumed, without editing the configuration."""
    project, who = app(), person(by).name
    with project.ledger() as ledger:
        before = {each.name: ledger.pause(each.name, who) for each in project.activations(names)}

    def show(_: object) -> None:
        for name, earlier in before.items():
            since = f" already, by {earlier}" if earlier else ""
            print(
                f'"{name}" is paused{since}. A run that goes on now ends as usual;'
                f" `connector resume {name}` ends the pause."
            )

    paused = [{"activation": name, "paused_by": by or who} for name, by in before.items()]
    tell({"activations": paused}, show, as_document)


def resume(names: SomeNames, by: WhoSays = None, as_document: Json = False) -> None:
    """End a pause."""
    project, who = app(), person(by).name
    chosen = project.activations(names)
    with project.ledger() as ledger:
        ended = {a.name: ledger.resume(a.name, who, a.renamed_from or None) for a in chosen}

    def show(_: object) -> None:
        for each in chosen:
            over = f"The pause of {each.name} has ended"
            said = over if ended[each.name] else f"Nobody had paused {each.name}"
            stays = (
                " It stays paused by `paused: true` in the configuration." if each.paused else ""
            )
            print(f"{said}.{stays}")

    resumed = [
        {"activation": each.name, "was_paused": bool(ended[each.name]), "paused": each.paused}
        for each in chosen
    ]
    tell({"activations": resumed}, show, as_document)


def restored(as_document: Json = False) -> None:
    """Say that the ledger was put back from a backup: rows are read back before they are sent."""
    with app().ledger() as ledger:
        ledger.distrust()

    def show(_: object) -> None:
        print(
            "The ledger counts as put back from a backup. The next syncs ask the destination\n"
            "about every row that the ledger does not know to be delivered, and send what is not"
            " there."
        )

    tell({"restored": True}, show, as_document)
