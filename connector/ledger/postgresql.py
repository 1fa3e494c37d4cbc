"""What PostgreSQL is told about a ledger: its schema, and for how long a transaction may be silent.

All of it goes with the BEGIN of each transaction, in one message: nothing of a session has to last,
so a pooler may give each transaction another connection, and it takes no time of its own.
"""

from functools import partial
from typing import Any

from sqlalchemy import Connection, Engine, event, text
from sqlalchemy.engine import ExceptionContext

from connector.ledger.transaction import WAS_SILENT, schema_of
from connector.rules.errors import ConfigurationError, LedgerUnavailable, Problem

MOST_SILENT = 2_000
"""Milliseconds between two statements of a transaction that writes, after which the server ends it:
a process that is frozen, or a machine that is gone, would keep others from what it has locked."""
MOST_SILENT_MIGRATING = 60_000
"""The same while tables are changed: between its statements much is imported."""
BAD, SQLSTATE = 1, ord("C")
"""As libpq calls a connection that is over, and the field of an error with its code."""
MOST_UNREAD = 10
MIGRATION_LOCK = 7_204_116


def tell_at_begin(engine: Engine, reading: bool) -> None:
    """Let each transaction of `engine` begin with what PostgreSQL has to know; `reading`: none of
    them can write."""
    told = [] if reading else [f"SET LOCAL idle_in_transaction_session_timeout = {MOST_SILENT}"]
    if schema := schema_of(engine.url):
        told.append(f'SET LOCAL search_path = "{schema}"')
    if engine.dialect.driver == "psycopg":
        event.listen(engine, "connect", _begun_by_us)
        event.listen(engine, "handle_error", _read_to_the_end)
        begin = [f"BEGIN{' READ ONLY' if reading else ''}", *told]
        statements = ["; ".join(begin)]
    else:  # another driver may take one statement at a time, and sends its own BEGIN
        statements = [*(["SET TRANSACTION READ ONLY"] if reading else []), *told]

    def begin_with_it(connection: Connection) -> None:
        for statement in statements:
            connection.exec_driver_sql(statement)

    event.listen(engine, "begin", begin_with_it)


def _begun_by_us(connection: Any, record: Any) -> None:
    connection.autocommit = True  # the driver sends no BEGIN; it ends what we have begun
    connection.add_notice_handler(partial(_heard, record.info))


def _heard(about: dict[Any, Any], said: Any) -> None:
    """A process that was frozen while it waited for an answer reads, right behind that one, that
    the server has ended its transaction: no answer to anything, so the driver calls it a notice,
    and whatever it sends next fails with no reason given."""
    if said.sqlstate == WAS_SILENT:
        about[WAS_SILENT] = True


def _read_to_the_end(context: ExceptionContext) -> None:
    """Where the connection is found closed while something is sent, the driver says just that, and
    leaves the server's last words unread."""
    c = context.connection
    if c is None or c.closed or c.invalidated:
        return
    driver: Any = c.connection.driver_connection
    if driver is None or driver.pgconn.status != BAD:
        return
    for _ in range(MOST_UNREAD):
        result = driver.pgconn.get_result()
        if result is None:
            return
        if result.error_field(SQLSTATE) == WAS_SILENT.encode():
            c.info[WAS_SILENT] = True


def acknowledge_what_is_written(connection: Any, _record: Any) -> None:
    """PostgreSQL may acknowledge what it has not written yet (synchronous_commit = off), and forget
    it when it dies: attempts, too, whose requests have been sent. Anything else it may be set to
    stays as it is. Raises LedgerUnavailable where it cannot be had."""
    with connection.cursor() as cursor:
        if _setting(cursor) == "off":
            cursor.execute("set synchronous_commit = on")
            connection.commit()
        if _setting(cursor) == "off":
            raise LedgerUnavailable(
                "the ledger's PostgreSQL acknowledges what it has not written (synchronous_commit"
                " is off, and stays off although it was set on): after a crash it would have"
                " forgotten what was sent. Set it for the role that the connector uses: alter role"
                " … set synchronous_commit = on"
            )
    connection.commit()


