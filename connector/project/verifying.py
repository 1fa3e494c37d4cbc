"""Verify an activation: read back what it delivered, and keep a signed receipt of what was found.

Rows that were delivered less than `settle_after` ago are left to the next time: they may not show
yet. A row that was taken back meanwhile is not missing: what seems amiss is looked up in the ledger
once more, and nothing is kept while somebody takes back rows by hand.
"""

import asyncio
import time
from contextlib import suppress
from dataclasses import field
from datetime import datetime, timedelta
from secrets import SystemRandom
from typing import Any

from connector.basis import dataclass
from connector.destinations.pacing import Pacer
from connector.ledger.leases import BY_HAND
from connector.ledger.processes import new_run_id
from connector.ledger.receipts import SPAN, Claim, Kept, Standing, Verifications
from connector.ledger.records import Delivered, Identity, milliseconds, moment
from connector.ledger.reports import Reports
from connector.project.app import App
from connector.project.receipts import signing_key
from connector.rules import clocks
from connector.rules.activation import Activation
from connector.rules.deed import Document
from connector.rules.draw import PRIME, Draw, first_since, shares
from connector.rules.due import APART, by_other_clock, due_after
from connector.rules.errors import ConfigurationError, ConnectorError, Interrupted
from connector.rules.grammar import Schedule, Verify
from connector.rules.interaction import instant_text
from connector.rules.receipt import FOUND, Deviation, key_digest, keys_digest, sign
from connector.rules.receipt import Verdict as Result
from connector.sync.scope import Drawn
from connector.sync.verify import (
    Changed,
    Doubled,
    Missing,
    Verification,
    Verifying,
    at_once,
)

MOST_KEPT = 1000
"""Rows that deviate, and are looked at again the next time."""
SAY_EVERY = SPAN.total_seconds() / 4
DAY = timedelta(days=1)
SHARE, TRICKLE = 0.25, 0.02
"""Of the destination's pace, what a verification takes at most: usually, and while a run has gone
on for longer than PATIENCE."""
PATIENCE = 600.0
LOOK_EVERY = 0.5

Finding = Missing | Doubled | Changed


class Postponed(ConnectorError):
    """A verification that has to be tried again later, since somebody works on the rows by hand, or
    another process is about it."""

    kind = "busy"
    retryable = True


def span_of(schedule: Schedule, now: datetime) -> timedelta:
    """How long it is from one due time to the next."""
    if schedule.every:
        return schedule.every
    first = due_after(schedule, now)
    second = first and due_after(schedule, first)
    return second - first if first and second else DAY


def is_taken_care_of(
    schedule: Schedule, last: datetime | None, due: datetime, now: datetime
) -> bool:
    """Whether the verification that is `due` has been made: the newest one began at `last`. All by
    the clock that shows `now`; that it was put back since then delays nothing."""
    if last is None or last > now + APART:
        return False
    if schedule.every:
        return due < last + schedule.every / 2
    following = due_after(schedule, last)
    return following is None or following > due + timedelta(seconds=1)


# --- turns ----------------------------------------------------------------------------------------


@dataclass(slots=True)
class Turns:
    """When a verification may ask the destination: at a share of its pace, and while nobody sends
    there; for ever it does not wait, but then it hardly asks."""

    app: App
    reports: Reports
    destination: str
    _usual: Pacer = field(init=False)
    _trickle: Pacer = field(init=False)
    _looked: float = 0.0
    _since: float | None = None
    """Since when somebody sends."""

    def __post_init__(self) -> None:
        rate = self.app.settings.project.destinations[self.destination].requests_per_second
        self._usual, self._trickle = Pacer(rate * SHARE), Pacer(rate * TRICKLE)

    async def turn(self) -> None:
        """Wait for the next turn. Raises Interrupted when the process is to end."""
        while True:
            await self._look()
            if self._since is None:
                pacer = self._usual
                break
            if time.monotonic() - self._since > PATIENCE:
                pacer = self._trickle
                break
            self._refuse_if_ending()
            await asyncio.sleep(LOOK_EVERY / 5)
        await pacer.slot(lambda: self.app.interruption.asked)
        self._refuse_if_ending()

    def _refuse_if_ending(self) -> None:
        if self.app.interruption.asked:
            raise Interrupted("interrupted")

    async def _look(self) -> None:
        now = time.monotonic()
        if now - self._looked < LOOK_EVERY:
            return
        self._looked = now
        busy = await asyncio.to_thread(self._somebody_sends)
        self._since = (self._since or now) if busy else None

    def _somebody_sends(self) -> bool:
        project = self.app.settings.project
        pace = project.destinations[self.destination].pace
        return any(
            self.reports.holder(name)
            for name, activation in project.activations.items()
            if project.destinations[project.destination_of(activation)].pace == pace
        )


