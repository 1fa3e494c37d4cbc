"""Settle doubts by asking the destination what it has. A doubt never becomes pending by itself.

Found: the interaction's id is adopted, at once. Absent: believed only when the attempt is so old,
by two clocks, that its request can no longer be on its way nor hidden from the read (absence.py).
Anything else stays in doubt.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import field
from datetime import timedelta

from connector.basis import dataclass
from connector.basis.log import Log
from connector.destinations import port
from connector.destinations.port import Proof
from connector.ledger.records import Doubt, Settlement
from connector.rules import clocks
from connector.rules.absence import Age, believed_in, wants_another_look
from connector.rules.delivery import Found, Missing, NotApplied, Refused, State
from connector.rules.read_back import (
    Absent,
    Here,
    Split,
    TurnedDown,
    Undecided,
    Underway,
    Unread,
    Verdict,
)
from connector.rules.trial import UNSETTLED, Trial
from connector.sync.flow import Running
from connector.sync.settled import Asked, Settled
from connector.sync.side_by_side import side_by_side

log = Log(__name__)

PAGE = 500
MOST_MERGES = 5
"""How often a contact may become another one while it is read."""
NOWHERE = (
    "it is not listed for the contact that it was sent to, and where that contact's interactions"
    " are by now cannot be seen, since its identifier finds it no more ({reason}). Look in {called}"
    " and tell with `connector quarantine settle`"
)
NOT_LOOKED_UP = "whose the contact's identifier is could not be looked up anew"
CONTRADICTED = (
    "an interaction at the destination looks like this row's, and the destination gave its id to"
    ' the row "{row_key}", which is another one: one of the two answers was wrong. Look at both in'
    " {called} and tell with `connector quarantine settle`"
)


class Settling:
    """The settling of the doubts of one activation in one run."""

    def __init__(self, running: Running) -> None:
        self.running, self.flow = running, running.flow
        self.result, self.boot = Settled(), clocks.boot()
        self._asked_at = Asked(self.boot, 0, None)
        """When the ages of the doubts at hand were read."""

    async def settle(self) -> Settled:
        """Go through all doubts once. Raises DestinationUnusable, LeaseLost, LedgerUnavailable."""
        flow, after = self.flow, 0
        while doubts := await flow.call(flow.ledger.doubts, flow.name, after, PAGE):
            after = doubts[-1].delivery_id
            drawers = await self._whole_drawers(doubts)
            await side_by_side(flow.destination.concurrency, self._drawer, drawers)
            if flow.stop.asked:
                break
        return self.result

    async def _whole_drawers(self, doubts: Sequence[Doubt]) -> list[list[Doubt]]:
        """The drawers of these doubts, each with all that is in it: they are counted together."""
        contacts = {doubt.contact_id for doubt in doubts}
        now = clocks.now()
        there_at = self.flow.destination.clock.earliest(now)
        self._asked_at = Asked(self.boot, round(now.boot * 1000), there_at)
        everything = await self.flow.call(self.flow.ledger.doubts_of, self.flow.name, contacts)
        first = {doubt.delivery_id for doubt in doubts}
        drawers: dict[str, list[Doubt]] = defaultdict(list)
        for doubt in everything:
            drawers[self.flow.destination.drawer(self._asked(doubt))].append(doubt)
        # one whose first doubt was on an earlier page has been gone through already
        return [found for found in drawers.values() if found[0].delivery_id in first]

    async def _drawer(self, doubts: list[Doubt]) -> None:
        if self.flow.stop.asked:
            return
        read = Reading(list(doubts), {self._plain(d.contact_id) for d in doubts})
        await self._ask(read)
        unknown: dict[int, str] = {}
        for _ in range(MOST_MERGES):
            unknown, others = await self._look_again(self._believed_absent(doubts, read), read)
            if not others:
                break
            await self._widen(read, others)
        else:
            read.gap = "the contact becomes another one each time it is looked up"
        unknown |= await self._contradicted(doubts, read)
        mine = {d.delivery_id for d in doubts}
        self.result.beside_trials += len(mine & read.beside_trials)
        settlements = [s for d in read.doubts if (s := self._one(d, read, unknown, mine))]
        if settlements:
            moved = await self.flow.call(self.flow.ledger.settle, self.running.run, settlements)
            for settlement in (s for s, done in zip(settlements, moved, strict=True) if done):
                self.result.delivered += settlement.state is State.DELIVERED
                if settlement.state is State.PENDING:
                    row = settlement.doubt.delivery_id
                    self.result.not_there(self.running.next_runs.may_go_anew(row))
                self.result.rejected += settlement.state is State.REJECTED
                self.result.resent += settlement.word == "resent"
                self.result.assumed += settlement.word == "assumed"
        young = [*self._absent(doubts, read), *self._forgotten(doubts, read)]
        after = self.flow.settle_after
        if seen := [d for d in young if wants_another_look(self._age(d), after)]:
            ledger, run = self.flow.ledger, self.running.run
            await self.flow.call(ledger.saw, run, seen, self.boot, self._asked_at.here_at)

    def _age(self, doubt: Doubt) -> Age:
        """How old its attempt was before the destination was asked."""
        return self._asked_at.age(doubt, doubt.age)

    async def _ask(self, read: "Reading") -> None:
        """Ask the destination what it has of all doubts at hand."""
        oldest_first = sorted(read.doubts, key=lambda d: d.age, reverse=True)
        asked, activation = [self._asked(d) for d in oldest_first], self.flow.activation
        besides, still_open = tuple(read.besides), list[Trial]()

        async def owned(ids: Sequence[str]) -> set[str]:
            # asked after the list was read: a test that begins later is not in it
            flow = self.flow
            taken, unknown = await flow.call(flow.ledger.claims, flow.name, ids)
            still_open.extend(unknown)
            return taken

        read.verdicts = await self.flow.destination.settle(activation, asked, owned, besides)
        read.beside_trials = {d.delivery_id for d in read.doubts if self._beside(d, still_open)}
        if read.beside_trials:
            log.warning("settle.incomplete", reason=UNSETTLED, rows=len(read.beside_trials))
        for reason in {v.reason for v in read.verdicts.values() if isinstance(v, Unread)}:
            log.warning("settle.incomplete", reason=reason, rows=len(read.doubts))

    def _beside(self, doubt: Doubt, still_open: Sequence[Trial]) -> bool:
        """Whether what is there may be a test's or a probe's, and not the row's."""
        row, there = (self.flow.name, doubt.row_key), self._plain
        return any(
            trial.looks_like(doubt.contact_id, row, doubt.payload, there) for trial in still_open
        )

    async def _widen(self, read: "Reading", others: set[str]) -> None:
        """Whatever was sent about the contact may be that of one of `others` by now: ask again, and
        count their doubts with it."""
        theirs = await self.flow.call(self.flow.ledger.doubts_of, self.flow.name, others)
        mine = {d.delivery_id for d in read.doubts}
        read.doubts += [d for d in theirs if d.delivery_id not in mine]
        read.contacts |= {self._plain(other) for other in others}
        read.besides |= others
        await self._ask(read)

    def _asked(self, doubt: Doubt) -> port.Doubt:
        """As the destination is asked about it."""
        row, reference = doubt.delivery_id, self.running.references.of(doubt.row_key)
        payload = doubt.payload.encode()
        item = port.Item(row, reference, doubt.contact_id, doubt.created_date, payload)
        by_row = self.flow.destination.can.proof is Proof.ROW
        proof = Proof.ROW if by_row else Proof.NONE
        return port.Doubt(
            item,
            f"{reference}.{doubt.attempt}",
            doubt.age,
            http_status=doubt.http_status,
            reason=doubt.answered or "",
            proof=proof,
            row_key=doubt.row_key,
            remade=doubt.before_restore,
        )

    def _plain(self, contact_id: str) -> str:
        """The one writing of a contact's id that stands for all."""
        there = self.flow.destination
        return there.plain_contact(contact_id) if there.can.looks_up else contact_id

    def _absent(self, doubts: Sequence[Doubt], read: "Reading") -> list[Doubt]:
        """Those that are not there, as far as that may be said of any."""
        if read.gap:
            return []
        return [d for d in doubts if isinstance(read.verdicts[d.delivery_id], Absent)]

    def _forgotten(self, doubts: Sequence[Doubt], read: "Reading") -> list[Doubt]:
        """Those that are there, of which a forgotten run may know better."""
        return [
            d
            for d in doubts
            if self._may_be_deleted(d) and isinstance(read.verdicts[d.delivery_id], Here)
        ]

    def _may_be_deleted(self, doubt: Doubt) -> bool:
        """Whether a run that the ledger has forgotten may have deleted what is there: a mirror
        does that, and a list may show it for a while."""
        return doubt.before_restore and self.flow.activation.mirrors

    def _believed_absent(self, doubts: Sequence[Doubt], read: "Reading") -> list[Doubt]:
        """Those that are not there, and old enough for that."""
        return [d for d in self._absent(doubts, read) if self._rest(d) < timedelta(0)]

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
                case Found(contact_id) if self._plain(contact_id) not in read.contacts:
                    others.add(contact_id)
                case Found():
                    pass
                case NotApplied(reason):
                    log.warning("settle.incomplete", reason=reason, rows=len(absent))
                    why[contact] = ""
                case Missing(reason) | Refused(reason):
                    why[contact] = NOWHERE.format(reason=reason, called=self.flow.called)
        return {d.delivery_id: why[d.contact] for d in absent if d.contact in why}, others

    async def _contradicted(self, doubts: Sequence[Doubt], read: "Reading") -> dict[int, str]:
        """Doubts that would be absent, were there not an interaction that is theirs to the letter
        and belongs to a row with another content: that one was given a wrong id, by a cache for
        example."""
        like = {
            d.delivery_id: verdict.like
            for d in self._believed_absent(doubts, read)
            if isinstance(verdict := read.verdicts[d.delivery_id], Absent)
        }
        names = {name for ids in like.values() for name in ids}
        if not names:
            return {}
        owners = await self.flow.call(self.flow.ledger.owners, self.flow.name, names)
        return {
            d.delivery_id: CONTRADICTED.format(row_key=owner.row_key, called=self.flow.called)
            for d in doubts
            for name in like.get(d.delivery_id, ())
            if (owner := owners.get(name)) and None is not owner.digest != d.digest
        }

    def _one(
        self, doubt: Doubt, read: "Reading", unknown: Mapping[int, str], mine: set[int]
    ) -> Settlement | None:
        """How one doubt ends. Those of a contact that was read besides are told by their own
        reading; here they are only not counted twice."""
        verdict = read.verdicts[doubt.delivery_id]
        if doubt.delivery_id in read.beside_trials:
            verdict = Unread(UNSETTLED)
        if doubt.delivery_id not in mine and not isinstance(verdict, Here):
            return None
        if isinstance(verdict, Absent) and doubt.delivery_id in unknown:
            reason = unknown[doubt.delivery_id]
            verdict = Undecided(reason) if reason else verdict
            return self._settlement(doubt, verdict, reason or NOT_LOOKED_UP)
        return self._settlement(doubt, verdict, read.gap)

    def _settlement(self, doubt: Doubt, verdict: Verdict, gap: str | None) -> Settlement | None:
        match verdict:
            case Here(interaction_id, how, unlike):
                forgotten = self._may_be_deleted(doubt)
                if forgotten and (rest := self._rest(doubt)) >= timedelta(0):
                    self.result.wait_for(rest, 1)
                    return None
                log.info(f"settle.{how}", row_key=doubt.row_key)
                by_reference = self.flow.destination.can.proof is Proof.ROW
                unknown = forgotten and (by_reference or unlike)
                return Settlement(
                    doubt, State.DELIVERED, how, interaction_id, of_unknown_content=unknown
                )
            case Absent() if gap:
                self._stays_unread(gap)
                return None
            case Absent(_, how):
                if (rest := self._rest(doubt)) >= timedelta(0):
                    self.result.wait_for(rest, 1)
                    return None
                log.info(f"settle.{how}", row_key=doubt.row_key)
                return Settlement(doubt, State.PENDING, how)
            case TurnedDown(reason):
                log.warning("settle.turned_down", row_key=doubt.row_key, reason=reason)
                return Settlement(doubt, State.REJECTED, "turned_down", reason=reason)
            case Undecided(reason) | Split(reason):
                log.warning("settle.undecided", row_key=doubt.row_key, reason=reason)
                return Settlement(doubt, State.IN_DOUBT, "undecided", reason=reason)
            case Underway(next_in):
                self.result.wait_for(next_in, 1)
                return None
            case Unread(reason):
                self._stays_unread(reason)
                return None

    def _stays_unread(self, reason: str) -> None:
        if reason != UNSETTLED and not self.flow.stop.asked:
            self.result.unread[reason] += 1


@dataclass(slots=True)
class Reading:
    """What was read for the doubts of one drawer, and of contacts that theirs have become since:
    all of them are counted together."""

    doubts: list[Doubt]
    contacts: set[str]
    """Those whose interactions were read."""
    besides: set[str] = field(default_factory=set)
    """Of these, those that no doubt of the drawer was sent to."""
    gap: str | None = None
    """Why nothing may be believed absent."""
    verdicts: Mapping[int, Verdict] = field(default_factory=dict)
    beside_trials: set[int] = field(default_factory=set)
    """Those of the doubts that tests or probes look like of which nobody knows what they made."""
