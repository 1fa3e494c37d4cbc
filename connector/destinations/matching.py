"""Find out which interactions at the destination are ours: what a read-back means.

For any destination that lists interactions. A row in doubt is *expected* as one interaction, which
may or may not be there. Equal events are legal, so what is expected and what is stored are counted
against each other as multisets: nothing is counted twice, and nothing that another row already owns
is counted at all.
"""

import unicodedata
from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from datetime import datetime, time, timedelta
from decimal import Decimal, InvalidOperation
from html import unescape
from typing import Any

from connector.basis import dataclass
from connector.rules.activation import Activation
from connector.rules.interaction import canonical
from connector.rules.read_back import Absent, Here, Stored, Undecided, Verdict
from connector.rules.schema import InteractionSchema

PRECISION = timedelta(milliseconds=1)
"""Clients commonly write milliseconds; nobody promises that more are kept."""
SECOND, MINUTE = timedelta(seconds=1), timedelta(minutes=1)
DAY_AND_ZONES = timedelta(hours=24 + 14)
"""By how much a time is off at most whose zone, or whose hours, are not shown."""


@dataclass(frozen=True, slots=True)
class Expected:
    """A row that was, or may have been, sent: what its interaction would look like. `row_key`: the
    text of each of its columns, where it is known; `remade`: the row was recorded anew, and may
    have been sent with another mapping."""

    delivery_id: int
    created: datetime
    payload: Mapping[str, Any]
    row_key: Sequence[str] = ()
    remade: bool = False


Carriers = Sequence[Sequence[str]]
"""For each column of a row key the payload properties that carry it today."""


def key_carriers(activation: Activation) -> Carriers:
    """The payload properties that together carry the row key; empty where they do not."""
    carriers = [
        tuple(prop for prop, f in activation.payload.items() if f.column == column)
        for column in activation.row_key
    ]
    return carriers if all(carriers) else ()


def judge(
    expected: Sequence[Expected],
    stored: Sequence[Stored],
    schema: InteractionSchema,
    carriers: Carriers,
) -> dict[int, Verdict]:
    """By delivery id, what `stored` says about what is `expected`: all of one contact, the oldest
    first, and none of `stored` owned by another row.

    Properties that carry the key of a row decide alone, where it was sent with such. Otherwise two
    interactions are the same when their times are the same instant, and their payloads agree in
    what the schema keeps. A row is absent when nothing that is nobody's can be its own, even if the
    destination writes things differently, or the row was mapped in another way then.

    Of rows that nothing tells apart, the oldest get what is there: their absence would be
    believed first, while a younger one's interaction may only not be shown yet.
    """
    verdicts: dict[int, Verdict] = {}
    groups = _equal([_Ours(row, _carrying(row, carriers)) for row in expected], schema)
    meant_by = [[s for s in stored if _is(g[0], s, schema)] for g in groups]
    times_meant = Counter(s.id for meant in meant_by for s in meant)
    nobodys = [s for s in stored if not times_meant[s.id]]
    for group, meant in zip(groups, meant_by, strict=True):
        if any(times_meant[s.id] > 1 for s in meant):
            reason = (
                "an interaction at the destination could be this row's or another's, whose time"
                " differs by less than a second"
            )
        elif len(meant) > len(group):
            reason = (
                f"{len(meant)} interactions at the destination could be this row's, and"
                f" {len(group)} in doubt could be theirs"
            )
        else:
            found = sorted(s.id for s in meant)
            for i, ours in enumerate(group):
                if i < len(found):
                    verdicts[ours.row.delivery_id] = Here(found[i])
                elif any(_may_be(ours, s, carriers) for s in nobodys):
                    verdicts[ours.row.delivery_id] = Undecided(MAY_BE)
                else:
                    verdicts[ours.row.delivery_id] = Absent()
            continue
        verdicts.update((ours.row.delivery_id, Undecided(reason)) for ours in group)
    return verdicts


MAY_BE = (
    "an interaction at the destination may be this row's, though it is not what was sent to the"
    " letter: the destination writes it in another way, or the row was mapped in another way then"
)


