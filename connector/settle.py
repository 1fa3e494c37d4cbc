"""Settle doubts by asking the destination what it has. A doubt never becomes pending by itself.

Found: the interaction's id is adopted, at once. Absent: believed only when the attempt is so old,
by two clocks, that its request can no longer be on its way nor hidden from the read (absence.py).
Anything else stays in doubt.
"""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import orjson
import structlog

from connector import clocks
from connector.absence import Age, believed_in, wants_another_look
from connector.activation import Activation
from connector.delivery import State
from connector.destinations.engage import Engage
from connector.ledger.records import Doubt, Run, Settlement
from connector.ledger.store import Ledger
from connector.matching import Absent, Claim, Here, Undecided, Verdict, judge, key_properties
from connector.schema import InteractionSchema

log = structlog.get_logger()

PAGE = 500
Call = Callable[..., Any]


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

    run: Run
    activation: Activation
    schema: InteractionSchema
    ledger: Ledger
    engage: Engage
    settle_after: timedelta
    """How old an attempt must be before its absence is believed: time-out and lag together."""
    call: Call
    """Runs a method of the ledger in the ledger's thread."""
    there: Callable[[clocks.Moment], int | None] = lambda moment: None
    """What time it is at the destination, at the earliest; None where that is not known."""
    boot: int = field(default_factory=lambda: clocks.boot())
    _here_at: int = 0
    _there_at: int | None = None
    """When the ages of the doubts at hand were read, by this machine's and the destination's clock:
    before anything was asked about them."""

    async def settle(self, stopping: Callable[[], bool]) -> Settled:
        """Go through all doubts once. Raises DestinationUnusable, LeaseLost, LedgerUnavailable."""
        result = Settled()
        after = 0
        while doubts := await self.call(self.ledger.doubts, self.activation.name, after, PAGE):
            after = doubts[-1].delivery_id
            await self._contacts(await self._whole_contacts(doubts), result, stopping)
            if stopping():
                break
        return result

    async def _whole_contacts(self, doubts: Sequence[Doubt]) -> dict[str, list[Doubt]]:
        """The doubts by contact, each contact with all of its doubts: they are counted together."""
        contacts = {doubt.contact_id for doubt in doubts}
        now = clocks.now()
        self._here_at, self._there_at = round(now.boot * 1000), self.there(now)
        everything = await self.call(self.ledger.doubts_of, self.activation.name, contacts)
        first = {doubt.delivery_id for doubt in doubts}
        by_contact: dict[str, list[Doubt]] = defaultdict(list)
        for doubt in everything:
            by_contact[doubt.contact_id].append(doubt)
        # a contact whose first doubt was on an earlier page has been gone through already
        return {c: ds for c, ds in by_contact.items() if ds[0].delivery_id in first}

    async def _contacts(
        self,
        by_contact: Mapping[str, list[Doubt]],
        result: Settled,
        stopping: Callable[[], bool],
    ) -> None:
        lanes = asyncio.Semaphore(self.engage.concurrency)

        async def one(contact_id: str, doubts: list[Doubt]) -> None:
            async with lanes:
                if not stopping():
                    await self._contact(contact_id, doubts, result)

        outcomes = await asyncio.gather(
            *(one(c, ds) for c, ds in by_contact.items()), return_exceptions=True
        )
        for outcome in outcomes:
            if isinstance(outcome, BaseException):
                raise outcome

    async def _contact(self, contact_id: str, doubts: list[Doubt], result: Settled) -> None:
        shown = await self.engage.read_back(contact_id, self.schema.id)
        if shown.gap:
            log.warning("settle.incomplete", reason=shown.gap, rows=len(doubts))
        ids = [s.id for s in shown.stored]
        owned = await self.call(self.ledger.owned, self.activation.name, ids)
        free = [s for s in shown.stored if s.id not in owned]
        oldest_first = sorted(doubts, key=lambda d: d.age, reverse=True)
        verdicts = judge(
            [_claim(d) for d in oldest_first], free, self.schema, key_properties(self.activation)
        )
        settlements = [
            s
            for d in doubts
            if (s := self._settlement(d, verdicts[d.delivery_id], shown.gap, result))
        ]
        if settlements:
            moved = await self.call(self.ledger.settle, self.run, settlements)
            for settlement in (s for s, done in zip(settlements, moved, strict=True) if done):
                result.delivered += settlement.state is State.DELIVERED
                result.absent += settlement.state is State.PENDING
        if seen := [d for d in doubts if not shown.gap and self._wants_a_look(d, verdicts)]:
            await self.call(self.ledger.saw, self.run, seen, self.boot, self._here_at)

    def _wants_a_look(self, doubt: Doubt, verdicts: Mapping[int, Verdict]) -> bool:
        """Whether it is absent, and has to be seen absent once more."""
        return isinstance(verdicts[doubt.delivery_id], Absent) and wants_another_look(
            self._age(doubt), self.settle_after
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

    def _settlement(
        self, doubt: Doubt, verdict: Verdict, gap: str | None, result: Settled
    ) -> Settlement | None:
        match verdict:
            case Here(interaction_id):
                log.info("settle.found", row_key=doubt.row_key)
                return Settlement(doubt, State.DELIVERED, "found", interaction_id)
            case Absent() if gap:  # what is missing from the list could be the one
                return None
            case Absent():
                rest = believed_in(self._age(doubt), self.settle_after)
                if rest >= timedelta(0):
                    result.wait_for(rest)
                    return None
                log.info("settle.absent", row_key=doubt.row_key)
                return Settlement(doubt, State.PENDING, "absent")
            case Undecided(reason):
                log.warning("settle.undecided", row_key=doubt.row_key, reason=reason)
                return Settlement(doubt, State.IN_DOUBT, "undecided", reason=reason)


def _claim(doubt: Doubt) -> Claim:
    created = datetime.fromisoformat(doubt.created_date)
    return Claim(doubt.delivery_id, created, orjson.loads(doubt.payload))


def _since(then: int | None, now: int | None) -> timedelta | None:
    return None if then is None or now is None else timedelta(milliseconds=now - then)
