"""What a driver makes of a column's values, put right where that is wrong or an error.

The type of a column decides, and never that of a value: a driver that cannot hold a date may raise
for the whole batch, hand out a text, or a date that stands for another.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from functools import cache, partial
from math import isfinite
from typing import Any

from connector.rules.values import Unreadable, exact_time, shown_or_single, shown_whole, single

Read = Callable[[Any], Any]

DUCKDB_BOUNDED = {
    "DATE": "date",
    "TIMESTAMP": "timestamp",
    "TIMESTAMP WITH TIME ZONE": "timestamptz",
    "TIMESTAMP_S": "timestamp",
    "TIMESTAMP_MS": "timestamp",
}
"""DuckDB's times that may be infinite, and go further than Python's calendar."""
DUCKDB_TIMES = {**DUCKDB_BOUNDED, "TIME": "time", "TIME WITH TIME ZONE": "timetz"}
NANOSECONDS = {
    "TIMESTAMP_NS": "timestamp_ns",
    "TIMESTAMPTZ_NS": "timestamptz_ns",
    "TIME_NS": "time_ns",
}
"""Times that Python would cut."""
SINGLES = {("duckdb", "FLOAT"), ("databricks", "float"), ("redshift", "700")}
"""Floats of 32 bits that a driver widens to 64; PostgreSQL's driver reads the server's text."""
CUT = {("mysql", "4"), ("mariadb", "4")}
"""Floats of 32 bits that the server shows in six digits."""
MYSQL_TIMES = {"7": "timestamp", "10": "date", "12": "datetime"}
"""By the codes of its protocol."""
AT_INFINITY = "290000-01-01"
"""A date that DuckDB has and Python does not. DuckDB's driver shows infinity as the last date of
Python's calendar, which a row may well hold."""
FIRST_DAY = "0001-01-01"
"""The first day of Python's calendar."""
EARLIER = ("duckdb", "postgresql", "redshift", "mysql", "mariadb")
"""Warehouses that have times before it."""


def is_exact(dialect: str, kind: str) -> bool:
    """Whether a column of this type has more to it than the driver's value: see `exact`."""
    return kind in NANOSECONDS or (dialect, kind) in SINGLES | CUT


def selected(dialect: str, kind: str, column: str) -> tuple[str, Read | None]:
    """What is selected for a quoted `column`, so that its values can be told apart; and how they
    are read."""
    sql = column
    if dialect == "duckdb" and kind in DUCKDB_BOUNDED:
        sql = f"case when isinf({column}) then cast('{AT_INFINITY}' as {kind}) else {column} end"
    return sql, reading(dialect, kind)


def exact(dialect: str, kind: str, column: str) -> tuple[str, Read]:
    """The same, to have all of its digits."""
    if kind in NANOSECONDS:
        return as_text(column), partial(exact_time, kind=NANOSECONDS[kind])
    if (dialect, kind) in CUT:
        return f"concat({column}, ' ', {column} + 0e0)", shown_or_single
    return column, single


def is_cut(dialect: str, kind: str) -> bool:
    """Whether the driver's values of such a column may be one where the warehouse has two: as a row
    key it is read `as_key`."""
    return kind in NANOSECONDS or (dialect, kind) in CUT


def as_key(dialect: str, kind: str, column: str) -> tuple[str, Read | None]:
    """What is selected so that no two keys become one, and how it is read."""
    if kind in NANOSECONDS:
        return as_text(column), None
    return exact(dialect, kind, column)[0], shown_whole


def as_text(column: str) -> str:
    return f"cast({column} as varchar)"


def within_calendar(dialect: str, column: str) -> str | None:
    """The condition that a time is not after the last one of Python's calendar."""
    if dialect == "duckdb":  # not every type of its times can be compared with one of that year
        return f"not regexp_matches(cast({column} as varchar), '^[0-9]{{5}}|inf')"
    return f"{column} < '10000-01-01'" if dialect in ("postgresql", "redshift") else None


def before_calendar(dialect: str, kind: str, column: str) -> str:
    """What lets a condition hold, too, for times that stand before all that Python has: -infinity,
    MySQL's 0000-00-00."""
    if kind in NANOSECONDS:  # they reach back to 1677 alone
        return f" or {column} = '-infinity'"
    return f" or {column} < '{FIRST_DAY}'" if dialect in EARLIER else ""


def reading(dialect: str, kind: str) -> Read | None:
    """How the values of a column of this type are read; None: as they are."""
    if dialect == "duckdb" and kind in DUCKDB_TIMES:
        return partial(_time_or_text, DUCKDB_TIMES[kind])
    if dialect in ("mysql", "mariadb") and kind in MYSQL_TIMES:
        read = _instant if MYSQL_TIMES[kind] == "timestamp" else None
        return partial(_time_or_text, MYSQL_TIMES[kind], read=read)
    return None


def converted(batch: Sequence[Sequence[Any]], reads: Mapping[int, Read]) -> Sequence[Sequence[Any]]:
    """`batch` with the columns of `reads` read so; rows in which nothing changes stay."""
    if not reads:
        return batch
    changed: dict[int, list[Any]] = {}
    for column, read in reads.items():
        for number, row in enumerate(batch):
            value = row[column]
            if value is not None and (found := read(value)) is not value:
                changed.setdefault(number, list(row))[column] = found
    if not changed:
        return batch
    return [tuple(changed[n]) if n in changed else row for n, row in enumerate(batch)]


