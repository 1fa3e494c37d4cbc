"""Activations as exposures of dbt: for its lineage, who else depends on a model."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

from connector.project.dbt import manifest_file
from connector.project.settings import Settings
from connector.rules.activation import Activation
from connector.rules.dbt.manifest import read_manifest
from connector.rules.deed import Document
from connector.rules.errors import ConfigurationError

HEADER = "# Written by `connector dbt exposures`: what is sent from models of dbt.\n"
NOBODY = "connector"


def exposures(settings: Settings) -> list[Document]:
    """An exposure for each activation whose model is one of dbt's. Raises ConfigurationError for a
    model that cannot be found."""
    return [
        _exposure(settings, activation)
        for activation in settings.project.activations.values()
        if activation.model.dbt is not None
    ]


def _exposure(settings: Settings, activation: Activation) -> Document:
    path = ("activations", activation.name, "model")
    assert activation.model.dbt is not None
    manifest = read_manifest(manifest_file(settings), path)
    node = manifest.find(activation.model.dbt, path)
    project = settings.project
    destination = project.destination_of(activation)
    there = project.destinations[destination]
    version = "" if node.version is None else f", v={json.dumps(_number(node.version))}"
    called = f"'{node.package}', '{node.name}'{version}"
    about = {
        "activation": activation.name,
        "destination": destination,
        "type": there.type,
        "row_key": list(activation.row_key),
        "tags": list(activation.tags),
    }
    owner = activation.owner or NOBODY
    return {
        "name": re.sub(r"\W", "_", f"connector_{activation.name}"),
        "label": activation.name,
        "type": "application",
        "description": activation.description or f"Rows that are sent to {destination}.",
        "url": there.url,
        "owner": {"email": owner} if "@" in owner else {"name": owner},
        "depends_on": [f"ref({called})"],
        "meta": {"connector": about},
    }


def _number(version: str) -> int | str:
    return int(version) if version.isdecimal() else version


def as_yaml(found: list[Document]) -> str:
    """The file that dbt reads: each value as JSON, which YAML takes as it stands."""
    return HEADER + "\n".join(["version: 2", "", "exposures:", *_lines(found)]) + "\n"


def _lines(found: list[Document]) -> Iterator[str]:
    if not found:
        yield "  []"
    for each in found:
        sign = "-"
        for key, value in each.items():
            yield f"  {sign} {key}: {json.dumps(value, ensure_ascii=False)}"
            sign = " "


def write(file: Path, text: str) -> None:
    """Write the exposures, over those that were written before. Raises ConfigurationError where the
    file holds something else."""
    try:
        if file.exists() and not file.read_bytes().startswith(HEADER.encode()):
            raise ConfigurationError(f"{file} was not written by this command; name another file")
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ConfigurationError(f"cannot write {file}: {error.strerror}") from None
