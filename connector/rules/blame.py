"""What a reason is about: which parts of a row, of which columns, and what a mapping says of them.

A reason names properties and rules, and no values: it begins with the property, or is about the
contact in words of its own.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from connector.basis import dataclass
from connector.rules.activation import MALFORMED, Activation
from connector.rules.contacts import AMBIGUOUS
from connector.rules.errors import Path
from connector.rules.properties import mask

CONTACT = "contact"
OF_CONTACTS = (AMBIGUOUS, MALFORMED.partition(":")[0], "no contact")
"""How reasons begin that are about the contact."""
BREAKS = re.compile(r"(?P<kind>.+) breaks the rule (?P<rule>\w+) ?(?P<bound>.*)", re.DOTALL)
SAID = {
    "maximum": "is more than the maximum",
    "minimum": "is less than the minimum",
    "exclusiveMaximum": "is not less than",
    "exclusiveMinimum": "is not more than",
    "multipleOf": "is no multiple of",
    "maxLength": "is longer than the most characters,",
    "minLength": "is shorter than the fewest characters,",
    "enum": "is none of",
    "const": "is not",
    "pattern": "does not match the pattern",
    "format": "has not the format",
    "type": "is not of the type",
}
"""How a value breaks a rule of JSON Schema, for people."""
SMALL = 1_000_000
"""Numbers below it are shown though values are masked: no telephone number, and nobody's own."""


@dataclass(frozen=True, slots=True)
class Mapped:
    """A part of what is sent. `column`: of the model; None: a constant. `path`: of its key."""

    part: str
    column: str | None
    path: Path


def blamed(activation: Activation, reason: str) -> list[Mapped]:
    """What `reason` says is wrong; empty where it is about no part of the row."""
    parts = {mapped.part: mapped for mapped in _parts(activation)}
    return [parts[name] for name in _clauses(reason) if name in parts]


def with_value(mapped: Mapped, reason: str, row: Mapping[str, Any], show_values: bool) -> str:
    """What is wrong with a part of `row`, and its value; masked where it may be personal, unless
    `show_values`."""
    clause, value = _clauses(reason)[mapped.part], row.get(mapped.column or "")
    plain = isinstance(value, bool | int | float) and abs(value) < SMALL
    hidden = not show_values and (mapped.part == CONTACT or not plain)
    text = "NULL" if value is None else str(mask(value) if hidden else value)
    if broken := BREAKS.fullmatch(clause):
        how = SAID.get(broken["rule"], f"breaks the rule {broken['rule']}")
        return f"{mapped.part}: {text} {how} {broken['bound']}".rstrip()
    return f"{mapped.part}: {text}: {clause}"


def _clauses(reason: str) -> dict[str, str]:
    """By part, what is wrong with it."""
    found: dict[str, str] = {}
    for clause in reason.split("; "):
        part, _, what = clause.partition(": ")
        found.setdefault(part, what)
    if reason.startswith(OF_CONTACTS):
        found[CONTACT] = reason
    return found


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
