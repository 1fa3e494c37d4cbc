"""Read models in order, in batches, and with flat memory.

The user's SELECT stands untouched inside ours, so the database sees one statement and one
snapshot: what commits after a run has begun to read belongs to the next run. Order and comparison
are the database's; nothing is sorted or compared here.
"""

import re
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from tempfile import gettempdir
from typing import Any, TypeVar
from urllib.parse import quote

from sqlalchemy import URL, Connection, Engine, Select, create_engine, select, text
from sqlalchemy.exc import (
    ArgumentError,
    DataError,
    DBAPIError,
    NoSuchModuleError,
    OperationalError,
    SQLAlchemyError,
)
from sqlalchemy.pool import NullPool

from connector.rules.activation import Activation, Model
from connector.rules.errors import ConfigurationError, Problem, WarehouseUnavailable, did_you_mean
from connector.rules.errors import Path as KeyPath
from connector.rules.mapping import EXACT_SUFFIX
from connector.rules.values import Unreadable
from connector.warehouse.conversion import (
    FIRST_DAY,
    NANOSECONDS,
    Read,
    converted,
    exact_expression,
    exact_reading,
    expression,
    is_exact,
    prepare_postgresql,
    prepare_sqlite,
    reading,
    within_calendar,
)
from connector.warehouse.models import query_of, quoted, select_of

EXTRAS = {
    "postgresql": "postgres",
    "snowflake": "snowflake",
    "bigquery": "bigquery",
    "redshift": "redshift",
    "databricks": "databricks",
}
"""By the dialect, the extra of ours that brings its driver."""
MEMORY = ("64MB", "128MB", "256MB", "1GB")
"""What DuckDB gets; without a bound it takes most of the RAM. A sort that does not fit is done
range by range, and what still does not fit (wide rows, large joins) is asked again with the next.
A URL that names a memory_limit has the last word: duckdb:///shop.duckdb?memory_limit=4GB."""
RANGE = 100_000
"""Rows of a range, if no more of them have the same cursor."""
THREADS = 1
"""Each would need memory of its own."""
TEXT_SUFFIX = "::text"
"""What Python would cut is read as text where it is a row key, so that no two become one."""
POSTGRESQL_SESSION = (
    "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY",
    "SET TIME ZONE 'UTC'",
    # a role or a database may have others, by which values are shown cut, or cannot be read
    "SET DateStyle = 'ISO'",
    "SET IntervalStyle = 'postgres'",
    "SET extra_float_digits = 3",
    "SET client_encoding = 'UTF8'",
)
LOWER, UPPER = "connector_lower_bound", "connector_upper_bound"
"""SQLAlchemy takes `%(name)s` for a bind where a bind has that name, in the user's texts too; so
these are names that no text has."""
NESTED = re.compile(r"\[\d*\]$|^(STRUCT|MAP|UNION|LIST|ARRAY)\b")


T = TypeVar("T")
OF_OTHERS = (SQLAlchemyError, UnicodeError, OSError)
"""What may come up where a warehouse is read, and is no mistake of ours: of the driver, of the pool
and the results of SQLAlchemy, of bytes that are no text, of files and sockets."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a model; `type` is the warehouse's own word for it, or "" where it gives none."""

    name: str
    type: str
    code: str = ""
    """The driver's own word or number for it."""

    @property
    def nested(self) -> bool:
        """Whether its values are lists or structures, which an interaction cannot hold."""
        return bool(NESTED.search(self.type))


@dataclass(frozen=True, slots=True)
class Scan:
    """What one reading of a model returns: the columns of each row, in this order, and which of
    them hold the row key. `codes`: the driver's word for the type of each column of the model."""

    columns: tuple[str, ...]
    key: tuple[str, ...]
    cursor: str | None
    codes: Mapping[str, str] = field(default_factory=dict)


