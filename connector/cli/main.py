"""The command line: which commands there are, what stands before them, how a failure is told.

A command imports what it works with where it runs, so that a help costs nothing.
"""

import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from connector import __version__
from connector.cli import (
    approving,
    deciding,
    looking,
    measuring,
    projects,
    receipts,
    running,
    sandbox,
    trying,
    watching,
)
from connector.cli.asking import Abort, TyperException
from connector.cli.dbt import dbt
from connector.cli.options import LogFormat
from connector.cli.quarantine import quarantine, release
from connector.cli.schema import schema
from connector.cli.working import Before
from connector.rules.errors import ConfigurationError, ConnectorError, Interrupted, unlocated
from connector.show.terminal import prepare_streams

cli = typer.Typer(
    name="connector",
    help="Send rows of a data warehouse to Voyado Engage, Survey Dynamix or MXO as interactions:"
    " never twice, never lost.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
COMMANDS = (
    projects.init,
    sandbox.demo,
    trying.check,
    trying.preview,
    trying.diff,
    running.sync,
    approving.approve,
    running.serve,
    running.pause,
    running.resume,
    looking.status,
    looking.runs,
    watching.watch,
    looking.find,
    looking.explain,
    trying.verify,
    measuring.probe,
    receipts.receipts,
    trying.send,
    deciding.undo,
    release,
    deciding.forget,
    deciding.prune,
    approving.audit,
    running.restored,
    projects.schema_for_editors,
    projects.plan,
    sandbox.sandbox,
)
for command in COMMANDS:
    cli.command()(command)
cli.add_typer(quarantine, name="quarantine")
cli.add_typer(schema, name="schema")
cli.add_typer(dbt, name="dbt")


@cli.callback(invoke_without_command=True)
def options(
    config: Annotated[Path, typer.Option(help="The project's file.")] = Path("activations.yaml"),
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Log what happens.")] = False,
    log_format: Annotated[LogFormat | None, typer.Option(help="How log lines look.")] = None,
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    """Send rows of a data warehouse to Voyado Engage, Survey Dynamix or MXO as interactions: never
    twice, never lost."""
    Before.config, Before.settings = config, None
    Before.quiet, Before.log_format = not verbose and log_format is None, log_format
    if Before.quiet:
        logging.getLogger().setLevel(logging.ERROR)  # what works sets up its log itself
    else:
        from connector.show.logs import log_to_stderr

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
        words = approving.with_bare_out(in_order(arguments))
        result = cli(words, standalone_mode=False)
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


def in_order(arguments: Sequence[str]) -> list[str]:
    """`arguments` with what belongs before the command there, and what belongs after it there: who
    types should not have to know which is which."""
    before: list[str] = []
    after: list[str] = []
    left = list(arguments)
    rest: list[str] = []
    while left:
        word = left.pop(0)
        if word == "--":
            rest = [word, *left]
            break
        name, equals, _ = word.partition("=")
        if name in ("--config", "--log-format"):
            before += [word] if equals or not left else [word, left.pop(0)]
        elif word == "--verbose" or (word == "-v" and after):
            before.append(word)
        else:
            after.append(word)
    if "--json" in after and any(not word.startswith("-") for word in after):
        after = [word for word in after if word != "--json"] + ["--json"]
    return [*before, *after, *rest]


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
