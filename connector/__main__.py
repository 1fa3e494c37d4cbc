"""The `connector` command."""

import signal
import sys


def main() -> None:
    """Run the command line and leave with its exit code."""
    signal.signal(signal.SIGTERM, _interrupt)  # as Ctrl-C; commands that can end in order do so
    try:
        from connector.cli import run

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
