"""What a session is told before anything is read: to refuse writes, where the database can, and to
show times in UTC; then what the user wants said."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError, OperationalError

from connector.rules.errors import ConfigurationError, Problem, WarehouseUnavailable
from connector.warehouse.asking import first_line, of_others
from connector.warehouse.conversion import prepare_postgresql, prepare_sqlite

MYSQL = (
    # TIMESTAMP is an instant, shown in the zone of the session
    "SET time_zone = '+00:00'",
    "SET SESSION TRANSACTION READ ONLY",
)
OPENING: Mapping[str, Sequence[str]] = {
    "duckdb": (
        # times with a zone come in UTC, whatever the machine's zone is; and a progress bar would be
        # drawn on stdout, terminal or not, where --json has its one document
        "SET TimeZone = 'UTC'; SET enable_progress_bar = false",
    ),
    "postgresql": (
        "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY",
        "SET TIME ZONE 'UTC'",
        # a role or a database may have others, by which values are shown cut, or cannot be read
        "SET DateStyle = 'ISO'",
        "SET IntervalStyle = 'postgres'",
        "SET extra_float_digits = 3",
        "SET client_encoding = 'UTF8'",
    ),
    "redshift": ("SET timezone TO 'UTC'",),
    "mysql": MYSQL,
    "mariadb": MYSQL,
    "sqlite": ("PRAGMA query_only = ON",),
    "snowflake": ("ALTER SESSION SET TIMEZONE = 'UTC'",),
    "databricks": ("SET TIME ZONE 'UTC'",),
    "oracle": ("ALTER SESSION SET TIME_ZONE = '+00:00'",),
}
"""By the dialect. Where nothing stands, times carry their zone, or have none."""
IN_EACH_TRANSACTION = {"oracle": "SET TRANSACTION READ ONLY"}
"""Where a session as a whole cannot be read-only."""
FIRST_WORDS = re.compile(r"\s*([A-Za-z_]+)(?:\s+([A-Za-z_]+))?(?=\s|;|$)")


def prepare(connection: Connection) -> None:
    """Set up a session, so that it writes nothing, values come as they are and times in UTC."""
    dialect = connection.dialect.name
    client: Any = connection.connection.dbapi_connection
    if dialect == "redshift" and hasattr(client, "set_session"):
        connection.rollback()  # it takes no setting within a transaction
        client.set_session(readonly=True)
    for statement in OPENING.get(dialect, ()):
        connection.exec_driver_sql(statement)
    if dialect != "duckdb":  # what is SET in a transaction ends with it, should it be rolled back
        connection.commit()
    if dialect in ("postgresql", "redshift"):
        prepare_postgresql(client)
    if dialect == "sqlite":
        prepare_sqlite(client)


def say(
    connection: Connection, statements: Sequence[str], masked: Callable[[str], str] = str
) -> None:
    """Run the user's own `statements`, and put right what of ours they have changed.

    Raises ConfigurationError, or WarehouseUnavailable where it may be the warehouse that is at
    fault; both name the statement by its number and its first words, since the others may be a
    secret. `masked` takes known secrets out of a text.
    """
    for number, statement in enumerate(statements):
        try:
            options = {"no_parameters": True}  # `%` is what it is
            connection.exec_driver_sql(statement, execution_options=options)
        except of_others() as error:
            wrong = (
                f"session, statement {number + 1} ({_first_words(statement)}) failed:"
                f" {masked(first_line(error, hide=True))}"
            )
            if isinstance(error, DBAPIError) and not isinstance(error, OperationalError):
                path = ("warehouse", "session", number)
                raise ConfigurationError(Problem(path, wrong)) from None
            raise WarehouseUnavailable(f"warehouse.{wrong}") from None
    if statements:
        connection.commit()
        prepare(connection)


def _first_words(statement: str) -> str:
    found = FIRST_WORDS.match(statement)
    words = [word for word in found.groups() if word] if found else []
    return f"{' '.join(words)} …" if words else "…"


def mask(secrets: Mapping[str, Any], password: str | None) -> Callable[[str], str]:
    """What takes the values of connection arguments, and a password, out of a text. The names of
    files stay, since they are what an error is about."""
    found = sorted({*_texts(secrets), *([password] if password else [])}, key=len, reverse=True)

    def masked(text: str) -> str:
        for secret in found:
            text = text.replace(secret, "***")
        return text

    return masked


def _texts(value: Any, name: str = "") -> list[str]:
    """All texts below `value` that may be a secret."""
    match value:
        case str():
            shown = len(value) < SHORTEST_SECRET or names_file(name)
            return [] if shown else [value, *value.strip().splitlines()]
        case Mapping():
            return [text for key, each in value.items() for text in _texts(each, str(key))]
        case list() | tuple():
            return [text for each in value for text in _texts(each, name)]
        case _:
            return []


SHORTEST_SECRET = 5
"""Shorter texts, such as `true` or a port, would be taken out of the words of an error."""


def names_file(argument: str) -> bool:
    """Whether a connection argument of this name is where a file is, not what is in it."""
    return argument.endswith(("_file", "_path", "_file_path"))
