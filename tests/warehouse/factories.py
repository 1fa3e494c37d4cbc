"""Models, and warehouses to read them from: one line each."""

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import duckdb
import psycopg
from sqlalchemy import URL

from connector.destinations.engage import EngageActivation as Activation
from connector.warehouse import Reader, Scan, Warehouse


def an_activation(sql: str | None = None, **over: Any) -> Activation:
    """An activation named `reviews` on the model `sql`; the row key stands for the contact too."""
    row_key = over.get("row_key", "id")
    wanted = {
        "model": {"sql": sql} if sql else "model.sql",
        "schema_id": "review",
        "row_key": row_key,
        "start": "all",
        "contact": {"column": row_key if isinstance(row_key, str) else row_key[0]}
        | {"identifier": "customKey"},
        **over,
    }
    return Activation.model_validate(wanted).named("reviews")


@dataclass(frozen=True)
class Shop:
    """A warehouse of one kind, with a back door to write through."""

    url: URL
    base: Path

    @property
    def kind(self) -> str:
        """duckdb, sqlite or postgresql."""
        return self.url.get_backend_name()

    def warehouse(self, **options: Any) -> Warehouse:
        """What is tested."""
        return Warehouse(self.url, self.base, **options)

    def execute(self, *statements: str) -> None:
        """Change what is in it, and commit."""
        match self.kind:
            case "duckdb":
                with duckdb.connect(str(self.url.database)) as duck:
                    for statement in statements:
                        duck.execute(statement)
            case "sqlite":
                with sqlite3.connect(str(self.url.database)) as connection:
                    for statement in statements:
                        connection.execute(statement)
                connection.close()
            case _:
                url = self.url.set(drivername="postgresql")
                with psycopg.connect(url.render_as_string(hide_password=False)) as server:
                    for statement in statements:
                        server.execute(statement)

    def write(self, name: str, text: str) -> None:
        """A file beside the configuration."""
        path = self.base / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")

    def read(self, activation: Activation, lower: Any = None, size: int = 2) -> list[Any]:
        """The rows of the model, as a run reads them."""
        return [row for batch in self.batches(activation, lower, size) for row in batch]

    def batches(self, activation: Activation, lower: Any = None, size: int = 2) -> list[Any]:
        """The same, in batches."""
        with self.warehouse(lock_timeout=timedelta(seconds=5)).open() as reader:
            return list(rows(reader, activation, lower, size)[1])

    def columns(self, activation: Activation) -> list[Any]:
        """The columns of the model."""
        with self.warehouse(lock_timeout=timedelta(seconds=5)).open() as reader:
            return reader.columns(activation)


def rows(
    reader: Reader, activation: Activation, lower: Any = None, size: int = 2
) -> tuple[Scan, Any]:
    """What a run does with a reader: resolve, scan, read."""
    resolved, columns = reader.resolve(activation)
    scan = reader.scan(resolved, columns)
    return scan, reader.rows(resolved, scan, lower, size)


def firsts(found: Sequence[Sequence[Any]]) -> list[Any]:
    """The first value of each row: the row key."""
    return [row[0] for row in found]
