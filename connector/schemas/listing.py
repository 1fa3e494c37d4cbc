"""What there is: the schemas that are live, and those that have a file."""

import asyncio
from pathlib import Path

from connector.rules.deed import Document
from connector.rules.definition import MOST_SCHEMAS
from connector.rules.difference import difference
from connector.schemas import files
from connector.schemas.catalogue import Catalogue, configured, interactions


async def list_schemas(catalogue: Catalogue) -> Document:
    """Every schema that is live, or has a file."""
    live = await catalogue.definitions()
    local = {}
    for path in files.folder_files(catalogue.base):
        definition = files.read(path).content
        local[definition.id if definition else path.stem] = (path, definition)
    uses = await asyncio.to_thread(catalogue.uses)
    schemas = []
    for schema_id in dict.fromkeys((*live, *local)):
        there = live.get(schema_id)
        file, here = local.get(schema_id, (None, None))
        known, users = there or here, uses.get(schema_id.casefold(), [])
        schemas.append(
            {
                "id": schema_id,
                "display_name": known.display_name if known else None,
                "live": there is not None,
                "file": str(file) if file else None,
                "in_step": not difference(there, here) if there and here else None,
                "properties": len(known.properties) if known else None,
                "segmentable": len(known.segmented) if known else None,
                "activations": configured(users),
                "delivered": interactions(users),
            }
        )
    return {
        "destination": catalogue.destination,
        "live": len(live),
        "most": MOST_SCHEMAS,
        "schemas": schemas,
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
