"""The log: structlog writes it, and is imported with the first line that somebody is to read.

Most commands write none, and structlog brings rich and attrs along: a twentieth of a start.
"""

import logging
import sys
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

BOUND: ContextVar[Mapping[str, Any]] = ContextVar("connector_log", default={})  # noqa: B039 -- never changed
"""What each line of this context tells besides."""


class Log:
    """The log of a module. Lines below the level of the standard library's logger of that name are
    not written, unless the program has structlog, which then decides."""

    first: Callable[[], None] | None = None
    """What sets structlog up, until it is set up."""

    def __init__(self, name: str) -> None:
        self._name = name

    def info(self, event: str, **facts: Any) -> None:
        self._write(logging.INFO, "info", event, facts)

    def warning(self, event: str, **facts: Any) -> None:
        self._write(logging.WARNING, "warning", event, facts)

    def error(self, event: str, **facts: Any) -> None:
        self._write(logging.ERROR, "error", event, facts)

    def _write(self, level: int, method: str, event: str, facts: Mapping[str, Any]) -> None:
        wanted = logging.getLogger(self._name).isEnabledFor(level)
        if not wanted and "structlog" not in sys.modules:
            return
        import structlog

        set_up()
        getattr(structlog.get_logger(self._name), method)(event, **{**BOUND.get(), **facts})


class _FirstOfALibrary(logging.Handler):
    """Stands where the handler of all lines of libraries will be."""

    def emit(self, record: logging.LogRecord) -> None:
        logging.getLogger().removeHandler(self)
        set_up()
        logging.getLogger().handle(record)


def set_up_at_first_line(how: Callable[[], None]) -> None:
    """Let structlog be set up when it is first needed: by a line of ours, or of a library."""
    Log.first = how
    logging.basicConfig(handlers=[_FirstOfALibrary()], force=True)


def set_up() -> None:
    """Set structlog up, if that is still to be done."""
    if how := Log.first:
        Log.first = None
        how()


@contextmanager
def bound(**facts: Any) -> Iterator[None]:
    """What is written within tells these `facts`, too."""
    token = BOUND.set({**BOUND.get(), **facts})
    try:
        yield
    finally:
        BOUND.reset(token)


def with_bound(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> Any:
    """A step on the way of each line of structlog's: what is bound, for lines of libraries too."""
    return {**BOUND.get(), **event}
