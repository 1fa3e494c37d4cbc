"""The page of one row: its story, others of the same contact, and how it is now."""

import asyncio
from typing import Any
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from connector.project.app import App
from connector.project.row_now import Live, live
from connector.rules.deed import Document
from connector.rules.delivery import State
from connector.rules.errors import ConfigurationError, unknown_key
from connector.rules.properties import since_recorded
from connector.serve.service import Service
from connector.serve.web.meant import Meant, choices
from connector.serve.web.page import form_of, page, shortened
from connector.show.story import change_text

LONGEST_HEADING = 80


def row(request: Request) -> Response:
    """The whole story of one row; without its activation, the rows of all that have this key."""
    query = request.query_params
    name, key = query.get("activation", ""), query.get("key", "")
    return _row_page(request, name, key) if name else _found(request, key)


def _found(request: Request, key: str) -> Response:
    """Where there is but one, its page is gone to."""
    rows = Service.of(request).app.find(key) if key else []
    if len(rows) == 1:
        return RedirectResponse(
            f"/rows?{urlencode({'activation': rows[0]['activation'], 'key': key})}"
        )
    title = f"Rows with the key {shortened(key, LONGEST_HEADING)}" if key else "Find a row"
    return page(request, "found.html", title, here="/quarantine", rows=rows, key=key)


async def now(request: Request) -> Response:
    """The same with what is asked for only now, and stored nowhere; values only when they are
    asked for. A form sends it, since it makes requests."""
    form, app = await form_of(request), Service.of(request).app
    name, key = form.get("activation", ""), form.get("key", "")
    shown = form.get("show") == "1"
    activation = app.settings.activation(name)
    story = await asyncio.to_thread(app.explain, name, key)
    found = await live(app, activation, key, story)
    recorded = await asyncio.to_thread(_since_recorded, app, name, key, found, shown)
    looked = found.document(shown) | {"recorded": recorded}
    return await asyncio.to_thread(_row_page, request, name, key, looked, shown)


def _since_recorded(app: App, name: str, key: str, found: Live, shown: bool) -> list[Document]:
    """How the row was recorded beside how it is now, where the ledger still keeps its body."""
    if found.ours is None or found.shown is not None:
        return []
    with app.reports() as reports:
        kept = [each["payload"] for each in reports.bodies(name, [key])]
    sides = since_recorded(kept[0], found.ours) if kept and kept[0] is not None else []
    return [(side if shown else side.masked()).document() for side in sides]


def _row_page(
    request: Request, name: str, key: str, now: Document | None = None, shown: bool = False
) -> Response:
    """The page; `now`: how the row is now, where that was asked for."""
    app = Service.of(request).app
    with app.reports() as reports:
        document = reports.delivery(name, key)
        similar = [] if document else reports.similar_keys(name, key)
        siblings = reports.siblings(name, key)
    if document is None:
        raise ConfigurationError(unknown_key(name, key, similar))
    (document,) = app.with_mappings([document])
    short = shortened(key, LONGEST_HEADING)
    content: dict[str, Any] = {"live": now, "shown": shown, "siblings": siblings}
    return page(
        request,
        "row.html",
        f"{short} of {name}",
        here="/quarantine",
        row=document,
        short_key=short,
        configured=name in app.settings.project.activations,
        choices=choices(app, State(document["state"]), Meant(activation=name, key=key)),
        change=change_text(document["change"]),
        **content,
    )
