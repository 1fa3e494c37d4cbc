"""Voyado Engage as a destination, API v3 and v2: all abilities, one interaction a request.

Facts and their gaps: developer.voyado.com ("Interactions").
"""

import re
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import replace
from importlib import import_module
from typing import Any, cast

import orjson

from connector.basis import dataclass
from connector.destinations.answers import Response
from connector.destinations.credentials import api_key
from connector.destinations.engage.contacts import Contacts
from connector.destinations.engage.errors import (
    ABOUT_THIS_INTERACTION,
    MISCONFIGURED,
    NO_SUCH_ROUTE,
    NOT_TAKEN,
    SAYS_NOTHING_OF_STORING,
    has_error_code,
)
from connector.destinations.engage.grammar import CAN, EngageActivation, EngageSettings, is_guid
from connector.destinations.engage.pages import (
    LONGEST_TOKEN,
    by_name,
    doubt_of_page,
    id_text,
    page_of,
    path_of,
    token_of,
)
from connector.destinations.engage.schemas import Schemas
from connector.destinations.hooks import LastLook, nothing_to_see
from connector.destinations.http import is_page, json_of, unanswered
from connector.destinations.matching import (
    Carriers,
    Expected,
    could_be,
    judge,
    key_carriers,
    likeness,
)
from connector.destinations.port import Answer, Doubt, Item, Look, Owned, Parcel, Wiring
from connector.destinations.trials import Probe
from connector.rules.delivery import Accepted, Outcome, Refused, Removal, Removed, Unknown
from connector.rules.errors import ConfigurationError, DestinationUnusable, Problem, did_you_mean
from connector.rules.keys import split
from connector.rules.probing import Subject
from connector.rules.read_back import Absent, Here, ReadBack, Shown, Stored, Unread, Verdict
from connector.rules.schema import InteractionSchema

SCHEMA_GONE = re.compile(
    r"schema\s*(id)?\s*['\"]?[\w-]*['\"]?\s*"
    r"(was |is |could |does )?(not (be )?found|not exist|unknown)"
    r"|unknown\s+(interaction\s*)?schema",
    re.IGNORECASE,
)
NOT_FOUND = re.compile(r"not\s*found|no such|not exist", re.IGNORECASE)
MOST_PAGES, MOST_READ = 1000, 200_000_000
"""Pages, and bytes, of one contact's interactions: what has more is taken for endless."""


