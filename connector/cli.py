"""The command line: parse, call the app, print. Each command imports what it needs when it runs."""

import asyncio
import logging
import signal
import sys
from collections.abc import Callable, Coroutine, Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer
from typer.exceptions import Abort, TyperException

from connector import __version__
from connector.errors import ConfigurationError, ConnectorError, Interrupted

if TYPE_CHECKING:
    from connector.app import App
    from connector.settings import Settings

T = TypeVar("T")

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


class LogFormat(StrEnum):
    """How log lines look."""

    TEXT = "text"
    JSON = "json"


class Options:
    """What stands before the command, and the settings once they were read."""

    config: Path = Path("activations.yaml")
    settings: "Settings | None" = None


Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
Names = Annotated[
    list[str] | None, typer.Argument(metavar="[ACTIVATION]...", help="All when none is named.")
]


def run(arguments: Sequence[str]) -> int:
    """Run the command line; the exit code. Every failure is one sentence, or one document."""
    as_document = "--json" in arguments
    try:
        result = cli(list(arguments), standalone_mode=False)
        return result if isinstance(result, int) else 0
    except ConnectorError as failure:
        from connector import show

        show.error(show.error_text(failure, Options.settings), failure.kind, as_document)
        return failure.exit_code
    except TyperException as failure:
        _usage_error(failure, as_document)
        return failure.exit_code if failure.exit_code else 2
    except (KeyboardInterrupt, Abort):
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
    _log_to_stderr(verbose, log_format)
    if version:
        print(f"connector {__version__}")
        raise typer.Exit


@cli.command()
def init(
    directory: Annotated[Path, typer.Argument(help="Where; made if it is not there.")] = Path(),
) -> None:
    """Make a new project that works at once, with sample data and a local Engage."""
    from connector.demo.project import create

    create(directory)
    print(NEXT_STEPS.format(change="" if directory == Path() else f"  cd {directory}\n"))


@cli.command()
def demo() -> None:
    """See the whole story: sample data, a local Engage, and every row sent once."""
    from connector.demo.story import tell

    raise typer.Exit(tell())


@cli.command()
def check(names: Names = None, json: Json = False) -> None:
    """Find out whether a sync would work. Writes nothing, sends no interaction."""
    from connector import show
    from connector.app import check_exit_code

    app = _app()
    found = _wait_for(app.check(app.activations(names or [])))
    code = check_exit_code(found)
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
    from connector import show

    app = _app()
    (activation,) = app.activations([name])
    result, requests, seconds = _wait_for(app.preview(activation, limit, offline))
    url = app.interactions_url(activation)
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
    json: Json = False,
) -> None:
    """Send what is new: one run of each activation."""
    from connector import show
    from connector.app import exit_code
    from connector.sync import Progress

    app = _app()
    activations = app.activations(names or [])
    for activation in [a for a in activations if a.paused]:
        if names:
            raise ConfigurationError(
                f'activation "{activation.name}" is paused; take out `paused: true` to let it run'
            )
        activations.remove(activation)
    if show.on_terminal() and not json:
        with show.TerminalProgress() as bars:
            ended = _interruptible(app, app.sync(activations, limit, approve, wait, bars))
    else:
        ended = _interruptible(app, app.sync(activations, limit, approve, wait, Progress()))
    with app.reports() as reports:
        documents = show.run_documents(ended, reports, app.settings)
    if json:
        show.as_json({"runs": documents})
    else:
        show.runs(documents, "There is no activation to run.")
    raise typer.Exit(exit_code([end.exit_code for end in ended]))


@cli.command()
def status(json: Json = False) -> None:
    """Show where every activation stands."""
    from connector import show

    documents = _app().status()
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
    from connector import show

    app = _app()
    if name is not None:
        app.activations([name])
    with app.reports() as reports:
        documents = reports.runs(name, limit)
    if json:
        show.as_json({"runs": documents})
    else:
        show.runs(documents, "There was no run yet.")


