"""Settle rows by the requests that carried them: one question for all rows of a request.

A request that the destination does not know is believed absent only when it is old enough
(absence.py), when the destination has never said that it has it, and when it has shown of another
one that it knows requests by our ids at all. Of a destination that forgets requests a *witness* is
asked for, too: after the one that is not there, another one, which it was done with so long ago
that it would have forgotten that first. Else its rows are in doubt, for a person.
"""

from collections.abc import Mapping, Sequence
from dataclasses import field
from datetime import timedelta

from connector.basis import dataclass
from connector.basis.log import Log
from connector.destinations import port
from connector.ledger.parcels import ABSENT, SPLIT, Asked, Request
from connector.ledger.records import Doubt, Settlement
from connector.rules import clocks
from connector.rules.absence import Age, believed_in, wants_another_look
from connector.rules.delivery import State
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
from connector.sync.flow import Running
from connector.sync.settled import Settled, since
from connector.sync.side_by_side import side_by_side

log = Log(__name__)

PAGE = 100
NOW, SOON = timedelta(0), timedelta(seconds=1)
FORGOTTEN = (
    "the destination had the request and does not know it any more, so what became of the row"
    " cannot be told"
)
UNPROVEN = (
    "the destination does not know the request, and has not shown yet that it knows any by the id"
    " that we gave it; once it has, that is believed"
)
NO_WITNESS = (
    "the destination does not know the request, and has not shown yet that it remembers any for as"
    " long as that: it may have had it, and forgotten it. Once it has, that is believed"
)
NOT_BY_OURS = (
    "the destination gives requests ids of its own, so it cannot be asked for one whose answer got"
    " lost"
)


class SettlingRequests:
    """The settling of the requests of one activation in one run."""

    def __init__(self, running: Running) -> None:
        self.running, self.flow = running, running.flow
        self.result, self.boot = Settled(), clocks.boot()

    async def settle(self) -> Settled:
        """Ask about all requests once; of those that are not there once more where another one has
        shown only meanwhile that this may be believed. Raises DestinationUnusable, LeaseLost,
        LedgerUnavailable."""
        before = await self._knows_references()
        await self._round()
        if before is False and await self._knows_references():
            await self._round()
        wait = await self.flow.call(self.flow.ledger.next_request_in, self.flow.name)
        if wait is not None:
            self.result.wait_for(wait)
        return self.result

    async def _round(self) -> None:
        flow, after = self.flow, 0
        self.result.unread.clear()  # all are asked about anew
        self.result.young, self.result.young_for = 0, None
        while not flow.stop.asked and (
            found := await flow.call(flow.ledger.requests_open, self.running.run, after, PAGE)
        ):
            after = found[-1].id
            await side_by_side(flow.destination.concurrency, self._request, found)

    async def _knows_references(self) -> bool | None:
        return await self.flow.call(self.flow.ledger.knows_references, self.flow.name)

    async def _request(self, request: Request) -> None:
        if self.flow.stop.asked:
            return
        ledger, run = self.flow.ledger, self.running.run
        doubts = await self.flow.call(ledger.doubts_in, request)
        now = clocks.now()
        here_at, there_at = round(now.boot * 1000), self.flow.destination.clock.earliest(now)
        verdicts = await self._ask(request, doubts) if doubts else {}
        known = await self._knows_references()
        age = self._age(doubts[0], here_at, there_at) if doubts else Age(request.age)
        facts = (request, verdicts, age, self.flow.settle_after, known)
        read = Read(*facts)
        asked = read.all_of(doubts)
        if read.is_absent and known and self.flow.destination.can.forgets_requests:
            read = Read(*facts, witness=await self._witness(request))
            asked = read.all_of(doubts)
        if read.wait is not None:
            self.result.wait_for(read.wait, sum(not doubt.submitted for doubt in doubts))
        if await self.flow.call(ledger.asked, run, asked):
            self._count(asked.settlements)
        self._tell_of_unread(doubts, verdicts)
        if read.may_be_absent and wants_another_look(age, self.flow.settle_after):
            await self.flow.call(ledger.saw_request, run, request, self.boot, here_at)

    async def _witness(self, request: Request) -> bool:
        """Whether the destination still knows one that it would have forgotten before this one; it
        is asked only after this one."""
        found = await self.flow.call(self.flow.ledger.witness, request)
        if found.reference is None:
            if found.wait is not None:
                self.result.wait_for(found.wait)
            return False
        return await self.flow.destination.remembers(found.reference)

    async def _ask(self, request: Request, doubts: Sequence[Doubt]) -> Mapping[int, Verdict]:
        activation, asked = self.flow.activation, [self._asked(request, d) for d in doubts]
        verdicts = await self.flow.destination.settle(activation, asked, self._owned)
        for reason in {v.reason for v in verdicts.values() if isinstance(v, Unread)}:
            log.warning("settle.incomplete", reason=reason, rows=len(doubts))
        return verdicts

    def _tell_of_unread(self, doubts: Sequence[Doubt], verdicts: Mapping[int, Verdict]) -> None:
        """What is with the destination to be processed is no doubt, and waits for nobody."""
        for doubt in doubts:
            verdict = verdicts[doubt.delivery_id]
            if isinstance(verdict, Unread) and not doubt.submitted and not self.flow.stop.asked:
                self.result.unread[verdict.reason] += 1

    def _asked(self, request: Request, doubt: Doubt) -> port.Doubt:
        """As the destination is asked about it."""
        item = port.Item(
            doubt.delivery_id,
            self.running.references.of(doubt.row_key),
            doubt.contact_id,
            doubt.created_date,
            doubt.payload.encode(),
            doubt.place,
        )
        return port.Doubt(
            item,
            request.name,
            doubt.age,
            seen=request.seen or doubt.submitted,
            rows=request.rows,
            submitted=doubt.submitted,
            http_status=request.http_status,
            reason=request.reason or "",
            unasked=request.unasked,
            proof=port.Proof.REQUEST,
            ours=request.reference,
        )

    async def _owned(self, ids: Sequence[str]) -> set[str]:
        return await self.flow.call(self.flow.ledger.owned, self.flow.name, ids)

    def _age(self, doubt: Doubt, here_at: int, there_at: int | None) -> Age:
        """How old the request was before the destination was asked."""
        boot = since(doubt.boot_at, here_at) if doubt.boot == self.boot else None
        return Age(
            database=doubt.age,
            destination=since(doubt.destination_at, there_at),
            boot=None if boot is None or boot < NOW else boot,
        )

    def _count(self, settlements: Sequence[Settlement]) -> None:
        for each in settlements:
            if each.state not in (State.DELIVERED, State.SUBMITTED):
                told = {"row_key": each.doubt.row_key, "reason": each.reason}
                log.warning(f"settle.{each.word}", **told)
            self.result.delivered += each.state is State.DELIVERED
            if each.state is State.PENDING:
                row, halved = each.doubt.delivery_id, each.word == SPLIT
                self.result.not_there(halved or self.running.next_runs.may_go_anew(row))
            self.result.rejected += each.state is State.REJECTED
            self.result.taken += each.doubt.submitted


