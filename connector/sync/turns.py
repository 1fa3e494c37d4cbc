"""Which rows of a run may go now, where one contact is told something only so often.

Decided for many rows at once, in the order of their ids, so that the oldest goes first; the ledger
knows who was sent to, and who waits. What was let go and is not on record yet is known here.
"""

import asyncio
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import timedelta
from typing import ParamSpec, Protocol, TypeVar

from connector.ledger.mirrored import Late, Marked
from connector.ledger.records import Delivery, Run
from connector.ledger.store import Ledger
from connector.ledger.turns import digest_of, wall
from connector.rules import clocks
from connector.rules.activation import Activation
from connector.rules.delivery import Found, State
from connector.rules.interaction import about_of
from connector.rules.turns import Cap, Line, Turn, cap_of

P = ParamSpec("P")
R = TypeVar("R")
Ready = tuple[Delivery, Found]
"""A row that may be sent, but for its turn."""


PATIENCE = timedelta(seconds=90)
"""How long a run waits in all for turns that come soon: there may always be a next one, and new
rows are to be read. What comes later is the next run's."""


class Asking(Protocol):
    """What is asked of the ledger: see `Recorded` in flow.py."""

    @property
    def ledger(self) -> Ledger: ...
    @property
    def name(self) -> str: ...
    @property
    def activation(self) -> Activation: ...
    async def call(self, method: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R: ...


Waits = Callable[[Delivery, Found, Turn], Awaitable[object]]
"""Puts on record that a row waits."""


class TakingTurns:
    """The turns of one run. `key`: the ledger's identity."""

    def __init__(self, cap: Cap, key: str, flow: Asking, waits: Waits) -> None:
        self.cap, self._key, self._flow, self._waits = cap, key, flow, waits
        self._until: float | None = None
        """How long the run waits for turns, by the monotonic clock, once it has nothing else."""
        self._let_go: dict[int, tuple[str, int]] = {}
        """Rows that may go, and whose attempt is not on record yet, each with its contact and the
        number of that attempt."""
        self._one_by_one = asyncio.Lock()
        """What is let go is counted by whoever decides next."""

    def of(self, contact_id: str) -> Turn:
        """The turn of a row that is sent to this contact now."""
        return Turn(digest_of(self._key, contact_id), wall())

    async def has(self, delivery: Delivery, found: Found) -> bool:
        """Whether the row may go now to this very contact, which may be another one than it was
        when it was let go. Where it may not, it stands in line."""
        if self._let_go.get(delivery.id, ("",))[0] == digest_of(self._key, found.contact_id):
            return True
        return bool(await self.admit([(delivery, found)]))

    async def wait(self, later: bool) -> timedelta | None:
        """How long to wait for the next turn; None where none comes that the run waits for.
        `later`: what may go now is the next run's."""
        flow, now = self._flow, clocks.now().monotonic
        if self._until is None:
            self._until = now + PATIENCE.total_seconds()
        wait = await flow.call(flow.ledger.next_turn, flow.name, self.cap, later)
        if wait is None or now + wait / 1000 > self._until:
            return None
        return timedelta(milliseconds=wait)

    def is_over(self, *deliveries: Delivery) -> None:
        """Their attempts are on record, or will not be made by this run."""
        for delivery in deliveries:
            self._let_go.pop(delivery.id, None)

    async def admit(self, rows: Sequence[Ready]) -> list[Delivery]:
        """Those of `rows` that may go now; the others wait, and it is on record until when. Rows
        that had to wait for their contact come into one line with the others first."""
        by_contact = defaultdict[str, list[Ready]](list)
        for row in sorted(rows, key=lambda row: row[0].id):
            by_contact[digest_of(self._key, row[1].contact_id)].append(row)
        wanted = {who: (mine[0][0].id, mine[-1][0].id) for who, mine in by_contact.items()}
        self.is_over(*(row[0] for row in rows))
        admitted, late = list[Delivery](), list[tuple[Delivery, Found, Turn]]()
        async with self._one_by_one:
            # what goes on record while the ledger is asked is counted here, and not there
            let_go = dict(self._let_go)
            but = {row_id: number for row_id, (_, number) in let_go.items()}
            but |= {row[0].id: row[0].attempt + 1 for row in rows}
            lines, now = await self._lines(wanted, but), wall()
            under_way = Counter(who for who, _ in let_go.values())
            for who, mine in by_contact.items():
                line = lines.get(who) or Line()
                line.taken += [now] * under_way[who]
                times = line.turns(self.cap, [row[0].id for row in mine], now)
                for (delivery, found), (_, at) in zip(mine, times, strict=True):
                    if at <= now and delivery.state is State.PENDING:
                        self._let_go[delivery.id] = (who, delivery.attempt + 1)
                        admitted.append(delivery)
                    else:
                        late.append((delivery, found, Turn(who, at, self.cap.word)))
        await asyncio.gather(*(self._waits(*each) for each in late))
        return sorted(admitted, key=lambda delivery: delivery.id)

    async def _lines(
        self, wanted: Mapping[str, tuple[int, int]], but: Mapping[int, int]
    ) -> Mapping[str, Line]:
        flow = self._flow
        return await flow.call(flow.ledger.lines, flow.name, self.cap, wanted, but)


class Replacing:
    """Which rows of a mirror may be replaced now: one that was taken back, and has to wait for its
    turn then, would be missing until it comes. `whose`: looks a contact up."""

    def __init__(
        self, cap: Cap, key: str, flow: Asking, whose: Callable[[str], Awaitable[object]]
    ) -> None:
        self._cap, self._key, self._flow, self._whose = cap, key, flow, whose
        self._granted, self._granted_to = set[int](), Counter[str]()
        """Rows that may be replaced, and may not have been sent anew yet; how many of whom."""

    def begin(self) -> None:
        """What was granted before has been sent, or waits on record."""
        self._granted.clear()
        self._granted_to.clear()

    async def late(self, rows: Sequence[Marked]) -> list[Late]:
        """Those of `rows`, in the order of their ids, whose contact has no turn left."""
        by_contact, by_id = defaultdict[str, list[int]](list), {r.delivery_id: r for r in rows}
        whose = dict[str, str]()
        for row in rows:
            found = await self._whose(row.contact) if row.contact is not None else None
            if isinstance(found, Found) and row.delivery_id not in self._granted:
                who = digest_of(self._key, found.contact_id)
                by_contact[who].append(row.delivery_id)
                whose[about_of(self._key, row.contact or "")] = who
        if not by_contact:
            return []
        wanted = {who: (mine[0], mine[-1]) for who, mine in by_contact.items()}
        ledger = self._flow.ledger
        lines = await self._flow.call(ledger.lines, self._flow.name, self._cap, wanted, {})
        before = await self._before(whose)
        now, late = wall(), list[Late]()
        for who, mine in by_contact.items():
            line = lines.get(who) or Line()
            line.ahead = {**before[who], **line.ahead}
            line.taken += [now] * self._granted_to[who]
            for row_id, at in line.turns(self._cap, mine, now):
                if at > now:
                    late.append(Late(by_id[row_id], Turn(who, at, self._cap.word)))
                else:
                    self._granted.add(row_id)
                    self._granted_to[who] += 1
        return late

    async def _before(self, whose: Mapping[str, str]) -> Mapping[str, Mapping[int, int]]:
        """By contact, the rows that go before those which are replaced, being recorded before: at
        once, where they are in no line. `whose`: contacts by whom rows are about."""
        ledger, found = self._flow.ledger, defaultdict[str, dict[int, int]](dict)
        rows = await self._flow.call(ledger.unsent_about, self._flow.name, list(whose))
        for about, ids in rows.items():
            found[whose[about]] |= {row: 0 for row in ids if row not in self._granted}
        return found


def turns_of(flow: Asking, run: Run, waits: Waits) -> TakingTurns | None:
    """The turns of `run`; None where there are none to be taken."""
    cap = cap_of(flow.activation)
    return TakingTurns(cap, run.footing.known.ledger, flow, waits) if cap else None
