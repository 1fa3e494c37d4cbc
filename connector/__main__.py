"""The `connector` command."""

import gc
import os
import signal
import sys
from collections.abc import Sequence

INTERRUPTED = 130
CONTAINERS = 1_000_000
"""How many new objects make the collector look for cycles before there is work: a start makes a
tenth of that, all of which stay, and to look through them takes a tenth of its time. Work that may
go on for long has a measure of its own (`COLLECT`)."""


def main() -> None:
    """Run the command line and leave with its exit code."""
    signal.signal(signal.SIGTERM, _interrupt)  # as Ctrl-C; commands that can end in order do so
    gc.set_threshold(CONTAINERS)
    if not {"-v", "--verbose"}.intersection(sys.argv):
        # what a driver trips over while it is tidied up, when nobody can do anything about it
        sys.unraisablehook = lambda _: None
    os.environ.setdefault(
        "PYDANTIC_DISABLE_PLUGINS", "__all__"
    )  # or it asks each installed package
    try:
        from connector.cli.main import run

        code = run(sys.argv[1:])
    except KeyboardInterrupt:  # before there was a command to tell it
        if "--json" in sys.argv:
            print('{"error": {"kind": "interrupted", "message": "interrupted"}}')
        code = INTERRUPTED
    interrupted = code == INTERRUPTED
    if interrupted and _serves(sys.argv[1:]):
        code = 0  # it ends when it is told to, and has begun nothing yet
    for number in (signal.SIGINT, signal.SIGTERM):
        # all is told, and a thread that does not end is not waited for any more
        signal.signal(number, lambda *_: os._exit(code))
    if interrupted and (leaving := sys.modules.get("connector.basis.leaving")):
        leaving.Leaving.code = code
        leaving.leave_soon(leaving.leave)
    sys.exit(code)


def _serves(arguments: Sequence[str]) -> bool:
    """Whether the command is `serve`: asked also before anything is imported that would know."""
    before = zip(["", *arguments], arguments, strict=False)
    valued = ("--config", "--log-format")
    words = (word for option, word in before if option not in valued and not word.startswith("-"))
    return next(words, None) == "serve"


def _interrupt(_number: int, _frame: object) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    main()
