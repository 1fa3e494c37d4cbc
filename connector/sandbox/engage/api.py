"""The routes of Engage's API: from a request to an answer, without a network in between."""

from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode

from connector.sandbox.engage.behaviour import Behaviour
from connector.sandbox.engage.contacts import ALL_FIELDS
from connector.sandbox.engage.errors import plain_error, refused
from connector.sandbox.engage.interactions import Page, utc
from connector.sandbox.engage.store import Engage, Receipt, parse_object
from connector.sandbox.exchange import Answer, Refusal, Request, json_answer

VERSIONS = ("v3", "v2")
#: Second path segments that are names and not ids.
NAMED = {("contacts", "id"), ("contacts", "count")}


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
    except Refusal as error:
        return refused(error, engage.behaviour)


def _send_interaction(engage: Engage, request: Request) -> Answer:
    receipt = engage.receive(request.body, request.late_by)
    return json_answer(_receipt(receipt, request.version), receipt.status)


def _receipt(receipt: Receipt, version: str) -> dict[str, Any]:
    origin = {"contactId": receipt.contact_id, "created": receipt.created}
    if receipt.id is None:
        return {"self": origin}
    href = f"/api/{version}/interactions/{receipt.id}"
    return {"id": receipt.id, "self": {**origin, "href": href}}


def _list_interactions(engage: Engage, request: Request) -> Answer:
    contact_id, schema_id = request.query.get("contactId"), request.query.get("schemaId")
    if not contact_id or not schema_id:
        raise Refusal(400, "InvalidSearchQuery", "contactId and schemaId are required")
    page = engage.page(contact_id, schema_id, request.query.get("continuation"))
    return json_answer(_page(page, request, engage.behaviour))


def _page(page: Page, request: Request, behaviour: Behaviour) -> Any:
    items = [each.shown() for each in page.items]
    if behaviour.page_shape == "array":
        return items
    links = []
    if page.continuation:
        query = urlencode({**request.query, "continuation": page.continuation})
        href = f"/api/{request.version}/interactions?{query}"
        links.append({"href": href, "method": "GET", "rel": behaviour.link_rel})
    return {"links": links, behaviour.page_shape: items}


def _get_interaction(engage: Engage, request: Request) -> Answer:
    return json_answer(engage.interaction(request.item).shown())


def _delete_interaction(engage: Engage, request: Request) -> Answer:
    return Answer(engage.remove_interaction(request.item))


def _list_schemas(engage: Engage, _: Request) -> Answer:
    visible = engage.visible_schemas()
    return json_answer([{"id": each.id, "displayName": each.display_name} for each in visible])


def _get_schema(engage: Engage, request: Request) -> Answer:
    schema = engage.schema(request.item)
    return json_answer(
        {"id": schema.id, "displayName": schema.display_name, "jsonSchema": schema.json_schema}
    )


def _add_schema(engage: Engage, request: Request) -> Answer:
    schema = engage.add_schema(parse_object(request.body))
    href = f"/api/{request.version}/interactionschemas/{quote(schema.id)}"
    return json_answer({"id": schema.id, "self": {"href": href, "created": utc(schema.created)}})


def _delete_schema(engage: Engage, request: Request) -> Answer:
    engage.remove_schema(request.item)
    return Answer(engage.behaviour.delete_status)


def _find_contact(engage: Engage, request: Request) -> Answer:
    return json_answer(engage.find_contact(request.query))


def _count_contacts(engage: Engage, _: Request) -> Answer:
    return json_answer(engage.contact_count())


def _add_contact(engage: Engage, request: Request) -> Answer:
    # The real one knows many more fields; they find nobody, so they are not kept.
    sent = parse_object(request.body)
    fields = {name: value for name, value in sent.items() if name in ALL_FIELDS}
    try:
        contact = engage.add_contact(fields, engage.behaviour.contact_delay)
    except ValueError as error:
        raise Refusal(422, "ValidationError", str(error), problems=[str(error)]) from error
    return json_answer(contact.id, 201)


def _delete_contact(engage: Engage, request: Request) -> Answer:
    engage.remove_contact(request.item)
    return Answer(engage.behaviour.delete_status)


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
