"""What is told of a driver before it is used: what it cannot do, and what to use instead."""

import pytest
from sqlalchemy import make_url

from connector.warehouse.drivers import DRIVERS, cautions, driver_of

READ_ONLY = "read-only: cannot be enforced on {}; grant the user of the warehouse only SELECT"


@pytest.mark.parametrize(
    "url",
    [
        "duckdb:///shop.duckdb",
        "duckdb:///:memory:",
        "sqlite:///shop.db",
        "postgresql://host/shop",
        "postgresql+psycopg://host/shop",
        "mysql+pymysql://host/shop",
        "redshift+psycopg2://host/shop",
        "redshift://host/shop",
    ],
)
def test_of_what_can_do_everything_nothing_is_told(url: str) -> None:
    assert cautions(make_url(url)) == []


@pytest.mark.parametrize(
    ("url", "title"),
    [
        ("snowflake://host/shop", "Snowflake"),
        ("bigquery://project/shop", "BigQuery"),
        ("databricks://host", "Databricks"),
        ("trino://host", "Trino"),
        ("duckdb:///md:shop", "DuckDB"),
    ],
)
def test_where_writes_cannot_be_refused_a_grant_is_named(url: str, title: str) -> None:
    assert cautions(make_url(url)) == [READ_ONLY.format(title)]


@pytest.mark.parametrize(
    ("url", "instead"),
    [
        ("mysql+mysqlconnector://host/shop", "mysql+pymysql:// streams"),
        ("redshift+redshift_connector://host/shop", "redshift+psycopg2:// streams"),
        ("clickhousedb://host/shop", "give the activation a cursor"),
    ],
)
def test_of_a_driver_that_does_not_stream_another_way_is_named(url: str, instead: str) -> None:
    last = cautions(make_url(url))[-1]

    assert f"{url.partition('://')[0]}:// does not stream" in last
    assert instead in last


def test_of_a_driver_that_nobody_tried_that_is_told() -> None:
    (told,) = cautions(make_url("firebird://host/shop"))

    assert told == "firebird:// was never tried with this program; grant only SELECT"


def test_each_driver_stands_once_and_says_what_to_do_instead() -> None:
    assert len({driver.url for driver in DRIVERS}) == len(DRIVERS)
    for driver in DRIVERS:
        assert driver.streams == (not driver.instead)
        assert driver_of(make_url(f"{driver.url}://host")) == driver
