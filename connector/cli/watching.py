"""`watch`: the runs of all processes on the ledger, live."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import typer

from connector.cli.asking import span_of
from connector.cli.options import Json, Names
from connector.cli.working import reporting


def watch(
    names: Names = None,
    every: Annotated[
        str, typer.Option(metavar="SPAN", help="How often the ledger is looked at.")
    ] = "1s",
    times: Annotated[
        int | None, typer.Option(min=1, help="Leave after so many looks; else by q or Ctrl-C.")
    ] = None,
    json: Json = False,
) -> None:
    """Watch runs while they go on, of all processes on the ledger."""
    import signal

    from connector.project.watching import Watching

    def leave(number: int, frame: Any) -> None:
        raise KeyboardInterrupt

    seconds = span_of(every, "--every").total_seconds()
    watching = Watching(reporting(), names or ())
    watching.project.activations(watching.names)  # what is misspelt is told at once
    before = signal.signal(signal.SIGTERM, leave)
    rounds = iter(range(times)) if times else iter(int, 1)
    try:
        if json or not sys.stdout.isatty():
            _tell(watching.look, rounds, seconds, json)
        else:
            _show(watching.look, rounds, seconds)
    except KeyboardInterrupt:
        pass  # that is how it is left
    finally:
        signal.signal(signal.SIGTERM, before)


Look = Callable[[], dict[str, Any]]


def _tell(look: Look, rounds: Iterator[int], seconds: float, as_documents: bool) -> None:
    import time
    from json import dumps

    from connector.show.watching import show_lines

    for number, _ in enumerate(rounds):
        if number:
            time.sleep(seconds)
        if as_documents:
            print(dumps(look(), separators=(",", ":")), flush=True)
        else:
            show_lines(look())


def _show(look: Look, rounds: Iterator[int], seconds: float) -> None:
    from connector.show.watching import View

    with _keys() as pressed, View() as view:
        for _ in rounds:
            view.show(look())
            if pressed(seconds):
                return


@contextmanager
def _keys() -> Iterator[Callable[[float], bool]]:
    """Waits for so many seconds, and says whether somebody wants to leave. Keys are heard one by
    one meanwhile, where the system knows how."""
    import os
    import time
    from select import select

    def wait(seconds: float) -> bool:
        time.sleep(seconds)
        return False

    try:
        import termios
        import tty
    except ImportError:  # another system
        yield wait
        return
    if sys.stdin is None or not sys.stdin.isatty():
        yield wait
        return
    place = sys.stdin.fileno()
    before = termios.tcgetattr(place)

    def listen(seconds: float) -> bool:
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            if select([place], [], [], left)[0]:
                keys = os.read(place, 64)
                if not keys or set(keys) & set(b"qQ\x03"):
                    return True
        return False

    try:
        tty.setcbreak(place)
        yield listen
    finally:
        termios.tcsetattr(place, termios.TCSADRAIN, before)