# --- one verification -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Verified:
    """A receipt as it was kept, and the one before it."""

    document: Document
    deviations: tuple[Deviation, ...]
    before: Kept | None


async def verify(
    app: App, activation: Activation, due: datetime | None, polite: bool = True
) -> Verified | None:
    """Verify `activation` once, for the time at which it was `due` (None: in any case); None: it
    has been done meanwhile. `polite`: not in the way of runs.

    Raises Postponed, DestinationUnusable, LedgerUnavailable, Interrupted, ConfigurationError.
    """
    with app.ledger() as ledger, app.reports() as reports:
        desk = ledger.verifications
        claim, here = await asyncio.to_thread(lambda: (desk.claim(activation.name), clocks.wall()))
        if claim is None:
            raise Postponed(f'another process verifies "{activation.name}" now')
        saying = asyncio.create_task(_keep_saying(desk, claim))
        try:
            before = await asyncio.to_thread(reports.last_receipt, activation.name)
            last = before.began if before else None
            rhythm = activation.verify and activation.verify.schedule
            if due and rhythm:
                now = moment(claim.began_at)
                due = by_other_clock(rhythm, due, here, now)
                if is_taken_care_of(rhythm, last, due, now):
                    return None
            one = _One(app, activation, reports, claim, before)
            receipt, counts, document = await one.verified(polite)
            if not await asyncio.to_thread(desk.keep, claim, receipt, counts):
                raise Postponed(f'another process has taken "{activation.name}" over')
            return Verified(document, receipt.deviations, before)
        finally:
            saying.cancel()
            with suppress(ConnectorError):
                await asyncio.shield(asyncio.to_thread(desk.give_up, claim))


async def _keep_saying(desk: Verifications, claim: Claim) -> None:
    """Say that this process is about it; at the end it is asked whether that was believed."""
    while True:
        await asyncio.sleep(SAY_EVERY)
        with suppress(ConnectorError):
            await asyncio.to_thread(desk.go_on, claim)


