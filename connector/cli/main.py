"""The command line: which commands there are, what stands before them, how a failure is told.

The module of a group of commands is imported when one of them is asked for.
"""

import logging
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup
from typer.exceptions import Abort, TyperException
from typer.main import get_group

from connector import __version__
from connector.cli.options import Before, LogFormat
from connector.rules.errors import ConfigurationError, ConnectorError, Interrupted, unlocated
from connector.show.terminal import prepare_streams

COMMANDS = {
    "init": (
        "projects",
        "Make a new project that works at once, with sample data and a local Engage.",
    ),
    "demo": (
        "sandbox",
        "See the whole story: sample data, a local Engage, and every row sent once.",
    ),
    "check": ("trying", "Find out whether a sync would work."),
    "preview": ("trying", "Show what a sync would do now."),
    "sync": ("running", "Send what is new: one run of each activation."),
    "serve": ("serving", "Run by schedule and on request, with a web page, until SIGTERM."),
    "pause": (
        "running",
        "Let nothing run an activation until it is resumed, without editing the configuration.",
    ),
    "resume": ("running", "End a pause."),
    "status": ("looking", "Show where every activation stands."),
    "runs": ("looking", "Show the newest runs."),
    "explain": ("looking", "Tell the whole story of one row."),
    "verify": (
        "trying",
        "Read back what a run delivered: is it there, once, as it was sent?",
    ),
    "undo": ("deciding", "Take back what a run sent: delete its interactions."),
    "release": (
        "deciding",
        "Let rows that were taken back be sent again, as the model has them today.",
    ),
    "forget": ("deciding", "Remove what the ledger holds of a person."),
    "restored": (
        "running",
        "Say that the ledger was put back from a backup: rows are read back before they are sent.",
    ),
    "schema-for-editors": (
        "projects",
        "Print the JSON Schema of activations.yaml, for editors.",
    ),
    "plan": ("planning", "List what is configured; needs no secret and no connection."),
    "sandbox": (
        "sandbox",
        "Run a local Engage with the documented behaviour, for development and demos.",
    ),
    "quarantine": ("quarantine", "Rows that wait for a person."),
    "schema": ("schema", "Interaction schemas, in files and at the destination."),
}
"""Name: the module that has it, and the first sentence of its help, for the list of commands."""


class Commands(TyperGroup):
    """All commands by their first sentences; the one that is asked for comes with its module."""

    def __init__(self, **attributes: Any) -> None:
        attributes["commands"] = {
            name: TyperCommand(name=name, help=sentence) for name, (_, sentence) in COMMANDS.items()
        }
        super().__init__(**attributes)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The command itself, and what is left of the arguments."""
        name, listed, rest = super().resolve_command(ctx, args)
        if name is None or listed is None:
            return name, listed, rest
        module = import_module(f"connector.cli.{COMMANDS[name][0]}")
        return name, get_group(module.commands).commands[name], rest


cli = typer.Typer(
    name="connector",
    cls=Commands,
    help="Send rows of a data warehouse to Voyado Engage as interactions: never twice, never lost.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


@cli.callback(invoke_without_command=True)
def options(
    config: Annotated[Path, typer.Option(help="The project's file.")] = Path("activations.yaml"),
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Log what happens.")] = False,
    log_format: Annotated[LogFormat | None, typer.Option(help="How log lines look.")] = None,
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    """Send rows of a data warehouse to Voyado Engage as interactions: never twice, never lost."""
    from connector.cli.logs import log_to_stderr

    Before.config, Before.settings = config, None
    Before.quiet = not verbose and log_format is None
    log_to_stderr(Before.quiet, log_format)
    if version:
        print(f"connector {__version__}")
        raise typer.Exit


def run(arguments: Sequence[str]) -> int:
    """Run the command line; the exit code. Every failure is one sentence, or one document."""
    prepare_streams()
    as_document = "--json" in arguments
    try:
        _refuse_unreadable(arguments)
        result = cli(list(arguments), standalone_mode=False)
        return result if isinstance(result, int) else 0
    except ConnectorError as failure:
        _tell(failure, as_document)
        return failure.exit_code
    except TyperException as failure:
        _usage_error(failure, as_document)
        return failure.exit_code if failure.exit_code else 2
    except (KeyboardInterrupt, Abort):
        if as_document:
            _tell(Interrupted("interrupted"), as_document)
        return 130
    except BrokenPipeError:
        sys.stdout = None  # nobody reads any more
        return 3
    except Exception as defect:
        _defect(defect, as_document)
        return 3


def _refuse_unreadable(arguments: Sequence[str]) -> None:
    """Bytes that are no text in the terminal's encoding: no row key and no name can have them."""
    for number, argument in enumerate(arguments, 1):
        if not argument.isascii() and any("\ud800" <= c <= "\udfff" for c in argument):
            raise ConfigurationError(
                f"argument {number} of the command line is not a text in {sys.stdin.encoding}"
            )


def _usage_error(failure: TyperException, as_document: bool) -> None:
    message = failure.format_message()
    if message.startswith("Usage:") and not as_document:  # nothing was asked for: the help
        print(message, file=sys.stderr)
    else:
        _tell(ConfigurationError(f"{message} (connector --help)"), as_document)


def _defect(defect: Exception, as_document: bool) -> None:
    """A mistake of ours. Its message may hold a row's values, so only --verbose shows it."""
    if logging.getLogger().isEnabledFor(logging.INFO):
        logging.getLogger().exception("unexpected", exc_info=defect)
    text = f"unexpected {type(defect).__name__}; --verbose shows where. Running again is safe."
    _tell(ConnectorError(text), as_document)


def _tell(failure: ConnectorError, as_document: bool) -> None:
    from connector.show.failures import show_failure

    locate = Before.settings.located if Before.settings else unlocated
    show_failure(failure, locate, as_document)
