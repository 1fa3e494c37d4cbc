"""What a command logs, on standard error: structured lines, of libraries as of our own."""

import logging
import sys
import threading
from collections import deque
from collections.abc import Callable, MutableMapping
from contextlib import suppress
from typing import Any, TextIO, cast

import structlog

from connector.basis import dataclass
from connector.basis.log import with_bound
from connector.show.terminal import plain

MOST_LINES, MOST_RUNS = 300, 60
"""Lines that are kept of a run, and runs of which some are."""
NOISY = ("httpx", "httpcore", "alembic", "asyncio", "uvicorn", "apscheduler", "apprise")


@dataclass(frozen=True, slots=True)
class Line:
    """A line of the log: when, how grave, what, and what is told of it."""

    at: str
    level: str
    event: str
    told: str


class Recent:
    """The newest lines of the newest runs of this process, for its pages."""

    def __init__(self) -> None:
        self._lines: dict[str, deque[Line]] = {}
        self._alone = threading.Lock()

    def keep(self, _logger: Any, _method: str, event: MutableMapping[str, Any]) -> Any:
        """A step on the way of each line: what a run has said is kept, and goes on."""
        if run_id := event.get("run_id"):
            told = {name: text for name, text in event.items() if name not in FRAME}
            line = Line(
                str(event.get("timestamp", "")),
                str(event.get("level", "")),
                str(event.get("event", "")),
                ", ".join(f"{name} {text}" for name, text in told.items()),
            )
            with self._alone:
                while run_id not in self._lines and len(self._lines) >= MOST_RUNS:
                    del self._lines[next(iter(self._lines))]
                self._lines.setdefault(str(run_id), deque(maxlen=MOST_LINES)).append(line)
        return event

    def of(self, run_id: str) -> list[Line]:
        """The newest lines of a run, oldest first; none of a run of another process."""
        with self._alone:
            return list(self._lines.get(run_id, ()))


class Lossy:
    """A stream that loses what cannot be written: a log on a full disk, or that nobody reads any
    more, keeps no row from being sent."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> None:
        with suppress(OSError):
            self._stream.write(text)

    def flush(self) -> None:
        with suppress(OSError):
            self._stream.flush()


FRAME = ("timestamp", "level", "event", "run_id", "activation", "exception")
RECENT = Recent()


def log_to_stderr(quiet: bool, log_format: str | None, serving: bool = False) -> None:
    """Structured log lines on standard error. If it is to be `quiet`, errors only, and of a service
    what nobody else tells: what becomes of its runs. Other commands tell that as their result."""
    level = logging.INFO if not quiet or serving else logging.ERROR
    render: Callable[..., Any] = (
        structlog.processors.JSONRenderer()
        if log_format == "json"
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    common: list[Any] = [
        with_bound,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        *([] if log_format == "json" else [_not_steering]),
    ]
    libraries = logging.StreamHandler(sys.stderr)  # what they have to say looks like our own lines
    libraries.setLevel(level)  # some set one of their own
    logging.raiseExceptions = False  # a line that a library writes wrongly is lost, and no more
    in_a_line = [_without_places] if quiet else []
    libraries.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            processor=render, foreign_pre_chain=[*in_a_line, *common]
        )
    )
    logging.basicConfig(level=level, handlers=[libraries], force=True)
    for noisy in NOISY:
        logging.getLogger(noisy).setLevel(logging.WARNING)
    kept = [*common[:3], RECENT.keep] if serving else []  # also what is not written to the log
    chosen = [_of_runs if serving else _of_no_run] if quiet else []
    structlog.configure(
        processors=[*kept, *chosen, *common, render],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(cast(TextIO, Lossy(sys.stderr))),
        cache_logger_on_first_use=False,
    )


def _without_places(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> Any:
    """What a library's line is about, and not where in its code: that is for `--verbose`."""
    event.pop("exc_info", None)
    return event


def _not_steering(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> Any:
    """A row key may hold what would steer the terminal that shows the log."""
    return {
        name: "\n".join(map(plain, v.split("\n") if name == "exception" else [v]))
        if isinstance(v, str)
        else v
        for name, v in event.items()
    }


def _of_runs(_logger: Any, method: str, event: MutableMapping[str, Any]) -> Any:
    """Errors, and what a service tells of itself and of its runs."""
    if method != "error" and not str(event["event"]).startswith(("serve.", "run.finished")):
        raise structlog.DropEvent
    return event


def _of_no_run(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> Any:
    if event["event"] == "run.finished":
        raise structlog.DropEvent
    return event
