"""What a person may see and change of a running sandbox: the page, and JSON under /sandbox."""

from typing import Any
from urllib.parse import urlsplit

import orjson
from pydantic import ValidationError
from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from connector.sandbox.api import shown
from connector.sandbox.behaviour import Behaviour
from connector.sandbox.contacts import Contact
from connector.sandbox.engage import Engage
from connector.sandbox.errors import EngageError
from connector.sandbox.gate import is_loopback
from connector.sandbox.interactions import Interaction, utc
from connector.sandbox.page import CONTENT_POLICY, render
from connector.sandbox.traffic import RequestLog


def control_app(engage: Engage, requests: RequestLog) -> ASGIApp:
    """Return the application for everything that is not Engage's API."""
    control = Control(engage, requests)
    routes = [
        Route("/", control.page),
        Route("/sandbox/interactions", control.interactions),
        Route("/sandbox/requests", control.requests),
        Route("/sandbox/behaviour", control.behaviour),
        Route("/sandbox/behaviour", control.set_behaviour, methods=["PUT"]),
        Route("/sandbox/contacts", control.add_contacts, methods=["POST"]),
        Route("/sandbox/contacts/merge", control.merge_contacts, methods=["POST"]),
        Route("/sandbox/reset", control.reset, methods=["POST"]),
    ]
    return _for_this_machine_only(Starlette(routes=routes))


class Control:
    """The handlers of the control routes."""

    def __init__(self, engage: Engage, requests: RequestLog) -> None:
        self._engage = engage
        self._requests = requests

    async def page(self, _: Request) -> Response:
        """GET /: what the sandbox has received, for people."""
        html = render(self._engage, self._requests)
        return HTMLResponse(html, headers={"Content-Security-Policy": CONTENT_POLICY})

    async def interactions(self, request: Request) -> Response:
        """GET /sandbox/interactions: all that is stored; `limit` keeps the last so many."""
        query = request.query_params
        limit = query.get("limit", "")
        if limit and not limit.isdecimal():
            return _problem(400, "limit must be a whole number")
        stored = self._engage.interactions(query.get("contactId"), query.get("schemaId"))
        newest = stored[max(0, len(stored) - int(limit)) :] if limit else stored
        return _json([_told(each) for each in newest])

    async def requests(self, _: Request) -> Response:
        """GET /sandbox/requests: how many requests came, and how fast."""
        return _json(self._requests.report(self._engage.behaviour.recommended_rate))

    async def behaviour(self, _: Request) -> Response:
        """GET /sandbox/behaviour."""
        return Response(self._engage.behaviour.model_dump_json(), media_type="application/json")

    async def set_behaviour(self, request: Request) -> Response:
        """PUT /sandbox/behaviour: another behaviour, with defaults for what is left out."""
        try:
            behaviour = Behaviour.model_validate_json(await request.body())
        except ValidationError as error:
            return _problem(422, str(error))
        self._engage.behaviour = behaviour
        return await self.behaviour(request)

    async def add_contacts(self, request: Request) -> Response:
        """POST /sandbox/contacts: a JSON array of contacts, added one by one until one is bad."""
        try:
            given = orjson.loads(await request.body())
            added = [self._engage.add_contact(each) for each in _objects(given)]
        except ValueError as error:
            return _problem(422, str(error))
        return _json([_contact(each) for each in added], 201)

    async def merge_contacts(self, request: Request) -> Response:
        """POST /sandbox/contacts/merge: `{"contactId": "…", "into": "…"}`."""
        try:
            given = orjson.loads(await request.body())
            self._engage.merge_contacts(str(given["contactId"]), str(given["into"]))
        except (ValueError, KeyError, TypeError):
            return _problem(422, "the body must be an object with contactId and into")
        except EngageError as error:
            return _problem(error.status, "there is no such contact")
        return Response(status_code=204)

    async def reset(self, request: Request) -> Response:
        """POST /sandbox/reset: forget everything; `keep=schemas&keep=contacts` spares those."""
        self._engage.reset(keep=request.query_params.getlist("keep"))
        self._requests.clear()
        return Response(status_code=204)


def _for_this_machine_only(app: ASGIApp) -> ASGIApp:
    """Refuse what a page of some website makes a browser on this machine ask for."""

    async def guarded(scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope)
        host, origin = headers.get("host", ""), headers.get("origin")
        # By name, not by address: a website can point its own name at this address.
        if is_loopback(_name_of(host)) and origin in (None, f"http://{host}"):
            await app(scope, receive, send)
        else:
            await _problem(403, "only for this machine")(scope, receive, send)

    return guarded


def _name_of(host: str) -> str | None:
    """Return the Host header without its port."""
    try:
        return urlsplit(f"//{host}").hostname
    except ValueError:
        return None


def _told(interaction: Interaction) -> dict[str, Any]:
    """Return an interaction with what the API does not show of it."""
    return {
        **shown(interaction),
        "storedAt": utc(interaction.stored_at),
        "blob": orjson.Fragment(interaction.blob),
    }


def _contact(contact: Contact) -> dict[str, str]:
    return {"contactId": contact.id, "contactType": contact.contact_type}


def _objects(given: object) -> list[dict[str, Any]]:
    if not isinstance(given, list) or not all(isinstance(each, dict) for each in given):
        raise ValueError("the body must be an array of contacts")
    return given


def _json(body: Any, status: int = 200) -> Response:
    return Response(orjson.dumps(body), status, media_type="application/json")


def _problem(status: int, message: str) -> Response:
    return _json({"message": message}, status)
