"""Carry out a deed at the command line: show what it would do, ask, do it, and tell."""

import sys
from collections.abc import Callable, Coroutine
from contextlib import AbstractContextManager, nullcontext
from dataclasses import field
from typing import TYPE_CHECKING, Any, Generic, NoReturn, TypeVar

import typer

from connector.basis import dataclass
from connector.cli.asking import ask, typed
from connector.cli.working import interruptible, wait_for
from connector.rules.deed import Agree, Deed, Document, Done, Plan, Question, Retype
from connector.rules.errors import unlocated
from connector.show.terminal import print_json

if TYPE_CHECKING:
    from connector.project.app import App

P = TypeVar("P", bound=Plan)
D = TypeVar("D", bound=Done)
T = TypeVar("T")
Planned = TypeVar("Planned", contravariant=True)
Ended = TypeVar("Ended", contravariant=True)


@dataclass(frozen=True, slots=True)
class Consent:
    """What was said on the command line instead of an answer to the question.

    `dry_run`: only the plan is wanted; None where the command has no such option, and so shows no
    plan to those who cannot be asked.
    """

    yes: bool = False
    dry_run: bool | None = None
    typed: str | None = None

    def given(self, question: Question | None, json: bool) -> bool:
        """Whether to do it. Raises Interrupted when a person says no, ConfigurationError where
        there is nobody to ask, or for what is not what had to be typed."""
        match question:
            case None:
                return not self.dry_run
            case Retype():
                text = typed(question.text) if self.typed is None else self.typed
                question.refuse_unless(text)
                return True
            case Agree(text):
                if self.dry_run or self.yes:
                    return not self.dry_run
                if self.dry_run is not None and (json or not sys.stdin.isatty()):
                    print(NOT_ASKED, file=sys.stderr)
                    return False
                ask(text)
                return True


NOT_ASKED = "Nothing was changed: say --yes to do it, or --dry-run to see it."


def silent(_: object) -> None:
    """Shows nothing."""


def documented(show: Callable[[Document], None]) -> Callable[[Plan | Done], None]:
    """Shows the document of a plan, or of what came of it."""
    return lambda told: show(told.document())


@dataclass(frozen=True, slots=True)
class Showing(Generic[Planned, Ended]):
    """How a deed is told: for programs with `json`, else by these two."""

    json: bool
    done: Callable[[Ended], None]
    plan: Callable[[Planned], None] = silent
    bars: AbstractContextManager[object] = field(default_factory=nullcontext)


def carry_out(
    app: "App",
    deed: Deed[P, D],
    showing: Showing[P, D],
    consent: Consent,
    ends_in_order: bool = True,
) -> NoReturn:
    """Show what a deed would do, ask, do it, and tell. Leaves with its exit code. `ends_in_order`:
    at Ctrl-C what it has begun at the destination is waited for; else it ends at once."""

    def wait(work: Coroutine[Any, Any, T]) -> T:
        return interruptible(app, work) if ends_in_order else wait_for(work)

    with showing.bars:
        plan = wait(deed.plan())
    if not showing.json:
        showing.plan(plan)
    if plan.empty or not consent.given(plan.question, showing.json):
        if showing.json:
            print_json(plan.document())
        code = plan.exit_code if plan.empty else 2  # a yes is missing
        raise typer.Exit(0 if consent.dry_run else code)
    with showing.bars:
        done = wait(deed.do(plan, agreed=not consent.yes))
    if showing.json:
        print_json(done.document())
    else:
        showing.done(done)
        if done.error:
            from connector.show.failures import show_failure

            show_failure(done.error, unlocated, as_document=False)
    raise typer.Exit(done.exit_code)
