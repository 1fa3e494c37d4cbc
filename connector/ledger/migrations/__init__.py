"""Numbered steps from an empty database to today's tables. See CONTRIBUTING.md for a new one."""

from sqlalchemy import Connection, inspect, text
from sqlalchemy.exc import OperationalError

HEAD = "0025"
"""The newest step; here, so that only a ledger to be migrated costs importing alembic."""


def version_of(connection: Connection) -> str | None:
    """The step that the ledger behind `connection` is at; None when it has no tables."""
    query = text("select version_num from alembic_version")
    if connection.dialect.name != "sqlite" and not inspect(connection).has_table("alembic_version"):
        return None
    try:
        return connection.execute(query).scalar()
    except OperationalError as error:  # in SQLite it ends no transaction, so nobody asks first
        if "no such table" in str(error.orig):
            return None
        raise


def migrate(connection: Connection, to: str = HEAD) -> None:
    """Bring the ledger to step `to` inside the transaction of `connection`."""
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", "connector.ledger:migrations")
    config.attributes["connection"] = connection
    command.upgrade(config, to)
