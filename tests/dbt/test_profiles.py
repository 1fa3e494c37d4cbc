"""profiles.yml as a connection: six adapters, env_var() alone, and no secret in a word."""

from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from connector.rules.dbt.profiles import Profiles, Target
from connector.rules.errors import ConfigurationError
from connector.warehouse.profiles import connection_of

ENVIRONMENT = {"PASSWORD": "s3cret/@:", "PORT": "5433"}


def profiles(tmp_path: Path, content: Any, **environment: str) -> Profiles:
    (tmp_path / "dbt_project.yml").write_text("name: shop\nprofile: shop\n")
    with (tmp_path / "profiles.yml").open("w") as file:
        YAML().dump(content, file)
    return Profiles(tmp_path, {**ENVIRONMENT, **environment})


def a_target(tmp_path: Path, **settings: Any) -> Target:
    content = {"shop": {"target": "prod", "outputs": {"prod": settings}}}
    return profiles(tmp_path, content).target(None, None)


GOLDEN: dict[str, tuple[dict[str, Any], str, dict[str, Any], tuple[str | None, str | None]]] = {
    "duckdb": (
        {"type": "duckdb", "path": "shop.duckdb", "settings": {"memory_limit": "1GB"}},
        "duckdb:///{folder}/shop.duckdb",
        {"config": {"memory_limit": "1GB"}},
        ("shop", "main"),
    ),
    "postgres": (
        {
            "type": "postgres",
            "host": "db.example.com",
            "port": "{{ env_var('PORT') | as_number }}",
            "user": "reader",
            "password": "{{ env_var('PASSWORD') }}",
            "dbname": "shop",
            "schema": "marts",
            "sslmode": "require",
            "role": "analysts",
        },
        "postgresql://reader:s3cret%2F%40%3A@db.example.com:5433/shop",
        {"sslmode": "require", "options": "-c role=analysts"},
        ("shop", "marts"),
    ),
    "redshift": (
        {
            "type": "redshift",
            "host": "c.eu.redshift.amazonaws.com",
            "port": 5439,
            "user": "reader",
            "password": '{{env_var("PASSWORD")}}',
            "dbname": "shop",
            "schema": "marts",
        },
        "redshift+psycopg2://reader:s3cret%2F%40%3A@c.eu.redshift.amazonaws.com:5439/shop",
        {},
        ("shop", "marts"),
    ),
    "snowflake": (
        {
            "type": "snowflake",
            "account": "xy12345.eu-west-1",
            "user": "READER",
            "private_key_path": "/keys/rsa.p8",
            "private_key_passphrase": "{{ env_var('PASSWORD', 'none') }}",
            "role": "ANALYST",
            "warehouse": "SMALL",
            "database": "SHOP",
            "schema": "MARTS",
        },
        "snowflake://READER@xy12345.eu-west-1/SHOP/MARTS",
        {
            "role": "ANALYST",
            "warehouse": "SMALL",
            "private_key_file": "/keys/rsa.p8",
            "private_key_file_pwd": "s3cret/@:",
        },
        ("SHOP", "MARTS"),
    ),
    "bigquery": (
        {
            "type": "bigquery",
            "method": "service-account",
            "keyfile": "/keys/bq.json",
            "project": "shop-prod",
            "dataset": "marts",
            "location": "EU",
        },
        "bigquery://shop-prod/marts?location=EU",
        {"credentials_path": "/keys/bq.json"},
        ("shop-prod", "marts"),
    ),
    "databricks": (
        {
            "type": "databricks",
            "host": "adb-1.azuredatabricks.net",
            "http_path": "/sql/1.0/warehouses/a",
            "token": "{{ env_var('PASSWORD') }}",
            "catalog": "main",
            "schema": "marts",
        },
        "databricks://token:s3cret%2F%40%3A@adb-1.azuredatabricks.net"
        "?catalog=main&http_path=%2Fsql%2F1.0%2Fwarehouses%2Fa&schema=marts",
        {},
        ("main", "marts"),
    ),
}


@pytest.mark.parametrize("adapter", GOLDEN)
def test_an_adapter_is_a_url_and_what_the_driver_gets(adapter, tmp_path):
    settings, url, arguments, place = GOLDEN[adapter]
    target = a_target(tmp_path, **settings)

    made, given = connection_of(target, tmp_path)

    assert made.render_as_string(hide_password=False) == url.format(folder=tmp_path)
    assert given == arguments
    assert (target.database, target.schema) == place


@pytest.mark.parametrize(
    ("password", "said"),
    [
        ("{{ env_var('NOT_SET') }}", "wants the environment variable NOT_SET, which is not set"),
        ("{{ var('password') }}", "holds Jinja that is not understood here; only"),
        ("s3cret{% if x %}", "holds Jinja that is not understood here"),
        ("{{ env_var('PASSWORD') ~ 'x' }}", "holds Jinja that is not understood here"),
    ],
)
def test_what_is_not_filled_in_is_refused_without_a_value(tmp_path, password, said):
    target = a_target(tmp_path, type="postgres", host="h", user="u", password=password, dbname="d")

    with pytest.raises(ConfigurationError, match=r"shop\.outputs\.prod\.password") as caught:
        connection_of(target, tmp_path)
    assert said in str(caught.value)
    assert "s3cret" not in str(caught.value)
    assert target.database == "d", "what is not asked for is not filled in"


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"type": "trino"}, 'of the type "trino" is not taken from there; known are duckdb'),
        ({"type": "postgres", "user": "u", "dbname": "d"}, "host is missing"),
        ({"type": "redshift", "method": "iam"}, 'method "iam" is not taken from there'),
        ({"type": "bigquery", "method": "oauth-secrets", "project": "p"}, "oauth-secrets"),
        ({"type": "duckdb", "path": "a.duckdb", "attach": [{"path": "b"}]}, "attach is not taken"),
    ],
)
def test_what_is_not_understood_says_to_write_the_url(tmp_path, settings, said):
    with pytest.raises(ConfigurationError, match=said):
        connection_of(a_target(tmp_path, **settings), tmp_path)


def test_a_profile_and_a_target_that_are_not_there_are_named_with_the_nearest(tmp_path):
    known = profiles(tmp_path, {"shop": {"outputs": {"prod": {"type": "duckdb"}}}})

    with pytest.raises(ConfigurationError, match='no target "prd"; did you mean "prod"'):
        known.target(None, "prd")
    with pytest.raises(ConfigurationError, match='no profile "shpo"; did you mean "shop"'):
        known.target("shpo", "prod")


def test_profiles_are_looked_for_where_dbt_looks(tmp_path):
    there = {"shop": {"target": "a", "outputs": {"a": {"type": "duckdb"}}}}
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    profiles(elsewhere, {"shop": {"target": "b", "outputs": {"b": {"type": "duckdb"}}}})

    assert profiles(tmp_path, there).target(None, None).name == "a"
    told = profiles(tmp_path, there, DBT_PROFILES_DIR=str(elsewhere))
    assert told.target(None, None).name == "b"


def test_a_file_that_is_no_yaml_shows_nothing_of_it(tmp_path):
    known = profiles(tmp_path, {})
    (tmp_path / "profiles.yml").write_text("shop: {password: s3cret: s3cret")

    with pytest.raises(
        ConfigurationError, match=r"profiles\.yml:1:24: cannot be read as YAML"
    ) as caught:
        known.target(None, None)
    assert "s3cret" not in str(caught.value)
