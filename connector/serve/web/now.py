"""The page of a row as it is now: in the warehouse, as a body, and at the destination."""

import asyncio

from starlette.requests import Request
from starlette.responses import Response

from connector.project.row_now import live
from connector.serve.service import Service
from connector.serve.web.page import form_of, page, shortened

LONGEST_HEADING = 80


async def now(request: Request) -> Response:
    """What is asked for only now, and stored nowhere; values only when they are asked for. A form
    sends it, since it makes requests."""
    form, app = await form_of(request), Service.of(request).app
    name, key = form.get("activation", ""), form.get("key", "")
    shown = form.get("show") == "1"
    activation = app.settings.activation(name)
    story = await asyncio.to_thread(app.explain, name, key)
    found = await live(app, activation, key, story)
    return page(
        request,
        "now.html",
        f"{shortened(key, LONGEST_HEADING)} of {name}, now",
        here="/",
        row=story,
        short_key=shortened(key, LONGEST_HEADING),
        live=found.document(shown),
        shown=shown,
    )