class Warehouse:
    """A warehouse behind a SQLAlchemy URL. `open` gives a reader; nothing stays open between."""

    def __init__(
        self,
        url: URL,
        base: Path,
        manifest: Path | None = None,
        lock_timeout: timedelta = timedelta(seconds=60),
    ) -> None:
        self.url = url
        self._base = base
        self._manifest = manifest or base / "target/manifest.json"
        self._lock_timeout = lock_timeout

    @contextmanager
    def open(self) -> Iterator["Reader"]:
        """A reader on one read-only connection, closed at the end so that others can write.

        Raises WarehouseUnavailable when it cannot be reached, or a writer holds the file for
        longer than the lock time-out; ConfigurationError when no driver fits the URL.
        """
        engine = self._engine()
        try:
            with self._connect(engine) as connection:
                roomier = () if "memory_limit" in self.url.query else MEMORY[1:]
                yield Reader(connection, self._base, self._manifest, roomier)
        finally:
            engine.dispose()

    def _engine(self) -> Engine:
        try:
            url, connect_args = _read_only(self.url)
            return create_engine(url, poolclass=NullPool, connect_args=connect_args)
        except (NoSuchModuleError, ModuleNotFoundError) as error:
            raise ConfigurationError(Problem(("warehouse", "url"), _no_driver(self.url))) from error
        except ArgumentError as error:
            raise ConfigurationError(Problem(("warehouse", "url"), str(error))) from None

    def _connect(self, engine: Engine) -> Connection:
        deadline = time.monotonic() + self._lock_timeout.total_seconds()
        pause = 0.05
        while True:
            try:
                connection = engine.connect()
                _prepare(connection)
                return connection
            except DBAPIError as error:
                holder = _lock_holder(str(error.orig))
                if holder is None or time.monotonic() + pause > deadline:
                    raise WarehouseUnavailable(self._why_not(error, holder)) from None
            except OF_OTHERS as error:
                raise WarehouseUnavailable(self._why_not(error, None)) from None
            time.sleep(pause)
            pause = min(pause * 2, 2)

    def _why_not(self, error: Exception, holder: str | None) -> str:
        # options may hold secrets too, such as a token
        where = self.url.set(query={}).render_as_string(hide_password=True)
        if holder:
            return (
                f"the warehouse {where} is held by {holder}; waited"
                f" {self._lock_timeout.total_seconds():g} s for it to be released"
            )
        return f"cannot open the warehouse {where}: {_first_line(error)}"


class _TooMuchToSort(Exception):
    """DuckDB has not enough memory to sort all rows at once."""


