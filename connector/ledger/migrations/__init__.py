"""Numbered steps from an empty database to today's tables. See CONTRIBUTING.md for a new one."""

from pathlib import Path

from sqlalchemy import Connection, inspect, text
from sqlalchemy.exc import OperationalError

HEAD = "0028"
"""The newest step; here, so that only a ledger to be migrated costs importing alembic."""
VERSIONS = "alembic_version"
"""The table that says at which step a ledger is."""
BETWEEN = ";\n\n"
"""What stands between two statements of `made_at_once`, and in none of them."""


def version_of(connection: Connection) -> str | None:
    """The step that the ledger behind `connection` is at; None when it has no tables."""
    query = text(f"select version_num from {VERSIONS}")
    if connection.dialect.name != "sqlite" and not inspect(connection).has_table(VERSIONS):
        return None
    try:
        return connection.execute(query).scalar()
    except OperationalError as error:  # in SQLite it ends no transaction, so nobody asks first
        if "no such table" in str(error.orig):
            return None
        raise


def migrate(connection: Connection, to: str = HEAD, at_once: bool = True) -> None:
    """Bring the ledger to step `to` inside the transaction of `connection`. `at_once`: one that has
    no tables yet gets those of the newest step without taking the others."""
    if at_once and to == HEAD and not inspect(connection).has_table(VERSIONS):
        _make(connection)
        return
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", "connector.ledger:migrations")
    config.attributes["connection"] = connection
    command.upgrade(config, to)


def made_at_once(dialect: str) -> Path:
    """The statements that make today's tables in an empty database, and say at which step they are:
    what the steps come to, as `tests/ledger/made_at_once.py` writes it down."""
    return Path(__file__).with_name(f"{dialect}.sql")


def _make(connection: Connection) -> None:
    statements = made_at_once(connection.dialect.name).read_text()
    # PostgreSQL takes all of them in one message
    each = statements.split(BETWEEN) if connection.dialect.name == "sqlite" else [statements]
    for statement in each:
        connection.exec_driver_sql(statement)