class Engage(Schemas, Contacts):
    """One Engage under one API key. Belongs to the event loop in which it is used."""

    can = CAN
    _interactions_are_there = False

    def __init__(self, settings: EngageSettings, wiring: Wiring) -> None:
        base = f"{settings.url.rstrip('/')}/api/{settings.api_version}"
        super().__init__(base, settings, api_key("apikey", settings.secret), wiring)
        self.live: dict[str, InteractionSchema] = {}
        """The schemas that were found, by the id that the configuration has for them."""

    def said(self, content: Mapping[str, Any]) -> Iterable[object]:
        fields = {str(k).lower(): v for k, v in content.items()}
        yield from (fields.get("errorcode"), fields.get("message"), fields.get("detail"))
        errors = fields.get("validationerrors")
        if isinstance(errors, list):
            yield from (e.get("errorDescription") for e in errors if isinstance(e, dict))

    def is_final(self, response: Response) -> bool:
        return MISCONFIGURED.encode() in response.content

    async def preflight(self, activation: EngageActivation) -> InteractionSchema:
        """The live schema. Raises DestinationUnusable when the key is refused or nothing answers,
        ConfigurationError when there is no such schema."""
        schema = await self.schema(activation.target)
        if schema is None:
            known = await self.schema_ids()
            raise ConfigurationError(
                Problem(
                    ("activations", activation.name, "schema_id"),
                    f'activation "{activation.name}": the destination has no schema'
                    f' "{activation.target}"{did_you_mean(activation.target, known)}',
                )
            )
        self.live[activation.target] = schema
        return schema

    def plain_contact(self, contact_id: str) -> str:
        """The one writing of a GUID that stands for all."""
        return contact_id.strip("{}").replace("-", "").lower()

    # --- sending --------------------------------------------------------------------------------

    def compose(self, activation: EngageActivation, parcel: Parcel) -> Look:
        """The POST of one interaction. Its payload is put in as it was validated."""
        (item,) = parcel.items
        schema = self.live.get(activation.target)
        head = orjson.dumps(
            {
                "contactId": item.contact or None,
                "schemaId": schema.id if schema else activation.target,
                "createdDate": item.created,
            }
        )
        body = head[:-1] + b',"payload":' + item.payload + b"}"
        return Look("POST", f"{self.base}/interactions", body)

    async def send(
        self, activation: EngageActivation, parcel: Parcel, last_look: LastLook = nothing_to_see
    ) -> Answer:
        """POST one interaction that came near, exactly once."""
        answer = await self.post(self.compose(activation, parcel), last_look)
        return Answer(self._outcome(answer) if isinstance(answer, Response) else answer)

    def _outcome(self, response: Response) -> Outcome:
        status = response.status_code
        if response.is_success:
            interaction_id = _id_of(response)
            if interaction_id:
                return Accepted(interaction_id, status)
            return Unknown(f"HTTP {status} without an id", status)
        if not_applied := self.not_applied(response):
            return not_applied
        self.refuse_all(response)
        words = self.words(response)
        none_is_taken = f"the destination takes no interactions: {words}"
        if status in NOT_TAKEN or _is_about_everything(response, words):
            raise DestinationUnusable(none_is_taken, status)
        if status in SAYS_NOTHING_OF_STORING:
            return Unknown(self.reason(response), status, distrust=none_is_taken)
        if status in ABOUT_THIS_INTERACTION:
            return Refused(self.reason(response), status, _is_about_contact(status, words))
        return Unknown(self.reason(response), status)

    # --- reading back ---------------------------------------------------------------------------

    async def read_back(self, contact_id: str, schema_id: str) -> ReadBack:
        """The interactions of one contact and schema, to the last page; or as far as they can be
        read, with the reason why there may be more."""
        found: dict[str, Stored] = {}
        params = {"contactId": contact_id, "schemaId": schema_id}
        tokens, read, number = set[str](), 0, 0

        def ended(gap: str | None, answered: bool = True) -> ReadBack:
            return ReadBack(list(found.values()), gap, answered)

        while number < MOST_PAGES and read <= MOST_READ:
            response = await self.get("/interactions", params)
            if isinstance(response, str):
                return ended(f"reading back failed: {response}", answered=False)
            content = json_of(self.useful(response))
            page = page_of(content)
            if response.status_code != 200 or page is None:
                return ended(f"reading back gave no list: {self.words(response)}")
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
        response = await self.get(path_of(interaction_id))
        if isinstance(response, str):
            return Unread(f"reading back failed: {response}", answered=False)
        status, words = self.useful(response).status_code, self.words(response)
        if status == 200:
            return self._shown(json_of(response), interaction_id)
        if NO_SUCH_ROUTE.search(words) or MISCONFIGURED in words or status == 405:
            raise DestinationUnusable(f"interactions cannot be read by their id: {words}", status)
        doubtful = status == 404 or (status == 410 and is_page(response))
        if doubtful and "interaction" not in words.lower():
            await self._prove_that_interactions_are_there(response, words)
        if status in (404, 410) or (status == 400 and NOT_FOUND.search(words)):
            return Absent()
        return Unread(f"reading back failed: {words}")

    def deletion(self, interaction_id: str) -> Look:
        """The request that takes one away."""
        return Look("DELETE", self.base + path_of(interaction_id), b"")

    async def delete(self, interaction_id: str) -> Removal:
        """Take one interaction away; safe to repeat.

        Raises DestinationUnusable when none could be deleted.
        """
        response = await self.remove(path_of(interaction_id))
        if isinstance(response, str):
            return unanswered(response)
        if await self._says_gone(response):
            return Removed(found=False)
        status = response.status_code
        if not response.is_success:
            return Refused(self.words(response), status)
        if is_page(response):
            return Unknown(f"HTTP {status} with a page that is no answer of an Engage", status)
        self._interactions_are_there = True
        return Removed(found=True)

    async def _says_gone(self, response: Response) -> bool:
        """Whether an answer about one interaction is that there is no such interaction.

        Raises DestinationUnusable for an answer that every interaction would get.
        """
        self.refuse_all(response)
        words, status = self.words(response), response.status_code
        about_all = status in (405, 406, 415) or MISCONFIGURED in words
        if about_all or (status == 404 and NO_SUCH_ROUTE.search(words)):
            raise DestinationUnusable(f"single interactions cannot be asked for: {words}", status)
        doubtful = status == 404 or (status == 410 and is_page(response))
        if doubtful and not has_error_code(response):
            await self._prove_that_interactions_are_there(response, words)
        return status in (404, 410)

    def _shown(self, content: object, interaction_id: str) -> Shown | Unread:
        page = page_of([content])
        contact_id = by_name(content).get("contactId") if isinstance(content, dict) else None
        if not page or not isinstance(contact_id, str) or id_text(contact_id) != contact_id:
            return Unread("reading back gave no interaction")
        if page[0].id.lower() != interaction_id.lower():
            return Unread("reading back gave another interaction than the one asked for")
        self._interactions_are_there = True
        return Shown(contact_id, page[0])

    async def _prove_that_interactions_are_there(self, gone: Response, said: str) -> None:
        """A 404 that does not name what is missing may be about the interaction, or come from
        whoever answers under a wrong url, or for an Engage that is away for a moment: then
        everything would seem to be gone. Where there are interactions, a list of them is refused
        only for want of its parameters. Whoever answers with a page is looked at each time. Raises
        DestinationUnusable."""
        if self._interactions_are_there and not is_page(gone):
            return
        response = self.useful(await self.get("/interactions"))
        words = self.words(response)
        wants_parameters = has_error_code(response) or "no action was found" in words.lower()
        if response.status_code not in (200, 400, 422) and not wants_parameters:
            raise DestinationUnusable(
                f"interactions cannot be read by their id: {said}", response.status_code
            )
        self._interactions_are_there = True

    # --- doubts ---------------------------------------------------------------------------------

    def drawer(self, doubt: Doubt) -> str:
        """The contact: the list of its interactions answers for all of its doubts."""
        return doubt.item.contact

    async def settle(
        self,
        activation: EngageActivation,
        doubts: Sequence[Doubt],
        owned: Owned,
        besides: Sequence[str] = (),
    ) -> Mapping[int, Verdict]:
        """Read the lists of all contacts that it may be about, and count the doubts against what
        belongs to no row."""
        schema = self.live.get(activation.target) or await self.preflight(activation)
        gap, free, taken = None, dict[str, Stored](), dict[str, Stored]()
        contacts = {self.plain_contact(c): c for c in (*(d.item.contact for d in doubts), *besides)}
        for contact in contacts.values():
            shown = await self.read_back(contact, schema.id)
            of_rows = await owned([stored.id for stored in shown.stored])
            gap = gap or shown.gap
            free |= {s.id: s for s in shown.stored if s.id not in of_rows}
            taken |= {s.id: s for s in shown.stored if s.id in of_rows}
        columns, oldest_first = len(activation.row_key), sorted(doubts, key=lambda d: -d.age)
        expected = [_expected_of(doubt, columns) for doubt in oldest_first]
        verdicts = judge(expected, list(free.values()), schema, key_carriers(activation))
        for row in expected:
            verdict = verdicts[row.delivery_id]
            if isinstance(verdict, Here):  # found by the row's key, which may have said otherwise
                stored = free[str(verdict.interaction_id)]
                stored = stored if activation.created_date else replace(stored, created=None)
                unlike = not could_be(row, stored, schema)
                verdicts[row.delivery_id] = replace(verdict, unlike=unlike)
            elif isinstance(verdict, Absent):
                like = [s.id for s in taken.values() if could_be(row, s, schema)]
                # what is missing from the list could be the one
                verdicts[row.delivery_id] = Unread(gap) if gap else Absent(like)
        return verdicts

    # --- what stands there ----------------------------------------------------------------------

    async def shelves(self, target: str, activation: EngageActivation | None) -> "ByContact | None":
        """The lists of contacts, as far as the schema is there."""
        schema = await self._schema_unless_gone(target)
        carriers = key_carriers(activation) if activation else ()
        return None if schema is None else ByContact(self, schema, carriers)

    async def _schema_unless_gone(self, schema_id: str) -> InteractionSchema | None:
        """The live schema; None where no list has it either, so that its interactions are gone,
        too: a 404 may come from whoever is in between. Raises DestinationUnusable."""
        schema = await self.schema(schema_id)
        if schema is None and schema_id in await self.schema_ids():
            said = f"the schema {schema_id} is listed, and not shown by its id"
            raise DestinationUnusable(said)
        return schema

    def probe(self, subject: Subject) -> Probe:
        """All questions that there are to an Engage; loaded where they are asked."""
        probing: Any = import_module("connector.destinations.engage.probing")
        return cast("Probe", probing.EngageProbe(self, subject))

    def person(self, name: str) -> str | None:
        """A contactId as it is compared."""
        return name.strip("{}").lower() if is_guid(name) else None

    async def of_person(self, person: str, target: str) -> set[str]:
        """All interactions of the contact and schema; none where the schema is gone, since they
        went with it."""
        if await self._schema_unless_gone(target) is None:
            return set()
        shown = await self.read_back(person, target)
        if shown.gap:
            raise DestinationUnusable(
                f"the interactions of this contact cannot be listed ({shown.gap}); without"
                " --delete-interactions, what the ledger holds can be removed all the same"
            )
        return {stored.id for stored in shown.stored}


