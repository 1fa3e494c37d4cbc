"""What a person may see and change of a sandbox of Engage: interactions, contacts, the page."""

from collections import Counter
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from connector.sandbox import page
from connector.sandbox.control import newest, problem, told
from connector.sandbox.engage.contacts import Contact
from connector.sandbox.engage.interactions import Interaction, utc
from connector.sandbox.engage.store import Engage
from connector.sandbox.exchange import Refusal
from connector.sandbox.traffic import RequestLog

NEWEST = 50


def routes(engage: Engage) -> list[Route]:
    """Return the control routes that only Engage has."""
    control = Control(engage)
    return [
        Route("/sandbox/interactions", control.interactions),
        Route("/sandbox/contacts", control.add_contacts, methods=["POST"]),
        Route("/sandbox/contacts/merge", control.merge_contacts, methods=["POST"]),
    ]


class Control:
    """The handlers of these routes."""

    def __init__(self, engage: Engage) -> None:
        self._engage = engage

    async def interactions(self, request: Request) -> Response:
        """GET /sandbox/interactions: all that is stored; `limit` keeps the last so many."""
        query = request.query_params
        limit = query.get("limit", "")
        if limit and not limit.isdecimal():
            return problem(400, "limit must be a whole number")
        stored = self._engage.interactions(query.get("contactId"), query.get("schemaId"))
        return told([_all_of(each) for each in newest(stored, limit)])

    async def add_contacts(self, request: Request) -> Response:
        """POST /sandbox/contacts: a JSON array of contacts, added one by one until one is bad."""
        try:
            given = orjson.loads(await request.body())
            added = [self._engage.add_contact(each) for each in _objects(given)]
        except ValueError as error:
            return problem(422, str(error))
        return told([_contact(each) for each in added], 201)

    async def merge_contacts(self, request: Request) -> Response:
        """POST /sandbox/contacts/merge: `{"contactId": "…", "into": "…"}`."""
        try:
            given = orjson.loads(await request.body())
            self._engage.merge_contacts(str(given["contactId"]), str(given["into"]))
        except (ValueError, KeyError, TypeError):
            return problem(422, "the body must be an object with contactId and into")
        except Refusal as error:
            return problem(error.status, "there is no such contact")
        return Response(status_code=204)


def _all_of(interaction: Interaction) -> dict[str, Any]:
    """Return an interaction with what the API does not show of it."""
    return {
        **interaction.shown(),
        "storedAt": utc(interaction.stored_at),
        "blob": orjson.Fragment(interaction.blob),
    }


def _contact(contact: Contact) -> dict[str, str]:
    return {"contactId": contact.id, "contactType": contact.contact_type}


def _objects(given: object) -> list[dict[str, Any]]:
    if not isinstance(given, list) or not all(isinstance(each, dict) for each in given):
        raise ValueError("the body must be an array of contacts")
    return given


def render(engage: Engage, requests: RequestLog) -> str:
    """Return the page as HTML."""
    stored = engage.interactions()
    return page.render(
        "Engage sandbox",
        f"{engage.contact_count():,} contacts, {len(stored):,} interactions stored,"
        f" {requests.count():,} requests received, at most {requests.peak_per_second} in one"
        " second.",
        {
            "Stored by schema": _schemas(engage, stored),
            "Requests by status": page.routes(requests),
            "Last interactions": _interactions(stored),
        },
        engage.behaviour,
    )


def _schemas(engage: Engage, stored: list[Interaction]) -> str:
    numbers = Counter(each.schema_id for each in stored)
    rows = [(each.id, each.display_name, str(numbers[each.id])) for each in engage.schemas()]
    return page.table(("schema", "name", "interactions"), rows)


def _interactions(stored: list[Interaction]) -> str:
    shown = reversed(stored[-NEWEST:])
    rows = [
        (each.created_date, each.schema_id, each.contact_id, orjson.dumps(each.payload).decode())
        for each in shown
    ]
    return page.table(("created", "schema", "contact", "payload"), rows, "long")
