"""Find out which contact each identifier belongs to: once a run, however many rows have it.

Answers come from what this run has learnt already; then from what earlier runs have found, or from
the warehouse where it has the contactIds itself; then from the destination, which alone costs a
request.
Nothing here opens an attempt, and everything may be repeated.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import field
from datetime import timedelta
from itertools import islice

from connector.basis import dataclass
from connector.destinations.port import AnyDestination
from connector.ledger.records import FoundContact
from connector.rules.activation import Activation, Contact
from connector.rules.contacts import AMBIGUOUS, ContactCache, Matches
from connector.rules.delivery import (
    Ambiguous,
    Found,
    LookUp,
    Malformed,
    Missing,
    NotApplied,
    Refused,
)
from connector.warehouse import ContactMap, Warehouse

MOST_REMEMBERED = 100_000
"""Answers that a run keeps in memory, some 30 MB. Beyond them the oldest are forgotten: a
contact that was found is in the ledger by then, another identifier may be asked for once more."""

One = Callable[[str], Awaitable[LookUp]]
"""Asks for one identifier."""
Many = Callable[[Sequence[str]], Awaitable[Mapping[str, LookUp]]]
"""Answers as many of several identifiers as it can with one question."""
ReadCache = Callable[[str, list[str], timedelta], Awaitable[Mapping[str, str]]]
"""Of a destination and digests, the contactIds that were found within a span."""


@dataclass(slots=True)
class Contacts:
    """Which contacts the identifiers of one run belong to."""

    how: Contact
    one: One
    many: Many
    cache: ContactCache | None = None
    """How what `one` finds is kept for later runs; None: not at all."""
    matches: Matches = field(default_factory=Matches)
    _answers: dict[str, LookUp] = field(default_factory=dict)
    _asked: dict[str, asyncio.Task[LookUp]] = field(default_factory=dict)
    _counted: set[str] = field(default_factory=set)
    """Identifiers that were asked for, and are counted."""
    _doubted: set[str] = field(default_factory=set)
    """Identifiers that were looked up anew after a row was refused."""
    _news: dict[str, str] = field(default_factory=dict)

    async def ahead(self, contacts: Iterable[str]) -> None:
        """Learn what one question can tell about all of `contacts`. Raises what stops the run."""
        if not self.how.needs_look_up:
            return
        new = [contact for contact in dict.fromkeys(contacts) if self._known(contact) is None]
        if new:
            for contact, answer in (await self.many(new)).items():
                self._learn(contact, answer)

    def at_once(self, contact: str) -> LookUp | None:
        """The same, where nothing is to be asked for it; None where something is."""
        if not self.how.needs_look_up:
            return self._impossible(contact) or Found(contact)
        return self._known(contact)

    async def of(self, contact: str, refused: str | None = None) -> LookUp:
        """Which contact `contact` is. If it was `refused`, a contactId that an earlier run had
        found, this is forgotten and looked up afresh. Raises what stops the run."""
        answer = self.at_once(contact)
        if isinstance(answer, Found) and answer.cached and answer.contact_id == refused:
            self._doubted.add(contact)
            self._forget(contact)
        elif answer is not None:
            return answer
        if contact not in self._asked:
            self._asked[contact] = asyncio.ensure_future(self._ask(contact))
        return await self._asked[contact]

    async def afresh(self, contact: str) -> LookUp:
        """Which contact `contact` is by a question that is asked only now: it may have become
        another one, by a merge for example. Raises what stops the run."""
        if not self.how.needs_look_up:
            return await self.of(contact)
        if impossible := self._impossible(contact):
            return impossible
        if (others := self._asked.get(contact)) is not None:
            await asyncio.wait([others])  # one that was asked before proves nothing
        self._forget(contact)
        return await self.of(contact)

    async def still_is(self, contact: str, found: Found) -> bool:
        """Whether `contact` is the one still that a row was refused under just now. Raises what
        stops the run."""
        self._doubted.add(contact)
        if (others := self._asked.get(contact)) is not None:
            await asyncio.wait([others])
        answer = self._answers.get(contact)  # another row may have been quicker
        if not isinstance(answer, Found) or answer.contact_id == found.contact_id:
            answer = await self.afresh(contact)
        return isinstance(answer, Found) and answer.contact_id == found.contact_id

    def may_be_another(self, contact: str, found: Found, refused: Refused) -> bool:
        """Whether a row may have been refused since its contact is another one by now, or gone.

        A refusal of which that is not clear is doubted once for each contact: what it means will be
        the same for the others.
        """
        if not self.how.needs_look_up:
            return False
        if refused.whom is None:
            return found.cached or contact not in self._doubted
        return refused.whom

    def is_found(self, contact: str) -> bool:
        """Whether it is known by now which contact this is."""
        return isinstance(self._answers.get(contact), Found)

    def news(self, contact: str) -> FoundContact | None:
        """What this run was told about `contact`, once: for whoever writes it down."""
        contact_id = self._news.pop(contact, None)
        return None if contact_id is None else self._entry(contact, contact_id)

    def refusal(self, contact: str, contact_id: str) -> FoundContact | None:
        """That the destination does not take `contact_id`: for whoever writes it down."""
        return self._entry(contact, contact_id, refused=True)

    def _impossible(self, contact: str) -> Malformed | None:
        reason = self.how.malformed(contact)
        return Malformed(reason) if reason else None

    def _known(self, contact: str) -> LookUp | None:
        """The answer, if it needs no question."""
        if contact not in self._answers and (answer := self._impossible(contact)):
            self._learn(contact, answer)
            return answer
        return self._answers.get(contact)

    async def _ask(self, contact: str) -> LookUp:
        try:
            answer = await self.one(contact)
        finally:
            del self._asked[contact]
        if not isinstance(answer, NotApplied):  # else the next row may ask again
            self.matches.looked_up += contact not in self._counted and self.how.table is None
            self._counted.add(contact)
            self._learn(contact, answer)
        if isinstance(answer, Found) and self.cache:
            self._news[contact] = answer.contact_id
        return answer

    def _learn(self, contact: str, answer: LookUp) -> None:
        self._forget(contact)
        self._answers[contact] = answer
        self.matches.count(answer)
        if len(self._answers) > MOST_REMEMBERED:
            # a tenth at once, since finding the oldest of a dict passes by all that were removed
            for oldest in list(islice(self._answers, MOST_REMEMBERED // 10)):
                del self._answers[oldest]
                self._counted.discard(oldest)

    def _forget(self, contact: str) -> None:
        if answer := self._answers.pop(contact, None):
            self.matches.count(answer, -1)

    def _entry(self, contact: str, contact_id: str, refused: bool = False) -> FoundContact | None:
        if self.cache is None:
            return None
        digest = self.cache.digest(contact, self.how)
        return FoundContact(self.cache.destination, digest, self.how.word, contact_id, refused)


def contacts_of(
    activation: Activation,
    warehouse: Warehouse,
    destination: AnyDestination,
    cache: ContactCache,
    read: ReadCache,
) -> Contacts:
    """The contacts of `activation`: looked up in the warehouse, where that has their ids itself;
    else at the destination, those that are cached excepted."""
    how = activation.contact
    if how.table:
        return _in_warehouse(how, ContactMap(warehouse.open, activation, how.table))

    async def one(contact: str) -> LookUp:
        return await destination.look_up(contact, how)

    async def many(contacts: Sequence[str]) -> Mapping[str, LookUp]:
        if not cache.span:
            return {}
        by_digest = {cache.digest(contact, how): contact for contact in contacts}
        found = await read(cache.destination, list(by_digest), cache.span)
        return {by_digest[digest]: Found(found[digest], cached=True) for digest in found}

    return Contacts(how, one, many, cache if cache.span else None)


def _in_warehouse(how: Contact, contact_map: ContactMap) -> Contacts:
    async def many(contacts: Sequence[str]) -> Mapping[str, LookUp]:
        found = await asyncio.to_thread(contact_map.find, contacts)
        return {contact: _judged(found.get(contact, []), how) for contact in contacts}

    async def one(contact: str) -> LookUp:
        return (await many([contact]))[contact]

    return Contacts(how, one, many)


def _judged(contact_ids: Sequence[str], how: Contact) -> LookUp:
    """What the rows of a lookup say that belong to one identifier."""
    distinct = {contact_id.lower(): contact_id for contact_id in contact_ids}
    if not distinct:
        return Missing(f"the lookup has no contact with this {how.word}")
    if len(distinct) > 1:
        return Ambiguous(
            f"{AMBIGUOUS}: the lookup has {len(distinct)} contacts with this {how.word}; narrow it"
            " to the one that is meant"
        )
    (contact_id,) = distinct.values()
    if not how.is_own_id(contact_id):
        return Malformed("malformed contact identifier: the lookup's contact_id is not a GUID")
    return Found(contact_id)
