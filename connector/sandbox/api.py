"""The routes of Engage's API: from a request to an answer, without a network in between."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, quote, urlencode

import orjson

from connector.sandbox.behaviour import Behaviour
from connector.sandbox.contacts import ALL_FIELDS
from connector.sandbox.engage import Engage, Receipt, parse_object
from connector.sandbox.errors import EngageError
from connector.sandbox.interactions import Interaction, Page, utc

VERSIONS = ("v3", "v2")
#: Second path segments that are names and not ids.
NAMED = {("contacts", "id"), ("contacts", "count")}


class Answer(NamedTuple):
    """What goes back to a caller."""

    status: int
    body: bytes = b""
    content_type: bytes = b"application/json; charset=utf-8"
    headers: tuple[tuple[bytes, bytes], ...] = ()


@dataclass(slots=True)
class Request:
    """What a caller sent. `route` is method and path without version and id."""

    method: str
    path: str
    version: str
    route: str
    item: str  #: the id in the path, or ""
    query: dict[str, str]
    headers: dict[bytes, bytes]
    body: bytes = b""
    late_by: float = 0  #: how much later than now an interaction is stored


Handler = Callable[[Engage, Request], Answer]


def parse_request(
    method: str, path: str, query: bytes, headers: list[tuple[bytes, bytes]]
) -> Request | None:
    """Return the request without its body, or None for a path that is not of the API."""
    match path.split("/"):
        case ["", "api", version, name] if version in VERSIONS:
            template, item = f"/{name}", ""
        case ["", "api", version, name, item] if version in VERSIONS and item:
            template = f"/{name}/{item}" if (name, item) in NAMED else f"/{name}/{{id}}"
        case _:
            return None
    return Request(
        method=method,
        path=path,
        version=version,
        route=f"{method} {template}",
        item=item,
        query=dict(parse_qsl(query.decode("latin-1"))) if query else {},
        headers=dict(headers),
    )


def answer_to(engage: Engage, request: Request) -> Answer:
    """Do what is asked, and say how it went. A refusal is an answer, too."""
    handler = HANDLERS.get(request.route)
    if handler is None:
        return _no_such_route(request)
    try:
        return handler(engage, request)
    except EngageError as error:
        return refused(error, engage.behaviour)


def refused(error: EngageError, behaviour: Behaviour) -> Answer:
    """Return the answer that carries an error."""
    if behaviour.error_body == "empty":
        return Answer(error.status)
    return _json(error.envelope(), error.status)


def plain_error(status: int, message: str) -> Answer:
    """Return an error in the form of the framework that Engage runs on."""
    return _json({"Message": message}, status)


def _send_interaction(engage: Engage, request: Request) -> Answer:
    receipt = engage.receive(request.body, request.late_by)
    return _json(_receipt(receipt, request.version), receipt.status)


def _receipt(receipt: Receipt, version: str) -> dict[str, Any]:
    origin = {"contactId": receipt.contact_id, "created": receipt.created}
    if receipt.id is None:
        return {"self": origin}
    href = f"/api/{version}/interactions/{receipt.id}"
    return {"id": receipt.id, "self": {**origin, "href": href}}


def _list_interactions(engage: Engage, request: Request) -> Answer:
    contact_id, schema_id = request.query.get("contactId"), request.query.get("schemaId")
    if not contact_id or not schema_id:
        raise EngageError(400, "InvalidSearchQuery", "contactId and schemaId are required")
    page = engage.page(contact_id, schema_id, request.query.get("continuation"))
    return _json(_page(page, request, engage.behaviour))


def _page(page: Page, request: Request, behaviour: Behaviour) -> Any:
    items = [shown(each) for each in page.items]
    if behaviour.page_shape == "array":
        return items
    links = []
    if page.continuation:
        query = urlencode({**request.query, "continuation": page.continuation})
        href = f"/api/{request.version}/interactions?{query}"
        links.append({"href": href, "method": "GET", "rel": behaviour.link_rel})
    return {"links": links, behaviour.page_shape: items}


def shown(interaction: Interaction) -> dict[str, Any]:
    """Return an interaction as the API shows it."""
    return {
        "id": interaction.id,
        "contactId": interaction.contact_id,
        "schemaId": interaction.schema_id,
        "createdDate": interaction.created_date,
        "payload": interaction.payload,
    }


def _get_interaction(engage: Engage, request: Request) -> Answer:
    return _json(shown(engage.interaction(request.item)))


def _delete_interaction(engage: Engage, request: Request) -> Answer:
    engage.remove_interaction(request.item)
    return Answer(engage.behaviour.delete_status)


def _list_schemas(engage: Engage, _: Request) -> Answer:
    visible = engage.visible_schemas()
    return _json([{"id": each.id, "displayName": each.display_name} for each in visible])


def _get_schema(engage: Engage, request: Request) -> Answer:
    schema = engage.schema(request.item)
    return _json(
        {"id": schema.id, "displayName": schema.display_name, "jsonSchema": schema.json_schema}
    )


def _add_schema(engage: Engage, request: Request) -> Answer:
    schema = engage.add_schema(parse_object(request.body))
    href = f"/api/{request.version}/interactionschemas/{quote(schema.id)}"
    return _json({"id": schema.id, "self": {"href": href, "created": utc(schema.created)}})


def _delete_schema(engage: Engage, request: Request) -> Answer:
    engage.remove_schema(request.item)
    return Answer(engage.behaviour.delete_status)


def _find_contact(engage: Engage, request: Request) -> Answer:
    return _json(engage.find_contact(request.query))


def _count_contacts(engage: Engage, _: Request) -> Answer:
    return _json(engage.contact_count())


def _add_contact(engage: Engage, request: Request) -> Answer:
    # The real one knows many more fields; they find nobody, so they are not kept.
    sent = parse_object(request.body)
    fields = {name: value for name, value in sent.items() if name in ALL_FIELDS}
    try:
        contact = engage.add_contact(fields, engage.behaviour.contact_delay)
    except ValueError as error:
        raise EngageError(422, "ValidationError", str(error), problems=[str(error)]) from error
    return _json(contact.id, 201)


def _delete_contact(engage: Engage, request: Request) -> Answer:
    engage.remove_contact(request.item)
    return Answer(engage.behaviour.delete_status)


def _json(body: Any, status: int = 200) -> Answer:
    return Answer(status, orjson.dumps(body))


def _no_such_route(request: Request) -> Answer:
    template = request.route.removeprefix(request.method)
    if any(route.endswith(template) for route in HANDLERS):
        return plain_error(405, f"The resource does not support http method '{request.method}'.")
    return plain_error(404, f"No HTTP resource was found that matches '{request.path}'.")


HANDLERS: dict[str, Handler] = {
    "POST /interactions": _send_interaction,
    "GET /interactions": _list_interactions,
    "GET /interactions/{id}": _get_interaction,
    "DELETE /interactions/{id}": _delete_interaction,
    "GET /interactionschemas": _list_schemas,
    "POST /interactionschemas": _add_schema,
    "GET /interactionschemas/{id}": _get_schema,
    "DELETE /interactionschemas/{id}": _delete_schema,
    "GET /contacts/id": _find_contact,
    "GET /contacts/count": _count_contacts,
    "POST /contacts": _add_contact,
    "DELETE /contacts/{id}": _delete_contact,
}
