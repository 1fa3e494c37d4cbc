"""Activations as exposures of dbt: for its lineage, who else depends on a model."""

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from connector.project.dbt import manifest_file
from connector.project.settings import Settings
from connector.rules.activation import Activation
from connector.rules.dbt.manifest import Node, read_manifest
from connector.rules.deed import Document
from connector.rules.errors import ConfigurationError
from connector.rules.errors import Path as KeyPath

HEADER = "# Written by `connector dbt exposures`: what is sent from models of dbt.\n"
NOBODY = "connector"
NAME = re.compile(r"\w+")


def exposures(settings: Settings) -> list[Document]:
    """An exposure for each activation that reads dbt: whose rows, or whose contacts' ids, come from
    a model of it. Raises ConfigurationError for a model that cannot be found."""
    reading = [each for each in settings.project.activations.values() if _read_by(each)]
    names = _names([each.name for each in reading])
    return [_exposure(settings, each, names[each.name]) for each in reading]


def _read_by(activation: Activation) -> dict[str, KeyPath]:
    """The models of dbt that an activation reads, and where they are named."""
    path, lookup = ("activations", activation.name), activation.contact.table
    found: dict[str, KeyPath] = {}
    if lookup and lookup.dbt is not None:
        found[lookup.dbt] = (*path, "contact", "lookup")
    if activation.model.dbt is not None:
        found = {activation.model.dbt: (*path, "model"), **found}
    return found


def _names(activations: Sequence[str]) -> dict[str, str]:
    """What the exposure of each is called: in letters, digits and "_", and each its own name."""
    called: dict[str, str] = {}
    for name in sorted(activations, key=lambda name: not NAME.fullmatch(name)):
        plain = name_of = re.sub(r"\W", "_", f"connector_{name}")
        number = 1
        while name_of in called.values():  # of web-orders, where there are web_orders
            number += 1
            name_of = f"{plain}_{number}"
        called[name] = name_of
    return called


def _exposure(settings: Settings, activation: Activation, called: str) -> Document:
    manifest_json = manifest_file(settings)
    refs = dict.fromkeys(
        _ref(read_manifest(manifest_json, path).find(model, path))
        for model, path in _read_by(activation).items()
    )
    project = settings.project
    destination = project.destination_of(activation)
    there = project.destinations[destination]
    about = {
        "activation": activation.name,
        "destination": destination,
        "type": there.type,
        "row_key": list(activation.row_key),
        "tags": list(activation.tags),
    }
    owner = activation.owner or NOBODY
    return {
        "name": called,
        "label": activation.name,
        "type": "application",
        "description": activation.description or f"Rows that are sent to {destination}.",
        "url": there.url,
        "owner": {"email": owner} if "@" in owner else {"name": owner},
        "depends_on": list(refs),
        "meta": {"connector": about},
    }


def _ref(node: Node) -> str:
    """As dbt names a node."""
    version = "" if node.version is None else f", v={json.dumps(_number(node.version))}"
    return f"ref('{node.package}', '{node.name}'{version})"


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