def likeness(stored: Stored, carriers: Carriers) -> Hashable:
    """The same for interactions at one destination that nothing tells apart: by the properties
    that carry the row key where they are there, else by instant and payload."""
    values = [
        next((v for name in names if (v := stored.payload.get(name)) is not None), None)
        for names in carriers
    ]
    if values and None not in values:
        return canonical({str(i): value for i, value in enumerate(values)})
    created = stored.created
    if created is not None:
        created -= timedelta(microseconds=created.microsecond % 1000)
    return created, canonical(stored.payload)


def could_be(ours: Expected, stored: Stored, schema: InteractionSchema) -> bool:
    """Whether `stored` may be what `ours` sent, by instant and payload."""
    return _is(_Ours(ours, ()), stored, schema)


@dataclass(frozen=True, slots=True)
class _Ours:
    """A row with the properties of its own body that carry its key; empty where they do not."""

    row: Expected
    carrying: Carriers


def _carrying(row: Expected, carriers: Carriers) -> Carriers:
    """By what it was sent with: the mapping may be another one today."""
    known = len(row.row_key) == len(carriers)
    parts = row.row_key if known else [None] * len(carriers)
    found = [
        [n for n in names if n in row.payload and (part is None or _says(row.payload[n], part))]
        for names, part in zip(carriers, parts, strict=True)
    ]
    return found if all(found) else ()


def _says(value: Any, part: str) -> bool:
    """Whether a property has this text of a row key, however it is written."""
    if isinstance(value, bool):
        return part == str(value).lower()
    if isinstance(value, int | float):
        try:
            return Decimal(part) == Decimal(str(value))
        except InvalidOperation:
            return False
    return bool(value == part or _same(value, part))


def _equal(expected: Sequence[_Ours], schema: InteractionSchema) -> list[list[_Ours]]:
    """What is expected, in groups of what nothing tells apart."""
    groups: list[list[_Ours]] = []
    by_key: dict[tuple[str, ...], list[_Ours]] = defaultdict(list)
    for ours in expected:
        payload = ours.row.payload
        if ours.carrying:
            by_key[tuple(str(payload[names[0]]) for names in ours.carrying)].append(ours)
            continue
        as_stored = Stored("", ours.row.created, payload)
        for group in groups:
            if _is(group[0], as_stored, schema):
                group.append(ours)
                break
        else:
            groups.append([ours])
    return groups + list(by_key.values())


def _is(ours: _Ours, stored: Stored, schema: InteractionSchema) -> bool:
    row, there = ours.row, stored.payload
    if not stored.readable:
        return False
    if ours.carrying:
        shown = [[name for name in names if name in there] for names in ours.carrying]
        return all(shown) and all(
            _same(row.payload[name], there[name]) for names in shown for name in names
        )
    # a time that cannot be read speaks neither for nor against: the payload decides
    if stored.created is not None and not _same_instant(row.created, stored.created):
        return False
    kept = {name: row.payload[name] for name in schema.properties if name in row.payload}
    said = {name: value for name, value in there.items() if value is not None}
    return kept.keys() == said.keys() and all(_same(kept[n], said[n]) for n in kept)


def _may_be(ours: _Ours, stored: Stored, carriers: Carriers) -> bool:
    """Whether an interaction that is nobody's can be the row's all the same."""
    row = ours.row
    sent = {name.casefold(): value for name, value in row.payload.items() if value is not None}
    there = {name.casefold(): value for name, value in stored.payload.items() if value is not None}

    def agrees(names: Iterable[str]) -> bool:
        return all(_alike(sent[name], there[name]) for name in names)

    carry = {name.casefold() for names in ours.carrying or carriers for name in names}
    shown = carry & sent.keys() & there.keys()
    if ours.carrying and shown and not row.remade:
        return agrees(shown)
    if not ours.carrying and shown and agrees(shown) and not _said_by(sent.values(), row.row_key):
        return True  # it carries the key as today's mapping has it, in some other writing
    others = [v for name, v in there.items() if name in carry or name not in sent]
    if row.remade and row.row_key and _said_by(others, row.row_key):
        return True
    if not _may_be_then(row.created, stored):
        return False
    if not stored.readable:
        return True
    both = sent.keys() & there.keys()  # the destination may add some of its own
    strange = sent and there and not both and not row.remade
    return not strange and all(_near(sent[n], there[n]) for n in both)


