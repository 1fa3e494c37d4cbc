"""How a schema in a file differs from the live one, and under which id it can stand beside it.

Engage cannot change a schema. It can be deleted, with all interactions of all contacts, and created
again; or it lives on, and another one is created beside it.
"""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from enum import StrEnum
from typing import Any

from connector.basis import dataclass
from connector.rules.definition import Definition
from connector.rules.words import first_few

VERSION = re.compile(r"(.+)_v(\d{1,6})", re.IGNORECASE)


MOST_TOLD = 5
"""Changes that are told in one line."""


class Kind(StrEnum):
    ADDED = "added"
    """A property that the live schema does not have."""
    REMOVED = "removed"
    """A property that only the live schema has."""
    RETYPED = "retyped"
    """A property of another type."""
    CHANGED = "changed"
    """Another rule of a property, or of the schema."""
    NOW_REQUIRED = "now_required"
    NO_LONGER_REQUIRED = "no_longer_required"


INCOMPATIBLE = (Kind.REMOVED, Kind.RETYPED)
"""Voyado asks that no property be removed; a property of another type is taken to be as bad, since
what is stored and what automations compare would no longer fit it."""


@dataclass(frozen=True, slots=True)
class Change:
    """One difference. `property` is empty where it is about the schema as a whole."""

    kind: Kind
    property: str
    message: str


@dataclass(frozen=True, slots=True)
class Difference:
    """Everything in which a schema differs from the live one. False when that is nothing."""

    changes: tuple[Change, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.changes)

    def __str__(self) -> str:
        return _told(self.changes)

    @property
    def compatible(self) -> bool:
        """Whether what was built on the live schema would work with the other one."""
        return not any(change.kind in INCOMPATIBLE for change in self.changes)

    @property
    def incompatibility(self) -> str:
        """Why it is refused, where it is not compatible."""
        lost = _told(self.of(*INCOMPATIBLE))
        return (
            f"not backward compatible: {lost}. Keep what the live schema has, or give the file an"
            " id of its own: then it is another schema"
        )

    def document(self) -> list[dict[str, Any]]:
        return [
            {"kind": change.kind, "property": change.property or None, "message": change.message}
            for change in self.changes
        ]

    def of(self, *kinds: Kind) -> list[Change]:
        return [change for change in self.changes if change.kind in kinds]


def _told(changes: Sequence[Change]) -> str:
    messages = [change.message for change in changes]
    return first_few(messages, MOST_TOLD, ", as `connector schema plan` shows")


def difference(live: Definition, local: Definition) -> Difference:
    """What would be different if `local` stood in the place of `live`. Their ids do not count, nor
    does the order of properties, which `sortOrder` tells."""
    return Difference(tuple(_changes(live, local)))


def versions(schema_id: str, ids: Collection[str]) -> list[str]:
    """Those of `ids` that are later versions of `schema_id`, the latest last."""
    base, number = _version(schema_id)
    later = []
    for other in ids:
        other_base, other_number = _version(other)
        if other_base.casefold() == base.casefold() and other_number > number:
            later.append((other_number, other))
    return [other for _, other in sorted(later)]


def next_version(schema_id: str, ids: Collection[str]) -> str:
    """An id for a version of `schema_id` that none of `ids` is, whatever the capitals."""
    base, number = _version(schema_id)
    taken = [_version(other)[1] for other in versions(schema_id, ids)]
    return f"{base}_v{max([number, *taken]) + 1}"


def _version(schema_id: str) -> tuple[str, int]:
    match = VERSION.fullmatch(schema_id)
    return (match[1], int(match[2])) if match else (schema_id, 1)


def _changes(live: Definition, local: Definition) -> Iterator[Change]:
    before, after = live.properties, local.properties
    for name in before:
        if name not in after:
            yield Change(Kind.REMOVED, name, f"{name} is removed")
    for name, spec in after.items():
        if name not in before:
            yield Change(Kind.ADDED, name, f"{name} is added ({_type(spec)})")
        else:
            yield from _property_changes(name, before[name], spec)
    for name in local.required:
        if name not in live.required:
            yield Change(Kind.NOW_REQUIRED, name, f"{name} is required")
    for name in live.required:
        if name not in local.required and name in after:
            yield Change(Kind.NO_LONGER_REQUIRED, name, f"{name} is no longer required")
    if live.display_name != local.display_name:
        yield _changed("", "displayName", live.display_name, local.display_name)
    told = ("properties", "required")
    yield from _rule_changes("", live.json_schema, local.json_schema, told)


def _property_changes(name: str, before: Any, after: Any) -> Iterator[Change]:
    if not isinstance(before, Mapping) or not isinstance(after, Mapping):
        if not same(before, after):
            yield Change(Kind.RETYPED, name, f"{name} is another kind of property")
        return
    if not same(before.get("type"), after.get("type")):
        message = f"{name} was {_type(before)} and is {_type(after)}"
        yield Change(Kind.RETYPED, name, message)
    yield from _rule_changes(name, before, after, ("type",))


def _rule_changes(
    name: str, before: Mapping[str, Any], after: Mapping[str, Any], told: Collection[str]
) -> Iterator[Change]:
    """What differs besides the rules that were `told` before."""
    for rule in dict.fromkeys((*before, *after)):
        if rule in told or (rule in before and rule in after and same(before[rule], after[rule])):
            continue
        yield _changed(name, rule, before.get(rule), after.get(rule))


def _changed(name: str, rule: str, before: Any, after: Any) -> Change:
    what = f"{name}: {rule}" if name else rule
    match before, after:
        case None, _:
            message = f"{what} is {after}, and was not given"
        case _, None:
            message = f"{what} was {before}, and is not given"
        case _:
            message = f"{what} was {before} and is {after}"
    return Change(Kind.CHANGED, name, message)


def _type(spec: Any) -> str:
    return str(spec.get("type", "no type")) if isinstance(spec, Mapping) else "no type"


def same(one: Any, other: Any) -> bool:
    """Whether two JSON values are equal: 1 and 1.0 are, 1 and true are not."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)
