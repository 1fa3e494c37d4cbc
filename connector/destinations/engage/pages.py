"""What a page of interactions says, whichever shape it has; nothing of it is taken on trust."""

import re
from datetime import UTC, datetime
from urllib.parse import parse_qs, urlsplit

import orjson

from connector.destinations.http import parsed
from connector.rules.read_back import Stored

LONGEST_ID, LONGEST_TOKEN = 200, 4000
PAGE_SIZE = 50
"""Interactions on a page of Engage; there is no parameter for it."""
BACK = re.compile("self|prev|first|back")
"""Links that lead to where one has been."""


def page_of(content: object) -> list[Stored] | None:
    """The interactions of one page, whichever shape it has; None when it is none of them."""
    items: object = content
    if isinstance(content, dict):
        items = next((content[name] for name in ("items", "data") if name in content), None)
    if not isinstance(items, list):
        return None
    page = [_stored(item) for item in items]
    whole = [stored for stored in page if stored is not None]
    return whole if len(whole) == len(page) else None


def _stored(item: object) -> Stored | None:
    """An interaction; None for what cannot be one."""
    name = id_text(item.get("id")) if isinstance(item, dict) else None
    if not isinstance(item, dict) or name is None:
        return None
    payload = item.get("payload")
    try:
        orjson.dumps(payload)  # no deeper than anything that compares it can go
    except TypeError:
        return None
    if isinstance(payload, str):  # as text, which some APIs do with JSON of others
        payload = parsed(payload)
    created, zoned = _instant(item.get("createdDate"))
    if not isinstance(payload, dict):
        return Stored(name, created, {}, readable=False, zoned=zoned)
    return Stored(name, created, payload, zoned=zoned)


def id_text(value: object) -> str | None:
    """An id as it is kept and compared; None for what can be none."""
    if not isinstance(value, str | int) or isinstance(value, bool):
        return None
    text = str(value).strip()
    return text if text and text.isprintable() and len(text) <= LONGEST_ID else None


def doubt_of_page(content: object, items: int) -> str | None:
    """Why the last page may not be the last: a full one that has no place for a token."""
    if items >= PAGE_SIZE and not (isinstance(content, dict) and "links" in content):
        return "reading back gave a full page and no way to the next one"
    return None


def _instant(text: object) -> tuple[datetime | None, bool]:
    """A time, and whether it has a zone: without one it most likely is UTC."""
    try:
        moment = datetime.fromisoformat(text) if isinstance(text, str) else None
    except ValueError:
        return None, True
    if moment is None or moment.tzinfo:
        return moment, True
    return moment.replace(tzinfo=UTC), False


def token_of(content: object, seen: set[str]) -> str | None:
    """The token of the next page: in the href of a link, as the Swagger has no field for it. One
    that was `seen`, if a link says that it leads on and no other does; None on the last page."""
    links = content.get("links") if isinstance(content, dict) else None
    told = [link for link in links if isinstance(link, dict)] if isinstance(links, list) else []
    on = [link for link in told if not BACK.search(_text(link.get("rel")).lower())]
    on.sort(key=lambda link: "next" not in _text(link.get("rel")).lower())
    tokens = [token for link in on for token in _tokens(_text(link.get("href")))]
    return next((token for token in tokens if token not in seen), next(iter(tokens), None))


def _tokens(href: str) -> list[str]:
    try:
        return parse_qs(urlsplit(href).query).get("continuation", [])
    except ValueError:
        return []


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
