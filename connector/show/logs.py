"""What a command logs, on standard error: structured lines, of libraries as of our own."""

import logging
import sys
from collections.abc import Callable, MutableMapping
from typing import Any

import structlog

from connector.show.terminal import plain

NOISY = ("httpx", "httpcore", "alembic", "asyncio", "uvicorn", "apscheduler", "apprise")


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
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        *([] if log_format == "json" else [_not_steering]),
    ]
    libraries = logging.StreamHandler(sys.stderr)  # what they have to say looks like our own lines
    libraries.setFormatter(
        structlog.stdlib.ProcessorFormatter(processor=render, foreign_pre_chain=common)
    )
    logging.basicConfig(level=level, handlers=[libraries], force=True)
    for noisy in NOISY:
        logging.getLogger(noisy).setLevel(logging.WARNING)
    chosen = [_of_runs if serving else _of_no_run] if quiet else []
    structlog.configure(
        processors=[*chosen, *common, render],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )


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
