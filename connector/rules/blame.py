"""What a reason is about: which parts of a row, of which columns, and what a mapping says of them.

A reason names properties and rules, and no values: it begins with the property, or is about the
contact in words of its own.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from connector.rules.activation import MALFORMED, Activation
from connector.rules.contacts import AMBIGUOUS
from connector.rules.errors import Path

CONTACT = "contact"
OF_CONTACTS = (AMBIGUOUS, MALFORMED.partition(":")[0], "no contact")
"""How reasons begin that are about the contact."""


@dataclass(frozen=True, slots=True)
class Mapped:
    """A part of what is sent. `column`: of the model; None: a constant. `path`: of its key."""

    part: str
    column: str | None
    path: Path


def blamed(activation: Activation, reason: str) -> list[Mapped]:
    """What `reason` says is wrong; empty where it is about no part of the row."""
    parts = {mapped.part: mapped for mapped in _parts(activation)}
    named = [clause.partition(": ")[0] for clause in reason.split("; ")]
    if reason.startswith(OF_CONTACTS):
        named.append(CONTACT)
    return [parts[name] for name in dict.fromkeys(named) if name in parts]


def _parts(activation: Activation) -> Iterator[Mapped]:
    path = ("activations", activation.name)
    if activation.cursor:
        yield Mapped("cursor", activation.cursor.column, (*path, "cursor"))
    for name, field in activation.sent.items():
        yield Mapped(name, field.column, (*path, *activation.path_to(name)))
    if activation.happened:
        key = activation.created_key
        yield Mapped(key, activation.happened.column, (*path, key))
    yield Mapped(CONTACT, activation.contact.column, (*path, CONTACT))
