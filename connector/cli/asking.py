"""Who decides, and what a person is asked before something is done that cannot be taken back."""

import getpass
import sys
from typing import TYPE_CHECKING

import typer

from connector.rules.errors import ConfigurationError, Interrupted
from connector.rules.words import one_line

if TYPE_CHECKING:
    from datetime import timedelta

    from typer.exceptions import Abort, TyperException

    from connector.ledger.decisions import Person
else:
    try:
        from typer.exceptions import Abort, TyperException
    except ModuleNotFoundError:  # before it had exceptions of its own, they were click's
        from click.exceptions import Abort
        from click.exceptions import ClickException as TyperException

__all__ = ["Abort", "TyperException", "one_line"]


def person(by: str | None, note: str | None = None) -> "Person":
    """Who decides. Raises ConfigurationError for a name that is none."""
    from connector.ledger.decisions import Person

    name = one_line(_login() if by is None else by)
    if not name:
        raise ConfigurationError("--by wants a name")
    return Person(name, one_line(note or "") or None)


def _login() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):  # a process of a user that has no name
        return "unknown"


def span_of(text: str, option: str = "--for") -> "timedelta":
    """What `--for`, or another option, says. Raises ConfigurationError."""
    from connector.rules.grammar import parse_duration

    try:
        span: timedelta | None = parse_duration(text)
    except ValueError:
        span = None
    if not span:
        raise ConfigurationError(f"{option}: expected a duration such as 30s, 10m or 2h, and no 0")
    return span


LONGEST_TAG = 250


def tag_text(tag: str) -> str:
    """A tag of runs, as it is recorded. Raises ConfigurationError."""
    text = one_line(tag)
    if not text or len(text) > LONGEST_TAG:
        raise ConfigurationError(f"--tag wants a text of at most {LONGEST_TAG} characters")
    return text


def instant(text: str | None, option: str = "--since") -> int | None:
    """What an option for a time says, in milliseconds since 1970. Raises ConfigurationError."""
    from connector.project.audit import milliseconds, since_when

    return milliseconds(since_when(text, option))


def ask(question: str) -> None:
    """Go on only if a person agrees. Raises ConfigurationError where there is none to ask."""
    if not sys.stdin.isatty():
        raise ConfigurationError(f"{question} Nobody can be asked here: say --yes to do it.")
    try:
        agreed = typer.confirm(question, err=True)
    except Abort:
        agreed = False
    if not agreed:
        raise Interrupted("nothing was changed")


def typed(confirmation: str) -> str:
    """What a person types. Raises ConfigurationError where there is nobody to ask."""
    if not sys.stdin.isatty():
        raise ConfigurationError(
            f'nothing was done: nobody can be asked here; --confirm "{confirmation}" does it'
        )
    return str(typer.prompt(f'Type "{confirmation}" to do it', err=True))
