"""What each kind of warehouse calls things: its types, and the SQL that differs between them.

The table in docs/warehouses.md is made of this list and of what is known of the drivers.
"""

from collections.abc import Sequence
from dataclasses import dataclass

MANY = 300_000
"""Rows of the large model."""
ROWS = 7


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of warehouse, as the promises know it."""

    name: str
    driver: str
    """As `connector.warehouse.drivers` has it."""
    on: str
    """What answers in the tests."""
    many: str
    """A source of MANY numbers called `n`, from 1."""
    text: str = "varchar(40)"
    whole: str = "integer"
    amount: str = "decimal(10, 2)"
    truth: str = "boolean"
    moment: str = "timestamp"
    instant: str | None = "timestamptz"
    """A type that is a point in time; None where there is none."""
    table: str = "reviews"
    end: str = ""
    """What must follow the columns of a table."""
    instant_text: str = "'{} {}+00:00'"
    emulated: bool = False
    microseconds: bool = True
    """Whether a bound is as fine as a cursor."""
    writes: str = "delete from reviews where 1 = 1"
    side_effect: Sequence[str] = ()
    """What makes a function `sly` that writes when it is called."""
    called: str = "select sly() as id"
    wide: str = "'{}' || n"
    """A long text that ends in a number."""
    rest: str = "n % 7"
    null_moments: bool = True
    """Whether a time may be NULL; an emulator that says so breaks its own client."""
    refuses: bool = True
    """Whether a write is refused here; by an emulator not always, where the database would."""

    def rows(self) -> list[str]:
        """The statements that make a table of ROWS reviews."""
        columns = [
            f"review_id {self.text}",
            f"contact {self.text}",
            f"sku {self.text}",
            f"rating {self.whole}",
            f"price {self.amount}",
            f"verified {self.truth}",
            "day date",
            f"reviewed_at {self.moment}",
        ]
        columns += [f"seen_at {self.instant}"] if self.instant else []
        values = ", ".join(f"({', '.join(self._row(number))})" for number in range(ROWS))
        return [
            f"create table {self.table} ({', '.join(columns)}){self.end}",
            f"insert into {self.table} values {values}",
        ]

    def _row(self, number: int) -> list[str]:
        rating = "null" if number == 3 else str(number)
        truth = "true" if number % 2 else "false"
        day = f"2026-03-0{number // 2 + 1}"
        at = f"08:00:00.00000{number}"
        moment = "null" if number == ROWS - 1 and self.null_moments else f"'{day} {at}'"
        row = [f"'r{number}'", f"'c{number}'", f"'S:{number}%x'", rating, f"{number}.50"]
        row += [truth, f"'2026-03-0{number + 1}'", moment]
        return row + ([self.instant_text.format(day, at)] if self.instant else [])


GENERATED = f"(select * from generate_series(1, {MANY}) as g(n)) as numbers"
COUNTED = (
    f"(with recursive counted(n) as (select 1 union all select n + 1 from counted where n < {MANY})"
    " select n from counted) as numbers"
)
SLY_POSTGRESQL = (
    "create table written (id integer)",
    "create function sly() returns integer language plpgsql as"
    " 'begin insert into written values (1); return 1; end'",
)
KINDS = (
    Kind("duckdb", "duckdb+connector", "a DuckDB file", GENERATED),
    Kind("parquet", "duckdb+connector", "DuckDB in memory, over Parquet", GENERATED, refuses=False),
    Kind(
        *("sqlite", "sqlite+pysqlite", "a SQLite file", COUNTED),
        moment="text",
        instant=None,
    ),
    Kind(
        *("postgresql", "postgresql+psycopg", "PostgreSQL's server", GENERATED),
        side_effect=SLY_POSTGRESQL,
    ),
    Kind(
        *("psycopg2", "postgresql+psycopg2", "PostgreSQL's server", GENERATED),
        side_effect=SLY_POSTGRESQL,
    ),
    Kind(
        *("mariadb", "mysql+pymysql", "MariaDB's server"),
        many=f"(select seq as n from seq_1_to_{MANY}) as numbers",
        moment="datetime(6)",
        instant="timestamp(6) null",
        wide="concat('{}', n)",
        instant_text="convert_tz('{} {}', '+00:00', @@session.time_zone)",
        side_effect=(
            "create table written (id integer)",
            "create function sly() returns integer modifies sql data"
            " begin insert into written values (1); return 1; end",
        ),
    ),
    Kind(
        *("redshift", "redshift+psycopg2", "PostgreSQL's server, with Redshift's dialect"),
        many=GENERATED,
        emulated=True,
        side_effect=SLY_POSTGRESQL,
    ),
    Kind(
        *("snowflake", "snowflake+snowflake", "fakesnow"),
        many=f"(select seq4() + 1 as n from table(generator(rowcount => {MANY}))) as numbers",
        whole="number(38, 0)",
        amount="number(10, 2)",
        moment="timestamp_ntz",
        instant="timestamp_tz",
        emulated=True,
        null_moments=False,
        refuses=False,
    ),
    Kind(
        *("bigquery", "bigquery+bigquery", "bqemulator"),
        many=f"(select n from unnest(generate_array(1, {MANY})) as n) as numbers",
        text="string",
        whole="int64",
        amount="numeric",
        truth="bool",
        moment="datetime",
        instant="timestamp",
        table="shop.reviews",
        wide="concat('{}', cast(n as string))",
        rest="mod(n, 7)",
        emulated=True,
        refuses=False,
    ),
    Kind(
        *("clickhouse", "clickhousedb+connect", "chdb, ClickHouse's engine"),
        many=f"(select number + 1 as n from numbers({MANY})) as numbers",
        text="String",
        whole="Nullable(Int32)",
        truth="Bool",
        moment="Nullable(DateTime64(6))",
        instant=None,
        microseconds=False,
        end=" engine = MergeTree order by review_id",
        wide="concat('{}', toString(n))",
        emulated=True,
        refuses=False,
    ),
)
