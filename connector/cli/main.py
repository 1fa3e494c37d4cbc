"""The command line: which commands there are, what stands before them, how a failure is told.

A command imports what it works with where it runs, so that a help costs nothing.
"""

import logging
import os
import re
import sys
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any

import typer

from connector import __version__
from connector.basis.leaving import INTERRUPTED, Leaving
from connector.cli.asking import Abort, TyperException
from connector.cli.options import LogFormat
from connector.cli.working import Before
from connector.rules.errors import ConfigurationError, ConnectorError, Interrupted, unlocated
from connector.show.terminal import Printed, lost_output, prepare_streams

COMMANDS = {
    "init": "projects",
    "demo": "sandbox",
    "check": "trying",
    "preview": "trying",
    "diff": "trying",
    "sync": "running",
    "approve": "approving",
    "serve": "running",
    "pause": "running",
    "resume": "running",
    "status": "looking",
    "runs": "looking",
    "watch": "watching",
    "find": "looking",
    "explain": "looking",
    "verify": "trying",
    "probe": "measuring",
    "receipts": "receipts",
    "send": "trying",
    "undo": "deciding",
    "release": "quarantine",
    "forget": "deciding",
    "prune": "deciding",
    "audit": "approving",
    "restored": "running",
    "schema-for-editors": "projects",
    "plan": "projects",
    "sandbox": "sandbox",
}
"""The module of each command, in the order in which the help shows them."""
GROUPS = ("quarantine", "schema", "dbt")
"""Commands with commands of their own, each in the module of its name."""


COMPLETING = "_COMPLETE"
"""How the variable ends by which a shell asks for words."""
NOWHERE = "what came of this cannot be told: standard output cannot be written ({})"

BEFORE = ("--config", "--log-format")
"""Options with a value that stand before the command."""


def command_line(command: str | None = None) -> typer.Typer:
    """The command line with all commands; or with that `command` alone, where it is one: what the
    others take is not read then."""
    cli = typer.Typer(
        name="connector",
        help="Send rows of a data warehouse to Voyado Engage, Survey Dynamix or MXO as"
        " interactions: never twice, never lost.",
        no_args_is_help=True,
        context_settings={"help_option_names": ["-h", "--help"]},
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
    )
    cli.callback(invoke_without_command=True)(options)
    alone = command in (*COMMANDS, *GROUPS)
    for name, module in COMMANDS.items():
        if not alone or name == command:
            cli.command(name)(getattr(_module(module), name.replace("-", "_")))
    for name in GROUPS:
        if not alone or name == command:
            cli.add_typer(getattr(_module(name), name), name=name)
    return cli


def _module(name: str) -> Any:
    return import_module(f"connector.cli.{name}")


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
    as_document, Printed.document = _wants_document(arguments), False
    Leaving.tell = partial(_tell_interrupted, as_document)
    try:
        code, failure = _run(arguments, as_document), None
    except OSError as error:
        code, failure = 3, error
    if code == INTERRUPTED and as_document:
        _tell_interrupted(as_document)
    lost = lost_output(failure)
    if failure and not lost:
        _defect(failure, as_document)
    if lost:
        if not isinstance(lost, BrokenPipeError):  # that only says that nobody reads any more
            with suppress(OSError):
                print(f"error: {NOWHERE.format(lost.strerror)}", file=sys.stderr)
        return 3
    return code


def _run(arguments: Sequence[str], as_document: bool) -> int:
    try:
        _refuse_unreadable(arguments)
        words = in_order(arguments)
        command = _command_of(words)
        if command == "approve":
            from connector.cli.approving import with_bare_out

            words = with_bare_out(words)
        result = command_line(command)(words, standalone_mode=False)
        return result if isinstance(result, int) else 0
    except ConnectorError as failure:
        _tell(failure, as_document)
        return failure.exit_code
    except TyperException as failure:
        _usage_error(failure, as_document)
        return failure.exit_code if failure.exit_code else 2
    except (KeyboardInterrupt, Abort):
        return INTERRUPTED
    except SystemExit:  # of libraries, where nobody reads what they print
        if any(name.endswith(COMPLETING) for name in os.environ):
            raise
        return 3
    except OSError:  # perhaps of what was to be printed
        raise
    except Exception as defect:
        _defect(defect, as_document)
        return 3


def _wants_document(arguments: Sequence[str]) -> bool:
    """Whether a failure is told as a document, too: `--json`, however it is said."""
    said = pairwise(arguments)
    return not {"--json", "--format=json"}.isdisjoint(arguments) or ("--format", "json") in said


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
        if name in BEFORE:
            before += [word] if equals or not left else [word, left.pop(0)]
        elif word == "--verbose" or (word == "-v" and after):
            before.append(word)
        else:
            after.append(word)
    if "--json" in after and any(not word.startswith("-") for word in after):
        after = [word for word in after if word != "--json"] + ["--json"]
    return [*before, *after, *rest]


def _command_of(words: Sequence[str]) -> str | None:
    """The command, in words that are `in_order`; None where there is none."""
    left = iter(words)
    for word in left:
        if not word.startswith("-"):
            return word
        if word in BEFORE:
            next(left, None)
    return None


def _refuse_unreadable(arguments: Sequence[str]) -> None:
    """Bytes that are no text in the terminal's encoding: no row key and no name can have them."""
    for number, argument in enumerate(arguments, 1):
        if not argument.isascii() and any("\ud800" <= c <= "\udfff" for c in argument):
            raise ConfigurationError(
                f"argument {number} of the command line is not a text in {sys.stdin.encoding}"
            )


NEGATIVE = re.compile(r"No such option: -\d")


def _usage_error(failure: TyperException, as_document: bool) -> None:
    message = failure.format_message()
    if message.startswith("Usage:") and not as_document:  # nothing was asked for: the help
        print(message, file=sys.stderr)
    else:
        said = message.replace(": Value error, ", ": ").replace("Input should be", "expected")
        plain = said.partition(", unable to parse")[0]
        if NEGATIVE.match(plain):
            plain += "; what begins with a - and is no option, such as a row key, stands after --"
        _tell(ConfigurationError(f"{plain} (connector --help)"), as_document)


def _defect(defect: Exception, as_document: bool) -> None:
    """A mistake of ours. Its message may hold a row's values, so only --verbose shows it."""
    if logging.getLogger().isEnabledFor(logging.INFO):
        logging.getLogger().exception("unexpected", exc_info=defect)
    text = f"unexpected {type(defect).__name__}; --verbose shows where. Running again is safe."
    _tell(ConnectorError(text), as_document)


def _tell_interrupted(as_document: bool) -> None:
    """That it was, unless its one document is printed."""
    if not (as_document and Printed.document):
        _tell(Interrupted("interrupted"), as_document)


def _tell(failure: ConnectorError, as_document: bool) -> None:
    from connector.show.failures import show_failure

    locate = Before.settings.located if Before.settings else unlocated
    try:
        show_failure(failure, locate, as_document)
    except OSError:
        if as_document:
            raise  # else it is standard error, and there is nowhere left to tell it
