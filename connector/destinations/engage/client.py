"""Voyado Engage as a destination, API v3 and v2: all abilities, one interaction a request."""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

import orjson

from connector.destinations.credentials import api_key
from connector.destinations.engage.abilities import CAN
from connector.destinations.engage.contacts import Contacts
from connector.destinations.engage.grammar import EngageActivation, EngageSettings, is_guid
from connector.destinations.engage.interactions import Interactions
from connector.destinations.engage.schemas import Schemas
from connector.destinations.matching import Expected, could_be, judge, key_properties, likeness
from connector.destinations.port import Doubt, Item, Owned, Wiring
from connector.rules.errors import ConfigurationError, DestinationUnusable, Problem, did_you_mean
from connector.rules.read_back import Absent, ReadBack, Shown, Stored, Unread, Verdict
from connector.rules.schema import InteractionSchema


class Engage(Schemas, Contacts, Interactions):
    """One Engage under one API key. Belongs to the event loop in which it is used."""

    can = CAN

    def __init__(self, settings: EngageSettings, wiring: Wiring) -> None:
        base = f"{settings.url.rstrip('/')}/api/{settings.api_version}"
        super().__init__(base, settings, api_key("apikey", settings.secret), wiring)
        self.live = {}

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
        expected = [_expected(d.item) for d in sorted(doubts, key=lambda d: d.age, reverse=True)]
        verdicts = judge(expected, list(free.values()), schema, key_properties(activation))
        for row in expected:
            if isinstance(verdicts[row.delivery_id], Absent):
                like = [s.id for s in taken.values() if could_be(row, s, schema)]
                # what is missing from the list could be the one
                verdicts[row.delivery_id] = Unread(gap) if gap else Absent(like)
        return verdicts

    # --- what stands there ----------------------------------------------------------------------

    async def shelves(self, target: str, activation: EngageActivation | None) -> "ByContact | None":
        """The lists of contacts, as far as the schema is there."""
        schema = await self.schema(target)
        key = key_properties(activation) if activation else ()
        return None if schema is None else ByContact(self, schema, key)

    def person(self, name: str) -> str | None:
        """A contactId as it is compared."""
        return name.strip("{}").lower() if is_guid(name) else None

    async def of_person(self, person: str, target: str) -> set[str]:
        """All interactions of the contact and schema; none where the schema is gone, since they
        went with it."""
        if await self.schema(target) is None:
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
    """Interactions of one schema, by contact. `carrying_key`: the payload properties that together
    carry the row key; empty where that is not known."""

    engage: Engage
    schema: InteractionSchema
    carrying_key: Sequence[str]

    def of(self, shown: Shown) -> str:
        """Its contact."""
        return shown.contact_id

    async def read(self, shelf: str) -> ReadBack:
        """All interactions of the contact."""
        return await self.engage.read_back(shelf, self.schema.id)

    def likeness(self, stored: Stored) -> Hashable:
        """By the properties that carry the row key, else by instant and payload."""
        return likeness(stored, self.carrying_key)

    def could_be(self, item: Item, stored: Stored) -> bool:
        """By instant and payload."""
        return could_be(_expected(item), stored, self.schema)


def _expected(item: Item) -> Expected:
    return Expected(item.delivery_id, item.created_at, orjson.loads(item.payload))
