"""What makes the tables of a new ledger, as the steps of migrations come to it.

    python -m tests.ledger.made_at_once

writes it anew, after a step was added; it starts a PostgreSQL server for that.
"""

from typing import Any

from sqlalchemy import URL, Connection, create_engine, event

from connector.ledger.migrations import BETWEEN, made_at_once, migrate

MAKES = ("CREATE", "ALTER", "DROP")
"""How a statement begins that makes tables. The others move rows, of which there are none yet."""
SQLITE_TABLES = "SELECT sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY rowid"


def by_the_steps(url: URL | str) -> str:
    """What an empty database is told by the steps; for SQLite, what it says of the tables then."""
    said: list[str] = []

    def hear(_c: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if statement.split(maxsplit=1)[0] in MAKES:
            said.append(statement)

    engine = create_engine(url)
    with engine.begin() as connection:
        event.listen(connection, "before_cursor_execute", hear)
        migrate(connection, at_once=False)
        if engine.dialect.name == "sqlite":
            said = _first(connection, SQLITE_TABLES)
        (version,) = _first(connection, "SELECT version_num FROM alembic_version")
    engine.dispose()
    said.append(f"INSERT INTO alembic_version (version_num) VALUES ('{version}')")
    return BETWEEN.join(_without_empty_lines(statement) for statement in said) + "\n"


def _first(connection: Connection, query: str) -> list[str]:
    return [first for (first,) in connection.exec_driver_sql(query)]


def _without_empty_lines(statement: str) -> str:
    """Spaces between words mean nothing to a database, and those at a line's end are no text of
    ours."""
    return "\n".join(line.rstrip() for line in statement.splitlines() if line.strip())


def main() -> None:
    from tests.postgresql import postgresql_server

    made_at_once("sqlite").write_text(by_the_steps("sqlite://"))
    with postgresql_server() as server:
        url = server.new().set(drivername="postgresql+psycopg")
        made_at_once("postgresql").write_text(by_the_steps(url))


if __name__ == "__main__":
    main()
