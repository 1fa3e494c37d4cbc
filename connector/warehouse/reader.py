"""Read models in order, in batches, and with flat memory.

The user's SELECT stands untouched inside ours, so the database sees one statement and one
snapshot: what commits after a run has begun to read belongs to the next run. Order and comparison
are the database's; nothing is sorted or compared here.
"""

import re
from collections.abc import Collection, Generator, Iterator, Mapping, Sequence
from dataclasses import field, replace
from datetime import date
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Select, select, text
from sqlalchemy.exc import DBAPIError

from connector.basis import dataclass
from connector.rules.activation import Activation, Model
from connector.rules.errors import (
    ConfigurationError,
    Problem,
    WarehouseUnavailable,
    did_you_mean,
    of_activation,
)
from connector.rules.errors import Path as KeyPath
from connector.rules.mapping import EXACT_SUFFIX, key_text
from connector.rules.values import Unreadable, has_place
from connector.warehouse.asking import Questions, TooMuchToSort, first_line, is_outage, of_others
from connector.warehouse.conversion import (
    NANOSECONDS,
    Read,
    as_key,
    as_text,
    before_calendar,
    converted,
    exact,
    is_cut,
    is_exact,
    reading,
    selected,
    within_calendar,
)
from connector.warehouse.derived import as_table
from connector.warehouse.digests import (
    DIGEST,
    MAKERS,
    digest,
    found_by_keys,
    one_text_is_one_key,
    repeated,
)
from connector.warehouse.models import query_of, quoted
from connector.warehouse.spelling import TWICE, doubled, spelling_of

RANGE = 100_000
"""Rows of a range, if no more of them have the same cursor."""
TEXT_SUFFIX = "::text"
"""What would be cut is read in another way where it is a row key, so that no two become one."""
Where = tuple[str, dict[str, Any]]
LOWER, UPPER = "connector_lower_bound", "connector_upper_bound"
"""SQLAlchemy takes `%(name)s` for a bind where a bind has that name, in the user's texts too; so
these are names that no text has."""
NESTED = re.compile(r"\[\d*\]$|^(STRUCT|MAP|UNION|LIST|ARRAY)\b")


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
    them hold the row key. `codes`: the driver's word for the type of each column of the model;
    `salt`: what a digest says beside the columns that make a row's content."""

    columns: tuple[str, ...]
    key: tuple[str, ...]
    cursor: str | None
    codes: Mapping[str, str] = field(default_factory=dict)
    salt: str = ""

    @property
    def brief(self) -> "Scan":
        """Of each row no more than its key and its digest."""
        return replace(self, columns=(*self.key, DIGEST))


