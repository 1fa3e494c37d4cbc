"""Put one question at a time to an open warehouse, and say in words why one failed."""

import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

from sqlalchemy import Connection, CursorResult, Executable, text
from sqlalchemy.exc import (
    DataError,
    DBAPIError,
    InterfaceError,
    OperationalError,
    SQLAlchemyError,
)

from connector.rules.errors import WarehouseUnavailable

T = TypeVar("T")
OF_OTHERS = (SQLAlchemyError, UnicodeError, OSError)
"""What may come up where a warehouse is read, and is no mistake of ours: of the driver, of the pool
and the results of SQLAlchemy, of bytes that are no text, of files and sockets."""

OF_CLIENTS = (
    ("google.auth.exceptions", "GoogleAuthError"),
    ("google.api_core.exceptions", "GoogleAPIError"),
)
"""What the client of a warehouse raises beside its driver's own errors, and where that is."""

OF_VALUES = (ValueError, ArithmeticError)
"""What a driver may raise for a value that Python does not hold, such as a year of five digits."""


def of_others(*besides: type[Exception]) -> tuple[type[Exception], ...]:
    """OF_OTHERS, what those clients raise that are in use, and `besides`."""
    modules = ((sys.modules.get(name), kind) for name, kind in OF_CLIENTS)
    return (*OF_OTHERS, *(getattr(there, kind) for there, kind in modules if there), *besides)


def is_outage(error: DBAPIError) -> bool:
    """Whether the warehouse was not reached, rather than refused what it was asked."""
    if error.connection_invalidated:
        return True
    cause: BaseException | None = error.orig
    while cause and isinstance(error, OperationalError | InterfaceError):
        if isinstance(cause, OSError) and not isinstance(cause, FileNotFoundError):
            return True
        cause = cause.__cause__ or cause.__context__
    return False


class TooMuchToSort(Exception):
    """DuckDB has not enough memory to sort all rows at once."""


class Questions:
    """What is asked over one connection. Raises WarehouseUnavailable where reading fails."""

    def __init__(self, connection: Connection, roomier: Sequence[str] = ()) -> None:
        """`roomier`: the memory limits that DuckDB may have where the present one is too small."""
        self._connection = connection
        self._roomier = list(roomier)
        self._busy = False

    def described(self, statement: str) -> Sequence[Any]:
        """The driver's description of the columns of a statement. Raises what the driver raises."""
        return self._ask(text(statement), {}, _description)

    def names(self, statement: str) -> list[str]:
        """What a SELECT itself calls its columns; DuckDB tells it without running the SELECT."""
        if self._connection.dialect.name == "duckdb":
            return [row[0] for row in self.all(text(f"describe {statement}"))]
        return [column[0] for column in self.described(statement)]

    def one(self, statement: str | Executable, binds: dict[str, Any]) -> tuple[str, Any]:
        """The one value that a statement gives, after the driver's code for its type."""
        with self._reading("the model"):
            query = text(statement) if isinstance(statement, str) else statement
            return self._ask(query, binds, _typed_scalar)

    def all(
        self, query: Executable, binds: dict[str, Any] | None = None, name: str = "the model"
    ) -> Sequence[Sequence[Any]]:
        """The rows of `query`, all at once; `name` is what it reads."""
        with self._reading(name):
            return self._ask(query, binds or {}, lambda result: result.all())

    def rows(
        self, statement: str, binds: dict[str, Any], size: int, sorts: bool = False
    ) -> Iterator[Sequence[Sequence[Any]]]:
        """Batches of at most `size` rows.

        Raises TooMuchToSort, if it `sorts`, where DuckDB could do with the memory for less.
        """
        with self._alone(), self._reading("the model"):
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
                        self.recover()
                        raise TooMuchToSort from None
                    if not self._got_more_memory(error):
                        raise

    def recover(self) -> None:
        """Leave the transaction that failed; some warehouses refuse every statement in it."""
        with suppress(*of_others()):
            self._connection.rollback()

    def _batches(
        self, statement: str, binds: dict[str, Any], size: int
    ) -> Iterator[Sequence[Sequence[Any]]]:
        options = {"stream_results": True}
        with self._connection.execute(text(statement), binds, execution_options=options) as rows:
            # yield_per as an option would be ignored for text(), in batches of one row
            yield from rows.partitions(size)

    def _ask(
        self, query: Executable, binds: dict[str, Any], read: Callable[[CursorResult[Any]], T]
    ) -> T:
        """What it `read`s from the answer, which is closed before anything else is asked."""
        with self._alone():
            while True:
                try:
                    with self._connection.execute(query, binds) as result:
                        return read(result)
                except DBAPIError as error:
                    if not self._got_more_memory(error):
                        raise

    def _is_out_of_memory(self, error: DBAPIError) -> bool:
        return self._connection.dialect.name == "duckdb" and "out of memory" in str(error).lower()

    def _got_more_memory(self, error: DBAPIError) -> bool:
        if not (self._roomier and self._is_out_of_memory(error)):
            return False
        self.recover()
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
    def _reading(self, name: str) -> Iterator[None]:
        """Translates the driver's errors while rows are read."""
        try:
            yield
        except DBAPIError as error:
            self.recover()
            reason = first_line(error, hide=not isinstance(error, OperationalError))
            raise WarehouseUnavailable(f"reading {name} failed: {reason}") from None
        except of_others(*OF_VALUES) as error:
            self.recover()
            raise WarehouseUnavailable(f"reading {name} failed: {first_line(error)}") from None


def _description(result: CursorResult[Any]) -> Sequence[Any]:
    return result.cursor.description if result.cursor else []


def _typed_scalar(result: CursorResult[Any]) -> tuple[str, Any]:
    code = str(result.cursor.description[0][1]) if result.cursor else ""
    return code, result.scalar()


def first_line(error: Exception, hide: bool = False) -> str:
    """What the driver says, without the statement, and without values where it is about data."""
    if isinstance(error, UnicodeError):
        return "it gave text that cannot be decoded"
    if isinstance(error, OF_VALUES):
        return f"a value that the driver cannot hold ({type(error).__name__})"
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