def _time_or_text(kind: str, value: Any, read: Read | None = None) -> Any:
    """A driver that cannot hold a time gives its text."""
    if type(value) is not str:
        return read(value) if read else value
    return _unreadable(kind, infinite=value.startswith(AT_INFINITY))


def _instant(value: Any) -> Any:
    """MySQL's TIMESTAMP is an instant, shown in the zone of the session, which is UTC here."""
    return value.replace(tzinfo=UTC) if isinstance(value, datetime) else value


JSON = ("json", "jsonb")
GUARDED = (
    "date",
    "timestamp",
    "timestamptz",
    "time",
    "timetz",
    "interval",
    "inet",
    *JSON,
)
"""PostgreSQL's types of which some values raise in Python: JSON of numbers with thousands of
digits, and of thousands of levels, among them."""


def prepare_postgresql(connection: Any) -> None:
    """Let psycopg read a time that it cannot hold as Unreadable. It would raise, and with it go all
    rows that are fetched together, and the transaction.

    `connection` is the driver's own: psycopg's, or psycopg2's; any other's stays as it is.
    """
    if type(connection).__module__.partition(".")[0] == "psycopg2":
        _prepare_psycopg2(connection)
    adapters = getattr(connection, "adapters", None)
    if adapters is None:
        return
    from psycopg.pq import Format

    for kind in GUARDED:
        oid = adapters.types[kind].oid
        for format_ in (Format.TEXT, Format.BINARY):
            if inner := adapters.get_loader(oid, format_):
                adapters.register_loader(oid, _guarded(kind, inner))


@cache  # psycopg keeps every class for ever, and each run makes a connection
def _guarded(kind: str, inner: type[Any]) -> type[Any]:
    """Reads a `kind` as `inner` does, and what that cannot hold as Unreadable."""
    from psycopg import DataError, NotSupportedError
    from psycopg.adapt import Loader

    class Guarded(Loader):
        format = inner.format

        def __init__(self, oid: int, context: Any = None) -> None:
            super().__init__(oid, context)
            self._inner = inner(oid, context)

        def load(self, data: Any) -> Any:
            try:
                value = self._inner.load(data)
                return _all_digits(value, data) if kind in JSON else value
            except (DataError, NotSupportedError, OverflowError, ValueError, RecursionError):
                return _unreadable(kind, b"infinity" in bytes(data))

    return Guarded


def _prepare_psycopg2(connection: Any) -> None:
    """The same. It would also show infinity as the last day of the calendar, and 24:00 as 0:00."""
    from psycopg2 import Error, extensions

    inner = {
        "date": ((1082,), extensions.PYDATE),
        "timestamp": ((1114,), extensions.PYDATETIME),
        "timestamptz": ((1184,), extensions.PYDATETIMETZ),
        "time": ((1083,), extensions.PYTIME),
        "timetz": ((1266,), extensions.PYTIME),
        "interval": ((1186,), extensions.PYINTERVAL),
        "json": ((114,), lambda text, _: _all_digits(json.loads(text), text)),
        "jsonb": ((3802,), lambda text, _: _all_digits(json.loads(text), text)),
    }

    def guarded(kind: str, read: Callable[[str, Any], Any]) -> Callable[[str | None, Any], Any]:
        def load(text: str | None, cursor: Any) -> Any:
            if text is None:
                return None
            infinite = kind not in JSON and "infinity" in text
            if infinite or (kind in ("time", "timetz") and text.startswith("24:")):
                return _unreadable(kind, infinite)
            try:
                return read(text, cursor)
            except (Error, OverflowError, ValueError, RecursionError):
                return _unreadable(kind, infinite=False)

        return load

    for kind, (oids, read) in inner.items():
        extensions.register_type(
            extensions.new_type(oids, kind.upper(), guarded(kind, read)), connection
        )


def _all_digits(value: Any, written: Any) -> Any:
    """A `value` of JSON that is a number with a fraction, with all the digits that it is `written`
    with: Python reads no more than a double has."""
    if type(value) is not float:
        return value
    text = written if isinstance(written, str) else bytes(written).decode()
    number = Decimal(text.strip("\x01 \t\r\n"))  # in binary form jsonb begins with its version
    if not isfinite(value) or (not value and number):
        raise OverflowError
    return number


def _unreadable(kind: str, infinite: bool) -> Unreadable:
    """A value that Python does not have."""
    if infinite:
        return Unreadable(f"an infinite {kind}")
    if kind in ("time", "timetz"):
        return Unreadable(f"a {kind} of 24:00, which no day has")
    if kind in ("date", "datetime", "timestamp", "timestamptz"):
        return Unreadable(f"a {kind} outside of the years 1 to 9999")
    return Unreadable(f"an {kind} that cannot be read" if kind[0] == "i" else f"a {kind} too large")


def prepare_sqlite(connection: Any) -> None:
    """Let bytes that are no UTF-8 be texts of half surrogate pairs, which make the row invalid; the
    driver would raise for them, without a word about the row."""
    connection.text_factory = partial(str, encoding="utf-8", errors="surrogateescape")
