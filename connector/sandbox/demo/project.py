"""Make a project that works at once: configuration, models, schemas, and a warehouse to read."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

from connector.project.settings import json_schema
from connector.rules.errors import ConfigurationError, did_you_mean
from connector.sandbox.demo import sample

PACKAGED = Path(__file__).parent / "starter"
REPOSITORY = Path(__file__).parents[3]
"""In a checkout, the repository's own project is the starter for Engage; a wheel carries a copy."""
STARTERS = Path(__file__).parent / "starters"
"""The other starters, by the type of their destination."""

FILES = ("activations.yaml", ".env.example", "models", "schemas")
IGNORED = ".connector/\n.env\n*.duckdb\n*.duckdb.wal\n"


def types() -> list[str]:
    """The types of destinations that a project can be made for."""
    return ["engage", *sorted(folder.name for folder in STARTERS.iterdir() if folder.is_dir())]


def create(directory: Path, type: str = "engage") -> list[Path]:
    """Write the starter project for a destination, and its sample data, into `directory`; the files
    that were written.

    Raises ConfigurationError, and writes nothing, when something of that name is there already, or
    no project can be made for destinations of this `type`.
    """
    if type not in types():
        hint = did_you_mean(type, types())
        raise ConfigurationError(f'there is no project to start from for "{type}"{hint}')
    source = _source(type)
    files = [name for name in FILES if (source / name).exists()]
    contacts = ["contacts.csv"] if type == "engage" else []
    made = [*files, ".gitignore", "activations.schema.json", "warehouse.duckdb", *contacts]
    there = [name for name in made if (directory / name).exists()]
    if there:
        raise ConfigurationError(f"{directory} already has {', '.join(there)}; nothing was written")
    directory.mkdir(parents=True, exist_ok=True)
    for name in files:
        copy = shutil.copytree if (source / name).is_dir() else shutil.copyfile
        copy(source / name, directory / name)
    (directory / ".gitignore").write_text(IGNORED)
    (directory / "activations.schema.json").write_text(json.dumps(json_schema(), indent=2) + "\n")
    sample.build(directory / "warehouse.duckdb")
    if contacts:
        sample.write_contacts(directory / "contacts.csv")
    written = (directory / name for name in made)
    return sorted(file for path in written for file in _files(path))


def _files(path: Path) -> Iterator[Path]:
    return (file for file in path.rglob("*") if file.is_file()) if path.is_dir() else iter([path])


def _source(type: str) -> Path:
    if type != "engage":
        return STARTERS / type
    return PACKAGED if PACKAGED.is_dir() else REPOSITORY
