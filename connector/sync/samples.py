"""The requests of a preview: as a run would send them, for the rows that are shown."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

import orjson

from connector.destinations.port import AnyDestination, Item, Parcel, References
from connector.rules.activation import Activation
from connector.rules.deed import Document
from connector.rules.delivery import Found, Missing, NotApplied, Refused
from connector.rules.interaction import instant_text
from connector.sync.lookup import Contacts
from connector.sync.preview import Preview


async def samples(
    result: Preview,
    activation: Activation,
    destination: AnyDestination,
    contacts: Contacts | None,
    origin: str,
) -> list[Document]:
    """The requests for the rows that `result` shows, contacts looked up (by GET).

    Rows whose contact is not found are counted among the reasons instead. Without `contacts`, one
    that would have to be looked up stands as null. `origin`: the name under which the activation
    was recorded first.
    """
    references = References(origin, destination.reference_prefix)
    shown = result.shown = [each for each in result.shown if result.has_turn(each[1].contact)]
    found: list[tuple[str, Item]] = []
    if contacts is not None:
        await contacts.ahead(interaction.contact for _, interaction in shown)
        if result.identifiers:
            result.identifiers.sample = contacts.matches
    for row_key, interaction in shown:
        contact_id = ""
        if contacts is not None:
            match await contacts.of(interaction.contact):
                case Found(contact_id):
                    pass
                case Missing(reason) | Refused(reason) | NotApplied(reason):
                    result.count_reason(reason, row_key)
                    continue
        elif not activation.contact.needs_look_up:
            contact_id = interaction.contact
        created = interaction.created or instant_text(datetime.now(UTC).replace(microsecond=0))
        reference = references.of(row_key)
        found.append((row_key, Item(0, reference, contact_id, created, interaction.payload)))
    most, first = _rows_together(destination, [item for _, item in found]), int(result.first_alone)
    result.rows_together = most
    parts = [found[start : start + most] for start in range(first, len(found), most)]
    alone = [found[:1]] if first and found else []
    return [_shown(activation, destination, part) for part in (*alone, *parts)]


def _rows_together(destination: AnyDestination, items: Sequence[Item]) -> int:
    """About how many rows one request takes, by how much those weigh that are shown."""
    can = destination.can
    weight = sum(map(destination.weigh, items)) if can.bytes_per_request else 0
    if not weight:
        return can.rows_per_request
    return max(1, min(can.rows_per_request, can.bytes_per_request * len(items) // weight))


def _shown(
    activation: Activation, destination: AnyDestination, rows: Sequence[tuple[str, Item]]
) -> Document:
    """The request for `rows`, which is known by the first of them."""
    first, item = rows[0]
    items = tuple(replace(item, place=place) for place, (_, item) in enumerate(rows))
    look = destination.compose(activation, Parcel(item.reference, items))
    try:
        body = orjson.loads(look.body)
    except orjson.JSONDecodeError:
        body = look.body.decode(errors="replace")
    many = {"rows": len(rows)} if destination.can.rows_per_request > 1 else {}
    return {"row_key": first, "method": look.method, "url": look.url, "body": body, **many}


def deletions(result: Preview, destination: AnyDestination) -> list[Document]:
    """The requests that would take back what `result` shows, after the `samples` of what would be
    sent: what waits for its turn stays until then."""
    if result.mirror is None:
        return []
    found, sent = [], {row_key for row_key, _ in result.shown}
    for row_key, delivery_id, replaced in result.mirror.deleted:
        if replaced and result.waiting and row_key not in sent:
            continue
        if interaction_id := result.mirror.ids.get(delivery_id):
            look = destination.deletion(interaction_id)
            if look is not None:
                found.append(
                    {"row_key": row_key, "method": look.method, "url": look.url, "body": None}
                )
    return found
