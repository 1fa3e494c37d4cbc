"""Where somebody wants to go who has to sign in first."""

from urllib.parse import parse_qsl, quote, urlencode, urlsplit

from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

LOGIN = "/login"
AGAIN = Markup(
    '<!doctype html><html lang="en"><meta charset="utf-8"><title>connector</title>'
    '<meta http-equiv="refresh" content="0; url={0}"><p><a href="{0}">Go on</a></p></html>'
)


def sent_to_sign_in(request: Request, elsewhere: bool) -> Response:
    """To the page that asks for the token, and from there to what was asked. A browser shows its
    session to no request that a page `elsewhere` makes it send, as by a link in a message: so it is
    told first to ask once more, for itself."""
    asked = request.scope["path"] if request.method == "GET" else "/"
    if request.method == "GET" and request.scope["query_string"]:
        asked += f"?{request.scope['query_string'].decode('latin-1')}"
    goal = goal_of(asked)
    if elsewhere and request.method == "GET":
        return HTMLResponse(AGAIN.format(goal))
    return RedirectResponse(LOGIN if goal == "/" else f"{LOGIN}?{urlencode({'next': goal})}", 303)


def goal_of(text: str) -> str:
    """A page of ours that `text` names, or the first one: nothing elsewhere, and without the words
    that it is to say, which nobody but ourselves puts there."""
    if not text.startswith("/") or text[1:2] in ("/", "\\") or not text.isprintable():
        return "/"
    parts = urlsplit(text)
    asked = [each for each in parse_qsl(parts.query, keep_blank_values=True) if each[0] != "said"]
    return quote(parts.path, safe="/%") + (f"?{urlencode(asked)}" if asked else "")
