"""What a page of interactions says, whichever shape it has; nothing of it is taken on trust."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

import orjson

from connector.destinations.http import parsed
from connector.rules.read_back import Stored

LONGEST_ID, LONGEST_TOKEN = 200, 4000
PAGE_SIZE = 50
"""Interactions on a page of Engage; there is no parameter for it."""
NOBODYS = re.compile(r"\{?0{8}-?(0{4}-?){3}0{12}\}?")
"""The empty GUID, which is shown where none was given."""
BACK = re.compile("self|prev|first|back")
"""Links that lead to where one has been."""
ON = re.compile("next|more")
LINKS = ("links", "_links")
TOKENS = ("continuation", "continuationtoken")
NO_WAY_ON = "reading back gave a way to a next page that cannot be read"


def by_name(content: Mapping[str, Any]) -> dict[str, Any]:
    """An object by names that begin with a small letter: some write them with a capital."""
    return {str(name)[:1].lower() + str(name)[1:]: value for name, value in content.items()}


def page_of(content: object) -> list[Stored] | None:
    """The interactions of one page, whichever shape it has; None when it is none of them."""
    items: object = content
    if isinstance(content, dict):
        content = by_name(content)
        items = next((content[name] for name in ("items", "data") if name in content), None)
    if not isinstance(items, list):
        return None
    page = [_stored(item) for item in items]
    whole = [stored for stored in page if stored is not None]
    return whole if len(whole) == len(page) else None


def _stored(item: object) -> Stored | None:
    """An interaction; None for what cannot be one."""
    item = by_name(item) if isinstance(item, dict) else {}
    name = id_text(item.get("id"))
    if name is None:
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
    is_one = text.isprintable() and len(text) <= LONGEST_ID and not NOBODYS.fullmatch(text)
    return text if text and is_one else None


def path_of(interaction_id: str) -> str:
    """Where an interaction is asked for."""
    return f"/interactions/{quote(interaction_id, safe='')}"


def doubt_of_page(content: object, items: int) -> str | None:
    """Why the last page may not be the last: a full one that has no place for a token, or one with
    a link that leads on and has no token."""
    if items >= PAGE_SIZE and not (isinstance(content, dict) and _has_links(by_name(content))):
        return "reading back gave a full page and no way to the next one"
    leads_on = any(ON.search(rel) and href.strip() for rel, href in _links(content))
    return NO_WAY_ON if leads_on else None


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
    """The token of the next page: in the href of a link, as the Swagger has no field for it, or in
    a field all the same. One that was `seen`, if a link says that it leads on and no other does;
    None on the last page."""
    on = [(rel, href) for rel, href in _links(content) if not BACK.search(rel)]
    on.sort(key=lambda link: "next" not in link[0])
    tokens = [token for _, href in on for token in _tokens(href)]
    fields = content if isinstance(content, dict) else {}
    told = [v for name, v in fields.items() if str(name).lower().replace("_", "") in TOKENS]
    tokens += [token for token in told if isinstance(token, str) and token]
    return next((token for token in tokens if token not in seen), next(iter(tokens), None))


def _has_links(fields: Mapping[str, Any]) -> bool:
    """Whether there is a place for links, also where there are none."""
    return any(isinstance(fields[name], list | dict | None) for name in LINKS if name in fields)


def _links(content: object) -> list[tuple[str, str]]:
    """Where each link leads, in small letters, and its address: of a list, or of an object by where
    they lead (HAL)."""
    fields = by_name(content) if isinstance(content, dict) else {}
    found: list[tuple[str, str]] = []
    for name in LINKS:
        told = fields.get(name)
        by_rel = told.items() if isinstance(told, dict) else [("", told)]
        for rel, links in by_rel:
            found += [_link(rel, each) for each in (links if isinstance(links, list) else [links])]
    return found


def _link(rel: str, link: object) -> tuple[str, str]:
    """One link; with nothing but its address, `rel` says where it leads."""
    if not isinstance(link, dict):
        return rel.lower(), _text(link)
    fields = by_name(link)
    return (_text(fields.get("rel")) or rel).lower(), _text(fields.get("href"))


def _tokens(href: str) -> list[str]:
    try:
        query = parse_qs(urlsplit(href).query)
    except ValueError:
        return []
    return [token for name, given in query.items() if name.lower() in TOKENS for token in given]


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
