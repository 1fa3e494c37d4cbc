"""The `connector` command."""

import gc
import signal
import sys

CONTAINERS = 20_000
"""How many new objects make the collector look for cycles while the command is imported. Python's
own 700 are reached 300 times until then, which takes a tenth of its start."""


def main() -> None:
    """Run the command line and leave with its exit code."""
    signal.signal(signal.SIGTERM, _interrupt)  # as Ctrl-C; commands that can end in order do so
    gc.set_threshold(CONTAINERS)
    try:
        from connector.cli.main import run

        code = run(sys.argv[1:])
    except KeyboardInterrupt:  # before there was a command to tell it
        if "--json" in sys.argv:
            print('{"error": {"kind": "interrupted", "message": "interrupted"}}')
        code = 130
    sys.exit(code)


def _interrupt(_number: int, _frame: object) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    main()
