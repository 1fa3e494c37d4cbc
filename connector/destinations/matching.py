"""Find out which interactions at the destination are ours: what a read-back means.

For any destination that lists interactions. A row in doubt is *expected* as one interaction, which
may or may not be there. Equal events are legal, so what is expected and what is stored are counted
against each other as multisets: nothing is counted twice, and nothing that another row already owns
is counted at all.
"""

from collections import Counter, defaultdict
from collections.abc import Hashable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from connector.basis import dataclass
from connector.rules.activation import Activation
from connector.rules.interaction import canonical
from connector.rules.read_back import Absent, Here, Stored, Undecided, Verdict
from connector.rules.schema import InteractionSchema

PRECISION = timedelta(milliseconds=1)
"""Clients commonly write milliseconds; nobody promises that more are kept."""


@dataclass(frozen=True, slots=True)
class Expected:
    """A row that was, or may have been, sent: what its interaction would look like."""

    delivery_id: int
    created: datetime
    payload: Mapping[str, Any]


def key_properties(activation: Activation) -> tuple[str, ...]:
    """The payload properties that together carry the row key; empty where they do not."""
    carrier = {f.column: prop for prop, f in activation.payload.items() if f.column is not None}
    if not all(column in carrier for column in activation.row_key):
        return ()
    return tuple(carrier[column] for column in activation.row_key)


def judge(
    expected: Sequence[Expected],
    stored: Sequence[Stored],
    schema: InteractionSchema,
    carrying_key: Sequence[str],
) -> dict[int, Verdict]:
    """By delivery id, what `stored` says about what is `expected`: all of one contact, the oldest
    first, and none of `stored` owned by another row.

    Properties `carrying_key` decide alone where there are some. Otherwise two interactions are the
    same when their times are the same instant, and their payloads agree in what the schema keeps.

    Of rows that nothing tells apart, the oldest get what is there: their absence would be
    believed first, while a younger one's interaction may only not be shown yet.
    """
    verdicts: dict[int, Verdict] = {}
    groups = _equal(expected, schema, carrying_key)
    meant_by = [[s for s in stored if _is(g[0], s, schema, carrying_key)] for g in groups]
    times_meant = Counter(s.id for meant in meant_by for s in meant)
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
            for i, row in enumerate(group):
                verdicts[row.delivery_id] = Here(found[i]) if i < len(found) else Absent()
            continue
        verdicts.update((row.delivery_id, Undecided(reason)) for row in group)
    return verdicts


def likeness(stored: Stored, carrying_key: Sequence[str]) -> Hashable:
    """The same for interactions at one destination that nothing tells apart: by the properties
    `carrying_key` alone where they are all there, else by instant and payload."""
    values = {name: stored.payload.get(name) for name in carrying_key}
    if values and None not in values.values():
        return canonical(values)
    created = stored.created
    if created is not None:
        created -= timedelta(microseconds=created.microsecond % 1000)
    return created, canonical(stored.payload)


def could_be(ours: Expected, stored: Stored, schema: InteractionSchema) -> bool:
    """Whether `stored` may be what `ours` sent, by instant and payload."""
    return _is(ours, stored, schema, ())


def _equal(
    expected: Sequence[Expected], schema: InteractionSchema, carrying_key: Sequence[str]
) -> list[list[Expected]]:
    """What is expected, in groups of what nothing tells apart."""
    groups: list[list[Expected]] = []
    by_key: dict[tuple[Any, ...], list[Expected]] = defaultdict(list)
    for ours in expected:
        if carrying_key:
            by_key[tuple(str(ours.payload.get(name)) for name in carrying_key)].append(ours)
            continue
        as_stored = Stored("", ours.created, ours.payload)
        for group in groups:
            if _is(group[0], as_stored, schema, ()):
                group.append(ours)
                break
        else:
            groups.append([ours])
    return groups + list(by_key.values())


def _is(
    ours: Expected, stored: Stored, schema: InteractionSchema, carrying_key: Sequence[str]
) -> bool:
    if carrying_key:
        return all(
            name in stored.payload and _same(ours.payload.get(name), stored.payload[name])
            for name in carrying_key
        )
    # a time that cannot be read speaks neither for nor against: the payload decides
    if stored.created is not None and not _same_instant(ours.created, stored.created):
        return False
    kept = {name: ours.payload[name] for name in schema.properties if name in ours.payload}
    there = {name: value for name, value in stored.payload.items() if value is not None}
    return kept.keys() == there.keys() and all(_same(kept[n], there[n]) for n in kept)


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