class Reader:
    """Reads models through one connection."""

    def __init__(
        self, connection: Connection, base: Path, manifest: Path, roomier: Sequence[str] = ()
    ) -> None:
        """`roomier`: the memory limits that DuckDB may have where the present one is too small."""
        self._connection = connection
        self._roomier = list(roomier)
        self._base, self._manifest = base, manifest
        self._busy = False

    @property
    def is_duckdb(self) -> bool:
        """Whether the names of types are those of DuckDB."""
        return self._connection.dialect.name == "duckdb"

    def sql(self, activation: Activation) -> str:
        """The SELECT of the model, as it stands. Raises ConfigurationError."""
        return select_of(activation, self._connection.dialect, self._base, self._manifest)

    def columns(self, activation: Activation) -> list[Column]:
        """The columns of the model. Raises ConfigurationError when the model does not run."""
        path = ("activations", activation.name, "model")
        return self.columns_of(activation.model, path, f'activation "{activation.name}": the model')

    def columns_of(self, model: Model, path: KeyPath, name: str) -> list[Column]:
        """The columns of a model, or of a lookup, that stands at `path` and is called `name`.

        Raises ConfigurationError when it does not run.
        """
        statement = f"select * from {self.derived(model, path, 'model')} where 1 = 0"
        try:
            with self._alone():
                return self._with_memory(lambda: self._columns(statement))
        except DBAPIError as error:
            self._recover()
            raise ConfigurationError(
                Problem(path, f"{name} does not run: {_first_line(error)}")
            ) from None
        except OF_OTHERS as error:
            raise WarehouseUnavailable(f"reading {name} failed: {_first_line(error)}") from None

    def _columns(self, statement: str) -> list[Column]:
        with self._connection.execute(text(statement)) as result:
            description = result.cursor.description if result.cursor else []
            return [Column(d[0], _type_name(d[1]), str(d[1])) for d in description]

    def resolve(self, activation: Activation) -> tuple[Activation, list[Column]]:
        """The activation with its columns spelt as the model spells them, and those columns.

        Raises ConfigurationError naming every column that the model does not have.
        """
        columns = self.columns(activation)
        spelling = spelling_of(activation.columns.values(), [c.name for c in columns])
        problems = [
            Problem(
                ("activations", activation.name, *path),
                f'activation "{activation.name}": the model has no column "{name}"'
                + did_you_mean(name, [c.name for c in columns]),
            )
            for path, name in activation.columns.items()
            if name not in spelling
        ]
        if problems:
            raise ConfigurationError(*problems)
        return activation.respelt(spelling), columns

    def highest(self, activation: Activation, column: str, before: Any = None) -> Any:
        """The largest value of `column` that can be read, of those below `before` if that is given;
        None where the model has none."""
        name = self._quote(column)
        where, binds = self._where(column, None, before)
        largest = f"select max({name}) from {self._model(activation)}{where}"
        found = self._one(largest, binds)
        last = isinstance(found, date) and found.year == date.max.year
        if last or isinstance(found, Unreadable):  # it may be infinite, or further away
            if within := within_calendar(self._dialect, name):
                found = self._one(f"{largest} and {within}", binds)
        elif isinstance(found, Decimal) and not found.is_finite():
            found = self._one(f"{largest} and {name} < 'Infinity'", binds)
        return None if isinstance(found, Unreadable) else found

    def any_value(self, activation: Activation, column: str) -> Any:
        """Some value of `column`, or None where the model has none."""
        rows = self._first(activation, self._quote(column), self._where(column, None), None, 1)
        return rows[0][0] if rows else None

    def newest_behind(
        self, activation: Activation, scan: Scan, lower: Any, upper: Any, number: int
    ) -> Sequence[Sequence[Any]]:
        """The `number` newest rows from `lower` on and below `upper`, the newest first."""
        assert scan.cursor is not None
        newest = f"{self._quote(scan.cursor)} desc"
        where = self._where(scan.cursor, lower, upper)
        rows = self._first(activation, self._select_list(scan), where, newest, number)
        place = scan.columns.index(scan.cursor)
        found = _marked(converted(rows, self._reads(scan)), scan)
        return [row for row in found if not isinstance(row[place], Unreadable)]

    def _first(
        self,
        activation: Activation,
        columns: str,
        where: tuple[str, dict[str, Any]],
        order: str | None,
        number: int,
    ) -> Sequence[Sequence[Any]]:
        condition, binds = where
        query = select(text(columns)).select_from(text(self._model(activation)))
        query = query.where(text(condition.removeprefix(" where "))).limit(number)
        query = query if order is None else query.order_by(text(order))
        with self._alone(), self._reading():
            return self._with_memory(lambda: self._connection.execute(query, binds).all())

    def count(self, activation: Activation, cursor: str | None, lower: Any) -> int:
        """How many rows a scan from `lower` would return."""
        where, binds = self._where(cursor, lower)
        return int(self._one(f"select count(*) from {self._model(activation)}{where}", binds))

    def sample(
        self, activation: Activation, columns: Sequence[str], number: int
    ) -> Sequence[Sequence[Any]]:
        """These `columns` of at most `number` rows, whichever the warehouse gives first."""
        names = ", ".join(self._quote(c) for c in columns)
        rows = self._rows(f"select {names} from {self._model(activation)}", {}, number)
        return next(rows, [])

    def repeated_keys(self, activation: Activation) -> tuple[int, Sequence[Any]]:
        """How many row keys stand more than once in the model, and one of them."""
        keys = ", ".join(self._quote(c) for c in activation.row_key)
        some = " and ".join(f"{self._quote(c)} is not null" for c in activation.row_key)
        grouped = (
            f"select {keys} from {self._model(activation)} where {some} group by {keys}"
            " having count(*) > 1"
        )
        number = int(self._one(f"select count(*) from ({grouped}) as repeated"))
        if not number:
            return 0, ()
        rows = self._rows(f"{grouped} order by {keys}", {}, 1)
        return number, tuple(next(rows)[0])

    def null_keys(self, activation: Activation) -> int:
        """How many rows have no row key, since a column of it is NULL."""
        null = " or ".join(f"{self._quote(c)} is null" for c in activation.row_key)
        return int(self._one(f"select count(*) from {self._model(activation)} where {null}"))

    def null_cursors(self, activation: Activation) -> int:
        """How many rows have no place in the order."""
        assert activation.cursor is not None
        null = f"{self._quote(activation.cursor.column)} is null"
        return int(self._one(f"select count(*) from {self._model(activation)} where {null}"))

    def scan(self, activation: Activation, columns: Sequence[Column]) -> Scan:
        """What `rows` returns for this activation: only columns that it names."""
        codes = {c.name: c.code for c in columns}
        names = list(dict.fromkeys(activation.columns.values()))
        key = tuple(
            c + TEXT_SUFFIX if codes.get(c) in NANOSECONDS else c for c in activation.row_key
        )
        exact = [c + EXACT_SUFFIX for c in names if is_exact(self._dialect, codes.get(c, ""))]
        extra = [c for c in key if c not in names]
        cursor = activation.cursor.column if activation.cursor else None
        return Scan((*names, *extra, *exact), key, cursor, codes)

    @property
    def has_types(self) -> bool:
        """Whether all values of a column are of one type: SQLite asks each value for its own."""
        return self._connection.dialect.name != "sqlite"

    def rows(
        self, activation: Activation, scan: Scan, lower: Any, size: int
    ) -> Generator[Sequence[Sequence[Any]], None, None]:
        """Batches of at most `size` rows in the order of (cursor, row key), from `lower` on.

        Rows whose cursor is NULL come last, from a statement of their own: they have no place in
        the order, and must not be passed over in silence.
        """
        reads = self._reads(scan)
        for batch in self._as_they_come(activation, scan, lower, size):
            yield _marked(converted(batch, reads), scan)

    def _as_they_come(
        self, activation: Activation, scan: Scan, lower: Any, size: int
    ) -> Iterator[Sequence[Sequence[Any]]]:
        if scan.cursor is None:
            yield from self._rows(self._select(activation, scan), {}, size)
            return
        where, binds = self._where(scan.cursor, lower)
        try:
            yield from self._rows(self._select(activation, scan, where), binds, size, sorts=True)
        except _TooMuchToSort:
            yield from self._ranges(activation, scan, lower, size)
        yield from self._rows(self._select(activation, scan, self._nowhere(scan, lower)), {}, size)

    def _nowhere(self, scan: Scan, lower: Any) -> str:
        """The condition of rows that no lower bound finds: the cursor is NULL, or a time before all
        that can be stored, such as -infinity."""
        assert scan.cursor is not None
        column = self._quote(scan.cursor)
        before = ""
        if isinstance(lower, date) and self._dialect in ("duckdb", "postgresql"):
            fine = scan.codes.get(scan.cursor) in NANOSECONDS  # they reach back to 1677 alone
            before = f" or {column} " + ("= '-infinity'" if fine else f"< '{FIRST_DAY}'")
        return f" where {column} is null{before}"

    def _reads(self, scan: Scan) -> dict[int, Read]:
        """By its place, how a column is read."""
        found: dict[int, Read] = {}
        for place, name in enumerate(scan.columns):
            if name.endswith(EXACT_SUFFIX):
                found[place] = exact_reading(scan.codes[name.removesuffix(EXACT_SUFFIX)])
            elif read := reading(self._dialect, scan.codes.get(name, "")):
                found[place] = read
        return found

    def _ranges(
        self, activation: Activation, scan: Scan, lower: Any, size: int
    ) -> Iterator[Sequence[Sequence[Any]]]:
        """The same rows, with a question for each range of the cursor."""
        assert scan.cursor is not None
        more = True
        while more:
            upper = self._end_of_range(activation, scan.cursor, lower)
            more = upper is not None
            where, binds = self._where(scan.cursor, lower, upper)
            yield from self._rows(self._select(activation, scan, where), binds, size)
            lower = upper

    def _end_of_range(self, activation: Activation, cursor: str, lower: Any) -> Any:
        """The cursor at which the range from `lower` ends; None when it has no end."""
        column, model = self._quote(cursor), self._model(activation)
        where, binds = self._where(cursor, lower)
        upper = self._one(
            f"select {column} from {model}{where} order by {column} limit 1 offset {RANGE}", binds
        )
        if isinstance(upper, Unreadable):
            return None
        if not (upper is None or lower is None or upper > lower):  # they all have the same
            upper = self._one(f"select min({column}) from {model} where {column} > :{LOWER}", binds)
        # where Python cuts what the warehouse compares, there may be no step from here
        return None if upper == lower else upper

    def _select(self, activation: Activation, scan: Scan, where: str = "") -> str:
        ordering = (*([scan.cursor] if scan.cursor else []), *activation.row_key)
        order = ", ".join(self._quote(c) for c in dict.fromkeys(ordering))
        columns, model = self._select_list(scan), self._model(activation)
        return f"select {columns} from {model}{where} order by {order}"

    def _select_list(self, scan: Scan) -> str:
        return ", ".join(self._selected(name, scan) for name in scan.columns)

    def _selected(self, name: str, scan: Scan) -> str:
        for suffix in (TEXT_SUFFIX, EXACT_SUFFIX):
            column = name.removesuffix(suffix)
            if column != name and name not in scan.codes:
                return exact_expression(scan.codes[column], self._quote(column))
        return expression(self._dialect, scan.codes.get(name, ""), self._quote(name))

    @property
    def _dialect(self) -> str:
        return str(self._connection.dialect.name)

    def derived(self, model: Model, path: KeyPath, name: str) -> str:
        """A model, or a lookup, as a derived table called `name`, for text()."""
        where = self._connection.dialect, self._base, self._manifest
        select = query_of(model, path, f"the {path[-1]}", *where)
        return f"(\n{_literally(select)}\n) as {name}"  # the newline ends a trailing comment

    def quoted(self, name: str) -> str:
        """`name` as an identifier of this warehouse, exactly."""
        return quoted(name, self._connection.dialect)

    def fetch(self, query: Select[*tuple[Any, ...]], name: str) -> Sequence[Sequence[Any]]:
        """The rows of `query`, all at once; `name` is what it reads."""
        with self._alone(), self._reading(name):
            return self._with_memory(lambda: self._connection.execute(query).all())

    def _model(self, activation: Activation) -> str:
        return self.derived(activation.model, ("activations", activation.name, "model"), "model")

    def _quote(self, name: str) -> str:
        return _literally(self.quoted(name))

    def _where(
        self, cursor: str | None, lower: Any, upper: Any = None
    ) -> tuple[str, dict[str, Any]]:
        """From `lower`, below `upper`: so ranges meet, however a bound is rounded on its way."""
        if cursor is None:
            return "", {}
        column = self._quote(cursor)
        bounds = {
            f"{column} >= :{LOWER}": (LOWER, lower), f"{column} < :{UPPER}": (UPPER, upper)
        }  # fmt: skip
        bounds = {sql: bound for sql, bound in bounds.items() if bound[1] is not None}
        return f" where {' and '.join(bounds) or f'{column} is not null'}", dict(bounds.values())

    def _one(self, statement: str, binds: dict[str, Any] | None = None) -> Any:
        with self._alone(), self._reading():
            return self._with_memory(lambda: self._scalar(statement, binds or {}))

    def _scalar(self, statement: str, binds: dict[str, Any]) -> Any:
        with self._connection.execute(text(statement), binds) as result:
            code = str(result.cursor.description[0][1]) if result.cursor else ""
            read, value = reading(self._dialect, code), result.scalar()
            return read(value) if read and value is not None else value

    def _rows(
        self, statement: str, binds: dict[str, Any], size: int, sorts: bool = False
    ) -> Iterator[Sequence[Sequence[Any]]]:
        """Raises _TooMuchToSort, if it `sorts`, where DuckDB could do with the memory for less."""
        with self._alone(), self._reading():
            begun = False
            while not begun:
                try:
                    for batch in self._batches(statement, binds, size):
                        begun = True
                        yield batch
                    return
                except DBAPIError as error:
                    # sorting and joining come before the first row; after it nothing is repeated
                    if begun or not self._is_out_of_memory(error):
                        raise
                    if sorts and self._roomier:
                        self._recover()
                        raise _TooMuchToSort from None
                    if not self._got_more_memory(error):
                        raise

    def _batches(
        self, statement: str, binds: dict[str, Any], size: int
    ) -> Iterator[Sequence[Sequence[Any]]]:
        options = {"stream_results": True}
        with self._connection.execute(text(statement), binds, execution_options=options) as rows:
            # yield_per as an option would be ignored for text(), in batches of one row
            yield from rows.partitions(size)

    def _with_memory(self, ask: Callable[[], T]) -> T:
        while True:
            try:
                return ask()
            except DBAPIError as error:
                if not self._got_more_memory(error):
                    raise

    def _is_out_of_memory(self, error: DBAPIError) -> bool:
        return self._connection.dialect.name == "duckdb" and "out of memory" in str(error).lower()

    def _got_more_memory(self, error: DBAPIError) -> bool:
        if not (self._roomier and self._is_out_of_memory(error)):
            return False
        self._recover()
        self._connection.exec_driver_sql(f"SET memory_limit = '{self._roomier.pop(0)}'")
        return True

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """One question at a time: DuckDB ends a result without a word, as if there were no more
        rows, when its connection is asked something else."""
        if self._busy:
            raise RuntimeError("the reader is in the middle of a scan; end it before asking more")
        self._busy = True
        try:
            yield
        finally:
            self._busy = False

    @contextmanager
    def _reading(self, name: str = "the model") -> Iterator[None]:
        """Translates the driver's errors while rows are read."""
        try:
            yield
        except DBAPIError as error:
            self._recover()
            reason = _first_line(error, hide=not isinstance(error, OperationalError))
            raise WarehouseUnavailable(f"reading {name} failed: {reason}") from None
        except OF_OTHERS as error:
            self._recover()
            raise WarehouseUnavailable(f"reading {name} failed: {_first_line(error)}") from None

    def _recover(self) -> None:
        """Leave the transaction that failed; some warehouses refuse every statement in it."""
        with suppress(*OF_OTHERS):
            self._connection.rollback()


