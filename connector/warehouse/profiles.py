"""A target of dbt's profiles.yml as a connection: a SQLAlchemy URL, and what the driver gets."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sqlalchemy import URL

from connector.rules.dbt.profiles import Target
from connector.rules.errors import ConfigurationError, Problem

Connection = tuple[URL, dict[str, Any]]

ADAPTERS = ("duckdb", "postgres", "redshift", "snowflake", "bigquery", "databricks")
POSTGRES_OPTIONS = ("sslmode", "sslcert", "sslkey", "sslrootcert", "connect_timeout")
SNOWFLAKE_OPTIONS = ("role", "warehouse", "authenticator", "token", "private_key_path")


def connection_of(target: Target, folder: Path) -> Connection:
    """How the warehouse of `target` is opened; `folder`: where dbt is run, from which it takes
    relative paths. Raises ConfigurationError, without a value, for what is not understood."""
    match target.adapter:
        case "duckdb":
            return _duckdb(target, folder)
        case "postgres":
            return _postgres(target, "postgresql")
        case "redshift":
            return _postgres(target, "redshift+psycopg2")
        case "snowflake":
            return _snowflake(target, folder)
        case "bigquery":
            return _bigquery(target, folder)
        case "databricks":
            return _databricks(target)
        case other:
            known = ", ".join(ADAPTERS)
            raise _wrong(target, f'a connection of the type "{other}" is not taken from there;'
                         f" known are {known}. Write warehouse.url")  # fmt: skip


def _duckdb(target: Target, folder: Path) -> Connection:
    path = target.text("path") or ":memory:"
    if target.value("attach"):
        raise _wrong(target, "attach is not taken from there; write warehouse.url and session")
    if path != ":memory:" and not path.startswith(("md:", "motherduck:")):
        path = str((folder / Path(path).expanduser()).resolve())
    settings = target.value("settings") or {}
    return URL.create("duckdb", database=path), {"config": settings} if settings else {}


def _postgres(target: Target, driver: str) -> Connection:
    if (method := target.text("method") or "database") != "database":
        raise _wrong(target, f'method "{method}" is not taken from there; write warehouse.url')
    url = URL.create(
        driver,
        username=_needed(target, "user"),
        password=target.text("password") or target.text("pass"),
        host=_needed(target, "host"),
        port=_number(target, "port"),
        database=target.text("dbname") or _needed(target, "database"),
    )
    arguments = {key: found for key in POSTGRES_OPTIONS if (found := target.text(key))}
    options = [f"-c search_path={path}"] if (path := target.text("search_path")) else []
    options += [f"-c role={role}"] if (role := target.text("role")) else []
    return url, {**arguments, **({"options": " ".join(options)} if options else {})}


def _snowflake(target: Target, folder: Path) -> Connection:
    database, schema = _needed(target, "database"), target.text("schema")
    url = URL.create(
        "snowflake",
        username=_needed(target, "user"),
        password=target.text("password"),
        host=_needed(target, "account"),
        database=f"{database}/{schema}" if schema else database,
    )
    given = {key: found for key in SNOWFLAKE_OPTIONS if (found := target.text(key))}
    if "private_key_path" in given:
        given["private_key_file"] = str(folder / Path(given.pop("private_key_path")).expanduser())
    elif key := target.text("private_key"):
        given["private_key"] = key
    if phrase := target.text("private_key_passphrase"):
        given["private_key_file_pwd"] = phrase
    return url, given


def _bigquery(target: Target, folder: Path) -> Connection:
    project = target.text("project") or _needed(target, "database")
    dataset = target.text("dataset") or target.text("schema")
    query = {"location": location} if (location := target.text("location")) else {}
    arguments: dict[str, Any] = {}
    match method := target.text("method") or "oauth":
        case "oauth":
            pass
        case "service-account":
            file = folder / Path(_needed(target, "keyfile")).expanduser()
            arguments["credentials_path"] = str(file)
        case "service-account-json":
            arguments["credentials_info"] = _mapping(target, "keyfile_json")
        case _:
            raise _wrong(target, f'method "{method}" is not taken from there; write warehouse.url')
    return URL.create("bigquery", host=project, database=dataset, query=query), arguments


def _databricks(target: Target) -> Connection:
    if (method := target.text("auth_type")) not in (None, "token"):
        raise _wrong(target, f'auth_type "{method}" is not taken from there; write warehouse.url')
    query = {"http_path": _needed(target, "http_path")}
    query |= {key: found for key in ("catalog", "schema") if (found := target.text(key))}
    url = URL.create(
        "databricks",
        username="token",
        password=_needed(target, "token"),
        host=_needed(target, "host").removeprefix("https://").rstrip("/"),
        query=query,
    )
    return url, {}


def _needed(target: Target, key: str) -> str:
    if found := target.text(key):
        return found
    raise _wrong(target, f"{key} is missing")


def _number(target: Target, key: str) -> int | None:
    text = target.text(key)
    if text is not None and not text.isdecimal():
        raise _wrong(target, f"{key} is not a number")
    return int(text) if text else None


def _mapping(target: Target, key: str) -> Mapping[str, Any]:
    found = target.value(key)
    if not isinstance(found, dict):
        raise _wrong(target, f"{key} is not a mapping")
    return found


def _wrong(target: Target, text: str) -> ConfigurationError:
    where = f"{target.profile}.outputs.{target.name}"
    return ConfigurationError(Problem(target.path, f"{target.file}: {where}: {text}"))
