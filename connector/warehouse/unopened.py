"""What can be said of a model without opening its warehouse."""

from sqlalchemy import make_url
from sqlalchemy.engine import Dialect
from sqlalchemy.engine.default import DefaultDialect
from sqlalchemy.exc import ArgumentError, NoSuchModuleError

from connector.warehouse.models import SQLGLOT_NAMES


def dialect_of(url: str | None) -> Dialect:
    """The dialect of a warehouse; a plain one where the URL is not known, or its driver is not
    here."""
    try:
        written = make_url(url or "")
        if written.get_backend_name() == "duckdb":
            from connector.warehouse.duck import DuckDB

            return DuckDB()
        return written.get_dialect()()
    except (ArgumentError, NoSuchModuleError, ImportError, ValueError):  # ValueError: of the port
        return DefaultDialect()


def columns_of(sql: str, dialect: Dialect) -> list[str] | None:
    """The names of the columns that a query gives; None where only the warehouse can say."""
    import sqlglot
    from sqlglot import exp
    from sqlglot.errors import SqlglotError

    known = (
        None if isinstance(dialect, DefaultDialect) and dialect.name == "default" else dialect.name
    )
    try:
        parsed = sqlglot.parse_one(sql, read=SQLGLOT_NAMES.get(known or "", known))
    except (SqlglotError, ValueError):
        return None
    if not isinstance(parsed, exp.Query) or parsed.is_star:
        return None
    names: list[str] = parsed.named_selects
    return names if names and all(names) else None