@cli.command()
def explain(
    name: Annotated[str, typer.Argument(metavar="ACTIVATION")],
    key: Annotated[str, typer.Argument(metavar="KEY")],
    json: Json = False,
) -> None:
    """Tell the whole story of one row."""
    from connector import show

    app = _app()
    app.activations([name])
    with app.reports() as reports:
        document = reports.delivery(name, key)
        if document is None:
            similar = reports.similar_keys(name, key)
            hint = f"; recorded are, for example: {', '.join(similar)}" if similar else ""
            raise ConfigurationError(f'"{name}" has recorded no row with the key "{key}"{hint}')
    if json:
        show.as_json(document)
    else:
        show.story(document)


@quarantine_cli.command("list")
def quarantine_list(
    name: Annotated[str | None, typer.Argument(metavar="[ACTIVATION]")] = None,
    json: Json = False,
) -> None:
    """List the rows that wait for a person, with the reason of each."""
    from connector import show

    app = _app()
    if name is not None:
        app.activations([name])
    with app.reports() as reports:
        rows = reports.quarantine(name)
    if json:
        show.as_json({"rows": rows})
    else:
        show.quarantine(rows)


@cli.command("schema-for-editors")
def schema_for_editors() -> None:
    """Print the JSON Schema of activations.yaml, for editors."""
    from connector import show
    from connector.settings import json_schema

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
) -> None:
    """Run a local Engage with the documented behaviour, for development and demos."""
    from connector.sandbox.start import start

    start(host, port, api_key, schemas, contacts, behaviour)


def _app() -> "App":
    from connector.app import App
    from connector.settings import load

    Options.settings = load(Options.config)
    return App(Options.settings)


def _interruptible(app: "App", work: Coroutine[Any, Any, T]) -> T:
    """Run `work`; Ctrl-C and SIGTERM let it end in order, a second Ctrl-C ends it at once."""

    async def main() -> T:
        loop = asyncio.get_running_loop()

        def ask() -> None:
            app.interruption.ask()
            loop.remove_signal_handler(signal.SIGINT)

        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, ask)
        return await work

    return _wait_for(main())


def _wait_for(work: Coroutine[Any, Any, T]) -> T:
    """Run `work`; an interruption becomes an error like any other, so that it is told."""
    try:
        return asyncio.run(work)
    except KeyboardInterrupt:
        raise Interrupted("interrupted") from None


def _usage_error(failure: TyperException, as_document: bool) -> None:
    from connector import show

    message = failure.format_message()
    if message.startswith("Usage:") and not as_document:  # nothing was asked for: the help
        print(message, file=sys.stderr)
    else:
        show.error(f"{message} (connector --help)", "usage", as_document)


def _defect(defect: Exception, as_document: bool) -> None:
    """A mistake of ours. Its message may hold a row's values, so only --verbose shows it."""
    from connector import show

    if logging.getLogger().isEnabledFor(logging.INFO):
        logging.getLogger().exception("unexpected", exc_info=defect)
    text = f"unexpected {type(defect).__name__}; --verbose shows where. Running again is safe."
    show.error(text, "unexpected", as_document)


def _log_to_stderr(verbose: bool, log_format: LogFormat | None) -> None:
    """Structured log lines on standard error; errors only, unless they are asked for."""
    import structlog

    level = logging.INFO if verbose or log_format else logging.ERROR
    render: Callable[..., Any] = (
        structlog.processors.JSONRenderer()
        if log_format is LogFormat.JSON
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    logging.basicConfig(level=level, stream=sys.stderr, format="%(message)s", force=True)
    for noisy in ("httpx", "httpcore", "alembic", "asyncio", "uvicorn"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            render,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )


NEXT_STEPS = """A project with three activations and sample data is ready. Next:

{change}  connector sandbox            # a local Engage; leave it running, and in another terminal:
  connector check              # would a sync work?
  connector preview repairs    # what would it send?
  connector sync               # send it, once
  connector status

Then put your warehouse and your Engage into .env (see .env.example)."""
