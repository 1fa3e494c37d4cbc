"""What is known of each kind of warehouse and its driver: how it was tried, what it cannot do."""

from enum import StrEnum

from sqlalchemy import URL

from connector.basis import dataclass


class Tried(StrEnum):
    """How far a driver was tried by the tests."""

    REAL = "works"
    """All promises hold, on the database itself."""
    EMULATOR = "emulator"
    """All promises hold, on something else that speaks for the database."""
    COMPILES = "compiles"
    """Nothing ran: the statements are held to what its documentation says."""


@dataclass(frozen=True, slots=True)
class Driver:
    """A driver of a kind of warehouse, as its URL names it."""

    title: str
    url: str
    """What stands before `://`, with the driver that is taken where the URL names none."""
    tried: Tried
    extra: str | None = None
    """The extra of ours that brings it."""
    streams: bool = True
    """Whether it gives rows while it reads them, and keeps none."""
    read_only: bool = False
    """Whether the database itself refuses what would write."""
    instead: str = ""
    """What serves better, where it does not stream."""

    @property
    def dialect(self) -> str:
        """The kind of warehouse, as SQLAlchemy calls it."""
        return self.url.partition("+")[0]


_TO_PYMYSQL = "mysql+pymysql:// streams"
_LESS = "give the activation a cursor, so that all rows are read but once"

DRIVERS = (
    Driver("DuckDB", "duckdb+connector", Tried.REAL, read_only=True),
    Driver("SQLite", "sqlite+pysqlite", Tried.REAL, read_only=True),
    Driver("PostgreSQL", "postgresql+psycopg", Tried.REAL, "postgres", read_only=True),
    Driver("PostgreSQL", "postgresql+psycopg2", Tried.REAL, read_only=True),
    Driver("MySQL, MariaDB", "mysql+pymysql", Tried.REAL, "mysql", read_only=True),
    Driver("MariaDB", "mariadb+pymysql", Tried.REAL, "mysql", read_only=True),
    Driver("MySQL", "mysql+mysqldb", Tried.COMPILES, read_only=True),
    Driver(
        *("MySQL", "mysql+mysqlconnector", Tried.COMPILES),
        streams=False,
        read_only=True,
        instead=_TO_PYMYSQL,
    ),
    Driver("Redshift", "redshift+psycopg2", Tried.EMULATOR, "redshift", read_only=True),
    Driver(
        *("Redshift", "redshift+redshift_connector", Tried.COMPILES),
        streams=False,
        instead="redshift+psycopg2:// streams",
    ),
    Driver("Snowflake", "snowflake+snowflake", Tried.EMULATOR, "snowflake"),
    Driver("BigQuery", "bigquery+bigquery", Tried.EMULATOR, "bigquery"),
    Driver(
        *("ClickHouse", "clickhousedb+connect", Tried.EMULATOR, "clickhouse"),
        streams=False,
        instead=_LESS,
    ),
    Driver("Databricks", "databricks+databricks", Tried.COMPILES, "databricks"),
    Driver("Trino", "trino+rest", Tried.COMPILES, "trino"),
    Driver("Athena", "awsathena+rest", Tried.COMPILES, "athena"),
    Driver("SQL Server", "mssql+pyodbc", Tried.COMPILES, streams=False, instead=_LESS),
    Driver("SQL Server", "mssql+pymssql", Tried.COMPILES, "mssql", streams=False, instead=_LESS),
    Driver("Oracle", "oracle+oracledb", Tried.COMPILES, "oracle", read_only=True),
)
"""The first of each kind is the one that is meant where a URL names none."""


def driver_of(url: URL) -> Driver | None:
    """What is known of the driver that `url` names; None where nothing is."""
    dialect, _, driver = url.drivername.partition("+")
    known = [each for each in DRIVERS if each.dialect == dialect]
    if dialect == "duckdb" or not driver:
        return known[0] if known else None
    return next((each for each in known if each.url == url.drivername), None)


def brought_for(dialect: str) -> Driver | None:
    """The driver for this kind of warehouse that an extra of ours brings."""
    return next((each for each in DRIVERS if each.dialect == dialect and each.extra), None)


def cautions(url: URL) -> list[str]:
    """What somebody who reads a warehouse through this driver should know."""
    driver = driver_of(url)
    if driver is None:
        return [f"{url.drivername}:// was never tried with this program; grant only SELECT"]
    told = []
    if not driver.read_only or is_motherduck(url):
        told.append(
            f"read-only: cannot be enforced on {driver.title}; grant the user of the warehouse"
            " only SELECT"
        )
    if not driver.streams:
        told.append(
            f"the driver of {url.drivername}:// does not stream: it holds all rows of a model in"
            f" memory before the first is read; {driver.instead}"
        )
    return told


def is_motherduck(url: URL) -> bool:
    """Whether DuckDB is only the way to a service, which opens nothing read-only."""
    return url.get_backend_name() == "duckdb" and (url.database or "").startswith("md:")