def _marked(batch: Sequence[Sequence[Any]], scan: Scan) -> Sequence[Sequence[Any]]:
    """`batch`, with a cursor that only its exact reading shows to be unreadable."""
    if scan.cursor is None or (exact := scan.cursor + EXACT_SUFFIX) not in scan.columns:
        return batch
    cursor, place = scan.columns.index(scan.cursor), scan.columns.index(exact)
    return [
        (*row[:cursor], row[place], *row[cursor + 1 :])
        if isinstance(row[place], Unreadable)
        else row
        for row in batch
    ]


def _literally(sql: str) -> str:
    """`sql` for text(): the backslash keeps `:name` from being taken as a bind."""
    return sql.replace(":", "\\:")


def spelling_of(wanted: Iterable[str], names: Sequence[str]) -> dict[str, str]:
    """What the user wrote -> the model's own spelling; capitals matter only where they must."""
    lowered = [name.lower() for name in names]
    found = {}
    for name in wanted:
        if name in names:
            found[name] = name
        elif lowered.count(name.lower()) == 1:
            found[name] = names[lowered.index(name.lower())]
    return found


def _no_driver(url: URL) -> str:
    dialect, _, driver = url.drivername.partition("+")
    if dialect == "postgres":
        return "write postgresql:// instead of postgres://"
    if dialect not in EXTRAS:
        return f"no driver for {dialect} is installed; install its package for SQLAlchemy"
    install = f'run: pip install "engage-connector[{EXTRAS[dialect]}]"'
    if dialect == "postgresql" and driver not in ("", "psycopg"):
        return f"no driver {driver} for {dialect} is installed; {install}, and write {dialect}://"
    return f"no driver for {dialect} is installed; {install}"


