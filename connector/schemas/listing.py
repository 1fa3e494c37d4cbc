"""What there is: the schemas that are live, and those that have a file."""

import asyncio
from pathlib import Path

from connector.rules.deed import Document
from connector.rules.definition import MOST_SCHEMAS, Definition
from connector.rules.difference import difference
from connector.schemas import files
from connector.schemas.catalogue import Catalogue, Use, configured, interactions


async def list_schemas(catalogue: Catalogue) -> Document:
    """Every schema that is live, or has a file."""
    live = await catalogue.definitions()
    local = {}
    for path in files.folder_files(catalogue.base):
        definition = files.read(path).content
        local[definition.id if definition else path.stem] = (path, definition)
    uses = await asyncio.to_thread(catalogue.uses)
    return {
        "destination": catalogue.destination,
        "live": len(live),
        "most": MOST_SCHEMAS,
        "schemas": [
            _listed(
                schema_id,
                live.get(schema_id),
                local.get(schema_id, (None, None)),
                uses.get(schema_id.casefold(), []),
            )
            for schema_id in dict.fromkeys((*live, *local))
        ],
    }


def _listed(
    schema_id: str,
    live: Definition | None,
    file: tuple[Path | None, Definition | None],
    uses: list[Use],
) -> Document:
    path, local = file
    known = live or local
    return {
        "id": schema_id,
        "display_name": known.display_name if known else None,
        "live": live is not None,
        "file": str(path) if path else None,
        "in_step": not difference(live, local) if live and local else None,
        "properties": len(known.properties) if known else None,
        "segmentable": len(known.segmented) if known else None,
        "activations": configured(uses),
        "delivered": interactions(uses),
    }


async def describe(catalogue: Catalogue, schema_id: str) -> Document:
    """One live schema, and who uses it. Raises ConfigurationError when it is not there."""
    definition = await catalogue.live(schema_id)
    uses = await asyncio.to_thread(catalogue.uses_of, schema_id)
    return {
        "source": catalogue.destination,
        **definition.content,
        "activations": [use.document() for use in uses],
        "interactions": interactions(uses),
    }


def describe_file(base: Path, schema_id: str) -> Document:
    """The file of a schema. Raises ConfigurationError when there is none, or it is broken."""
    (path,) = files.chosen(base, [schema_id])
    return {"source": str(path), **files.read(path).definition().content}
