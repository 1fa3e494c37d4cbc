"""Voyado Engage, API v3 and v2: pre-flight, contact look-up, and one POST an interaction.

Facts and their gaps: developer.voyado.com ("Interactions", "API authentication", "API rate limit",
"API retry policy", "Find contact"). Where those are silent, the assumption is the one that cannot
send twice or lose: a 2xx counts only with an id, a 5xx leaves a doubt.
"""

import asyncio
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, quote, urlsplit

import httpx
import orjson

from connector.activation import ContactMapping, Identifier
from connector.delivery import (
    Accepted,
    Found,
    LookUp,
    Missing,
    NotApplied,
    Outcome,
    Refused,
    Unknown,
)
from connector.destinations.http import (
    Http,
    asked_to_wait,
    json_of,
    refuse_key,
    refuse_redirect,
)
from connector.destinations.pacing import Pacer
from connector.errors import DestinationUnusable
from connector.matching import ReadBack, Stored
from connector.schema import InteractionSchema

GUID = re.compile(r"\{?[0-9a-fA-F]{8}-?([0-9a-fA-F]{4}-?){3}[0-9a-fA-F]{12}\}?")
EMAIL = re.compile(r"[^@\s]+@[^@\s]+")
NO_SUCH_ROUTE = re.compile(r"no http resource|no action was found|no type was found", re.IGNORECASE)
SCHEMA_GONE = re.compile(
    r"schema\s*(id)?\s*['\"]?[\w-]*['\"]?\s*"
    r"(was |is |could |does )?(not (be )?found|not exist|unknown)"
    r"|unknown\s+(interaction\s*)?schema",
    re.IGNORECASE,
)
LONGEST_ID = 200
PAGE_SIZE = 50
"""Interactions on a page of Engage; there is no parameter for it."""
ABOUT_THIS_INTERACTION = (400, 404, 409, 413, 422)
ABOUT_THE_REQUEST = (405, 406, 410, 411, 415)


@dataclass(frozen=True, slots=True)
class EngageOptions:
    """Where an Engage is and how it may be used. `requests_per_second` counts everything."""

    url: str
    api_key: str
    api_version: str
    user_agent: str
    requests_per_second: float
    concurrency: int
    timeout: timedelta