def _read_only(url: URL) -> tuple[URL, dict[str, Any]]:
    """The URL and connection arguments that make the warehouse refuse writes, where it can."""
    name, database = url.get_backend_name(), url.database or ""
    if name == "duckdb" and database and not database.startswith((":memory:", "md:")):
        limits = {"memory_limit": MEMORY[0], "threads": THREADS}
        limits = {name: value for name, value in limits.items() if name not in url.query}
        config = {**limits, "temp_directory": gettempdir()}
        return url, {"read_only": True, "config": config}
    if name == "sqlite" and database and not database.startswith(("file:", ":memory:")):
        read_only = url.set(database=f"file:{quote(database)}").update_query_dict(
            {"mode": "ro", "uri": "true"}
        )
        return read_only, {}
    return url, {}


def _prepare(connection: Connection) -> None:
    if connection.dialect.name == "duckdb":
        # times with a zone come in UTC, whatever the machine's zone is
        connection.exec_driver_sql("SET TimeZone = 'UTC'")
        # it would be drawn on stdout, terminal or not, where --json has its one document
        connection.exec_driver_sql("SET enable_progress_bar = false")
    if connection.dialect.name == "postgresql":
        for statement in POSTGRESQL_SESSION:
            connection.exec_driver_sql(statement)
        connection.commit()
        prepare_postgresql(connection.connection.dbapi_connection)
    if connection.dialect.name in ("mysql", "mariadb"):
        # TIMESTAMP is an instant, shown in the zone of the session
        connection.exec_driver_sql("SET time_zone = '+00:00'")
    if connection.dialect.name == "sqlite":
        prepare_sqlite(connection.connection.dbapi_connection)


