"""A reader whose statements are written down instead of run."""

from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from sqlalchemy import Connection
from sqlalchemy.engine import Dialect

from connector.warehouse import Reader
from connector.warehouse.derived import with_first
from tests.warehouse.factories import an_activation

COLUMNS = ("id", "at", "rating")
NOON = datetime.fromisoformat("2026-01-01 12:00")


class Answer:
    """What a warehouse could say: the columns of a model, and one of everything."""

    cursor = SimpleNamespace(description=[(name, "code") for name in COLUMNS])

    def __enter__(self) -> "Answer":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def all(self) -> list[Any]:
        return [(1, 1, 1)]

    def scalar(self) -> int:
        return 1

    def partitions(self, _: int) -> Iterator[list[Any]]:
        yield [(1, 1, 1)]


class Written:
    """A connection that writes down what it is asked."""

    def __init__(self, dialect: Dialect) -> None:
        self.dialect = dialect
        self.statements: list[str] = []

    def execute(self, query: Any, binds: Any = None, execution_options: Any = None) -> Answer:
        compiled = query.compile(dialect=self.dialect, compile_kwargs={"render_postcompile": True})
        sql = str(compiled)
        self.statements.append(with_first(sql) if self.dialect.name == "mssql" else sql)
        return Answer()

    def rollback(self) -> None:
        pass


QUESTIONS: dict[str, Callable[[Reader, Any], Any]] = {
    "columns": lambda reader, it: reader.columns(it),
    "count from a bound": lambda reader, it: reader.count(it, "at", NOON),
    "highest": lambda reader, it: reader.highest(it, "at"),
    "any row": lambda reader, it: reader.has_rows(it),
    "a sample": lambda reader, it: reader.sample(it, ["rating"], 3),
    "keys that stand twice": lambda reader, it: reader.repeated_keys(it),
    "rows in their order": lambda reader, it: list(reader.rows(it, reader.scan(it, []), NOON, 2)),
}
"""All that a run and a check ask."""


def statements(dialect: Dialect, question: str, sql: str) -> list[str]:
    """What a warehouse of `dialect` is asked for a model of this `sql`."""
    connection = Written(dialect)
    reader = Reader(cast(Connection, connection), Path(), Path("manifest.json"))
    QUESTIONS[question](reader, an_activation(sql, cursor="at", payload={"rating": "rating"}))
    return connection.statements
