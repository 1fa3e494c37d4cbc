"""Numbered steps from an empty database to today's tables. See CONTRIBUTING.md for a new one."""

from sqlalchemy import Connection, inspect, text

HEAD = "0025"
"""The newest step; here, so that only a ledger to be migrated costs importing alembic."""


def version_of(connection: Connection) -> str | None:
    """The step that the ledger behind `connection` is at; None when it has no tables."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(text("select version_num from alembic_version")).scalar()


def migrate(connection: Connection, to: str = HEAD) -> None:
    """Bring the ledger to step `to` inside the transaction of `connection`."""
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", "connector.ledger:migrations")
    config.attributes["connection"] = connection
    command.upgrade(config, to)
