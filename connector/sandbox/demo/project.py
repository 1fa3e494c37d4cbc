"""Make a project that works at once: configuration, models, schemas, and a warehouse to read."""

import json
import shutil
from pathlib import Path

from connector.project.settings import json_schema
from connector.rules.errors import ConfigurationError
from connector.sandbox.demo import sample

PACKAGED = Path(__file__).parent / "starter"
REPOSITORY = Path(__file__).parents[3]
"""In a checkout, the repository's own project is the starter; a wheel carries a copy of it."""

FILES = ("activations.yaml", ".env.example", "models", "schemas")
IGNORED = ".connector/\n.env\n*.duckdb\n*.duckdb.wal\n"


def create(directory: Path) -> None:
    """Write the starter project and its sample data into `directory`.

    Raises ConfigurationError, and writes nothing, when something of that name is there already.
    """
    made = (*FILES, ".gitignore", "activations.schema.json", "warehouse.duckdb", "contacts.csv")
    there = [name for name in made if (directory / name).exists()]
    if there:
        raise ConfigurationError(f"{directory} already has {', '.join(there)}; nothing was written")
    directory.mkdir(parents=True, exist_ok=True)
    source = PACKAGED if PACKAGED.is_dir() else REPOSITORY
    for name in FILES:
        copy = shutil.copytree if (source / name).is_dir() else shutil.copyfile
        copy(source / name, directory / name)
    (directory / ".gitignore").write_text(IGNORED)
    (directory / "activations.schema.json").write_text(json.dumps(json_schema(), indent=2) + "\n")
    sample.build(directory / "warehouse.duckdb")
    sample.write_contacts(directory / "contacts.csv")