class Engage:
    """One Engage under one API key. Belongs to the event loop in which it was made."""

    def __init__(self, options: EngageOptions) -> None:
        self.concurrency = options.concurrency
        self.pacer = Pacer(options.requests_per_second)
        headers = {"apikey": options.api_key, "User-Agent": options.user_agent}
        self._base = f"{options.url.rstrip('/')}/api/{options.api_version}"
        self._http = Http(self._base, headers, options.timeout, self.pacer, options.api_key)
        self._contacts_are_there = False
        self._look_ups: dict[tuple[Identifier, str | None, str], asyncio.Task[LookUp]] = {}

    async def aclose(self) -> None:
        """Close every connection."""
        await self._http.aclose()

    # --- pre-flight -----------------------------------------------------------------------------

    async def schema(self, schema_id: str) -> InteractionSchema | None:
        """The live schema; None when the key is good but there is no such schema.

        Raises DestinationUnusable when the key is refused or no useful answer comes.
        """
        response = self._useful(
            await self._http.get(f"/interactionschemas/{quote(schema_id, safe='')}")
        )
        if response.status_code in (400, 404):
            return None
        content = json_of(response)
        definition = content.get("jsonSchema") if isinstance(content, dict) else None
        if isinstance(definition, str):
            definition = _parsed(definition)
        if response.status_code != 200 or not isinstance(definition, dict):
            raise DestinationUnusable(
                f"the destination gives no usable schema {schema_id}: {self._http.words(response)}"
            )
        try:
            return InteractionSchema(
                str(content.get("id") or schema_id), definition, str(content.get("displayName"))
            )
        except ValueError as error:
            raise DestinationUnusable(
                f"the schema {schema_id} at the destination is broken: {error}"
            ) from None

    async def schema_ids(self) -> list[str]:
        """The ids of all live schemas. Raises DestinationUnusable."""
        response = self._useful(await self._http.get("/interactionschemas"))
        content = json_of(response)
        if response.status_code != 200 or not isinstance(content, list):
            raise DestinationUnusable(
                f"the destination does not list its schemas ({self._http.words(response)}); is this"
                " the url of an Engage, and is the Interactions add-on enabled there?"
            )
        return [str(entry["id"]) for entry in content if isinstance(entry, dict) and "id" in entry]

    def _useful(self, answer: httpx.Response | str) -> httpx.Response:
        if isinstance(answer, str):
            raise DestinationUnusable(f"the destination {self._base} gives no answer: {answer}")
        refuse_redirect(answer)
        refuse_key(answer)
        return answer

    # --- contacts -------------------------------------------------------------------------------

    async def prepare(self, contact: str, how: ContactMapping) -> LookUp:
        """Which contact `contact` is; asked once for each identifier, and safe to repeat.

        Raises DestinationUnusable when no look-up could succeed.
        """
        if how.identifier is Identifier.CONTACT_ID:
            if GUID.fullmatch(contact) and set(contact) - set("{0-}"):  # the empty GUID is nobody
                return Found(contact)
            return Refused("malformed contact identifier: contactId is not a GUID")
        if how.identifier is Identifier.EMAIL and not EMAIL.fullmatch(contact):
            return Refused("malformed contact identifier: email is no e-mail address")
        key = (how.identifier, how.contact_type, contact)
        if key not in self._look_ups:
            self._look_ups[key] = asyncio.ensure_future(self._look_up(contact, how))
        found = await self._look_ups[key]
        if isinstance(found, NotApplied):
            self._look_ups.pop(key, None)  # it failed; the next row may ask again
        return found

    async def _look_up(self, contact: str, how: ContactMapping) -> LookUp:
        params = {how.identifier.value: contact}
        if how.contact_type:
            params["contactType"] = how.contact_type
        response = await self._http.get("/contacts/id", params)
        if isinstance(response, str):
            return NotApplied(f"the contact look-up failed: {response}")
        if response.status_code == 404 and json_of(response) is None:
            await self._prove_that_contacts_can_be_looked_up()
        return self._look_up_result(self._useful(response), how)

    async def _prove_that_contacts_can_be_looked_up(self) -> None:
        """A 404 without a word may be about the contact, or about the route: then no contact
        would be found, and the run stops. Raises DestinationUnusable."""
        if not self._contacts_are_there:
            response = self._useful(await self._http.get("/contacts/count"))
            if response.status_code != 200:
                raise DestinationUnusable("contacts cannot be looked up: HTTP 404", 404)
            self._contacts_are_there = True

    def _look_up_result(self, response: httpx.Response, how: ContactMapping) -> LookUp:
        words = self._http.words(response)
        match response.status_code:
            case 200:
                content = json_of(response)
                found = str(content if content is not None else response.text).strip().strip('"')
                if not isinstance(content, dict | list) and GUID.fullmatch(found):
                    return Found(found)
                return NotApplied("the contact look-up gave no contactId")
            case 404 if NO_SUCH_ROUTE.search(words):
                raise DestinationUnusable(f"contacts cannot be looked up: {words}", 404)
            case 404:
                return Missing(f"no contact has this {how.identifier}")
            case 409 if "ContactWithKeyIsBeingCreated" in words:
                return Missing(f"the contact with this {how.identifier} is being created")
            case 409:
                return Refused(self._ambiguous(response, how), 409)
            case 400 if "InvalidContactType" in words:
                raise DestinationUnusable(f"contact_type {how.contact_type} is unknown: {words}")
            case 400 | 422:
                return Refused(f"malformed contact identifier: {words}", response.status_code)
            case _:
                raise DestinationUnusable(f"contacts cannot be looked up: {words}")

    def _ambiguous(self, response: httpx.Response, how: ContactMapping) -> str:
        content = json_of(response)
        details = content.get("messageDetails") if isinstance(content, dict) else None
        matches = details.get("multipleMatchesFound") if isinstance(details, dict) else None
        number = str(len(matches)) if isinstance(matches, list) else "several"
        advice = "" if how.contact_type else "; set contact.contact_type to say which kind is meant"
        return f"ambiguous contact: {number} contacts have this {how.identifier}{advice}"

    # --- interactions ---------------------------------------------------------------------------

    async def send(self, body: bytes) -> Outcome:
        """POST one interaction, exactly once, and say what came of it.

        Raises DestinationUnusable when no interaction would get through; then this one was
        certainly not stored.
        """
        answer = await self._http.post("/interactions", body)
        return self._outcome(answer) if isinstance(answer, httpx.Response) else answer

    async def read_back(self, contact_id: str, schema_id: str) -> ReadBack:
        """The interactions of one contact and schema, to the last page."""
        found: dict[str, Stored] = {}
        params = {"contactId": contact_id, "schemaId": schema_id}
        tokens: set[str] = set()
        while True:
            response = await self._http.get("/interactions", params)
            if isinstance(response, str):
                return ReadBack(list(found.values()), f"reading back failed: {response}")
            content = json_of(self._useful(response))
            page = _page(content)
            if response.status_code != 200 or page is None:
                missing = f"reading back gave no list: {self._http.words(response)}"
                return ReadBack(list(found.values()), missing)
            found.update((stored.id, stored) for stored in page)
            token = _continuation(content, tokens)
            if token is None:
                return ReadBack(list(found.values()), _doubt_of_page(content, len(page)))
            tokens.add(token)
            params["continuation"] = token

    def _outcome(self, response: httpx.Response) -> Outcome:
        status = response.status_code
        if response.is_success:
            interaction_id = _id_of(response)
            if interaction_id:
                return Accepted(interaction_id, status)
            return Unknown(f"HTTP {status} without an id", status)
        refuse_redirect(response)
        refuse_key(response)
        words = self._http.words(response)
        if status == 429:
            return NotApplied(words, status, asked_to_wait(response), busy=True)
        if status in ABOUT_THE_REQUEST or _is_about_everything(response, words):
            raise DestinationUnusable(f"the destination takes no interactions: {words}", status)
        if status in ABOUT_THIS_INTERACTION:
            return Refused(words, status)
        return Unknown(words, status)