def _setting(cursor: Any) -> str:
    cursor.execute("select current_setting('synchronous_commit')")
    return str(cursor.fetchone()[0])


HOLDS_ALL_TEXTS = ("UTF8", "SQL_ASCII")
"""Encodings of databases; the second one takes each byte as it comes."""


def lock_to_migrate(c: Connection) -> None:
    """Let nobody else make or change the tables of this ledger until the transaction ends; its
    schema is there then. Raises ConfigurationError where it is not, and may not be made."""
    schema = schema_of(c.engine.url)
    if schema is None:
        c.execute(text("select pg_advisory_xact_lock(:n)"), {"n": MIGRATION_LOCK})
        _refuse_other_encodings(c)
        return
    lock = "select pg_advisory_xact_lock(hashtextextended('tables of ' || cast(:s as text), 0))"
    c.execute(text(lock), {"s": schema})
    if trouble := trouble_with_schema(c, schema):
        raise _refused(trouble)
    _refuse_other_encodings(c)
    if _rights(c, schema) is None:
        c.exec_driver_sql(f'CREATE SCHEMA IF NOT EXISTS "{schema}"')


def _refuse_other_encodings(c: Connection) -> None:
    if trouble := trouble_with_encoding(c):
        raise ConfigurationError(Problem(("ledger", "url"), f"ledger.url: {trouble}"))


def trouble_with_encoding(c: Connection) -> str | None:
    """Why a new ledger should not be in this database; None where there is one, or none such."""
    if c.scalar(text("select to_regclass('alembic_version') is not null")):
        return None
    encoding = c.scalar(text("show server_encoding"))
    if encoding in HOLDS_ALL_TEXTS:
        return None
    return (
        f"the ledger's database has the encoding {encoding}, in which not every text can be kept,"
        " and a row with another one would stop its activation: make a database with"
        " `create database … encoding 'UTF8' template template0`"
    )


def refuse_unusable(c: Connection) -> None:
    """Raises ConfigurationError where the schema of the ledger is there, and its tables cannot be
    seen: to whoever has no rights it looks like none at all."""
    if schema := schema_of(c.engine.url):
        rights = _rights(c, schema)
        if rights is not None and not rights.usage:
            raise _refused(trouble_with_schema(c, schema) or "")


def be_patient(c: Connection) -> None:
    """Let this transaction be silent for as long as one that changes tables may be."""
    c.exec_driver_sql(f"SET LOCAL idle_in_transaction_session_timeout = {MOST_SILENT_MIGRATING}")


def trouble_with_schema(c: Connection, schema: str) -> str | None:
    """Why the tables of a ledger could not be made, or used, in `schema`; None when they could."""
    about = (
        "select current_user as who, current_database() as here,"
        " has_database_privilege(current_database(), 'CREATE') as may_create"
    )
    found: Any = c.execute(text(about)).one()
    rights = _rights(c, schema)
    if rights is None:
        if found.may_create:
            return None
        return (
            f'there is no schema "{schema}", and the user {found.who} may not make one: as an owner'
            f' of the database run `create schema {schema} authorization "{found.who}"`, or'
            f' `grant create on database "{found.here}" to "{found.who}"`'
        )
    tables = "select to_regclass('alembic_version') is not null"
    if not rights.usage or not (rights.create_ or c.scalar(text(tables))):
        return (
            f'the user {found.who} may not use the schema "{schema}": as its owner run'
            f' `grant usage, create on schema {schema} to "{found.who}"`'
        )
    return None


def _rights(c: Connection, schema: str) -> Any:
    """What may be done in the schema; None: there is none."""
    query = (
        "select has_schema_privilege(oid, 'USAGE') as usage,"
        " has_schema_privilege(oid, 'CREATE') as create_ from pg_namespace where nspname = :s"
    )
    return c.execute(text(query), {"s": schema}).one_or_none()


def _refused(why: str) -> ConfigurationError:
    return ConfigurationError(Problem(("ledger", "schema"), f"ledger.schema: {why}"))