@dataclass(frozen=True, slots=True)
class ByContact:
    """Interactions of one schema, by contact. `carriers`: the payload properties that together
    carry the row key; empty where that is not known."""

    engage: Engage
    schema: InteractionSchema
    carriers: Carriers

    def of(self, shown: Shown) -> str:
        """Its contact."""
        return shown.contact_id

    async def read(self, shelf: str) -> ReadBack:
        """All interactions of the contact."""
        return await self.engage.read_back(shelf, self.schema.id)

    def likeness(self, stored: Stored) -> Hashable:
        """By the properties that carry the row key, else by instant and payload."""
        return likeness(stored, self.carriers)

    def could_be(self, item: Item, stored: Stored) -> bool:
        """By instant and payload."""
        return could_be(_expected(item), stored, self.schema)


def _expected(item: Item) -> Expected:
    return Expected(item.delivery_id, item.created_at, orjson.loads(item.payload))


def _expected_of(doubt: Doubt, columns: int) -> Expected:
    parts = split(doubt.row_key, columns) if doubt.row_key else ()
    return replace(_expected(doubt.item), row_key=parts, remade=doubt.remade)


def _is_about_everything(response: Response, words: str) -> bool:
    """Whether an error means that no interaction would get through, rather than not this one."""
    if response.status_code == 500:
        return MISCONFIGURED in words
    if response.status_code not in ABOUT_THIS_INTERACTION:
        return False
    if response.status_code == 404 and json_of(response) is None:
        return True  # a web server's own page: the route is not there
    return bool(NO_SUCH_ROUTE.search(words) or SCHEMA_GONE.search(words))


def _is_about_contact(status: int, words: str) -> bool | None:
    """How that is said nobody has written down; what a 400 without a word of contacts means, a new
    look-up tells."""
    if status == 404 or "contact" in words.lower():
        return True
    return None if status == 400 else False


def _id_of(response: Response) -> str | None:
    content = json_of(response)
    if not isinstance(content, dict):
        return None
    for name in ("id", "Id", "interactionId"):
        value = content.get(name)
        if isinstance(value, str | int) and not isinstance(value, bool):
            return id_text(value)
    return None