def _lock_holder(message: str) -> str | None:
    """Who holds a DuckDB file, from DuckDB's own words; None when the error is another one."""
    if "Could not set lock" not in message and "Conflicting lock" not in message:
        return None
    match = re.search(r"held in (.+?) \(PID (\d+)\)", message)
    return f"{match[1]} (process {match[2]})" if match else "another process"


def _type_name(code: object) -> str:
    name = str(code) if code is not None else ""
    return "" if name.isdigit() or name.startswith("<") else name


def _first_line(error: Exception, hide: bool = False) -> str:
    """What the driver says, without the statement, and without values where it is about data."""
    if isinstance(error, UnicodeError):
        return "it gave text that cannot be decoded"
    if not isinstance(error, DBAPIError):
        return f"{type(error).__name__}: {(str(error).splitlines() or [''])[0][:200]}"
    said = str(error.orig).strip()
    if hide or isinstance(error, DataError):
        said = _without_values(said)
    return said.splitlines()[0] if said else "no reason given"


def _without_values(said: str) -> str:
    """`said` less what may come out of a row: a quoted text, an e-mail address, a long number.

    A value may itself hold quotes and line ends, so all between the first quote and the last goes.
    """
    said = re.split(r"\nLINE \d+:", said)[0]
    said = re.sub(r"""(?<!\w)(['"]).*\1|(?<!\w)['"].*""", "…", said, flags=re.DOTALL)
    return re.sub(r"\S+@\S+|\+?\d[\d\s.-]{2,}\d", "…", said)
