"""Voyado Engage, API v3 and v2: pre-flight, contact look-up, and one POST an interaction.

Facts and their gaps: developer.voyado.com ("Interactions", "API authentication", "API rate limit",
"API retry policy", "Find contact"). Where those are silent, the assumption is the one that cannot
send twice or lose: a 2xx counts only with an id, a 5xx leaves a doubt.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, quote, urlsplit

import httpx
import orjson

from connector.activation import ContactMapping, Identifier
from connector.contacts import AMBIGUOUS, is_guid
from connector.definition import Definition
from connector.delivery import (
    Accepted,
    Ambiguous,
    Found,
    LookUp,
    Malformed,
    Missing,
    NotApplied,
    Outcome,
    Refused,
    Removal,
    Removed,
    Unknown,
)
from connector.destinations.dates import DestinationClock
from connector.destinations.http import (
    Http,
    LastLook,
    Observer,
    asked_to_wait,
    json_of,
    refuse_key,
    refuse_redirect,
)
from connector.destinations.pacing import Pacer, Wire
from connector.errors import DestinationUnusable
from connector.matching import Absent, ReadBack, Shown, Stored, Unread
from connector.schema import InteractionSchema

NO_SUCH_ROUTE = re.compile(r"no http resource|no action was found|no type was found", re.IGNORECASE)
SCHEMA_GONE = re.compile(
    r"schema\s*(id)?\s*['\"]?[\w-]*['\"]?\s*"
    r"(was |is |could |does )?(not (be )?found|not exist|unknown)"
    r"|unknown\s+(interaction\s*)?schema",
    re.IGNORECASE,
)
NOT_FOUND = re.compile(r"not\s*found|no such|not exist", re.IGNORECASE)
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


@dataclass(frozen=True, slots=True)
class Applied:
    """The destination says that a schema was created, or deleted."""

    http_status: int


SchemaOutcome = Applied | Refused | NotApplied | Unknown
"""What one request to create or delete a schema can bring."""


class Engage:
    """One Engage under one API key. Belongs to the event loop in which it was made."""

    def __init__(self, options: EngageOptions, pacer: Pacer | None = None) -> None:
        """`pacer`: what others that use the same API key go by too."""
        self.concurrency = options.concurrency
        self.pacer = pacer or Pacer(options.requests_per_second)
        headers = {"apikey": options.api_key, "User-Agent": options.user_agent}
        self._base = f"{options.url.rstrip('/')}/api/{options.api_version}"
        self._wire = Wire(options.concurrency, self.pacer)
        self._http = Http(self._base, headers, options.timeout, self._wire, options.api_key)
        self._contacts_are_there = self._interactions_are_there = False

    def observed_by(self, observer: Observer) -> None:
        """Tell `observer` of every request from now on."""
        self._http.observe = observer

    async def aclose(self) -> None:
        """Close every connection."""
        await self._http.aclose()

    @property
    def clock(self) -> DestinationClock:
        """What time it is there, as far as its answers tell."""
        return self._http.clock

    # --- pre-flight -----------------------------------------------------------------------------

    async def schema(self, schema_id: str) -> InteractionSchema | None:
        """The live schema; None when the key is good but there is no such schema.

        Raises DestinationUnusable when the key is refused or no useful answer comes.
        """
        definition = await self.definition(schema_id)
        if definition is None:
            return None
        rules = dict(definition.json_schema)
        try:
            return InteractionSchema(definition.id, rules, definition.display_name)
        except ValueError as error:
            raise DestinationUnusable(
                f"the schema {schema_id} at the destination is broken: {error}"
            ) from None

    async def definition(self, schema_id: str) -> Definition | None:
        """What the live schema consists of, usable or not; None when there is no such schema.

        Raises DestinationUnusable when the key is refused or no useful answer comes.
        """
        response = self._useful(
            await self._http.get(f"/interactionschemas/{quote(schema_id, safe='')}")
        )
        if response.status_code in (400, 404):
            return None
        content = json_of(response)
        rules = content.get("jsonSchema") if isinstance(content, dict) else None
        if isinstance(rules, str):
            rules = _parsed(rules)
        if response.status_code != 200 or not isinstance(rules, dict):
            raise DestinationUnusable(
                f"the destination gives no usable schema {schema_id}: {self._http.words(response)}"
            )
        name = content.get("displayName")
        return Definition(str(content.get("id") or schema_id), str(name or ""), rules)

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

    # --- schemas --------------------------------------------------------------------------------

    async def definitions(self) -> list[Definition]:
        """What every live schema consists of. Raises DestinationUnusable."""
        found = [await self.definition(schema_id) for schema_id in await self.schema_ids()]
        return [definition for definition in found if definition is not None]

    async def create_schema(self, definition: Definition) -> SchemaOutcome:
        """POST a schema, exactly once. Raises DestinationUnusable when the key is refused."""
        body = orjson.dumps(definition.content)
        return self._schema_outcome(await self._http.post("/interactionschemas", body))

    async def delete_schema(
        self, schema_id: str, last_look: LastLook = lambda: None
    ) -> SchemaOutcome:
        """DELETE a schema, and with it all interactions of all contacts that are based on it;
        exactly once, and not when the `last_look` gives a reason: a process that was frozen must
        not delete what has been created anew. Raises DestinationUnusable when the key is
        refused."""
        path = f"/interactionschemas/{quote(schema_id, safe='')}"
        return self._schema_outcome(await self._http.delete(path, last_look))

    def _schema_outcome(self, answer: httpx.Response | NotApplied | Unknown) -> SchemaOutcome:
        if not isinstance(answer, httpx.Response):
            return answer
        status, words = answer.status_code, self._http.words(answer)
        if answer.is_success:
            return Applied(status)
        refuse_redirect(answer)
        refuse_key(answer)
        if status == 429:
            return NotApplied(words, status, asked_to_wait(answer), busy=True)
        if status in (*ABOUT_THIS_INTERACTION, *ABOUT_THE_REQUEST):
            return Refused(words, status)
        return Unknown(words, status)

    # --- contacts -------------------------------------------------------------------------------

    async def look_up(self, contact: str, how: ContactMapping) -> LookUp:
        """Which contact `contact` is, by one GET; safe to repeat.

        Raises DestinationUnusable when no look-up could succeed.
        """
        assert how.identifier is not None  # only a mapping with a lookup has none
        params = {how.identifier.value: contact}
        if how.contact_type:
            params["contactType"] = how.contact_type
        response = await self._http.get("/contacts/id", params)
        if isinstance(response, str):
            return NotApplied(f"the contact look-up failed: {response}")
        if response.status_code == 404 and json_of(response) is None:
            await self._prove_that_contacts_can_be_looked_up()
        return self._look_up_result(self._useful(response), contact, how)

    async def _prove_that_contacts_can_be_looked_up(self) -> None:
        """A 404 without a word may be about the contact, or about the route: then no contact
        would be found, and the run stops. Raises DestinationUnusable."""
        if not self._contacts_are_there:
            response = self._useful(await self._http.get("/contacts/count"))
            if response.status_code != 200:
                raise DestinationUnusable("contacts cannot be looked up: HTTP 404", 404)
            self._contacts_are_there = True

    def _look_up_result(
        self, response: httpx.Response, contact: str, how: ContactMapping
    ) -> LookUp:
        words = self._http.words(response)
        match response.status_code:
            case 200:
                content = json_of(response)
                found = str(content if content is not None else response.text).strip().strip('"')
                if not isinstance(content, dict | list) and is_guid(found):
                    return Found(found)
                return NotApplied("the contact look-up gave no contactId")
            case 404 if NO_SUCH_ROUTE.search(words):
                raise DestinationUnusable(f"contacts cannot be looked up: {words}", 404)
            case 404:
                return Missing(f"no contact{_of_type(how)} has this {how.word}")
            case 409 if "ContactWithKeyIsBeingCreated" in words:
                return Missing(f"the contact with this {how.word} is being created")
            case 409:
                return Ambiguous(self._ambiguous(response, how), 409)
            case 400 if "InvalidContactType" in words:
                raise DestinationUnusable(f"contact_type {how.contact_type} is unknown: {words}")
            case 400 | 422:
                advice = _advice_on_form(contact, how)
                reason = f"malformed contact identifier: {words}{advice}"
                return Malformed(reason, response.status_code)
            case _:
                raise DestinationUnusable(f"contacts cannot be looked up: {words}")

    def _ambiguous(self, response: httpx.Response, how: ContactMapping) -> str:
        content = json_of(response)
        details = content.get("messageDetails") if isinstance(content, dict) else None
        matches = details.get("multipleMatchesFound") if isinstance(details, dict) else None
        number = str(len(matches)) if isinstance(matches, list) else "several"
        advice = "" if how.contact_type else "; set contact.contact_type to say which kind is meant"
        return f"{AMBIGUOUS}: {number} contacts{_of_type(how)} have this {how.word}{advice}"

    # --- interactions ---------------------------------------------------------------------------

    async def come_near(self, stopping: Callable[[], bool]) -> None:
        """Wait for leave to put an interaction on record, or until `stopping`. It is sent then, or
        it goes away."""
        await self._wire.come_near(stopping)

    def go_away(self) -> None:
        """An interaction that came near will not be sent."""
        self._wire.go_away()

    def call_off(self) -> None:
        """Whoever is to stop does not wait any more."""
        self._wire.call_off()

    async def send(self, body: bytes, last_look: LastLook = lambda: None) -> Outcome:
        """POST one interaction that came near, exactly once, and say what came of it; not at all
        when the `last_look`, taken directly before, gives a reason.

        Raises DestinationUnusable when no interaction would get through; then this one was
        certainly not stored.
        """
        answer = await self._http.post("/interactions", body, last_look, came_near=True)
        return self._outcome(answer) if isinstance(answer, httpx.Response) else answer

    async def read_back(self, contact_id: str, schema_id: str) -> ReadBack:
        """The interactions of one contact and schema, to the last page."""
        found: dict[str, Stored] = {}
        params = {"contactId": contact_id, "schemaId": schema_id}
        tokens: set[str] = set()
        while True:
            response = await self._http.get("/interactions", params)
            if isinstance(response, str):
                failed = f"reading back failed: {response}"
                return ReadBack(list(found.values()), failed, answered=False)
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

    async def interaction(self, interaction_id: str) -> Shown | Absent | Unread:
        """One interaction by its id. Raises DestinationUnusable when none could be read."""
        response = await self._http.get(_path_of(interaction_id))
        if isinstance(response, str):
            return Unread(f"reading back failed: {response}", answered=False)
        status, words = self._useful(response).status_code, self._http.words(response)
        if status == 200:
            return self._shown(json_of(response), interaction_id)
        if NO_SUCH_ROUTE.search(words) or "InvalidSystemConfiguration" in words or status == 405:
            raise DestinationUnusable(f"interactions cannot be read by their id: {words}", status)
        if status == 404 and "interaction" not in words.lower():
            await self._prove_that_interactions_are_there(words)
        if status in (404, 410) or (status == 400 and NOT_FOUND.search(words)):
            return Absent()
        return Unread(f"reading back failed: {words}")

    async def look(self, interaction_id: str) -> Shown | Removed | Unknown:
        """Whether the interaction is there. Raises DestinationUnusable when none could be seen."""
        match await self.interaction(interaction_id):
            case Shown() as shown:
                return shown
            case Absent():
                return Removed(found=False)
            case Unread(reason):
                return Unknown(reason)

    async def delete(self, interaction_id: str) -> Removal:
        """Take one interaction away; safe to repeat.

        Raises DestinationUnusable when none could be deleted.
        """
        response = await self._http.remove(_path_of(interaction_id))
        if isinstance(response, str):
            return Unknown(response)
        if await self._says_gone(response):
            return Removed(found=False)
        status = response.status_code
        if not response.is_success:
            return Refused(self._http.words(response), status)
        if response.content and json_of(response) is None:
            return Unknown(f"HTTP {status} with a page that is no answer of an Engage", status)
        self._interactions_are_there = True
        return Removed(found=True)

    async def _says_gone(self, response: httpx.Response) -> bool:
        """Whether an answer about one interaction is that there is no such interaction.

        Raises DestinationUnusable for an answer that every interaction would get.
        """
        refuse_redirect(response)
        refuse_key(response)
        words, status = self._http.words(response), response.status_code
        about_all = status in (405, 406, 415) or "InvalidSystemConfiguration" in words
        if about_all or (status == 404 and NO_SUCH_ROUTE.search(words)):
            raise DestinationUnusable(f"single interactions cannot be asked for: {words}", status)
        if status == 404 and not _has_error_code(response):
            await self._prove_that_interactions_are_there(words)
        return status in (404, 410)

    def _shown(self, content: object, interaction_id: str) -> Shown | Unread:
        page = _page([content])
        contact_id = content.get("contactId") if isinstance(content, dict) else None
        if not page or not isinstance(contact_id, str) or not contact_id:
            return Unread("reading back gave no interaction")
        if page[0].id.lower() != interaction_id.lower():
            return Unread("reading back gave another interaction than the one asked for")
        self._interactions_are_there = True
        return Shown(contact_id, page[0])

    async def _prove_that_interactions_are_there(self, said: str) -> None:
        """A 404 that does not name what is missing may be about the interaction, or come from
        whoever answers under a wrong url: then everything would seem to be gone. Where there are
        interactions, a list of them is refused only for want of its parameters. Raises
        DestinationUnusable."""
        if self._interactions_are_there:
            return
        response = self._useful(await self._http.get("/interactions"))
        words = self._http.words(response)
        wants_parameters = _has_error_code(response) or "no action was found" in words.lower()
        if response.status_code not in (200, 400, 422) and not wants_parameters:
            raise DestinationUnusable(
                f"interactions cannot be read by their id: {said}", response.status_code
            )
        self._interactions_are_there = True

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


def _of_type(how: ContactMapping) -> str:
    return f" of the type {how.contact_type}" if how.contact_type else ""


def _advice_on_form(contact: str, how: ContactMapping) -> str:
    if how.identifier is Identifier.MOBILE_PHONE and not contact.startswith("+"):
        return "; a mobilePhone begins with its country code, such as +46"
    return ""


def _path_of(interaction_id: str) -> str:
    return f"/interactions/{quote(interaction_id, safe='')}"


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


def _has_error_code(response: httpx.Response) -> bool:
    """Whether an Engage speaks, and of something that it knows."""
    content = json_of(response)
    return isinstance(content, dict) and any(str(name).lower() == "errorcode" for name in content)


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