@dataclass(slots=True)
class Read:
    """What the destination said of a request, and what follows from it. `known`: whether it has
    shown that it knows requests by our ids; None: it has given them others."""

    request: Request
    verdicts: Mapping[int, Verdict]
    age: Age
    after: timedelta
    known: bool | None
    witness: bool = True
    """Whether the destination would still know it, if it had had it."""
    wait: timedelta | None = None
    """When to look again, since something may be believed then."""
    may_be_absent: bool = False
    is_absent: bool = False
    """It is not there, and old enough for that to be believed."""
    seen: bool = False
    absent: bool = False
    next_in: timedelta | None = None
    outcome: str | None = None
    left: int = 0
    """Rows that are to be asked about again."""
    settlements: list[Settlement] = field(default_factory=list)

    def all_of(self, doubts: Sequence[Doubt]) -> Asked:
        """Of all rows of the request that are not settled."""
        has_it = (Here, TurnedDown, Underway)
        self.seen = any(isinstance(verdict, has_it) for verdict in self.verdicts.values())
        self.absent = all(isinstance(v, Absent | Split) for v in self.verdicts.values())
        for doubt in doubts:
            self._one(doubt, self.verdicts[doubt.delivery_id])
        absent = self.outcome == ABSENT
        ended = not self.left and not absent
        answered = not all(isinstance(verdict, Unread) for verdict in self.verdicts.values())
        done = any(isinstance(v, Here | TurnedDown) for v in self.verdicts.values())
        said = (self.outcome, self.seen, self.next_in, ended, answered, done, self.is_absent)
        return Asked(self.request, self.settlements, *said)

    def _one(self, doubt: Doubt, verdict: Verdict) -> None:
        match verdict:
            case Here(interaction_id, how):
                self._end(doubt, State.DELIVERED, how, interaction_id=interaction_id)
            case TurnedDown(reason):
                self._end(doubt, State.REJECTED, "turned_down", reason)
            case Underway(next_in):
                self.left += 1
                self.next_in = next_in
                if not doubt.submitted:
                    self._end(doubt, State.SUBMITTED, "underway")
            case Undecided(reason, lasting):
                self.left += not lasting
                self._doubtful(doubt, reason)
            case Absent() | Split():
                self._absent(doubt, verdict)
            case Unread(_, answered):
                self.left += 1
                rest = self.after - self.request.age
                if doubt.submitted and answered and rest > NOW:
                    self._look_again_in(min(rest, max(self.request.age / 3, SOON)))

    def _absent(self, doubt: Doubt, verdict: Absent | Split) -> None:
        """It is not there. What was there once is forgotten; what never was may go again."""
        if self.seen or self.request.seen or doubt.submitted:
            if (rest := self.after - self.request.age) > NOW:
                self._later(rest)
            else:
                self._doubtful(doubt, FORGOTTEN)
            return
        if not self.absent:  # not all of it was read
            self.left += 1
            return
        self.may_be_absent = True
        if (rest := believed_in(self.age, self.after)) >= NOW:
            self._later(rest)
            return
        self.is_absent = True
        if not self.known:
            self.left += self.known is False
            self._doubtful(doubt, UNPROVEN if self.known is False else NOT_BY_OURS)
        elif not self.witness:
            self.left += 1
            self._doubtful(doubt, NO_WITNESS)
        elif isinstance(verdict, Absent):
            self.outcome = ABSENT
            self._end(doubt, State.PENDING, verdict.how)
        elif self.request.rows == 1:
            self._end(doubt, State.REJECTED, "turned_down", verdict.reason)
        else:
            self.outcome = SPLIT
            self._end(doubt, State.PENDING, SPLIT, verdict.reason)

    def _later(self, rest: timedelta) -> None:
        self.left += 1
        self._look_again_in(rest)

    def _look_again_in(self, rest: timedelta) -> None:
        self.wait = rest if self.wait is None else min(self.wait, rest)

    def _doubtful(self, doubt: Doubt, reason: str) -> None:
        if doubt.submitted or doubt.reason != reason:
            self._end(doubt, State.IN_DOUBT, "undecided", reason)

    def _end(
        self,
        doubt: Doubt,
        state: State,
        word: str,
        reason: str | None = None,
        interaction_id: str | None = None,
    ) -> None:
        self.settlements.append(Settlement(doubt, state, word, interaction_id, reason))