def _said_by(values: Iterable[Any], row_key: Sequence[str]) -> bool:
    """Whether each part of the row key is the value of some property."""
    there = list(values)
    return all(any(_says(value, part) for value in there) for part in row_key)


def _may_be_then(ours: datetime, stored: Stored) -> bool:
    if stored.created is None or _same_instant(ours, stored.created):
        return True
    return abs(ours - stored.created) < _cut_by(ours, stored.created, stored.zoned)


def _cut_by(ours: datetime, theirs: datetime, zoned: bool) -> timedelta:
    """By how much a time that is shown may be off. One without seconds, or hours, where ours has
    them, may have lost them there."""
    there, here = theirs.timetz(), ours.astimezone(theirs.tzinfo).timetz()
    if not zoned or (_is_midnight(there) and not _is_midnight(here)):
        return DAY_AND_ZONES
    return MINUTE if _is_whole(there) and not _is_whole(here) else SECOND


def _is_whole(moment: time) -> bool:
    return moment.second == moment.microsecond == 0


def _is_midnight(moment: time) -> bool:
    return _is_whole(moment) and moment.hour == moment.minute == 0


def _alike(ours: Any, theirs: Any) -> bool:
    """The same, or a text or a number that the destination writes in another way."""
    if _same(ours, theirs):
        return True
    if isinstance(ours, str) and isinstance(theirs, str):
        return _plain(ours) == _plain(theirs)
    mine, other = _number(ours), _number(theirs)
    if mine is not None and other is not None:
        return mine == other
    return str(ours).casefold() == str(theirs).casefold()


def _near(ours: Any, theirs: Any) -> bool:
    """Alike, or what is left of it where the destination rounds numbers and times, and cuts texts.
    Too little to tell one row's key from another's."""
    if _alike(ours, theirs):
        return True
    if isinstance(ours, str) and isinstance(theirs, str):
        mine_at, other_at = _instant(ours), _instant(theirs)
        if mine_at and other_at:
            return abs(mine_at - other_at) < SECOND
        return bool(theirs.strip()) and _plain(ours).startswith(_plain(theirs))
    mine, other = _number(ours), _number(theirs)
    if mine is None or other is None:
        return False
    return abs(mine - other) < max(_last_place(mine), _last_place(other))


def _number(value: Any) -> Decimal | None:
    """As a number, also where it is written as a text; None for what is none."""
    if isinstance(value, bool):
        return None
    try:
        number = Decimal(str(value).strip().replace(",", "."))
    except InvalidOperation:
        return None
    return number if number.is_finite() else None


def _last_place(number: Decimal) -> Decimal:
    """What its last decimal counts; 1 where it has none."""
    exponent = number.normalize().as_tuple().exponent
    return Decimal(1).scaleb(min(int(exponent), 0))


def _plain(text: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", unescape(text)).casefold().split())


def _same_instant(ours: datetime, theirs: datetime) -> bool:
    """Equal to the millisecond, or cut to the second by the destination."""
    return abs(ours - theirs) < PRECISION or theirs == ours.replace(microsecond=0)


def _same(ours: Any, theirs: Any) -> bool:
    if isinstance(ours, bool) or isinstance(theirs, bool):
        return ours is theirs
    if ours == theirs:
        return True
    if isinstance(ours, str) and isinstance(theirs, str):
        mine, other = _instant(ours), _instant(theirs)
        return mine is not None and other is not None and _same_instant(mine, other)
    # a number that the destination keeps as text, or the other way round
    return isinstance(ours, str) != isinstance(theirs, str) and str(ours) == str(theirs)


def _instant(text: str) -> datetime | None:
    if len(text) < 16 or not text[:4].isdigit():
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if moment.tzinfo else None
