"""Every point at which a run touches the world, numbered; and the end, or a pause, at one of them.

SQL to ledger and warehouse: before and after each statement and each COMMIT. HTTP: before a
connection is made, before a request is written, when it is written, and when its answer is read.
The instruments are put on in a forked process, and die with it.
"""

import asyncio
import os
import re
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Lock, local
from typing import Any, cast
from urllib.parse import urlsplit

from sqlalchemy import Engine, event
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite

from connector.destinations.answers import Request, Response
from connector.destinations.connections import Connection, Connections
from connector.warehouse import Reader
from connector.warehouse.duck import DuckDB

DIALECTS = (PGDialect_psycopg, SQLiteDialect_pysqlite, DuckDB)
WRITES = ("ledger: insert", "ledger: update", "ledger: create")
TABLES = re.compile(
    r"\b(watermarks|deliveries|attempts|decisions|runs|leases|requests|visits|changes|turns|approvals"
    r"|pruned|pruned_keys|pruned_interactions)\b"
)
AN_ID = re.compile(r"\d+|[0-9a-f]{8}-[0-9a-f-]{27}")
"""What is another one in each run."""


Point = tuple[str, int]
"""What a process does, and that it does so for the n-th time. A number alone would be another point
in each run, since threads do not take turns in the same way twice."""


def points_in(log: Path) -> list[Point]:
    """The points that were written down."""
    times: Counter[str] = Counter()
    found = []
    for label in log.read_text().splitlines():
        times[label] += 1
        found.append((label, times[label]))
    return found


class Points:
    """Writes down each point that is reached in the file `log`; and in the file beside it where it
    happened.

    At the point `fatal` the process is killed; at the point `frozen`, or the first after it at
    which no POST is half-written, it stops until somebody lets it go on.
    """

    def __init__(self, log: Path, fatal: Point | None = None, frozen: Point | None = None) -> None:
        self._log = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        self._place = log.with_suffix(".place")
        self._times: Counter[str] = Counter()
        self._one_by_one, self._thread = Lock(), local()
        self._fatal, self._frozen = fatal, frozen
        self._stops_soon = False
        self._on_the_way_out = 0

    def reached(self, label: str) -> None:
        """The process is at `label`."""
        with self._one_by_one:
            self._times[label] += 1
            point = (label, self._times[label])
            os.write(self._log, f"{label}\n".encode())
            self._stops_soon |= point == self._frozen
            if point == self._fatal:
                self._happens(label, signal.SIGKILL)
            elif self._stops_soon and not self._on_the_way_out:
                self._stops_soon = False
                self._happens(label, signal.SIGSTOP)

    def _happens(self, label: str, number: signal.Signals) -> None:
        self._place.write_text(label)
        os.kill(os.getpid(), number)

    def watch(self) -> None:
        """Put on every instrument."""
        self._watch_sql()
        self._watch_rows()
        self._watch_http()

    def _watch_sql(self) -> None:
        @event.listens_for(Engine, "before_cursor_execute")
        def before(connection: Any, cursor: Any, statement: str, *_: Any) -> None:
            what = _what(connection.dialect, statement)
            if what.startswith(WRITES):
                self._thread.wrote = f" of {what.partition(': ')[2]}"
            self.reached(f"before {what}")

        @event.listens_for(Engine, "after_cursor_execute")
        def after(connection: Any, cursor: Any, statement: str, *_: Any) -> None:
            self.reached(f"after {_what(connection.dialect, statement)}")

        for dialect in DIALECTS:
            self._watch_commits(dialect)

    def _watch_commits(self, dialect: type) -> None:
        original: Callable[..., None] = dialect.do_commit  # type: ignore[attr-defined]

        def do_commit(*arguments: Any) -> None:
            # what was written last, in this thread: a transaction belongs to one
            label = f"{_name(dialect)}: COMMIT{getattr(self._thread, 'wrote', '')}"
            self._thread.wrote = ""
            self.reached(f"before {label}")
            original(*arguments)
            self.reached(f"after {label}")

        dialect.do_commit = do_commit  # type: ignore[attr-defined]

    def _watch_rows(self) -> None:
        original = Reader.rows

        def rows(*arguments: Any) -> Iterator[Any]:
            for batch in original(*arguments):
                self.reached("after warehouse: a batch")
                yield batch

        Reader.rows = rows  # type: ignore[method-assign, assignment]

    def _watch_http(self) -> None:
        connected, ask = Connections._connected, Connection.ask

        async def connecting(connections: Connections, until: float) -> Connection:
            self.reached("before HTTP: connecting")
            return await connected(connections, until)

        async def asking(
            connection: Connection, head: bytes, request: Request, *more: Any
        ) -> Response:
            end = urlsplit(request.path).path.rpartition("/")[2]
            sending = _Sending(
                self, f"{request.method} {'one' if AN_ID.fullmatch(end) else end}", connection
            )
            try:
                response = await ask(connection, head, request, *more)
            finally:
                sending.over()
            self.reached(f"after {sending.route}: answer read")
            return response

        Connections._connected = connecting  # type: ignore[method-assign, assignment]
        Connection.ask = asking  # type: ignore[method-assign, assignment]

    def half_written(self, change: int) -> None:
        """So many more requests are neither unsent nor wholly written: nothing can stop those, and
        a pause there is what the wait of the settling must be longer than."""
        self._on_the_way_out += change


class _Sending:
    """One request on its way: the transport of its connection, as long as it is written by us."""

    def __init__(self, points: Points, route: str, connection: Connection) -> None:
        self.route = route
        self._points, self._connection = points, connection
        self._transport: Any = connection.transport
        self._is_out = route.startswith("GET")
        if not self._is_out:
            points.half_written(1)
        connection.transport = cast("asyncio.Transport", self)
        points.reached(f"before {route}")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        self._transport.write(data)
        self.over()
        self._points.reached(f"in {self.route}: written")

    def over(self) -> None:
        self._connection.transport = self._transport
        if not self._is_out:
            self._is_out = True
            self._points.half_written(-1)


def _name(dialect: Any) -> str:
    return "warehouse" if dialect.name == "duckdb" else "ledger"


def _what(dialect: Any, statement: str) -> str:
    """A statement in a few words: its verb, and its table if that is one of ours."""
    table = TABLES.search(statement.lower())
    words = re.sub(r"\W+", " ", statement).lower().split()
    return f"{_name(dialect)}: {words[0]} {table[1] if table else ' '.join(words[1:2])}".rstrip()
