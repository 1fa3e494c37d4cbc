"""One transaction of the ledger: the driver's errors become ours, and notes are made afterwards;
and the address that it goes to."""

import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import wraps
from types import MappingProxyType
from typing import Any, ParamSpec, TypeVar
from urllib.parse import unquote

from sqlalchemy import URL, Connection, Engine, Executable
from sqlalchemy.exc import DBAPIError, IntegrityError, NoResultFound, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from connector.rules.errors import LedgerUnavailable, StaleMove

NOTES = "connector: notes for after the commit"
READS = "connector_reads"
"""The option of a connection that only reads; how it begins in SQLite."""
TOUCHED = "connector: the rows that this transaction has touched"
IN_EACH_OTHERS_WAY = ("40P01", "40001")
"""What PostgreSQL says to the transaction that it gives up, where two wait for each other."""
WAS_SILENT = "25P03"
"""What it says to one that said nothing for too long, before it does anything else for it: so also
where a COMMIT is answered so. Also the mark of a connection that has heard it."""
NOT_TO_BE_WRITTEN = ("42501", "25006")
"""What PostgreSQL says where somebody may only read."""
PAUSES = (0.01, 0.05, 0.25, 1.0)
"""Seconds before such a transaction is repeated."""
IN_SCHEMA = "connector_schema"
"""Under which an address says in which schema of a server the tables are."""
DAMAGED = ("file is not a database", "database disk image is malformed")
"""What SQLite says of a file that is none of its own, or no whole one."""
P = ParamSpec("P")
T = TypeVar("T")


class GivenUpForAnother(LedgerUnavailable):
    """The database gave the transaction up for others: nothing of it has happened."""


class OnlyToRead(LedgerUnavailable):
    """Whoever asks may read the ledger, and not write it."""


class Damaged(LedgerUnavailable):
    """What stands in the ledger's file is no database, or is torn: somebody must put it back."""

    retryable = False


@contextmanager
def transaction(engine: Engine) -> Iterator[Connection]:
    """One transaction. The driver's errors become ours; none is passed over."""
    notes: list[Callable[[], object]] = []
    about: dict[Any, Any] = {}
    try:
        with engine.begin() as connection:
            about = connection.info
            about[NOTES] = notes
            try:
                yield connection
            finally:
                if not connection.invalidated:
                    connection.info.pop(NOTES, None)
    except IntegrityError as error:
        # from None: the driver's own error shows the row, and tracebacks end in logs
        raise StaleMove(f"the ledger refused a move: {str(error.orig).splitlines()[0]}") from None
    except (SQLAlchemyError, UnicodeError, OSError) as error:
        raise _unavailable(engine.url, error, WAS_SILENT in about) from None
    for note in notes:
        note()


def reading(engine: Engine) -> AbstractContextManager[Connection]:
    """For one statement that reads. SQLite needs no transaction for it, and so no lock that keeps
    those who write waiting; a server is told at the beginning of each what it must know."""
    return transaction(engine.execution_options(**{READS: ""}))


def reading_together(engine: Engine) -> AbstractContextManager[Connection]:
    """For several statements that read one state of the ledger, and keep nobody waiting."""
    return transaction(engine.execution_options(**{READS: "BEGIN"}))


def after_commit(connection: Connection, note: Callable[[], object]) -> None:
    """Let `note` be called once the transaction is committed, and not otherwise."""
    connection.info[NOTES].append(note)


def touch(connection: Connection, ids: Sequence[int]) -> None:
    """A run touches the deliveries with these ids, and perhaps those between them, in a transaction
    of its own: see spans.py."""
    if ids:
        connection.info[TOUCHED] += (min(ids), max(ids))


def repeated(method: Callable[P, T]) -> Callable[P, T]:
    """`method`, which is one transaction: repeated a few times where the database gives it up for
    another one, or since this process was frozen in it, for then nothing of it has happened."""

    @wraps(method)
    def until_done(*args: P.args, **kwargs: P.kwargs) -> T:
        for pause in PAUSES:
            try:
                return method(*args, **kwargs)
            except GivenUpForAnother:
                time.sleep(pause * random.uniform(0.5, 1.5))
        return method(*args, **kwargs)

    return until_done


class Reader:
    """What is read of the ledger behind an engine. Every method raises LedgerUnavailable when the
    database cannot be read."""

    _engine: Engine
    _earlier: Mapping[str, str] = MappingProxyType({})
    """Names under which activations may still be recorded, by the names that they have now."""

    def _name(self, activation: str) -> str:
        """The name under which the activation is recorded."""
        return activation

    def _called(self, c: Connection, recorded: str) -> str:
        """The name that an activation has now which is `recorded` under that one."""
        return recorded

    @repeated
    def _all(self, query: Executable) -> Sequence[Any]:
        with reading(self._engine) as c:
            return c.execute(query).all()

    @repeated
    def _first(self, query: Executable) -> Any:
        with reading(self._engine) as c:
            return c.execute(query).first()


def _unavailable(url: URL, error: Exception, was_silent: bool) -> LedgerUnavailable:
    """`was_silent`: the server has told that it ended the transaction for that."""
    kind: type[LedgerUnavailable] = LedgerUnavailable
    match error:
        case DBAPIError():
            said = getattr(error.orig, "sqlstate", None)
            if said in IN_EACH_OTHERS_WAY or said == WAS_SILENT or was_silent:
                kind = GivenUpForAnother
            elif said in NOT_TO_BE_WRITTEN or "readonly database" in str(error.orig):
                kind = OnlyToRead
            elif any(words in str(error.orig) for words in DAMAGED):
                kind = Damaged
            reason = (str(error.orig).strip().splitlines() or ["no reason given"])[0]
        case PoolTimeout():
            reason = "all connections to it are in use, and none became free in time"
        case NoResultFound():
            reason = "a record is gone that it had; was it changed by hand, or put back?"
        case OSError():
            reason = error.strerror or type(error).__name__
        case _:  # what is left says nothing about a row, but may be long
            reason = f"{type(error).__name__}: {(str(error).splitlines() or [''])[0][:200]}"
    return kind(f"the ledger {shown(url)}: {reason}")


def shown(url: URL) -> str:
    """The URL without what may be secret: the password, and options, which may hold one too."""
    database = unquote((url.database or "").removeprefix("file:"))
    plain = url.set(query={}, database=database).render_as_string(hide_password=True)
    return f"{plain} (schema {schema})" if (schema := schema_of(url)) else plain


def in_schema(url: URL, schema: str | None) -> URL:
    """The address of a ledger whose tables are in that schema of its database; None: where its user
    finds tables without being told."""
    return url.update_query_dict({IN_SCHEMA: schema}) if schema else url


def schema_of(url: URL) -> str | None:
    """The schema that `in_schema` has put into the address."""
    found = url.query.get(IN_SCHEMA)
    return found if isinstance(found, str) else None
