"""Fill a sandbox from files: schemas from YAML or JSON, contacts from CSV."""

import csv
from pathlib import Path
from typing import Any

import orjson
from ruamel.yaml import YAML
from ruamel.yaml.constructor import SafeConstructor
from ruamel.yaml.error import YAMLError

from connector.sandbox.engage.store import Engage
from connector.sandbox.exchange import Refusal


class LoadError(ValueError):
    """A file cannot be loaded; the message names it and says why."""


SCHEMA_FILES = (".yaml", ".yml", ".json")


class JsonOnly(SafeConstructor):
    """Makes of YAML what JSON has, too: a time stays a text."""


JsonOnly.add_constructor("tag:yaml.org,2002:timestamp", SafeConstructor.construct_yaml_str)


def load_schemas(engage: Engage, directory: Path) -> list[str]:
    """Register every schema of a directory, in order of the files' names, and return their ids.

    Each file, *.yaml, *.yml or *.json, holds `{id, displayName, jsonSchema}`. Raises LoadError for
    a directory that is not there and for a file that Engage would refuse.
    """
    if not directory.is_dir():
        raise LoadError(f"{directory}: there is no such directory")
    paths = sorted(path for path in directory.glob("*") if path.suffix in SCHEMA_FILES)
    return [_load_schema(engage, path) for path in paths]


def load_contacts(engage: Engage, csv_path: Path) -> int:
    """Add a contact for every row of a CSV file, and return how many there were.

    The header names columns among contactId, contactType, email, mobilePhone,
    socialSecurityNumber, memberNumber and externalId. Raises LoadError, naming the line, for a
    column that is none of these and for a value that is malformed; rows before it are kept.
    """
    number = 0
    try:
        with csv_path.open(encoding="utf-8-sig", newline="") as file:
            for row in (reader := csv.DictReader(file, strict=True)):
                _add_contact(engage, row, f"{csv_path}:{reader.line_num}")
                number += 1
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise LoadError(f"{csv_path}: {_why(error)}") from error
    return number


def _why(error: Exception) -> str:
    match error:
        case OSError():
            return error.strerror or type(error).__name__
        case UnicodeDecodeError():
            return "not a text in UTF-8; save the file as UTF-8"
    return str(error)


def _load_schema(engage: Engage, path: Path) -> str:
    try:
        return engage.add_schema(_content(path)).id
    except (OSError, UnicodeDecodeError, orjson.JSONDecodeError, YAMLError, Refusal) as error:
        raise LoadError(f"{path}: {_why(error)}") from error


def _content(path: Path) -> Any:
    if path.suffix == ".json":
        return orjson.loads(path.read_bytes())
    yaml = YAML(typ="safe", pure=True)
    yaml.Constructor = JsonOnly
    return yaml.load(path.read_text(encoding="utf-8-sig"))


def _add_contact(engage: Engage, row: dict[str, str], place: str) -> None:
    if None in row or None in row.values():
        raise LoadError(f"{place}: the row has not as many values as the header has columns")
    try:
        engage.add_contact(row)
    except ValueError as error:
        raise LoadError(f"{place}: {error}") from error