@dataclass(slots=True)
class _One:
    """One verification of an activation."""

    app: App
    activation: Activation
    reports: Reports
    claim: Claim
    before: Kept | None
    keys: dict[str, bytes] = field(default_factory=dict)
    left: dict[int, Deviation] = field(default_factory=dict)
    """What deviated before, and was not looked at yet."""
    runs: set[str] = field(default_factory=set)

    async def verified(self, polite: bool) -> tuple[Kept, Document, Document]:
        """The receipt, its figures, and its document with the signature."""
        activation, app = self.activation, self.app
        await asyncio.to_thread(self._refuse_while_by_hand)
        identity = await asyncio.to_thread(self._identity)
        destination = app.settings.project.destination_of(activation)
        draw, stands, asked = await asyncio.to_thread(self._draw, destination)
        found = Verification()
        if identity is not None:
            found = await self._read_back(identity, destination, draw, polite)
            await asyncio.to_thread(self._refuse_while_by_hand)
        deviations = await asyncio.to_thread(self._confirm, found)
        content = self._content(destination, draw, stands, found)
        content |= asked
        result = _result(content, bool(deviations))
        content["result"] = result.value
        signed = sign(content, await asyncio.to_thread(signing_key, app))
        names = ("rows", "interactions", *FOUND, "not_proven", "result")
        receipt = Kept(
            content["receipt_id"],
            activation.name,
            self.claim.began_at,
            draw.until,
            signed,
            tuple(deviations[:MOST_KEPT]),
        )
        return receipt, {name: content[name] for name in names}, signed.content

    def _identity(self) -> Identity | None:
        """What its rows were when they were recorded; None: nothing is. Raises ConfigurationError
        when they went elsewhere than is configured now."""
        name = self.activation.name
        if problems := self.reports.identity_problems(name, self.app.identity(self.activation)):
            raise ConfigurationError(*problems)
        identity = self.reports.identity(name)
        if identity is None and self.activation.renamed_from:
            raise Postponed(f'the next run of "{name}" takes over what is recorded of it')
        return identity

    def _refuse_while_by_hand(self) -> None:
        """What is taken back by hand is gone before the ledger says so. Raises Postponed."""
        name = self.activation.name
        holder = self.reports.run_under_way(name)
        by_hand = holder is not None and holder.startswith(BY_HAND) and self.reports.holder(name)
        if by_hand or self.reports.schema_being_replaced(name):
            raise Postponed(f'somebody works on the rows of "{name}" by hand')

    def _draw(self, destination: str) -> tuple[Draw, Standing, Document]:
        settings = self.app.settings.project.destinations[destination]
        verify = self.activation.verify or Verify(every=DAY)
        until = self.claim.began_at - milliseconds(settings.settle_after)
        span = span_of(verify.schedule, moment(self.claim.began_at))
        since = self.before.until if self.before else first_since(until, span)
        stands = self.reports.stands(self.activation.name, since, until)
        older = stands.rows - stands.new
        of_new, of_older = shares(stands.new, older, verify.sample)
        self.left = {d.delivery_id: d for d in (self.before.deviations if self.before else ())}
        chance = SystemRandom()
        draw = Draw(
            since,
            until,
            factor=chance.randrange(2**24, PRIME),
            shift=chance.randrange(PRIME),
            new_below=round(of_new * PRIME),
            older_below=round(of_older * PRIME),
            again=frozenset(self.left),
        )
        asked = {"sample": verify.sample, "share_of_new": of_new, "share_of_older": of_older}
        return draw, stands, asked

    async def _read_back(
        self, identity: Identity, destination: str, draw: Draw, polite: bool
    ) -> Verification:
        turns = Turns(self.app, self.reports, destination)
        async with self.app.destination(destination) as client:
            return await Verifying(
                scope=Drawn(self.activation.name, draw),
                activation=self.activation.name,
                target=identity.schema_id,
                configured=self.activation,
                reports=self.reports,
                destination=client,
                lag=self.app.settings.project.destinations[destination].settle_after,
                turn=turns.turn if polite else at_once,
                met=self._met,
            ).verify()

    def _met(self, row: Delivered) -> None:
        self.keys[row.row_key] = key_digest(row.row_key)
        self.left.pop(row.id, None)
        self.runs.add(row.run_id)

    def _confirm(self, found: Verification) -> list[Deviation]:
        """What deviates, without the rows that were taken back meanwhile; and rows that deviated
        before, and could not be looked at."""
        kinds: tuple[list[Any], ...] = (found.missing, found.doubled, found.changed)
        every: list[Finding] = [each for lines in kinds for each in lines]
        owners = self.reports.owners(self.activation.name, [each.interaction_id for each in every])
        rows = {o.row_key: o for o in owners.values() if o.activation == self.activation.name}
        still = self.reports.still_delivered({*self.left, *(row.id for row in rows.values())})
        there = {key for key, row in rows.items() if row.id in still}
        gone = {each.row_key for each in every} - there
        for key in gone:
            self.keys.pop(key, None)
        found.checked -= len(gone)
        how: dict[str, list[str]] = {}
        for kind, lines in zip(FOUND, kinds, strict=True):
            lines[:] = [each for each in lines if each.row_key in there]
            for key in {line.row_key for line in lines}:
                how.setdefault(key, []).append(kind)
        now = [Deviation(rows[k].id, k, rows[k].run_id, tuple(ways)) for k, ways in how.items()]
        return [*now, *(each for each in self.left.values() if each.delivery_id in still)]

    def _content(
        self, destination: str, draw: Draw, stands: Standing, found: Verification
    ) -> Document:
        """All that is signed, but for its result."""
        project, ordered = self.app.settings.project, sorted(self.runs)
        place = project.place_of(self.activation)
        surplus = sum(len(each.also) for each in found.doubled)
        return {
            "receipt_id": new_run_id(self.claim.began_at),
            "activation": self.activation.name,
            "destination": {"name": destination, "type": place.type, "address": place.address},
            "target": self.activation.target,
            "began_at": instant_text(moment(self.claim.began_at)),
            "finished_at": instant_text(moment(self.reports.now())),
            "since": instant_text(moment(max(draw.since, 0))),
            "until": instant_text(moment(max(draw.until, 0))),
            "runs": {
                "number": len(ordered),
                "first": ordered[0] if ordered else None,
                "last": ordered[-1] if ordered else None,
            },
            "delivered": stands.rows,
            "new": stands.new,
            "rows": found.checked,
            "interactions": found.checked - len(found.missing) + surplus,
            "missing": len(found.missing),
            "twice": len(found.doubled),
            "changed": len(found.changed),
            "not_proven": sum(found.incomplete.values()),
            "unverifiable": stands.unverifiable,
            "keys_sha256": keys_digest(self.keys.values()),
        }


def _result(content: Document, left: bool) -> Result:
    if any(content[name] for name in FOUND):
        return Result.DEVIATION
    if content["not_proven"] or left:  # what deviated before was not seen again
        return Result.NOT_PROVEN
    return Result.OK if content["rows"] else Result.NOTHING
