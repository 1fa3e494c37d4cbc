"""Make a project that works at once: configuration, models, schemas, and a warehouse to read."""

import json
import shutil
from pathlib import Path

from connector.project.settings import json_schema
from connector.rules.errors import ConfigurationError, did_you_mean
from connector.sandbox.demo import sample

PACKAGED = Path(__file__).parent / "starter"
REPOSITORY = Path(__file__).parents[3]
"""In a checkout, the repository's own project is the starter; a wheel carries a copy of it."""

STARTERS = Path(__file__).parent / "starters"
"""By type, the starters of the other destinations; `env.example` there is `.env.example`."""

FILES = ("activations.yaml", ".env.example", "models", "schemas")
IGNORED = ".connector/\n.env\n*.duckdb\n*.duckdb.wal\n"


def types() -> list[str]:
    """The types of destinations that there is a starter for."""
    return ["engage", *sorted(each.name for each in STARTERS.iterdir() if each.is_dir())]


def create(directory: Path, type: str = "engage") -> None:
    """Write the starter project for a destination of this type, and its sample data, into
    `directory`.

    Raises ConfigurationError, and writes nothing, when something of that name is there already, or
    for a type that there is no starter for.
    """
    if type not in types():
        near = did_you_mean(type, types())
        raise ConfigurationError(f'there is no starter for the destination type "{type}"{near}')
    made = (*FILES, ".gitignore", "activations.schema.json", "warehouse.duckdb", "contacts.csv")
    there = [name for name in made if (directory / name).exists()]
    if there:
        raise ConfigurationError(f"{directory} already has {', '.join(there)}; nothing was written")
    directory.mkdir(parents=True, exist_ok=True)
    ours = PACKAGED if PACKAGED.is_dir() else REPOSITORY
    source = ours if type == "engage" else STARTERS / type
    for name in FILES:
        given = source / name.lstrip("." if type != "engage" else "")
        copy = shutil.copytree if given.is_dir() else shutil.copyfile
        copy(given, directory / name)
    (directory / ".gitignore").write_text(IGNORED)
    (directory / "activations.schema.json").write_text(json.dumps(json_schema(), indent=2) + "\n")
    sample.build(directory / "warehouse.duckdb")
    if type == "engage":
        sample.write_contacts(directory / "contacts.csv")
