"""A row as it is now: in the warehouse, as a body, and at the destination, side by side.

Asked for and shown; nothing of it is stored.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import field
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson

from connector.basis import dataclass
from connector.destinations.port import AnyDestination, Item, Look, Parcel, References
from connector.project.app import App
from connector.rules.activation import Activation
from connector.rules.blame import Mapped, blamed, with_value
from connector.rules.deed import Document
from connector.rules.delivery import CORRECTABLE, Found, LookUp, State
from connector.rules.interaction import Interaction, Invalid, instant_text
from connector.rules.properties import Ours, Sides, compare, mask, told_since
from connector.rules.read_back import Absent, Shown, Unread
from connector.rules.schema import InteractionSchema
from connector.rules.words import words
from connector.sync.lookup import contacts_of
from connector.sync.preflight import preflight
from connector.sync.row_now import RowNow, row_now, rows_now
from connector.sync.try_out import shown_document

NOT_IN_MODEL = "The model has no such row now."
RIGHT = "The model and the schema fit by now: it can be tried again."
GONE = "The destination has no interaction with its id any more."
CANNOT_SHOW = "At this destination what was delivered cannot be read back."


@dataclass(frozen=True, slots=True)
class Wrong:
    """A part of the row that `reason` is about, and where it is mapped."""

    part: Mapped
    reason: str
    place: Document

    def document(self, row: Mapping[str, Any], show_values: bool) -> Document:
        """With its value in `row`, masked where it may be personal."""
        return {**self.place, "said": with_value(self.part, self.reason, row, show_values)}


@dataclass(slots=True)
class Live:
    """A row now: what the warehouse has, the request that it gives, and what the destination shows
    of its interaction; each None where there is none, and `notes` say why."""

    created_name: str
    keep: tuple[str, ...] = ()
    """What is no customer's data, and is never masked."""
    row: Mapping[str, Any] | None = None
    look: Look | None = None
    shown: Shown | None = None
    ours: Ours | None = None
    """What would be sent of it."""
    sides: list[Sides] = field(default_factory=list)
    wrong: list[Wrong] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def document(self, show_values: bool) -> Document:
        """All of it; without `show_values` everything masked that a row has brought."""
        body = None if self.look is None else self.look.content()
        shown = shown_document(self.shown, self.created_name)
        row = None if self.row is None else dict(self.row)
        sides = self.sides
        if not show_values:
            row, body, sides = mask(row), self._masked(body), [side.masked() for side in sides]
            shown = shown and {**mask(shown), "id": shown["id"]}
        return {
            "row": row,
            "body": body,
            "interaction": shown,
            "differences": [side.document() for side in sides],
            "wrong": [each.document(self.row or {}, show_values) for each in self.wrong],
            "masked": not show_values,
            "notes": self.notes,
        }

    def _masked(self, body: Any) -> Any:
        if not isinstance(body, dict):
            return mask(body)
        return {name: v if v in self.keep else mask(v) for name, v in body.items()}


async def live(app: App, activation: Activation, row_key: str, story: Document) -> Live:
    """The row `row_key`, which is recorded as its `story` says. Raises ConfigurationError, or what
    stands in the way of asking."""
    name = app.settings.project.destination_of(activation)
    found = Live(activation.created_shown, keep=(activation.target,))
    async with app.destination(name) as client:
        schema = await preflight(activation, client)
        now = await asyncio.to_thread(mapped_now, app, activation, schema, row_key)
        ours = None if now is None else await _ours(app, activation, client, story, now, found)
        found.ours = ours
        if now is None:
            found.notes.append(NOT_IN_MODEL)
        else:
            found.wrong = _wrong(app, activation, story, now)
        await _there(client, story, found)
    if ours and found.shown:
        *_, digest = await asyncio.to_thread(_recorded, app, activation, row_key)
        name, same = found.created_name, _same_contact(client, ours, found.shown)
        sides = compare(ours, found.shown, same, name)
        found.sides = told_since(sides, ours, found.shown, digest, name)
    return found


