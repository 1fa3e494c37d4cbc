"""The command line: parse, call the app, print. Each command imports what it needs when it runs."""

import asyncio
import gc
import getpass
import logging
import os
import signal
import sys
from collections.abc import Callable, Coroutine, MutableMapping, Sequence
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer
from typer.exceptions import Abort, TyperException

from connector import __version__
from connector.rules.errors import (
    ActivationPaused,
    ConfigurationError,
    ConnectorError,
    DestinationUnusable,
    FailOn,
    Interrupted,
)

if TYPE_CHECKING:
    from connector.ledger.decisions import Person
    from connector.project.app import App
    from connector.project.reporting import Reporting
    from connector.project.settings import Settings
    from connector.rules.delivery import State

T = TypeVar("T")
COLLECT = (3000, 10, 10)
"""When the garbage collector looks, in work that may go on for months: more seldom than by Python's
own measure, which took a tenth of a sync, and often enough that batches of rows do not pile up."""

cli = typer.Typer(
    name="connector",
    help="Send rows of a data warehouse to Voyado Engage as interactions: never twice, never lost.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
quarantine_cli = typer.Typer(
    help="Rows that wait for a person.", no_args_is_help=True, rich_markup_mode=None
)
cli.add_typer(quarantine_cli, name="quarantine")
schema_cli = typer.Typer(
    help="Interaction schemas, in files and at the destination.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
cli.add_typer(schema_cli, name="schema")


class LogFormat(StrEnum):
    """How log lines look."""

    TEXT = "text"
    JSON = "json"


class InQuarantine(StrEnum):
    """The states of rows that wait for a person."""

    INVALID = "invalid"
    REJECTED = "rejected"
    IN_DOUBT = "in_doubt"


class Discardable(StrEnum):
    """The states of rows that can be given up together."""

    INVALID = "invalid"
    REJECTED = "rejected"
    IN_DOUBT = "in_doubt"
    PENDING = "pending"
    WAITING = "waiting"


class Options:
    """What stands before the command, and the settings once they were read."""

    config: Path = Path("activations.yaml")
    quiet: bool = True
    settings: "Settings | None" = None


Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
Names = Annotated[
    list[str] | None, typer.Argument(metavar="[ACTIVATION]...", help="All when none is named.")
]

Activation = Annotated[str, typer.Argument(metavar="ACTIVATION")]
Keys = Annotated[list[str] | None, typer.Argument(metavar="KEY", help="Row keys.")]
Reason = Annotated[
    str | None, typer.Option(metavar="TEXT", help="Only rows whose reason holds this.")
]
By = Annotated[
    str | None, typer.Option(metavar="NAME", help="Who decides; the login name if left out.")
]
Note = Annotated[str | None, typer.Option(metavar="TEXT", help="Why; it goes on record.")]
At = Annotated[
    str | None,
    typer.Option("--destination", metavar="NAME", help="Which one, where there are several."),
]
Ids = Annotated[list[str] | None, typer.Argument(metavar="[ID]...", help="All when none is named.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only show what would be done.")]


def run(arguments: Sequence[str]) -> int:
    """Run the command line; the exit code. Every failure is one sentence, or one document."""
    from connector.show.terminal import prepare_streams

    prepare_streams()
    as_document = "--json" in arguments
    try:
        _refuse_unreadable(arguments)
        result = cli(list(arguments), standalone_mode=False)
        return result if isinstance(result, int) else 0
    except ConnectorError as failure:
        from connector.show import texts as show

        show.failure(failure, Options.settings, as_document)
        return failure.exit_code
    except TyperException as failure:
        _usage_error(failure, as_document)
        return failure.exit_code if failure.exit_code else 2
    except (KeyboardInterrupt, Abort):
        if as_document:
            from connector.show import texts as show

            show.failure(Interrupted("interrupted"), None, as_document)
        return 130
    except BrokenPipeError:
        sys.stdout = None  # nobody reads any more
        return 3
    except Exception as defect:
        _defect(defect, as_document)
        return 3


@cli.callback(invoke_without_command=True)
def options(
    config: Annotated[Path, typer.Option(help="The project's file.")] = Path("activations.yaml"),
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Log what happens.")] = False,
    log_format: Annotated[LogFormat | None, typer.Option(help="How log lines look.")] = None,
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    """Send rows of a data warehouse to Voyado Engage as interactions: never twice, never lost."""
    Options.config, Options.settings = config, None
    Options.quiet = not verbose and log_format is None
    _log_to_stderr(Options.quiet, log_format)
    if version:
        print(f"connector {__version__}")
        raise typer.Exit


@cli.command()
def init(
    directory: Annotated[Path, typer.Argument(help="Where; made if it is not there.")] = Path(),
) -> None:
    """Make a new project that works at once, with sample data and a local Engage."""
    from connector.sandbox.demo.project import create

    create(directory)
    print(NEXT_STEPS.format(change="" if directory == Path() else f"  cd {directory}\n"))


@cli.command()
def demo() -> None:
    """See the whole story: sample data, a local Engage, and every row sent once."""
    from connector.sandbox.demo.story import tell

    raise typer.Exit(tell())


@cli.command()
def check(names: Names = None, json: Json = False) -> None:
    """Find out whether a sync would work. Writes nothing, sends no interaction."""
    from connector.project import look
    from connector.show import texts as show

    app = _app()
    found = _wait_for(look.check(app, app.activations(names or []), bool(names)))
    code = look.check_exit_code(found)
    if json:
        show.as_json(show.check_document(found, app.settings, code))
    else:
        show.check(found, app.settings, code)
    raise typer.Exit(code)


@cli.command()
def preview(
    name: Annotated[str, typer.Argument(metavar="ACTIVATION")],
    limit: Annotated[int, typer.Option(min=0, help="How many requests to show.")] = 10,
    offline: Annotated[bool, typer.Option("--offline", help="Ask no destination.")] = False,
    json: Json = False,
) -> None:
    """Show what a sync would do now. Writes nothing, sends no interaction."""
    from connector.project import look
    from connector.show import texts as show

    app = _app()
    (activation,) = app.activations([name])
    result, requests, seconds = _wait_for(look.preview(app, activation, limit, offline))
    url = look.interactions_url(app, activation)
    document = show.preview_document(result, requests, seconds, url)
    if json:
        show.as_json(document)
    else:
        show.preview(document)


@cli.command()
def sync(
    names: Names = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Send at most so many rows.")] = None,
    approve: Annotated[bool, typer.Option("--approve", help="Let a held run go.")] = False,
    wait: Annotated[
        bool, typer.Option("--wait", help="Stay until the run's own doubts are settled.")
    ] = False,
    full: Annotated[
        bool,
        typer.Option("--full", help="Read whole models; what is recorded is not sent again."),
    ] = False,
    fail_on: Annotated[
        FailOn,
        typer.Option(
            help="When to end with 1: this run has left something for a person; something waits"
            " for one, whichever run left it; never."
        ),
    ] = FailOn.WAITING,
    json: Json = False,
) -> None:
    """Send what is new: one run of each activation."""
    from connector.project import run
    from connector.show import texts as show
    from connector.sync.result import exit_code

    app = _app()
    activations = app.activations(names or [])
    paused = app.paused(activations)
    for activation, remedy in paused:
        if names:
            raise ActivationPaused(f'activation "{activation.name}" is paused; {remedy}')
        activations.remove(activation)
    with show.progress(json) as bars:
        work = run.sync(app, activations, limit, approve, wait, full, bars)
        ended = _interruptible(app, work)
    with app.reports() as reports:
        documents = show.run_documents(ended, reports, app.settings)
    if json:
        show.as_json({"runs": documents})
    else:
        show.synced(documents, [(each.name, remedy) for each, remedy in paused])
    raise typer.Exit(exit_code([end.exit_code(fail_on) for end in ended]))


@cli.command()
def serve(
    host: Annotated[str, typer.Option(help="Beyond this machine only with a token.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535)] = 8700,
) -> None:
    """Run by schedule and on request, with a web page, until SIGTERM."""
    from connector.serve.web.server import serve as serve_web

    if Options.quiet:
        _log_to_stderr(quiet=True, log_format=None, serving=True)
    app = _app()
    token = os.environ.get("CONNECTOR_TOKEN") or None
    _wait_for(serve_web(Options.config, app.settings, host, port, token))


@cli.command()
def pause(
    name: Annotated[str, typer.Argument(metavar="ACTIVATION")],
    by: Annotated[str | None, typer.Option(help="Who says so; default: your login name.")] = None,
) -> None:
    """Let nothing run an activation until it is resumed, without editing the configuration."""
    app = _app()
    app.activations([name])
    person = _person(by, None).name
    with app.ledger() as ledger:
        before = ledger.pause(name, person)
    since = f" already, by {before}" if before else ""
    print(
        f'"{name}" is paused{since}. A run that goes on now ends as usual;'
        f" `connector resume {name}` ends the pause."
    )


@cli.command()
def resume(name: Annotated[str, typer.Argument(metavar="ACTIVATION")]) -> None:
    """End a pause."""
    app = _app()
    (activation,) = app.activations([name])
    with app.ledger() as ledger:
        ended = ledger.resume(name)
    stays = " It stays paused by `paused: true` in the configuration." if activation.paused else ""
    print(f"{f'The pause of {name} has ended' if ended else f'Nobody had paused {name}'}.{stays}")


@cli.command()
def status(json: Json = False) -> None:
    """Show where every activation stands."""
    from connector.show import texts as show

    documents = _reporting().status()
    if json:
        show.as_json({"activations": documents})
    else:
        show.status(documents)


@cli.command()
def runs(
    name: Annotated[str | None, typer.Argument(metavar="[ACTIVATION]")] = None,
    limit: Annotated[int, typer.Option(min=1, help="How many.")] = 20,
    json: Json = False,
) -> None:
    """Show the newest runs."""
    from connector.show import texts as show

    project = _reporting()
    if name is not None:
        project.activations([name])
    with project.reports() as reports:
        documents = reports.runs(name, limit)
    if json:
        show.as_json({"runs": documents})
    else:
        show.runs(documents, "There was no run yet.", history=True)


@cli.command()
def explain(
    name: Annotated[str, typer.Argument(metavar="ACTIVATION")],
    key: Annotated[str, typer.Argument(metavar="KEY")],
    json: Json = False,
) -> None:
    """Tell the whole story of one row."""
    from connector.decisions.quarantine import unknown_key
    from connector.show import texts as show

    app = _app()
    app.activations([name])
    with app.reports() as reports:
        document = reports.delivery(name, key)
        if document is None:
            raise ConfigurationError(unknown_key(name, key, reports.similar_keys(name, key)))
    if json:
        show.as_json(document)
    else:
        show.story(document)


@cli.command()
def verify(
    run_id: Annotated[str, typer.Argument(metavar="RUN")],
    sample: Annotated[str, typer.Option(help="How many of the rows, such as 5%.")] = "100%",
    json: Json = False,
) -> None:
    """Read back what a run delivered: is it there, once, as it was sent? Writes nothing."""
    from connector.project import look
    from connector.show import texts as show

    app, share = _app(), _share(sample)
    if show.on_terminal() and not json:
        with show.TerminalProgress() as bars:
            ended = _wait_for(look.verify(app, run_id, share, partial(bars.verifying, run_id)))
    else:
        ended = _wait_for(look.verify(app, run_id, share, lambda done, total: None))
    document = show.verification_document(*ended, share)
    if json:
        show.as_json(document)
    else:
        show.verification(document)
    raise typer.Exit(0 if document["ok"] else 1)


@quarantine_cli.command("list")
def quarantine_list(
    name: Annotated[str | None, typer.Argument(metavar="[ACTIVATION]")] = None,
    state: Annotated[InQuarantine | None, typer.Option(help="Only rows that are so.")] = None,
    reason: Reason = None,
    limit: Annotated[
        int | None,
        typer.Option(min=1, help="How many rows to show; 20, and with --json all."),
    ] = None,
    json: Json = False,
) -> None:
    """List the rows that wait for a person, by reason and one by one."""
    from connector.show import texts as show

    app = _app()
    if name is not None:
        app.activations([name])
    most = limit if json else limit or show.MOST_ROWS
    with app.reports() as reports:
        groups = reports.quarantine_groups(name, _state(state), reason)
        rows = reports.quarantine(name, most, _state(state), reason)
    if json:
        show.as_json({"rows": rows, "groups": groups})
    else:
        show.quarantine(rows, groups)


@quarantine_cli.command("retry")
def quarantine_retry(
    name: Activation,
    keys: Keys = None,
    reason: Reason = None,
    by: By = None,
    note: Note = None,
    json: Json = False,
) -> None:
    """Map invalid and rejected rows again, as the model and the schema are now.

    All of the activation when no key is named. What fits becomes pending, and the next sync sends
    it; nothing is sent by this command.
    """
    from connector.decisions.quarantine import Selection
    from connector.project import decide
    from connector.rules.delivery import CORRECTABLE
    from connector.show import texts as show

    app, person = _app(), _person(by, note)
    (activation,) = app.activations([name])
    _either_keys_or_filters(keys, reason is not None)
    selection = Selection(tuple(keys or ()), CORRECTABLE, reason)
    with show.progress(json) as bars:
        decided = _wait_for(decide.retry(app, activation, selection, person, bars))
    if json:
        show.as_json(show.decided_document(decided))
    else:
        show.retried(decided)


@quarantine_cli.command("settle")
def quarantine_settle(
    name: Activation,
    key: Annotated[str, typer.Argument(metavar="KEY")],
    delivered: Annotated[
        bool, typer.Option("--delivered", help="The interaction is at the destination.")
    ] = False,
    interaction_id: Annotated[
        str | None, typer.Option(metavar="ID", help="Its id there, if you know it.")
    ] = None,
    not_delivered: Annotated[
        bool, typer.Option("--not-delivered", help="It is not: the row is to be sent again.")
    ] = False,
    by: By = None,
    note: Note = None,
    json: Json = False,
) -> None:
    """Say what became of a row in doubt, when you have looked at the destination."""
    from connector.project import decide
    from connector.show import texts as show

    app, person = _app(), _person(by, note)
    (activation,) = app.activations([name])
    if delivered == not_delivered:
        raise ConfigurationError("say either --delivered or --not-delivered")
    if not_delivered and interaction_id is not None:
        raise ConfigurationError("--interaction-id goes with --delivered")
    if delivered:
        found = _interaction_id(interaction_id)
        decided = decide.settle_delivered(app, activation, key, found, person)
    else:
        decided = decide.settle_not_delivered(app, activation, key, person)
    if json:
        show.as_json(show.decided_document(decided))
    else:
        show.settled(decided)


@quarantine_cli.command("discard")
def quarantine_discard(
    name: Activation,
    keys: Keys = None,
    everything: Annotated[
        bool, typer.Option("--all", help="All rows of the activation in quarantine.")
    ] = False,
    state: Annotated[Discardable | None, typer.Option(help="All that are so.")] = None,
    reason: Reason = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    by: By = None,
    note: Note = None,
    json: Json = False,
) -> None:
    """Give rows up: they are never sent, whatever the model says. This is final.

    Rows in quarantine; also pending and waiting ones when their keys or that state are named.
    """
    from connector.decisions.quarantine import Selection
    from connector.project import decide
    from connector.rules.delivery import QUARANTINE, State
    from connector.show import texts as show

    app, person = _app(), _person(by, note)
    (activation,) = app.activations([name])
    filters = everything or state is not None or reason is not None
    _either_keys_or_filters(keys, filters)
    if not keys and not filters:
        raise ConfigurationError("name the keys, or say --all, --state or --reason")
    states = (State(state.value),) if state else QUARANTINE
    selection = Selection(tuple(keys or ()), states, reason)
    shown = None
    if not keys and not yes and (shown := decide.discardable(app, activation, selection)):
        _ask(f"{show.discarding(shown)} Discard them?")
    decided = decide.discard(app, activation, selection, person, shown)
    if json:
        show.as_json(show.decided_document(decided))
    else:
        show.discarded(decided)


@cli.command()
def undo(
    run_id: Annotated[str, typer.Argument(metavar="RUN")],
    yes: Yes = False,
    dry_run: DryRun = False,
    look: Annotated[
        bool | None,
        typer.Option("--look/--no-look", help="Ask for each first; unasked up to 1,000 rows."),
    ] = None,
    by: By = None,
    json: Json = False,
) -> None:
    """Take back what a run sent: delete its interactions. Shows what, and asks first."""
    from connector.project import decide
    from connector.show import texts as show
    from connector.show import undo as told

    app, person = _app(), _person(by, None).text
    with show.progress(json) as bars:
        plan = _interruptible(app, decide.plan_undo(app, run_id, look, bars))
    if not json:
        told.undo_plan(plan)
    if not plan.requests or not _go_ahead(told.undo_question(plan), yes, dry_run, json):
        if json:
            show.as_json(told.undo_document(plan, None, person))
        raise typer.Exit(_code_of_a_plan(plan.requests, dry_run))
    with show.progress(json) as bars:
        done = _interruptible(app, decide.undo(app, plan, person, None if yes else plan.rows, bars))
    if json:
        show.as_json(told.undo_document(plan, done, person))
    else:
        told.undone(plan, done)
        told.stopped(done.error)
    raise typer.Exit(done.exit_code)


@cli.command()
def release(
    run_id: Annotated[str, typer.Argument(metavar="RUN")],
    keys: Annotated[
        list[str] | None, typer.Argument(metavar="KEY", help="Row keys; all if left out.")
    ] = None,
    yes: Yes = False,
    dry_run: DryRun = False,
    by: By = None,
    json: Json = False,
) -> None:
    """Let rows that were taken back be sent again, as the model has them today."""
    from connector.decisions.release import chosen
    from connector.project import decide
    from connector.show import texts as show
    from connector.show import undo as told

    app, person = _app(), _person(by, None).text
    name, standing, undone = decide.plan_release(app, run_id)
    (activation,) = app.activations([name])
    rows = chosen(undone, keys or (), run_id)
    if not json:
        told.release_plan(run_id, name, rows, standing)
    question = f"Let {len(rows):,} {'row' if len(rows) == 1 else 'rows'} be sent again?"
    if not rows or not _go_ahead(question, yes, dry_run, json):
        if json:
            show.as_json(told.release_document(run_id, name, rows, standing, None, person))
        raise typer.Exit(_code_of_a_plan(len(rows), dry_run))
    with show.progress(json) as bars:
        work = decide.release(app, run_id, activation, keys or (), person, bars)
        done = _interruptible(app, work)
    if json:
        show.as_json(told.release_document(run_id, name, rows, standing, done, person))
    else:
        told.released(done)
        told.stopped(done.error)
    raise typer.Exit(done.exit_code)


@cli.command()
def forget(
    contact: Annotated[
        list[str],
        typer.Option(
            metavar="ID", help="A contactId, or an identifier as rows have it; may be repeated."
        ),
    ],
    activation: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Only there; may be repeated.")
    ] = None,
    delete_interactions: Annotated[
        bool, typer.Option("--delete-interactions", help="Also what was delivered.")
    ] = False,
    yes: Yes = False,
    dry_run: DryRun = False,
    by: By = None,
    json: Json = False,
) -> None:
    """Remove what the ledger holds of a person. Shows how much, and asks first."""
    from connector.project import decide
    from connector.show import texts as show
    from connector.show import undo as told

    app, person = _app(), _person(by, None).text
    names = [name.strip() for name in contact]
    if not all(names):
        raise ConfigurationError("--contact wants a contactId or another identifier")
    work = decide.plan_forget(app, names, activation or (), delete_interactions)
    plan = _interruptible(app, work)
    if not json:
        told.forget_plan(plan)
    if not plan.activations or not _go_ahead("Remove it for good?", yes, dry_run, json):
        if json:
            show.as_json(told.forget_document(plan, None, person))
        code = _code_of_a_plan(len(plan.activations), dry_run)
        raise typer.Exit(code or int(bool(plan.unknown) and not dry_run))
    done = _interruptible(app, decide.forget(app, plan, person))
    if json:
        show.as_json(told.forget_document(plan, done, person))
    else:
        told.forgotten(plan, done)
        told.stopped(done.error)
    raise typer.Exit(done.exit_code)


@cli.command()
def restored() -> None:
    """Say that the ledger was put back from a backup: rows are read back before they are sent."""
    app = _app()
    with app.ledger() as ledger:
        ledger.distrust()
    print(
        "The ledger counts as put back from a backup. The next syncs ask the destination about\n"
        "every row that the ledger does not know to be delivered, and send what is not there."
    )


@schema_cli.command("list")
def schema_list(destination: At = None, json: Json = False) -> None:
    """List the live schemas and those that have a file, and who uses them."""
    from connector.schemas.commands import Schemas
    from connector.show import texts as show
    from connector.show.schemas import show_list

    document = _wait_for(Schemas.of(_app(), destination).listed())
    if json:
        show.as_json(document)
    else:
        show_list(document)


@schema_cli.command("show")
def schema_show(
    schema_id: Annotated[str, typer.Argument(metavar="ID")],
    local: Annotated[bool, typer.Option("--local", help="The file; ask no destination.")] = False,
    destination: At = None,
    json: Json = False,
) -> None:
    """Show one schema: its properties and who uses it."""
    from connector.schemas.commands import Schemas, shown_local
    from connector.show import texts as show
    from connector.show.schemas import show_one

    if local:
        document = shown_local(Options.config.parent, schema_id)
    else:
        document = _wait_for(Schemas.of(_app(), destination).shown(schema_id))
    if json:
        show.as_json(document)
    else:
        show_one(document)


@schema_cli.command("lint")
def schema_lint(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[FILE|ID]...", help="All when none is named.")
    ] = None,
    json: Json = False,
) -> None:
    """Hold the files of schemas against the rules of Engage. Asks no destination."""
    from connector.schemas.commands import lint_document
    from connector.schemas.files import lint
    from connector.show import texts as show
    from connector.show.schemas import show_lint

    document = lint_document(lint(Options.config.parent, names or []))
    if json:
        show.as_json(document)
    else:
        show_lint(document)
    raise typer.Exit(0 if document["ok"] else 1)


@schema_cli.command("plan")
def schema_plan(ids: Ids = None, destination: At = None, json: Json = False) -> None:
    """Show how the files differ from what is live, and what a change would cost."""
    from connector.schemas.commands import Schemas
    from connector.show import texts as show
    from connector.show.schemas import show_plan

    plan = _wait_for(Schemas.of(_app(), destination).planned(ids or []))
    if json:
        show.as_json(plan.document())
    else:
        show_plan(plan.document())
    raise typer.Exit(plan.exit_code)


@schema_cli.command("apply")
def schema_apply(
    ids: Ids = None,
    as_version: Annotated[
        bool,
        typer.Option("--as-version", help="Create a changed schema beside the live one, as ID_v2."),
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    destination: At = None,
    json: Json = False,
) -> None:
    """Create the schemas that are missing. Deletes nothing, changes nothing."""
    from connector.schemas.commands import Schemas
    from connector.schemas.plan import Application
    from connector.show import texts as show
    from connector.show.schemas import show_applied
    from connector.sync.result import exit_code

    schemas = Schemas.of(_app(), destination)
    application = Application.of(_wait_for(schemas.planned(ids or [])), as_version)
    if application.to_create and not yes:
        names = ", ".join(definition.id for definition in application.to_create)
        _ask(f"Create {names} at {schemas.destination} ({schemas.url})?")
    results = _wait_for(schemas.applied(application.to_create))
    document = application.document(results)
    if json:
        show.as_json(document)
    else:
        show_applied(document)
    raise typer.Exit(exit_code(application.codes(results)))


@schema_cli.command("export")
def schema_export(
    ids: Ids = None,
    to: Annotated[Path | None, typer.Option(help="A folder; the project's by default.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace files that differ.")] = False,
    destination: At = None,
    json: Json = False,
) -> None:
    """Write live schemas into files."""
    from connector.schemas.commands import Schemas
    from connector.show import texts as show
    from connector.show.schemas import show_exported

    document = _wait_for(Schemas.of(_app(), destination).exported(ids or [], to, force))
    if json:
        show.as_json(document)
    else:
        show_exported(document)


@schema_cli.command("delete")
def schema_delete(
    schema_id: Annotated[str, typer.Argument(metavar="ID")],
    confirm: Annotated[
        str | None,
        typer.Option(metavar='"ID N"', help="The id and the number of its interactions."),
    ] = None,
    destination: At = None,
    json: Json = False,
) -> None:
    """Delete a schema, and with it all of its interactions, of all contacts."""
    from connector.schemas.commands import Schemas
    from connector.schemas.provision import EXIT_CODES
    from connector.show import texts as show
    from connector.show.schemas import show_deleted, show_deletion

    schemas = Schemas.of(_app(), destination)
    deletion = _wait_for(schemas.deletion(schema_id))
    if not json:
        show_deletion(deletion.document())
    if confirm is None:
        confirm = _typed(deletion.confirmation)
    deletion.refuse_unless(confirm)
    result = _wait_for(schemas.deleted(deletion))
    if json:
        outcome = {"status": result.status, "message": result.message or None}
        show.as_json(deletion.document() | outcome)
    else:
        show_deleted(result)
    raise typer.Exit(EXIT_CODES.get(result.status, 0))


@schema_cli.command("migrate", hidden=True)  # its earlier name
@schema_cli.command("replace")
def schema_replace(
    schema_id: Annotated[str, typer.Argument(metavar="ID")],
    confirm: Annotated[
        str | None,
        typer.Option(metavar='"ID N"', help="The id and the number of its interactions."),
    ] = None,
    give_up: Annotated[
        int, typer.Option(min=0, metavar="N", help="Accept that at most N rows are lost.")
    ] = 0,
    cancel: Annotated[
        bool, typer.Option("--cancel", help="Forget it, as long as nothing is deleted.")
    ] = False,
    by: By = None,
    destination: At = None,
    json: Json = False,
) -> None:
    """Replace a changed schema: delete it, create it anew, send all of its interactions again.

    Shows a plan first. What was begun goes on when the command is run again.
    """
    from connector.schemas.commands import Schemas
    from connector.schemas.migration import cancelled, carried_out, planned
    from connector.show import texts as show
    from connector.show.replace import (
        show_cancelled,
        show_migrated,
        show_migration,
        show_unchanged,
    )
    from connector.sync.progress import Progress

    app, person = _app(), _person(by, None)
    plan = _wait_for(planned(Schemas.of(app, destination), schema_id))
    if cancel:
        _wait_for(cancelled(plan, person))
        show_cancelled(plan.document(), json)
        return
    if not plan.is_needed:
        show_unchanged(plan.document(), json)
        return
    if not json:
        show_migration(plan.document())
    if plan.under_way is None:
        plan.refuse_unless(_typed(plan.confirmation) if confirm is None else confirm)
    if show.on_terminal() and not json:
        with show.TerminalProgress() as bars:
            ended = _interruptible(app, carried_out(plan, person, give_up, bars))
    else:
        ended = _interruptible(app, carried_out(plan, person, give_up, Progress()))
    if json:
        show.as_json(ended.document())
    else:
        show_migrated(ended.document())
    raise typer.Exit(ended.exit_code)


@schema_cli.command("generate")
def schema_generate(
    name: Annotated[str | None, typer.Argument(metavar="[ACTIVATION]")] = None,
    model: Annotated[Path | None, typer.Option(help="A file with a SELECT instead.")] = None,
    schema_id: Annotated[str | None, typer.Option("--id", help="The id of the schema.")] = None,
    json: Json = False,
) -> None:
    """Propose a schema from the columns of a model. Prints it; sends nothing."""
    from connector.schemas.commands import proposal_document, proposed
    from connector.show import texts as show
    from connector.show.schemas import proposal_text

    proposal = proposed(_app(), name, model, schema_id)
    if json:
        show.as_json(proposal_document(proposal))
    else:
        print(proposal_text(proposal), end="")


@cli.command("schema-for-editors")
def schema_for_editors() -> None:
    """Print the JSON Schema of activations.yaml, for editors."""
    from connector.project.settings import json_schema
    from connector.show import texts as show

    show.as_json(json_schema())


@cli.command()
def sandbox(
    port: Annotated[int, typer.Option(min=0, max=65535)] = 8765,
    host: Annotated[str, typer.Option(help="Only names of this machine.")] = "127.0.0.1",
    api_key: Annotated[str, typer.Option(help="The key that it takes.")] = "sandbox",
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
        str, typer.Option("--type", metavar="TYPE", help="The API to imitate: engage.")
    ] = "engage",
) -> None:
    """Run a local Engage with the documented behaviour, for development and demos."""
    from connector.sandbox.start import Files, Place, start

    start(type_, Place(host, port, api_key), Files(schemas, contacts, behaviour))


def _either_keys_or_filters(keys: list[str] | None, filters: bool) -> None:
    if keys and filters:
        raise ConfigurationError(
            "name keys, or say which rows by --all, --state or --reason: not both"
        )


def _state(word: InQuarantine | None) -> "State | None":
    from connector.rules.delivery import State

    return None if word is None else State(word.value)


def _person(by: str | None, note: str | None) -> "Person":
    """Who decides. Raises ConfigurationError for a name that is none."""
    from connector.ledger.decisions import Person

    name = _one_line(_login() if by is None else by)
    if not name:
        raise ConfigurationError("--by wants a name")
    return Person(name, _one_line(note or "") or None)


def _login() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):  # a process of a user that has no name
        return "unknown"


def _one_line(text: str) -> str:
    """`text` in one line, without what no terminal and no database should get."""
    words = ("".join(c for c in word if c.isprintable()) for word in text.split())
    return " ".join(word for word in words if word)


def _interaction_id(text: str | None) -> str | None:
    if text is None:
        return None
    if not (text := text.strip()) or _one_line(text) != text or " " in text:
        raise ConfigurationError(
            "--interaction-id wants the id that the destination shows, in one word"
        )
    return text


def _ask(question: str) -> None:
    """Go on only if a person agrees. Raises ConfigurationError where there is none to ask."""
    if not sys.stdin.isatty():
        raise ConfigurationError(f"{question} Nobody can be asked here: say --yes to do it.")
    try:
        agreed = typer.confirm(question, err=True)
    except Abort:
        agreed = False
    if not agreed:
        raise Interrupted("nothing was changed")


def _go_ahead(question: str, yes: bool, dry_run: bool, json: bool) -> bool:
    """Whether to do what was shown. Raises Interrupted when a person says no."""
    if dry_run or yes:
        return yes and not dry_run
    if json or not sys.stdin.isatty():
        print("Nothing was changed: say --yes to do it, or --dry-run to see it.", file=sys.stderr)
        return False
    _ask(question)
    return True


def _share(text: str) -> float:
    """`5%` or `0.05`. Raises ConfigurationError."""
    from connector.rules.activation import parse_percentage

    try:
        share: float = parse_percentage(text if text.strip().endswith("%") else float(text))
    except ValueError:
        share = 0.0
    if not share:
        raise ConfigurationError(f'--sample "{text}": expected a share such as 5% or 0.05, above 0')
    return share


def _code_of_a_plan(rows: int, dry_run: bool) -> int:
    """0 where nothing was to be done, or only a plan was wanted; else it lacks a --yes."""
    return 0 if dry_run or not rows else 2


def _app() -> "App":
    from connector.project.app import App

    return App(_settings())


def _reporting() -> "Reporting":
    from connector.project.reporting import Reporting

    return Reporting(_settings())


def _settings() -> "Settings":
    from connector.project.settings import load

    Options.settings = load(Options.config)
    return Options.settings


def _typed(confirmation: str) -> str:
    """What a person types. Raises ConfigurationError where there is nobody to ask."""
    if not sys.stdin.isatty():
        raise ConfigurationError(
            f'nothing was done: nobody can be asked here; --confirm "{confirmation}" does it'
        )
    return str(typer.prompt(f'Type "{confirmation}" to do it', err=True))


def _interruptible(app: "App", work: Coroutine[Any, Any, T]) -> T:
    """Run `work`; Ctrl-C and SIGTERM let it end in order, a second Ctrl-C ends it at once."""

    async def main() -> T:
        loop = asyncio.get_running_loop()

        def ask() -> None:
            app.interruption.ask()
            loop.remove_signal_handler(signal.SIGINT)

        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, ask)
        try:
            return await work
        except DestinationUnusable:
            if app.interruption.asked:  # it was not asked to the end
                raise Interrupted("interrupted") from None
            raise

    return _wait_for(main())


def _wait_for(work: Coroutine[Any, Any, T]) -> T:
    """Run `work`; an interruption becomes an error like any other, so that it is told."""
    gc.set_threshold(*COLLECT)
    gc.freeze()  # what was imported is not looked through again and again
    try:
        return asyncio.run(work)
    except KeyboardInterrupt:
        raise Interrupted("interrupted") from None
    finally:
        gc.unfreeze()


def _refuse_unreadable(arguments: Sequence[str]) -> None:
    """Bytes that are no text in the terminal's encoding: no row key and no name can have them."""
    for number, argument in enumerate(arguments, 1):
        if not argument.isascii() and any("\ud800" <= c <= "\udfff" for c in argument):
            raise ConfigurationError(
                f"argument {number} of the command line is not a text in {sys.stdin.encoding}"
            )


def _usage_error(failure: TyperException, as_document: bool) -> None:
    from connector.show import texts as show

    message = failure.format_message()
    if message.startswith("Usage:") and not as_document:  # nothing was asked for: the help
        print(message, file=sys.stderr)
    else:
        show.failure(ConfigurationError(f"{message} (connector --help)"), None, as_document)


def _defect(defect: Exception, as_document: bool) -> None:
    """A mistake of ours. Its message may hold a row's values, so only --verbose shows it."""
    from connector.show import texts as show

    if logging.getLogger().isEnabledFor(logging.INFO):
        logging.getLogger().exception("unexpected", exc_info=defect)
    text = f"unexpected {type(defect).__name__}; --verbose shows where. Running again is safe."
    show.failure(ConnectorError(text), None, as_document)


def _log_to_stderr(quiet: bool, log_format: LogFormat | None, serving: bool = False) -> None:
    """Structured log lines on standard error. If it is to be `quiet`, errors only, and of a service
    what nobody else tells: what becomes of its runs. Other commands tell that as their result."""
    import structlog

    level = logging.INFO if not quiet or serving else logging.ERROR
    render: Callable[..., Any] = (
        structlog.processors.JSONRenderer()
        if log_format is LogFormat.JSON
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    common: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        *([] if log_format is LogFormat.JSON else [_not_steering]),
    ]
    libraries = logging.StreamHandler(sys.stderr)  # what they have to say looks like our own lines
    libraries.setFormatter(
        structlog.stdlib.ProcessorFormatter(processor=render, foreign_pre_chain=common)
    )
    logging.basicConfig(level=level, handlers=[libraries], force=True)
    for noisy in ("httpx", "httpcore", "alembic", "asyncio", "uvicorn", "apscheduler", "apprise"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    chosen = [_of_runs if serving else _of_no_run] if quiet else []
    structlog.configure(
        processors=[*chosen, *common, render],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )


def _not_steering(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> Any:
    """A row key may hold what would steer the terminal that shows the log."""
    from connector.show.terminal import plain

    return {
        name: "\n".join(map(plain, v.split("\n") if name == "exception" else [v]))
        if isinstance(v, str)
        else v
        for name, v in event.items()
    }


def _drop() -> BaseException:
    import structlog

    return structlog.DropEvent()


def _of_runs(_logger: Any, method: str, event: MutableMapping[str, Any]) -> Any:
    """Errors, and what a service tells of itself and of its runs."""
    if method != "error" and not str(event["event"]).startswith(("serve.", "run.finished")):
        raise _drop()
    return event


def _of_no_run(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> Any:
    if event["event"] == "run.finished":
        raise _drop()
    return event


NEXT_STEPS = """A project with three activations and sample data is ready. Next:

{change}  connector sandbox            # a local Engage; leave it running, and in another terminal:
  connector check              # would a sync work?
  connector preview repairs    # what would it send?
  connector sync               # send it, once
  connector status

Then put your warehouse and your Engage into .env (see .env.example)."""
