"""Settle doubts by asking the destination what it has. A doubt never becomes pending by itself.

Found: the interaction's id is adopted, at once. Absent: believed only when the attempt is so old,
by two clocks, that its request can no longer be on its way nor hidden from the read (absence.py).
Anything else stays in doubt.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import orjson
import structlog

from connector.ledger.records import Doubt, Settlement
from connector.rules import clocks
from connector.rules.absence import Age, believed_in, wants_another_look
from connector.rules.delivery import Found, Missing, NotApplied, Refused, State
from connector.rules.matching import (
    Absent,
    Claim,
    Here,
    Stored,
    Undecided,
    Verdict,
    could_be,
    judge,
    key_properties,
)
from connector.rules.read_back import TurnedDown, Underway, Unread
from connector.rules.schema import InteractionSchema
from connector.sync.flow import Flow, Running
from connector.sync.side_by_side import side_by_side

log = structlog.get_logger()

PAGE = 500
MOST_MERGES = 5
"""How often a contact may become another one while it is read."""
NOWHERE = (
    "it is not listed for the contact that it was sent to, and where that contact's interactions"
    " are by now cannot be seen, since its identifier finds it no more ({reason}). Look in Engage"
    " and tell with `connector quarantine settle`"
)
CONTRADICTED = (
    "an interaction at the destination looks like this row's, and the destination gave its id to"
    ' the row "{row_key}", which is another one: one of the two answers was wrong. Look at both in'
    " Engage and tell with `connector quarantine settle`"
)


@dataclass(slots=True)
class Settled:
    """What a round of settling brought. `next_in`: how long until the next doubt may be believed
    absent; None when none is waited for."""

    delivered: int = 0
    absent: int = 0
    next_in: timedelta | None = None

    def wait_for(self, span: timedelta) -> None:
        """Some doubt may be settled after `span`."""
        self.next_in = span if self.next_in is None else min(self.next_in, span)


@dataclass(slots=True)
class Settling:
    """The settling of the doubts of one activation in one run."""

    running: Running
    schema: InteractionSchema
    result: Settled = field(default_factory=Settled)
    flow: Flow = field(init=False)
    boot: int = field(default_factory=lambda: clocks.boot())
    _here_at: int = 0
    _there_at: int | None = None
    """When the ages of the doubts at hand were read, by this machine's and the destination's clock:
    before anything was asked about them."""

    def __post_init__(self) -> None:
        self.flow = self.running.flow

    async def settle(self) -> Settled:
        """Go through all doubts once. Raises DestinationUnusable, LeaseLost, LedgerUnavailable."""
        flow, after = self.flow, 0
        while doubts := await flow.call(flow.ledger.doubts, flow.name, after, PAGE):
            after = doubts[-1].delivery_id
            by_contact = await self._whole_contacts(doubts)
            lanes = flow.destination.concurrency
            await side_by_side(lanes, self._contact, by_contact.items())
            if flow.stop.asked:
                break
        return self.result

    async def _whole_contacts(self, doubts: Sequence[Doubt]) -> dict[str, list[Doubt]]:
        """The doubts by contact, each contact with all of its doubts: they are counted together."""
        contacts = {doubt.contact_id for doubt in doubts}
        now = clocks.now()
        self._here_at = round(now.boot * 1000)
        self._there_at = self.flow.destination.clock.earliest(now)
        everything = await self.flow.call(self.flow.ledger.doubts_of, self.flow.name, contacts)
        first = {doubt.delivery_id for doubt in doubts}
        by_contact: dict[str, list[Doubt]] = defaultdict(list)
        for doubt in everything:
            by_contact[doubt.contact_id].append(doubt)
        # a contact whose first doubt was on an earlier page has been gone through already
        return {c: ds for c, ds in by_contact.items() if ds[0].delivery_id in first}

    async def _contact(self, contact: tuple[str, list[Doubt]]) -> None:
        if self.flow.stop.asked:
            return
        contact_id, doubts = contact
        read = Reading(list(doubts))
        await self._read(read, contact_id)
        unknown: dict[int, str] = {}
        for _ in range(MOST_MERGES):
            absent = [d for d in doubts if self._may_be_believed(d, read)]
            unknown, others = await self._look_again(absent, read)
            if not others:
                break
            for other in others:  # whatever was sent about the contact may be that one's by now
                await self._read(read, other)
        else:
            read.gap = read.gap or "the contact becomes another one each time it is looked up"
        mine = {d.delivery_id for d in doubts}
        unknown |= await self._contradicted(doubts, read)
        settlements = [s for d in read.doubts if (s := self._one(d, read, unknown, mine))]
        if settlements:
            moved = await self.flow.call(self.flow.ledger.settle, self.running.run, settlements)
            for settlement in (s for s, done in zip(settlements, moved, strict=True) if done):
                self.result.delivered += settlement.state is State.DELIVERED
                self.result.absent += settlement.state is State.PENDING
        if seen := [d for d in doubts if not read.gap and self._wants_a_look(d, read)]:
            ledger, run = self.flow.ledger, self.running.run
            await self.flow.call(ledger.saw, run, seen, self.boot, self._here_at)

    def _wants_a_look(self, doubt: Doubt, read: "Reading") -> bool:
        """Whether it is absent, and has to be seen absent once more."""
        return isinstance(read.verdicts[doubt.delivery_id], Absent) and wants_another_look(
            self._age(doubt), self.flow.settle_after
        )

    def _age(self, doubt: Doubt) -> Age:
        """How old its attempt was before the destination was asked."""
        boot = _since(doubt.boot_at, self._here_at) if doubt.boot == self.boot else None
        return Age(
            database=doubt.age,
            destination=_since(doubt.destination_at, self._there_at),
            # a virtual machine that was put back to a snapshot has its boot, and an earlier time
            boot=None if boot is None or boot < timedelta(0) else boot,
        )

    async def _read(self, read: "Reading", contact_id: str) -> None:
        """Read the list of one more contact, and count its doubts with the others."""
        shown = await self.flow.destination.read_back(contact_id, self.schema.id)
        if shown.gap:
            log.warning("settle.incomplete", reason=shown.gap, rows=len(read.doubts))
        ids = [s.id for s in shown.stored]
        owned = await self.flow.call(self.flow.ledger.owned, self.flow.name, ids)
        if read.contacts:
            theirs = await self.flow.call(self.flow.ledger.doubts_of, self.flow.name, {contact_id})
            mine = {d.delivery_id for d in read.doubts}
            read.doubts += [d for d in theirs if d.delivery_id not in mine]
        read.contacts.add(_plain(contact_id))
        read.gap = read.gap or shown.gap
        read.free |= {s.id: s for s in shown.stored if s.id not in owned}
        read.owned |= {s.id: s for s in shown.stored if s.id in owned}
        oldest_first = sorted(read.doubts, key=lambda d: d.age, reverse=True)
        read.verdicts = judge(
            [_claim(d) for d in oldest_first],
            list(read.free.values()),
            self.schema,
            key_properties(self.flow.activation),
        )

    def _may_be_believed(self, doubt: Doubt, read: "Reading") -> bool:
        """Whether it is absent from what was read, and old enough for that."""
        absent = isinstance(read.verdicts[doubt.delivery_id], Absent)
        return absent and not read.gap and self._rest(doubt) < timedelta(0)

    def _rest(self, doubt: Doubt) -> timedelta:
        """How long until its absence may be believed; below 0: it is."""
        return believed_in(self._age(doubt), self.flow.settle_after)

    async def _look_again(
        self, absent: Sequence[Doubt], read: "Reading"
    ) -> tuple[dict[int, str], set[str]]:
        """Look up anew, after their lists were read, whose the identifiers of `absent` are: why
        that cannot be told of some, and the contacts that were not read yet."""
        why, others = dict[str, str](), set[str]()
        for contact in dict.fromkeys(doubt.contact for doubt in absent):
            match await self.running.contacts.afresh(contact):
                case Found(contact_id) if _plain(contact_id) not in read.contacts:
                    others.add(contact_id)
                case Found():
                    pass
                case NotApplied(reason):
                    log.warning("settle.incomplete", reason=reason, rows=len(absent))
                    why[contact] = ""
                case Missing(reason) | Refused(reason):
                    why[contact] = NOWHERE.format(reason=reason)
        return {d.delivery_id: why[d.contact] for d in absent if d.contact in why}, others

    async def _contradicted(self, doubts: Sequence[Doubt], read: "Reading") -> dict[int, str]:
        """Doubts that would be absent, were there not an interaction that is theirs to the letter
        and belongs to a row with another content: that one was given a wrong id, by a cache for
        example."""
        owned = read.owned.values()
        like = {
            d.delivery_id: [s.id for s in owned if could_be(_claim(d), s, self.schema)]
            for d in doubts
            if owned and self._may_be_believed(d, read)
        }
        names = {name for ids in like.values() for name in ids}
        if not names:
            return {}
        owners = await self.flow.call(self.flow.ledger.owners, self.flow.name, names)
        return {
            d.delivery_id: CONTRADICTED.format(row_key=owner.row_key)
            for d in doubts
            for name in like.get(d.delivery_id, ())
            if (owner := owners.get(name)) and None is not owner.digest != d.digest
        }

    def _one(
        self,
        doubt: Doubt,
        read: "Reading",
        unknown: Mapping[int, str],
        mine: set[int],
    ) -> Settlement | None:
        """How one doubt ends. Those of a contact that was read besides are told by their own
        reading; here they are only not counted twice."""
        verdict = read.verdicts[doubt.delivery_id]
        if doubt.delivery_id not in mine and not isinstance(verdict, Here):
            return None
        if isinstance(verdict, Absent) and doubt.delivery_id in unknown:
            reason = unknown[doubt.delivery_id]
            verdict = Undecided(reason) if reason else verdict
            return self._settlement(doubt, verdict, reason or "not looked up")
        return self._settlement(doubt, verdict, read.gap)

    def _settlement(self, doubt: Doubt, verdict: Verdict, gap: str | None) -> Settlement | None:
        match verdict:
            case Here(interaction_id):
                log.info("settle.found", row_key=doubt.row_key)
                return Settlement(doubt, State.DELIVERED, "found", interaction_id)
            case Absent() if gap:  # what is missing from the list could be the one
                return None
            case Absent():
                if (rest := self._rest(doubt)) >= timedelta(0):
                    self.result.wait_for(rest)
                    return None
                log.info("settle.absent", row_key=doubt.row_key)
                return Settlement(doubt, State.PENDING, "absent")
            case Undecided(reason) | TurnedDown(reason):
                log.warning("settle.undecided", row_key=doubt.row_key, reason=reason)
                return Settlement(doubt, State.IN_DOUBT, "undecided", reason=reason)
            case Underway() | Unread():
                return None


@dataclass(slots=True)
class Reading:
    """What was read for the doubts of one contact, and of those that it has become since: all of
    them are counted together."""

    doubts: list[Doubt]
    contacts: set[str] = field(default_factory=set)
    gap: str | None = None
    """Why there may be more than was read."""
    free: dict[str, Stored] = field(default_factory=dict)
    """What belongs to no row."""
    owned: dict[str, Stored] = field(default_factory=dict)
    """What does, or did before it was deleted."""
    verdicts: dict[int, Verdict] = field(default_factory=dict)


def _plain(contact_id: str) -> str:
    """The one writing of a GUID that stands for all."""
    return contact_id.strip("{}").replace("-", "").lower()


def _claim(doubt: Doubt) -> Claim:
    created = datetime.fromisoformat(doubt.created_date)
    return Claim(doubt.delivery_id, created, orjson.loads(doubt.payload))


def _since(then: int | None, now: int | None) -> timedelta | None:
    return None if then is None or now is None else timedelta(milliseconds=now - then)
