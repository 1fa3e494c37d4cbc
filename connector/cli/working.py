"""What a command does around its work: open the project, wait for it, tell what came of it.

A command imports what it works with where it runs: at the top of these modules stands only what its
help needs.
"""

import gc
import signal
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import typer

from connector.basis.leaving import interrupt, interrupted_at_once
from connector.basis.log import set_up_at_first_line
from connector.rules.errors import ConnectorError, DestinationUnusable, Interrupted
from connector.show.terminal import print_json

if TYPE_CHECKING:
    from connector.project.app import App
    from connector.project.reporting import Reporting
    from connector.project.settings import Settings
    from connector.sync.progress import Progress

T = TypeVar("T")
COLLECT = (3000, 10, 10)
"""When the garbage collector looks, in work that may go on for months: more seldom than by Python's
own measure, which took a tenth of a sync, and often enough that batches of rows do not pile up."""


class Before:
    """What stands before the command, and the settings once they were read."""

    config: Path = Path("activations.yaml")
    quiet: bool = True
    log_format: str | None = None
    settings: "Settings | None" = None


def settings() -> "Settings":
    """The project's settings. Raises ConfigurationError."""
    from connector.project.settings import load

    Before.settings = load(Before.config)
    return Before.settings


def known_selectors() -> list[str]:
    """What can choose activations, for a shell that completes a word; nothing where the
    configuration cannot be read."""
    from connector.project.plan import read_plan

    try:
        planned = read_plan(Before.config).activations
    except ConnectorError:
        return []
    tags = sorted({tag for each in planned for tag in each.tags})
    return [*(each.name for each in planned), *(f"tag:{tag}" for tag in tags)]


def reporting() -> "Reporting":
    """What can be told of the project without a client. Raises ConfigurationError."""
    from connector.project.reporting import Reporting

    return Reporting(settings())


def app() -> "App":
    """The project with all that work needs, and with its log. Raises ConfigurationError."""
    from connector.project.app import App

    if Before.quiet:
        set_up_at_first_line(_log_errors)
    return App(settings())


def _log_errors() -> None:
    from connector.show.logs import log_to_stderr

    log_to_stderr(Before.quiet, Before.log_format)


def progress(as_document: bool, in_lines: bool = False) -> "Progress":
    """Bars where a person sees them, or lines for a program."""
    if in_lines:
        from connector.show.lines import LinesOfProgress

        return LinesOfProgress()
    from connector.show.progress import progress as bars

    return bars(as_document)


def tell(document: T, show: Callable[[T], None], as_document: bool, code: int = 0) -> None:
    """Print what came of a command, for programs or for people, and leave with its exit code."""
    if as_document:
        print_json(document)
    else:
        show(document)
    if code:
        raise typer.Exit(code)


def interruptible(app: "App", work: Coroutine[Any, Any, T]) -> T:
    """Run `work`; Ctrl-C and SIGTERM let it end in order, a second Ctrl-C ends it at once."""
    import asyncio

    async def main() -> T:
        loop = asyncio.get_running_loop()

        def ask() -> None:
            app.interruption.ask()
            loop.remove_signal_handler(signal.SIGINT)
            signal.signal(signal.SIGINT, interrupt)

        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, ask)
        try:
            return await work
        except DestinationUnusable:
            if app.interruption.asked:  # it was not asked to the end
                raise Interrupted("interrupted") from None
            raise

    return wait_for(main())


def wait_for(work: Coroutine[Any, Any, T]) -> T:
    """Run `work`; an interruption becomes an error like any other, so that it is told."""
    import asyncio

    gc.set_threshold(*COLLECT)
    gc.freeze()  # what was imported is not looked through again and again
    try:
        with interrupted_at_once():
            return asyncio.run(work)
    except KeyboardInterrupt:
        raise Interrupted("interrupted") from None
    finally:
        gc.unfreeze()
