"""The verdict: what the destination holds, against what it should hold and what the ledger says."""

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import NullPool, create_engine, make_url, text

Interaction = dict[str, Any]
A_MOMENT = 0.01
"""Seconds: times are written with thousandths of them."""


@dataclass(frozen=True, slots=True)
class Often:
    """How often one contact may be told something, at an Engage: `most` times in any `seconds`."""

    most: int
    seconds: float

    def passed(self, stored: Sequence[Interaction]) -> Iterator[str]:
        """What was more."""
        times = defaultdict[str, list[float]](list)
        for each in stored:
            at = datetime.fromisoformat(each["storedAt"]).timestamp()
            times[str(each["contactId"])].append(at)
        for contact, its in times.items():
            its.sort()
            for first, last in zip(its, its[self.most :], strict=False):
                if last - first < self.seconds - A_MOMENT:
                    yield f"{contact} is told more than {self.most} within {last - first:.3f} s"


@dataclass(frozen=True, slots=True)
class Expected:
    """What should be there in the end. `name` says which row, or which kind of equal rows, an
    interaction is about; `others` are the states of the rows that must never be there, of which
    nothing was sent but of those in `tried`; `ids`: the destination gives each one; `passing`: rows
    that are there for a while; `says`: what must be true of each in the end; `often`: how often one
    contact may be told something."""

    stored: Counter[str]
    name: Callable[[Interaction], str]
    others: Mapping[str, str] = field(default_factory=dict)
    tried: Collection[str] = ()
    ids: bool = True
    passing: Collection[str] = ()
    says: Callable[[Interaction], bool] = lambda _: True
    often: Often | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """What the ledger says of one row."""

    state: str
    interaction_id: str | None
    attempts: int


@dataclass(slots=True)
class Verdict:
    """What is wrong; nothing, if all is well."""

    duplicates: list[str] = field(default_factory=list)
    """More often at the destination than it should be."""
    losses: list[str] = field(default_factory=list)
    """Not at the destination, or not as often as it should be."""
    lies: list[str] = field(default_factory=list)
    """The ledger says something else than the destination shows."""

    @property
    def good(self) -> bool:
        """Whether nothing is wrong."""
        return not (self.duplicates or self.losses or self.lies)


def duplicates(stored: Sequence[Interaction], expected: Expected) -> list[str]:
    """What is stored too often or too soon, or should not be stored at all; true at any time of a
    run."""
    found = Counter(expected.name(each) for each in stored)
    most = expected.stored + Counter(expected.passing)
    too_often = expected.often.passed(stored) if expected.often else ()
    return [*(f"{name} ({found[name]} times)" for name in found - most), *too_often]


def judge(stored: Sequence[Interaction], rows: Mapping[str, Row], expected: Expected) -> Verdict:
    """The verdict at the end of a run. `rows`: by row key, what the ledger says."""
    found = Counter(expected.name(each) for each in stored)
    losses = [f"{name} ({found[name]} times)" for name in expected.stored - found]
    losses += [f"{expected.name(each)} says {each}" for each in stored if not expected.says(each)]
    losses += [f"{name} is there still" for name in expected.passing if found[name]]
    return Verdict(duplicates(stored, expected), losses, list(_lies(stored, rows, expected)))


def judge_told(
    stored: Sequence[Interaction], rows: Mapping[str, Row], expected: Expected
) -> Verdict:
    """The same where a row that should be there may also be turned down with others, or end with a
    person: then it says so, and nothing else. None is missing in the ledger."""
    there = {expected.name(each) for each in stored}
    losses = [f"{key} is not in the ledger" for key in expected.stored.keys() - rows.keys()]
    return Verdict(duplicates(stored, expected), losses, list(_told(there, rows, expected)))


def _told(there: Collection[str], rows: Mapping[str, Row], expected: Expected) -> Iterator[str]:
    for key, row in rows.items():
        wrong = {"delivered": key not in there, "rejected": key in there}
        if wrong.get(row.state):
            yield f"{key} is {row.state}, and is {'' if key in there else 'not '}there"
        wanted = expected.others.get(key)
        ends = {wanted or "delivered", "rejected", "in_doubt"}
        if row.state not in ({wanted} if wanted == "invalid" else ends):
            yield f"{key} is {row.state}, which it must not be"


def rows_of(ledger: str) -> dict[str, Row]:
    """The ledger's rows by their key."""
    url = make_url(ledger)
    if url.drivername == "postgresql":
        url = url.set(drivername="postgresql+psycopg")
    engine = create_engine(url, poolclass=NullPool)
    with engine.connect() as connection:
        query = text("select row_key, state, interaction_id, attempt from deliveries")
        return {row[0]: Row(*row[1:]) for row in connection.execute(query)}


def _lies(
    stored: Sequence[Interaction], rows: Mapping[str, Row], expected: Expected
) -> Iterator[str]:
    if not expected.ids:
        names = {expected.name(each) for each in stored}
        told = {key for key, row in rows.items() if row.state == "delivered"}
        yield from (f"{key} is said to be delivered and is not there" for key in told - names)
    there = {str(each["id"]) for each in stored if expected.ids}
    said = Counter(
        row.interaction_id for row in rows.values() if expected.ids and row.state == "delivered"
    )
    yield from (f"{id_} is said to be of {n} rows" for id_, n in said.items() if n > 1)
    yield from (f"{id_} is said to be delivered and is not there" for id_ in said.keys() - there)
    yield from (f"{id_} is there and of no row" for id_ in there - said.keys())
    for key, row in rows.items():
        wanted = expected.others.get(key, "delivered")
        if row.state != wanted:
            yield f"{key} is {row.state}, not {wanted}"
        if key in expected.others and row.attempts and key not in expected.tried:
            yield f"{key} is {wanted}, and an attempt on it was opened"
