"""The schemas of `connector serve`: what is live, what the files say, and who uses it."""

from urllib.parse import urlencode

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from connector.project.app import App
from connector.project.schemas import catalogue_of
from connector.rules.deed import Document
from connector.rules.definition import Definition, definition_of
from connector.rules.difference import difference
from connector.rules.errors import ConfigurationError, ConnectorError
from connector.schemas import files
from connector.schemas.listing import describe, list_schemas
from connector.serve.service import Service
from connector.serve.web.page import page


async def schemas(request: Request) -> Response:
    """Every schema of every destination; of one out of reach, why."""
    app = Service.of(request).app
    found = [await _listed(app, name) for name in kept(app)]
    return page(request, "schemas.html", "Schemas", destinations=found)


def kept(app: App) -> list[str]:
    """The destinations that keep schemas; where there is none, no page leads to them."""
    return [name for name in app.settings.project.destinations if app.can(name).keeps_schemas]


async def schema(request: Request) -> Response:
    """One schema: its properties, who uses it, and how its file differs."""
    app, query = Service.of(request).app, request.query_params
    destination, schema_id = query.get("destination") or None, query.get("id", "")
    catalogue = catalogue_of(app, destination)
    local, trouble = await run_in_threadpool(_local, app, schema_id)
    document, problem = None, None
    try:
        document = await describe(catalogue, schema_id)
    except ConnectorError as error:
        problem = error
    live = definition_of(document) if document else None
    known = live or local
    if known is None:
        raise problem or ConfigurationError(f'there is no schema "{schema_id}"')
    return page(
        request,
        "schema.html",
        known.id,
        here="/schemas",
        destination=catalogue.destination,
        name=known.display_name,
        live=live is not None,
        problem=str(problem) if problem else None,
        trouble=trouble,
        has_file=local is not None,
        changes=[c.message for c in difference(live, local).changes] if live and local else [],
        properties=_properties(known),
        uses=document["activations"] if document else [],
    )


async def _listed(app: App, name: str) -> Document:
    """As `connector schema list` has it."""
    try:
        document = await list_schemas(catalogue_of(app, name))
    except ConnectorError as error:
        local = [path.name for path in files.folder_files(app.settings.base)]
        return {"destination": name, "problem": str(error), "files": local}
    for each in document["schemas"]:
        each["page"] = f"/schema?{urlencode({'destination': name, 'id': each['id']})}"
    return {**document, "problem": None}


def _local(app: App, schema_id: str) -> tuple[Definition | None, str | None]:
    """What the project's file holds, or why that cannot be told."""
    try:
        path = files.find(app.settings.base, schema_id)
        return (files.read(path).definition(), None) if path else (None, None)
    except (ConnectorError, ValueError) as error:
        return None, str(error)


def _properties(definition: Definition) -> list[Document]:
    segmented, required = definition.segmented, definition.required
    return [
        {
            "name": name,
            "type": str(spec.get("type", "any")),
            "format": spec.get("format"),
            "label": spec.get("displayName"),
            "required": name in required,
            "segmentable": name in segmented,
        }
        for name, spec in definition.properties.items()
        if isinstance(spec, dict)
    ]
