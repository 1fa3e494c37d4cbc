"""The Engage of a sandbox: contacts, schemas and interactions in memory, and their rules."""

import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import count
from threading import RLock
from typing import Any
from uuid import uuid4

import orjson

from connector.basis import dataclass
from connector.sandbox.engage.behaviour import Behaviour
from connector.sandbox.engage.contacts import GUID, Contact, Contacts, parse_contact
from connector.sandbox.engage.interactions import (
    Interaction,
    Interactions,
    Page,
    Writing,
    created_date,
    utc,
)
from connector.sandbox.engage.schemas import (
    BadSchema,
    NoSuchSchema,
    Schema,
    SchemaExists,
    Schemas,
    parse_schema,
)
from connector.sandbox.exchange import Refusal

Clock = Callable[[], float]


@dataclass(frozen=True, slots=True)
class Receipt:
    """The answer to an interaction that was not refused. `id` is None where none is given."""

    status: int
    id: str | None
    contact_id: str
    created: str


class Engage:
    """Everything that a sandbox keeps. May be read and filled from any thread.

    `behaviour` may be replaced at any time. `clock` gives seconds since 1970; every delay that
    concerns what is stored or visible is measured with it.
    """

    def __init__(self, behaviour: Behaviour | None = None, *, clock: Clock = time.time) -> None:
        self.behaviour = behaviour or Behaviour()
        self.clock = clock
        self._born = clock()
        self._lock = RLock()
        self._sequence = count(1)
        self._schemas = Schemas()
        self._contacts = Contacts()
        self._interactions = Interactions()

    def date(self) -> str | None:
        """The Date of an answer that is made now."""
        return self.behaviour.date_at(self.clock(), self._born)

    # Schemas

    def add_schema(self, body: object) -> Schema:
        """Register `{id, displayName, jsonSchema}`. Raises Refusal with what is wrong."""
        says = self.behaviour
        with self._now() as now:
            try:
                schema = parse_schema(body, now, limited=says.schema_limits)
                self._schemas.add(
                    schema, limited=says.schema_limits, compatible=says.backward_compatible
                )
            except SchemaExists as exists:
                message = f"Schema '{exists}' already exists"
                raise Refusal(
                    says.schema_exists_status, "InteractionSchemaExists", message
                ) from None
            except BadSchema as bad:
                raise _invalid(says.schema_refuse_status, bad.problems) from bad
            return schema

    def schemas(self) -> list[Schema]:
        """Return all schemas, first registered first."""
        with self._lock:
            return self._schemas.all()

    def visible_schemas(self) -> list[Schema]:
        """Return the schemas that callers can see, first registered first."""
        with self._lock:
            return [each for each in self._schemas.all() if self._shows(each)]

    def schema(self, schema_id: str) -> Schema:
        """Return a schema that callers can see. Raises Refusal for any other."""
        with self._lock:
            schema = self._schema(schema_id)
            if not self._shows(schema):
                raise self._no_schema(schema_id)
            return schema

    def remove_schema(self, schema_id: str) -> None:
        """Delete a schema and every interaction of it. Raises Refusal when not there."""
        with self._now() as now:
            schema = self._schema(schema_id)
            self._schemas.remove(schema)
            self._interactions.remove_schema(schema.id, *self._listed_until(now))

    # Contacts

    def add_contact(self, fields: Mapping[str, object], findable_after: float = 0) -> Contact:
        """Add a contact that look-ups find after so many seconds.

        Fields: contactId, contactType, email, mobilePhone, socialSecurityNumber, memberNumber,
        externalId, all optional. Raises ValueError for a field that is unknown or malformed, and
        for a contactId in use.
        """
        contact = parse_contact(fields)
        with self._now() as now:
            self._contacts.add(contact, now + findable_after)
        return contact

    def contacts(self) -> list[Contact]:
        """Return all contacts, first added first."""
        with self._lock:
            return self._contacts.all()

    def contact_count(self) -> int:
        """Return how many contacts there are."""
        with self._lock:
            return len(self._contacts)

    def find_contact(self, query: Mapping[str, str]) -> str:
        """Return the contact id that GET /contacts/id answers, or raise Refusal as it does."""
        with self._now() as now:
            return self._contacts.find(
                query,
                now,
                custom_key=self.behaviour.custom_key,
                unconfigured=self.behaviour.unconfigured,
            )

    def remove_contact(self, contact_id: str) -> None:
        """Delete a contact; what was sent about it stays. Raises Refusal when not there."""
        with self._lock:
            self._contacts.remove(contact_id.lower())

    def merge_contacts(self, old: str, into: str) -> None:
        """The contact `old` becomes `into`, with everything that was sent about it and all that
        finds it. Raises Refusal when one of them is not there."""
        with self._now():
            self._contacts.merge(old.lower(), into.lower())
            self._interactions.merge(old.lower(), into.lower())

    # Interactions

    def receive(self, body: bytes, late_by: float = 0) -> Receipt:
        """Take a POST /interactions, storing it `late_by` seconds from now.

        Raises Refusal for what is refused. A receipt is no proof: `behaviour` may drop an
        interaction behind it.
        """
        with self._now() as now:
            sent = parse_object(body)
            contact_id = contact_guid(sent.get("contactId"))
            if self.behaviour.merged_contact == "follows":
                contact_id = self._contacts.became(contact_id)
            schema = self._schema(sent.get("schemaId"))
            created = self._created_date(sent, now)
            if contact_id not in self._contacts and self.behaviour.unknown_contact != "store":
                return self._without_contact(contact_id, now)
            payload = self._judged(schema, sent.get("payload"))
            if payload is None:
                return self._dropped(contact_id, now)
            interaction = Interaction(
                id=str(uuid4()),
                contact_id=contact_id,
                schema_id=schema.id,
                created_date=created,
                payload=payload,
                blob=body,
                stored_at=now + late_by,
                sequence=next(self._sequence),
            )
            if self.behaviour.equal_twice == "one" and (
                first := self._interactions.equal_to(interaction)
            ):
                return Receipt(self.behaviour.success_status, first.id, contact_id, utc(now))
            self._interactions.add(interaction, now)
            return Receipt(self.behaviour.success_status, interaction.id, contact_id, utc(now))

    def interactions(
        self, contact_id: str | None = None, schema_id: str | None = None
    ) -> list[Interaction]:
        """Return what is really stored, visible to callers or not, first stored first."""
        with self._now():
            if contact_id and schema_id:
                return self._interactions.of(contact_id.lower(), schema_id)
            return [
                each
                for each in self._interactions.all()
                if (not contact_id or each.contact_id == contact_id.lower())
                and (not schema_id or each.schema_id == schema_id)
            ]

    def interaction(self, interaction_id: str) -> Interaction:
        """Return an interaction that callers can see. Raises Refusal for any other."""
        with self._now() as now:
            leaving = self._interactions.leaving(interaction_id)
            if leaving and self.behaviour.shown_after_delete:
                return leaving
            return self._interactions.get(interaction_id, now - self.behaviour.read_back_delay)

    def page(self, contact_id: str, schema_id: str, continuation: str | None = None) -> Page:
        """Return a page of GET /interactions, or raise Refusal as it does.

        A contact that does not exist, or no longer, has the pages of what was sent about it.
        """
        with self._now() as now:
            schema = self._schema(schema_id)
            merged = self._contacts.became(contact_id.lower()) != contact_id.lower()
            if merged and self.behaviour.merged_list == "404":
                raise Refusal(404, "ContactNotFound", f"Contact '{contact_id}' not found")
            pair = (contact_guid(contact_id), schema.id)
            visible_until = now - self.behaviour.read_back_delay
            # An array has no place for a token.
            whole = self.behaviour.page_shape == "array"
            return self._interactions.page(
                pair,
                continuation,
                visible_until,
                order=self.behaviour.page_order,
                size=None if whole else self.behaviour.page_size,
            )

    def remove_interaction(self, interaction_id: str) -> int:
        """Delete an interaction, and return the status of that. Raises Refusal when it is not
        there, or too young for it."""
        with self._now() as now:
            again = self.behaviour.delete_again
            if again != 404 and self._interactions.was_deleted(interaction_id):
                if again >= 400:
                    raise Refusal(again, "InteractionGone", "Interaction was deleted")
                return again
            since = self._interactions.get(interaction_id, now).stored_at
            if now - since < self.behaviour.delete_delay:
                early = self.behaviour.delete_early_status
                raise Refusal(early, "InteractionNotReady", "Interaction cannot be found yet")
            self._interactions.remove(interaction_id, *self._listed_until(now))
            return self.behaviour.delete_status

    def reset(self, keep: Collection[str] = ()) -> None:
        """Forget everything but what is named: "contacts", "schemas"."""
        with self._lock:
            self._interactions = Interactions()
            if "contacts" not in keep:
                self._contacts = Contacts()
            if "schemas" not in keep:
                self._schemas = Schemas()

    @contextmanager
    def _now(self) -> Iterator[float]:
        """Hold the store at one moment, with everything stored that is due by then."""
        with self._lock:
            now = self.clock()
            self._interactions.store_due(now)
            yield now

    def _listed_until(self, now: float) -> tuple[float, ...]:
        """Until when what is deleted now is listed, if it is."""
        lag = self.behaviour.listed_after_delete
        return (now + lag,) if lag else ()

    def _schema(self, schema_id: object) -> Schema:
        try:
            return self._schemas.get(schema_id, exact=self.behaviour.schema_id_case == "exact")
        except NoSuchSchema:
            raise self._no_schema(schema_id) from None

    def _no_schema(self, schema_id: object) -> Refusal:
        message = f"Schema '{schema_id}' not found"
        return Refusal(self.behaviour.unknown_schema_status, "InteractionSchemaNotFound", message)

    def _shows(self, schema: Schema) -> bool:
        return self.clock() >= schema.created + self.behaviour.schema_delay

    def _created_date(self, sent: dict[str, Any], now: float) -> str:
        says = self.behaviour
        as_sent = says.created_date == "as_sent"
        writing = Writing(as_sent, says.created_date_precision, says.created_date_offset)
        try:
            return created_date(sent.get("createdDate"), now, writing)
        except ValueError as error:
            raise _invalid(self.behaviour.refuse_status, [str(error)]) from error

    def _judged(self, schema: Schema, payload: object) -> dict[str, Any] | None:
        """Return what is kept of a payload, None where the interaction is dropped behind a success.
        Raises Refusal for one that is refused."""
        says = self.behaviour
        kept, problems = dict[str, Any](), ["payload is not an object"]
        if isinstance(payload, dict):
            unknown = sorted(payload.keys() - schema.types.keys())
            if unknown and says.unknown_property == "refused":
                unwanted = [f"there is no property '{name}'" for name in unknown]
                raise _invalid(says.refuse_status, unwanted)
            kept = schema.kept(payload, says.unknown_property == "stored")
            forgiven = payload.keys() if says.mistyped_required == "drop" else ()
            problems = schema.problems(kept, forgiven)
        if problems and says.breaking == "refuse":
            raise _invalid(says.refuse_status, problems)
        return None if problems and says.breaking != "store" else kept

    def _without_contact(self, contact_id: str, now: float) -> Receipt:
        if self.behaviour.unknown_contact in ("swallow", "no_id"):
            swallowed = self.behaviour.unknown_contact == "swallow"
            return Receipt(202, str(uuid4()) if swallowed else None, contact_id, utc(now))
        status = int(self.behaviour.unknown_contact)
        raise Refusal(status, "ContactNotFound", f"Contact '{contact_id}' not found")

    def _dropped(self, contact_id: str, now: float) -> Receipt:
        interaction_id = None if self.behaviour.breaking == "no_id" else str(uuid4())
        return Receipt(self.behaviour.success_status, interaction_id, contact_id, utc(now))


def parse_object(body: bytes) -> dict[str, Any]:
    """Return the JSON object in a request body. Raises Refusal for anything else."""
    try:
        parsed = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise Refusal(400, "NoData", "The body is not JSON") from error
    if not isinstance(parsed, dict):
        raise Refusal(400, "NoData", "The body is not a JSON object")
    return parsed


def _invalid(status: int, problems: Sequence[str]) -> Refusal:
    """The refusal of something that breaks rules, one sentence a rule."""
    return Refusal(status, "ValidationError", "; ".join(problems), problems=problems)


def contact_guid(value: object) -> str:
    """Return a contact id as it is kept. Raises Refusal for what is not a GUID."""
    if not isinstance(value, str) or not GUID.fullmatch(value):
        raise Refusal(400, "InvalidContactId", f"Contact id '{value}' is not a GUID")
    return value.lower()
