"""Voyado Engage, API v3 and v2: pre-flight, contact look-up, and one POST an interaction.

Facts and their gaps: developer.voyado.com ("Interactions", "API authentication", "API rate limit",
"API retry policy", "Find contact"). Where those are silent, the assumption is the one that cannot
send twice or lose: a 2xx counts only with an id, a 5xx leaves a doubt.
"""

import re
from collections.abc import Callable
from copy import copy
from dataclasses import dataclass
from datetime import timedelta
from typing import Self
from urllib.parse import quote

import httpx
import orjson

from connector.destinations.dates import DestinationClock
from connector.destinations.http import (
    LONGEST_WORDS,
    Http,
    LastLook,
    Observer,
    Stopping,
    asked_to_wait,
    json_of,
    printable,
    refuse_key,
    refuse_redirect,
    text_of,
)
from connector.destinations.pacing import Pacer, Wire, never
from connector.destinations.pages import (
    LONGEST_ID,
    LONGEST_TOKEN,
    doubt_of_page,
    id_text,
    page_of,
    token_of,
)
from connector.rules.activation import ContactMapping, Identifier
from connector.rules.contacts import AMBIGUOUS, is_guid
from connector.rules.definition import Definition
from connector.rules.delivery import (
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
from connector.rules.errors import DestinationUnusable
from connector.rules.matching import Absent, ReadBack, Shown, Stored, Unread
from connector.rules.schema import InteractionSchema

NO_SUCH_ROUTE = re.compile(r"no http resource|no action was found|no type was found", re.IGNORECASE)
SCHEMA_GONE = re.compile(
    r"schema\s*(id)?\s*['\"]?[\w-]*['\"]?\s*"
    r"(was |is |could |does )?(not (be )?found|not exist|unknown)"
    r"|unknown\s+(interaction\s*)?schema",
    re.IGNORECASE,
)
NOT_FOUND = re.compile(r"not\s*found|no such|not exist", re.IGNORECASE)
MOST_PAGES, MOST_READ = 1000, 200_000_000
"""Pages, and bytes, of one contact's interactions: what has more is taken for endless."""
MOST_SCHEMAS = 1000
"""An environment may have fifteen."""
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
        self._stopping: Stopping = never

    def heeding(self, stopping: Stopping) -> Self:
        """The same client for somebody who may be asked to stop: what may be repeated is not begun
        any more then, and no further page is asked for."""
        before, mine = self._stopping, copy(self)
        mine._stopping = lambda: stopping() or before()
        return mine

    async def _get(self, path: str, params: dict[str, str] | None = None) -> httpx.Response | str:
        return await self._http.get(path, params, self._stopping)

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
            schema = InteractionSchema(definition.id, rules, definition.display_name)
            _ = schema.properties, schema.required  # what rows will be held against
        except Exception as error:  # whatever somebody has made of it
            said = printable(str(error).partition("\n")[0])[:LONGEST_WORDS]
            reason = said or type(error).__name__
            raise DestinationUnusable(
                f"the schema {schema_id} at the destination is broken: {reason}"
            ) from None
        return schema

    async def definition(self, schema_id: str) -> Definition | None:
        """What the live schema consists of, usable or not; None when there is no such schema.

        Raises DestinationUnusable when the key is refused or no useful answer comes.
        """
        response = self._useful(await self._get(f"/interactionschemas/{quote(schema_id, safe='')}"))
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
        name, key = content.get("displayName"), content.get("id")
        return Definition(
            key if isinstance(key, str) and key else schema_id,
            name if isinstance(name, str) else "",
            rules,
        )

    async def schema_ids(self) -> list[str]:
        """The ids of all live schemas. Raises DestinationUnusable."""
        response = self._useful(await self._get("/interactionschemas"))
        content = json_of(response)
        if response.status_code != 200 or not isinstance(content, list):
            raise DestinationUnusable(
                f"the destination does not list its schemas ({self._http.words(response)}); is this"
                " the url of an Engage, and is the Interactions add-on enabled there?"
            )
        ids = [entry.get("id") for entry in content if isinstance(entry, dict)]
        return [name for name in ids if isinstance(name, str)]

    def _useful(self, answer: httpx.Response | str) -> httpx.Response:
        if isinstance(answer, str):
            raise DestinationUnusable(f"the destination {self._base} gives no answer: {answer}")
        refuse_redirect(answer)
        refuse_key(answer)
        return answer

    # --- schemas --------------------------------------------------------------------------------

    async def definitions(self) -> list[Definition]:
        """What every live schema consists of. Raises DestinationUnusable."""
        ids = list(dict.fromkeys(await self.schema_ids()))
        if len(ids) > MOST_SCHEMAS:
            raise DestinationUnusable(
                f"the destination lists {len(ids)} schemas; is this the url of an Engage?"
            )
        found = [await self.definition(schema_id) for schema_id in ids]
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
        response = await self._get("/contacts/id", params)
        if isinstance(response, str):
            return NotApplied(f"the contact look-up failed: {response}")
        if response.status_code == 404 and json_of(response) is None:
            await self._prove_that_contacts_can_be_looked_up()
        return self._look_up_result(self._useful(response), contact, how)

    async def _prove_that_contacts_can_be_looked_up(self) -> None:
        """A 404 without a word may be about the contact, or about the route: then no contact
        would be found, and the run stops. Raises DestinationUnusable."""
        if not self._contacts_are_there:
            response = self._useful(await self._get("/contacts/count"))
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
                found = content if isinstance(content, str) else text_of(response)[:LONGEST_ID]
                found = found.strip().strip('"')
                if is_guid(found):
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
        """The interactions of one contact and schema, to the last page; or as far as they can be
        read, with the reason why there may be more."""
        found: dict[str, Stored] = {}
        params = {"contactId": contact_id, "schemaId": schema_id}
        tokens, read, number = set[str](), 0, 0

        def ended(gap: str | None, answered: bool = True) -> ReadBack:
            return ReadBack(list(found.values()), gap, answered)

        while number < MOST_PAGES and read <= MOST_READ:
            response = await self._get("/interactions", params)
            if isinstance(response, str):
                return ended(f"reading back failed: {response}", answered=False)
            content = json_of(self._useful(response))
            page = page_of(content)
            if response.status_code != 200 or page is None:
                return ended(f"reading back gave no list: {self._http.words(response)}")
            news = [stored for stored in page if stored.id not in found]
            found.update((stored.id, stored) for stored in news)
            read, number = read + len(response.content), number + 1
            token = token_of(content, tokens)
            if token is None:
                return ended(doubt_of_page(content, len(page)))
            if token in tokens or len(token) > LONGEST_TOKEN or (page and not news):
                return ended("reading back goes round in circles")
            tokens.add(token)
            params["continuation"] = token
        return ended(f"reading back does not end: {number} pages were read")

    async def interaction(self, interaction_id: str) -> Shown | Absent | Unread:
        """One interaction by its id. Raises DestinationUnusable when none could be read."""
        response = await self._get(_path_of(interaction_id))
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
        response = await self._http.remove(_path_of(interaction_id), self._stopping)
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
        page = page_of([content])
        contact_id = content.get("contactId") if isinstance(content, dict) else None
        if not page or not isinstance(contact_id, str) or id_text(contact_id) != contact_id:
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
        response = self._useful(await self._get("/interactions"))
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
        value = content.get(name)
        if isinstance(value, str | int) and not isinstance(value, bool):
            return id_text(value)
    return None


def _parsed(text: str) -> object:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
