"""Rows that are new to an activation, and recorded of another one that sends to the same target: an
activation was split, or two became one, and what one has sent is about to be sent once more."""

from collections.abc import Callable, Sequence

from connector.ledger.records import Identity
from connector.ledger.reports import Reports
from connector.rules.delivery import MAY_BE_THERE, TO_BE_SENT, State
from connector.rules.mapping import key_text
from connector.sync.outlook import Stands
from connector.sync.reading import Plan, first_keys

SAMPLED = 500
"""Row keys that are looked for among those of others."""
SENT = (State.DELIVERED, *TO_BE_SENT, *MAY_BE_THERE)
"""States of a row that was sent, or will be."""

Others = Callable[[], Sequence[str]]


def sending_alike(memory: Reports, activation: str, identity: Identity) -> list[str]:
    """The other activations whose rows have the same row key and went to the same target, those
    that are no longer configured among them."""
    place = identity.place
    return [
        name
        for name, other in memory.homes().items()
        if name not in (activation, identity.renamed_from)
        and (other.row_key, other.schema_id) == (identity.row_key, identity.schema_id)
        and (
            place.covers(other.place)
            if place and other.place
            else other.destination == identity.destination
        )
    ]


def recorded_elsewhere(
    reading: Plan, memory: Reports, stands: Stands, others: Others
) -> str | None:
    """What a person should know of the first rows of the model, where they are new to the
    activation and recorded of one of the `others`. Only before its first run and after an edit of
    its model: who goes on sends what they mean to."""
    if reading.history or not (stands.first or "model" in reading.edited):
        return None
    activation, names = reading.activation, others()
    if not names:
        return None
    found = [key_text(values) for values, _ in first_keys(reading, SAMPLED)]
    known = reading.known(found)
    new = [key for key in dict.fromkeys(found) if key is not None and key not in known]
    for name in names:
        theirs = memory.known(name, new)
        both = [key for key in new if key in theirs and theirs[key].state in SENT]
        if both:
            return _told(both[0], name, stands.first and not activation.mirrors)
    return None


def _told(example: str, other: str, begins: bool) -> str:
    out = "write start: now, or keep them" if begins else "keep them"
    return (
        f'rows such as {example} are new here, and recorded of "{other}", which sends to the same'
        " place under the same row key: each of the two sends them once. If they are the same"
        f" events, {out} out of one of the two models"
    )