def _page(content: object) -> list[Stored] | None:
    """The interactions of one page, whichever shape it has; None when it is none of them."""
    items: object = content
    if isinstance(content, dict):
        items = next((content[name] for name in ("items", "data") if name in content), None)
    if not isinstance(items, list):
        return None
    page = []
    for item in items:
        if not isinstance(item, dict) or not item.get("id"):
            return None
        payload = item.get("payload")
        page.append(
            Stored(
                str(item["id"]),
                _instant(item.get("createdDate")),
                payload if isinstance(payload, dict) else {},
            )
        )
    return page


def _doubt_of_page(content: object, items: int) -> str | None:
    """Why the last page may not be the last: a full one that has no place for a token."""
    if items >= PAGE_SIZE and not (isinstance(content, dict) and "links" in content):
        return "reading back gave a full page and no way to the next one"
    return None


def _instant(text: object) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text) if isinstance(text, str) else None
    except ValueError:
        return None
    return moment if moment is None or moment.tzinfo else moment.replace(tzinfo=UTC)


def _continuation(content: object, seen: set[str]) -> str | None:
    """The token of the next page: in the href of a link, as the Swagger has no field for it."""
    links = content.get("links") if isinstance(content, dict) else None
    ordered = sorted(
        (link for link in links if isinstance(link, dict)) if isinstance(links, list) else (),
        key=lambda link: "next" not in str(link.get("rel")).lower(),
    )
    for link in ordered:
        tokens = parse_qs(urlsplit(str(link.get("href"))).query).get("continuation", [])
        for token in tokens:
            if token not in seen:
                return token
    return None


def body_of(contact_id: str, schema_id: str, created_date: str, payload: str) -> bytes:
    """The body of one POST. `payload` is put in as it was validated, byte for byte."""
    head = orjson.dumps(
        {"contactId": contact_id, "schemaId": schema_id, "createdDate": created_date}
    )
    return head[:-1] + b',"payload":' + payload.encode() + b"}"


def _is_about_everything(response: httpx.Response, words: str) -> bool:
    """Whether an error means that no interaction would get through, rather than not this one."""
    if response.status_code == 500:
        return "InvalidSystemConfiguration" in words
    if response.status_code not in ABOUT_THIS_INTERACTION:
        return False
    if response.status_code == 404 and json_of(response) is None:
        return True  # a web server's own page: the route is not there
    return bool(NO_SUCH_ROUTE.search(words) or SCHEMA_GONE.search(words))


def _id_of(response: httpx.Response) -> str | None:
    content = json_of(response)
    if not isinstance(content, dict):
        return None
    for name in ("id", "Id", "interactionId"):
        if isinstance(value := content.get(name), str | int) and not isinstance(value, bool):
            text = str(value).strip()
            return text if text and text.isprintable() and len(text) <= LONGEST_ID else None
    return None


def _parsed(text: str) -> object:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