class Reader:
    """Reads models through one connection."""

    def __init__(
        self, connection: Connection, base: Path, manifest: Path, roomier: Sequence[str] = ()
    ) -> None:
        """`roomier`: the memory limits that DuckDB may have where the present one is too small."""
        self._connection = connection
        self._questions = Questions(connection, roomier)
        self._base, self._manifest = base, manifest

    @property
    def is_duckdb(self) -> bool:
        """Whether the names of types are those of DuckDB."""
        return self._dialect == "duckdb"

    def sql(self, activation: Activation) -> str:
        """The SELECT of the model, as it stands. Raises ConfigurationError."""
        return self._query(activation.model, _model_path(activation))

    def columns(self, activation: Activation) -> list[Column]:
        """The columns of the model. Raises ConfigurationError when the model does not run."""
        name = f'activation "{activation.name}": the model'
        return self.columns_of(activation.model, _model_path(activation), name)

    def columns_of(self, model: Model, path: KeyPath, name: str) -> list[Column]:
        """The columns of a model, or of a lookup, that stands at `path` and is called `name`.

        Raises ConfigurationError when it does not run.
        """
        statement = f"select * from {self.derived(model, path, 'model')} where 1 = 0"
        try:
            described = self._questions.described(statement)
        except DBAPIError as error:
            self._questions.recover()
            if is_outage(error):
                raise WarehouseUnavailable(f"reading {name} failed: {first_line(error)}") from None
            raise ConfigurationError(
                Problem(path, f"{name} does not run: {first_line(error)}")
            ) from None
        except of_others() as error:
            raise WarehouseUnavailable(f"reading {name} failed: {first_line(error)}") from None
        return [Column(d[0], _type_name(d[1]), str(d[1])) for d in described]

    def resolve(self, activation: Activation) -> tuple[Activation, list[Column]]:
        """The activation with its columns spelt as the model spells them, and those columns.

        Raises ConfigurationError naming every column that the model does not have, or has twice.
        """
        columns = self.columns(activation)
        names = [column.name for column in columns]
        spelling = spelling_of(activation.columns.values(), names)
        twice = self.doubled(activation.model, _model_path(activation), names, spelling.values())
        problems = []
        for path, name in activation.columns.items():
            if name not in spelling:
                told = f'the model has no column "{name}"{did_you_mean(name, names)}'
            elif spelling[name] in twice:
                told = f"the model {TWICE.format(name)}"
            else:
                continue
            problems.append(of_activation(activation.name, *path, text=told))
        if problems:
            raise ConfigurationError(*problems)
        return activation.respelt(spelling), columns

    def doubled(
        self, model: Model, path: KeyPath, names: Sequence[str], used: Collection[str]
    ) -> set[str]:
        """Those of its columns `names` that are `used`, and that a model has more than once."""
        return doubled(self._dialect, names, used, partial(self._written, model, path))

    def _written(self, model: Model, path: KeyPath) -> list[str]:
        return self._questions.names(_literally(self._query(model, path)))

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
        return found if has_place(found) else None

    def any_value(self, activation: Activation, column: str) -> Any:
        """Some value of `column` that has a place in an order; None where the model has none."""
        found = self._one(*self._top(activation, self._quote(column), self._where(column), None, 1))
        return found if found is None or has_place(found) else self.highest(activation, column)

    def newest_behind(
        self, activation: Activation, scan: Scan, lower: Any, upper: Any, number: int
    ) -> Sequence[Sequence[Any]]:
        """The `number` newest rows from `lower` on and below `upper`, the newest first."""
        assert scan.cursor is not None
        newest = f"{self._quote(scan.cursor)} desc"
        where = self._where(scan.cursor, lower, upper)
        rows = self._first(activation, self._select_list(activation, scan), where, newest, number)
        place = scan.columns.index(scan.cursor)
        found = _marked(converted(rows, self._reads(activation, scan)), scan)
        return [row for row in found if not isinstance(row[place], Unreadable)]

    def _first(self, activation: Activation, *what: Any) -> Sequence[Sequence[Any]]:
        return self._questions.all(*self._top(activation, *what))

    def _top(
        self,
        activation: Activation,
        columns: str,
        where: Where | None,
        order: str | None,
        number: int,
    ) -> tuple[Select[Any], dict[str, Any]]:
        condition, binds = where or ("", {})
        query = select(text(columns)).select_from(text(self._model(activation))).limit(number)
        query = query.where(text(condition.removeprefix(" where "))) if condition else query
        return query if order is None else query.order_by(text(order)), binds

    def has_rows(self, activation: Activation) -> bool:
        """Whether the model has any row."""
        return bool(self._first(activation, "1", None, None, 1))

    def count(self, activation: Activation, cursor: str | None, lower: Any) -> int:
        """How many rows a scan from `lower` would return."""
        return self._count(activation, *self._where(cursor, lower))

    def _count(
        self, activation: Activation, where: str, binds: dict[str, Any] | None = None
    ) -> int:
        return int(self._one(f"select count(*) from {self._model(activation)}{where}", binds))

    def sample(
        self, activation: Activation, columns: Sequence[str], number: int
    ) -> Sequence[Sequence[Any]]:
        """These `columns` of at most `number` rows, whichever the warehouse gives first."""
        names = ", ".join(self._quote(c) for c in columns)
        return self._first(activation, names, None, None, number)

    def repeated_keys(self, activation: Activation) -> tuple[int, Sequence[Any]]:
        """How many row keys stand more than once in the model, and one of them."""
        keys = ", ".join(self._quote(c) for c in activation.row_key)
        some = " and ".join(f"{self._quote(c)} is not null" for c in activation.row_key)
        grouped = (
            f"select {keys} from {self._model(activation)} where {some} group by {keys}"
            " having count(*) > 1"
        )
        counted = as_table(self._dialect, grouped, "repeated")
        number = int(self._one(f"select count(*) from {counted}"))
        if not number:
            return 0, ()
        rows = self._questions.rows(f"{grouped} order by {keys}", {}, 1)
        return number, tuple(next(rows)[0])

    def keys_repeated(
        self, activation: Activation, scan: Scan, size: int
    ) -> Generator[Sequence[Sequence[Any]], None, None]:
        """The values of each row key that stands more than once; only where it `groups_keys`."""
        keys, code, sql = replace(scan, columns=scan.key), scan.codes.get, self._selected
        columns = [(self._quote(k), code(k, ""), sql(activation, k, keys)[0]) for k in scan.key]
        asked = repeated(self._dialect, columns, self._model(activation))
        for batch in self._questions.rows(asked, {}, size):
            yield converted(batch, self._reads(activation, keys))

    def groups_keys(self, scan: Scan) -> bool:
        """Whether keys of one text are surely one to the warehouse."""
        return all(one_text_is_one_key(self._dialect, scan.codes.get(k, "")) for k in scan.key)

    def count_null(self, activation: Activation, columns: Sequence[str]) -> int:
        """How many rows have no value in one of `columns`."""
        null = " or ".join(f"{self._quote(c)} is null" for c in columns)
        return self._count(activation, f" where {null}")

    def scan(self, activation: Activation, columns: Sequence[Column]) -> Scan:
        """What `rows` returns for this activation: only columns that it names."""
        codes = {c.name: c.code for c in columns}
        names = list(dict.fromkeys(activation.columns.values()))
        key = tuple(
            c + TEXT_SUFFIX if is_cut(self._dialect, codes.get(c, "")) else c
            for c in activation.row_key
        )
        exact = [c + EXACT_SUFFIX for c in names if is_exact(self._dialect, codes.get(c, ""))]
        extra = [c for c in key if c not in names]
        cursor = activation.cursor.column if activation.cursor else None
        return Scan((*names, *extra, *exact), key, cursor, codes)

    def digested(self, scan: Scan, salt: str) -> Scan | None:
        """`scan` with a last column: a digest of `salt` and of all that makes the content of a row.
        None where the warehouse makes none, so that whole rows have to be compared."""
        if scan.cursor is not None or not self.makes_digests:
            return None
        return replace(scan, columns=(*scan.columns, DIGEST), salt=salt)

    @property
    def makes_digests(self) -> bool:
        """Whether rows can be compared without being read; not by a PostgreSQL from before version
        11, nor by one that derives from it, which have no sha256."""
        version = getattr(self._connection.dialect, "server_version_info", None)
        old = self._dialect == "postgresql" and version is not None and version < (11,)
        return self._dialect in MAKERS and not old

    @property
    def has_types(self) -> bool:
        """Whether all values of a column are of one type: SQLite asks each value for its own."""
        return self._dialect != "sqlite"

    def rows(
        self, activation: Activation, scan: Scan, lower: Any, size: int
    ) -> Generator[Sequence[Sequence[Any]], None, None]:
        """Batches of at most `size` rows in the order of (cursor, row key), from `lower` on.

        Rows whose cursor is NULL come last, from a statement of their own: they have no place in
        the order, and must not be passed over in silence.
        """
        reads = self._reads(activation, scan)
        for batch in self._as_they_come(activation, scan, lower, size):
            yield _marked(converted(batch, reads), scan)

    def rows_of(
        self, activation: Activation, scan: Scan, keys: Sequence[Sequence[Any]], size: int
    ) -> Generator[Sequence[Sequence[Any]], None, None]:
        """Batches of the rows that have one of `keys`, each the values of the key's columns as a
        scan without a cursor gave them; all of them, where a key is there more than once.

        What cannot be found by its key alone is found by reading the model.
        """
        if not keys:
            return
        names = [(self._quote(name), scan.codes.get(name, "")) for name in activation.row_key]
        typed = [(as_text(c), None) if k in NANOSECONDS else (c, k) for c, k in names]
        where, binds = found_by_keys(self._dialect, typed, keys) or ("", {})
        places = [scan.columns.index(name) for name in scan.key]
        wanted, reads = set(map(key_text, keys)), self._reads(activation, scan)
        statement = self._select(activation, scan, where)
        for batch in self._questions.rows(statement, dict(binds), size):
            # a collation may take others for equal
            read = converted(batch, reads)
            if found := [row for row in read if key_text([row[i] for i in places]) in wanted]:
                yield found

    def _as_they_come(
        self, activation: Activation, scan: Scan, lower: Any, size: int
    ) -> Iterator[Sequence[Sequence[Any]]]:
        if scan.cursor is None:
            yield from self._questions.rows(self._select(activation, scan), {}, size)
            return
        where, binds = self._where(scan.cursor, lower)
        try:
            yield from self._questions.rows(
                self._select(activation, scan, where), binds, size, sorts=True
            )
        except TooMuchToSort:
            yield from self._ranges(activation, scan, lower, size)
        yield from self._questions.rows(
            self._select(activation, scan, self._nowhere(scan, lower)), {}, size
        )

    def _nowhere(self, scan: Scan, lower: Any) -> str:
        """The condition of rows that no lower bound finds: the cursor is NULL, or a time before all
        that can be stored, such as -infinity."""
        assert scan.cursor is not None
        column = self._quote(scan.cursor)
        code = scan.codes.get(scan.cursor, "")
        before = before_calendar(self._dialect, code, column) if isinstance(lower, date) else ""
        return f" where {column} is null{before}"

    def _reads(self, activation: Activation, scan: Scan) -> dict[int, Read]:
        """By its place, how a column is read."""
        reads = (self._selected(activation, name, scan)[1] for name in scan.columns)
        return {place: read for place, read in enumerate(reads) if read}

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
            yield from self._questions.rows(self._select(activation, scan, where), binds, size)
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
        if scan.columns[-1] == DIGEST:
            order = f"{order}, {len(scan.columns)}"
        columns, model = self._select_list(activation, scan), self._model(activation)
        return f"select {columns} from {model}{where} order by {order}"

    def _select_list(self, activation: Activation, scan: Scan) -> str:
        return ", ".join(self._selected(activation, name, scan)[0] for name in scan.columns)

    def _selected(self, activation: Activation, name: str, scan: Scan) -> tuple[str, Read | None]:
        """What is selected for a column of a scan, and how its values are read."""
        if name == DIGEST and name not in scan.codes:
            return self._digest(activation, scan), None
        if (column := name.removesuffix(EXACT_SUFFIX)) != name and name not in scan.codes:
            return exact(self._dialect, scan.codes[column], self._quote(column))
        if (column := name.removesuffix(TEXT_SUFFIX)) != name and name not in scan.codes:
            return as_key(self._dialect, scan.codes[column], self._quote(column))
        return selected(self._dialect, scan.codes.get(name, ""), self._quote(name))

    def _digest(self, activation: Activation, scan: Scan) -> str:
        parts = [name for path, name in activation.columns.items() if path[0] != "row_key"]
        named = sorted(set(parts))
        kinds = [scan.codes.get(name, "") for name in named]
        columns = [(self.quoted(name), kind) for name, kind in zip(named, kinds, strict=True)]
        return _literally(digest(self._dialect, columns, (scan.salt, *named, *kinds)))

    @property
    def _dialect(self) -> str:
        return str(self._connection.dialect.name)

    def derived(self, model: Model, path: KeyPath, name: str) -> str:
        """A model, or a lookup, as a derived table called `name`, for text()."""
        return as_table(self._dialect, _literally(self._query(model, path)), name)

    def _query(self, model: Model, path: KeyPath) -> str:
        where = self._connection.dialect, self._base, self._manifest
        return query_of(model, path, f"the {path[-1]}", *where)

    def quoted(self, name: str) -> str:
        """`name` as an identifier of this warehouse, exactly."""
        return quoted(name, self._connection.dialect)

    def fetch(self, query: Select[*tuple[Any, ...]], name: str) -> Sequence[Sequence[Any]]:
        """The rows of `query`, all at once; `name` is what it reads."""
        return self._questions.all(query, name=name)

    def _model(self, activation: Activation) -> str:
        return self.derived(activation.model, _model_path(activation), "model")

    def _quote(self, name: str) -> str:
        return _literally(self.quoted(name))

    def _where(self, cursor: str | None, lower: Any = None, upper: Any = None) -> Where:
        """From `lower`, below `upper`: so ranges meet, however a bound is rounded on its way."""
        if cursor is None:
            return "", {}
        column = self._quote(cursor)
        bounds = {
            f"{column} >= :{LOWER}": (LOWER, lower), f"{column} < :{UPPER}": (UPPER, upper)
        }  # fmt: skip
        bounds = {sql: bound for sql, bound in bounds.items() if bound[1] is not None}
        return f" where {' and '.join(bounds) or f'{column} is not null'}", dict(bounds.values())

    def _one(self, statement: str | Select[Any], binds: dict[str, Any] | None = None) -> Any:
        code, value = self._questions.one(statement, binds or {})
        read = reading(self._dialect, code)
        return read(value) if read and value is not None else value


def _model_path(activation: Activation) -> KeyPath:
    return ("activations", activation.name, "model")


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


def _type_name(code: object) -> str:
    name = str(code) if code is not None else ""
    return "" if name.isdigit() or name.startswith("<") else name