async def values_now(
    app: App, activation: Activation, listed: Sequence[Document], show_values: bool
) -> dict[str, list[str]]:
    """What is wrong with each of the rows, which are in quarantine, as the warehouse has it now, by
    row key: with the values, masked where they may be personal unless `show_values`. Raises
    ConfigurationError, or what stands in the way of asking."""
    async with app.destination(app.settings.project.destination_of(activation)) as client:
        schema = await preflight(activation, client)
    keys = [each["row_key"] for each in listed]

    def read() -> dict[str, RowNow]:
        with app.source(activation, schema) as source:
            return rows_now(source, keys)

    found = await asyncio.to_thread(read)
    return {
        each["row_key"]: _value_now(app, activation, each, found.get(each["row_key"]), show_values)
        for each in listed
    }


def _value_now(
    app: App, activation: Activation, row: Document, now: RowNow | None, show_values: bool
) -> list[str]:
    if now is None:
        return [NOT_IN_MODEL]
    wrong = _wrong(app, activation, row, now)
    told = [str(each.document(now.columns, show_values)["said"]) for each in wrong]
    if isinstance(now.content, Invalid):
        return told or [now.content.reason]
    return [*told, *([RIGHT] if row["state"] == State.INVALID else [])]


def _wrong(app: App, activation: Activation, story: Document, now: RowNow) -> list[Wrong]:
    """What is wrong with the row as it is now; else what it waits in quarantine for."""
    reason: str = (story["reason"] or "") if story["state"] in CORRECTABLE else ""
    if isinstance(now.content, Invalid):
        reason = now.content.reason
    return [Wrong(part, reason, app.mapped(part)) for part in blamed(activation, reason)]


async def _ours(
    app: App,
    activation: Activation,
    client: AnyDestination,
    story: Document,
    now: RowNow,
    found: Live,
) -> Ours | None:
    """What would be sent of the row now; None where it becomes no interaction."""
    found.row = now.columns
    content = now.content
    if isinstance(content, Invalid):
        found.notes.append(f"The row becomes no interaction now: {content.reason}.")
        return None
    contact = await _contact(app, activation, client, content, found)
    origin, happened, _ = await asyncio.to_thread(_recorded, app, activation, story["row_key"])
    created = content.created or happened
    now_at = instant_text(datetime.now(UTC).replace(microsecond=0))
    reference = References(origin, client.reference_prefix).of(story["row_key"])
    item = Item(0, reference, contact or "", created or now_at, content.payload)
    found.look = client.compose(activation, Parcel(reference, (item,)))
    shown_at = created and instant_text(activation.shown_at(item.created_at))
    return Ours(contact, shown_at or None, orjson.loads(content.payload))


async def _contact(
    app: App, activation: Activation, client: AnyDestination, content: Interaction, found: Live
) -> str | None:
    match await contact_now(app, activation, client, content.contact):
        case Found(contact_id):
            return contact_id
        case other:
            found.notes.append(f"Its contact cannot be told: {other.reason}.")
    return None


async def _there(client: AnyDestination, story: Document, found: Live) -> None:
    """What the destination shows."""
    if story["interaction_id"] is None:
        found.notes.append(f"No interaction of it is known there: it is {words(story['state'])}.")
        return
    if not client.can.shows:
        found.notes.append(CANNOT_SHOW)
        return
    match await client.interaction(story["interaction_id"]):
        case Shown() as shown:
            found.shown = shown
        case Absent():
            found.notes.append(GONE)
        case Unread(reason):
            found.notes.append(f"Its interaction could not be read: {reason}.")


def _same_contact(client: AnyDestination, ours: Ours, shown: Shown) -> bool:
    plain = client.plain_contact if client.can.looks_up else str
    return ours.contact is not None and plain(ours.contact) == plain(shown.contact_id)


def _recorded(app: App, activation: Activation, row_key: str) -> tuple[str, str | None, str | None]:
    """Under which name its rows were recorded first; when the row happened, and its digest."""
    with app.reports() as reports:
        origin = reports.origin(activation.name) or activation.name
        return (origin, *reports.sent_as(activation.name, row_key))


def mapped_now(
    app: App, activation: Activation, schema: InteractionSchema | None, row_key: str
) -> RowNow | None:
    """The row as the warehouse has it now."""
    with app.source(activation, schema) as source:
        return row_now(source, row_key)


async def contact_now(
    app: App, activation: Activation, client: AnyDestination, contact: str
) -> LookUp:
    """Which contact an identifier is, asked for now."""

    async def nothing(_: str, __: list[str], ___: timedelta) -> Mapping[str, str]:
        return {}

    cache = app.contact_cache(activation)
    return await contacts_of(activation, app.warehouse(), client, cache, nothing).afresh(contact)
