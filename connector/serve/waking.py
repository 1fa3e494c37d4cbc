"""What comes of webhooks: rows that wait for a contact are looked up now, and contacts that were
found are forgotten.

However many webhooks come, what they say is gathered, and done together: one pass over the waiting
rows of a destination at a time, and one run at a time that looks up what was woken. Where a webhook
does not tell the identifier that rows wait for, all of them may be meant, and all are looked up;
that takes up no more than a share of the destination's pace, whatever comes in.
"""

import asyncio
import time
from collections.abc import Iterator
from dataclasses import field

from connector.basis import dataclass
from connector.basis.log import Log
from connector.rules.activation import Activation
from connector.rules.errors import ConnectorError, places
from connector.rules.webhooks import Happened, News, trace
from connector.serve.service import Service

log = Log(__name__)

GATHER = 0.5
"""Seconds for which is gathered what is said, before it is done."""
REST = 10
"""How many times as long as it took is waited before the next pass."""
BLIND_EVERY = 5.0
"""Seconds between two times that rows are woken which nothing has named, at least."""
SHARE, BLIND_FOR = 0.1, 10.0
"""Of the destination's pace, for look-ups of rows that are woken without being named; and how many
seconds of that pace they take at once, so that what is new need not wait for them."""
RUN_EVERY = 3.0
"""Seconds between two beginnings of runs of one activation, at least."""
ECHOES = (5.0, 60.0, 600.0)
"""Seconds after which, or up to half as much later, rows are looked up again for one webhook."""
AGAIN = 10.0
"""Seconds until it is tried again, where another process works on the activation."""
MOST_TRACES, MOST_IDS = 20_000, 5_000
"""What is gathered at most, of one destination; beyond that everything may be meant."""
PAGE = 2_000
EVERY_ID = 2**62


@dataclass(slots=True)
class Heard:
    """What was said of the contacts of one destination, and is not done yet."""

    traces: set[str] = field(default_factory=set)
    """Of everything that was told of contacts that are new, or have changed."""
    told: set[frozenset[str]] = field(default_factory=set)
    """Of each new contact, the kinds of identifiers that were told; each set once."""
    gone: set[str] | None = field(default_factory=set)
    """The ids of contacts that are gone, in small letters; None: any may be."""
    rest: dict[str, int] = field(default_factory=dict)
    """Activations of which all rows may be meant, and the oldest that was woken so far."""

    def add(self, news: News) -> None:
        """Gather what one webhook said."""
        if news.happened is Happened.DELETED:
            ids = {contact_id.lower() for contact_id in news.contact_ids}
            known = self.gone is not None and ids and len(self.gone) < MOST_IDS
            self.gone = (self.gone or set()) | ids if known else None
            return
        is_full = len(self.traces) >= MOST_TRACES
        if not is_full:
            self.traces |= {trace(value) for value in news.values} - {""}
        if news.happened is Happened.CREATED:
            self.told.add(frozenset() if is_full else news.kinds)

    def join(self, other: "Heard") -> None:
        """Gather what another one has of contacts that are there."""
        self.traces |= other.traces
        self.told |= other.told
        self.rest |= other.rest

    def is_blind(self, kind: str) -> bool:
        """Whether rows may be meant that wait under an identifier of this kind, and no webhook has
        named them."""
        return any(kind not in kinds for kinds in self.told)


class Waker:
    """Does what webhooks ask for, at a pace of its own. Belongs to the event loop of `service`."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._heard: dict[str, Heard] = {}
        self._echoes: dict[tuple[str, float, int], Heard] = {}
        """What is heard again: by destination, after how long, and when, in halves of that."""
        self._blind_from: dict[str, float] = {}
        """By destination, from when on rows may be woken again that nothing has named."""
        self._runs_from: dict[str, float] = {}
        """Activations with rows that were woken, each with when a run may begin."""
        self._woken: dict[str, set[int]] = {}
        """Those rows."""
        self._began: dict[str, float] = {}
        self._said: dict[str, float] = {}
        self._something = asyncio.Event()
        self._is_at_work = False

    def heard(self, destination: str, news: News) -> None:
        """Something is to be done; returns at once."""
        self._heard.setdefault(destination, Heard()).add(news)
        if news.happened is not Happened.DELETED:
            for pause in ECHOES:
                slot = int(2 * time.monotonic() / pause) + 3
                self._echoes.setdefault((destination, pause, slot), Heard()).add(news)
        self._something.set()
        if not self._is_at_work:
            self._is_at_work = True
            self._service.keep(self._work())

    def may_say(self, destination: str, every: float) -> bool:
        """Whether it is time to log again what happens often."""
        now = time.monotonic()
        if now < self._said.get(destination, now):
            return False
        self._said[destination] = now + every
        return True

    async def _work(self) -> None:
        while True:
            if not self._echoes:
                await self._something.wait()
            await asyncio.sleep(GATHER)
            self._hear_again()
            began = time.monotonic()
            for destination in list(self._heard):
                await self._do(destination, self._heard.pop(destination))
            took = time.monotonic() - began
            await self._begin_runs()
            if not (self._heard or self._runs_from):
                self._something.clear()
            await asyncio.sleep(min(REST * took, BLIND_EVERY))

    def _hear_again(self) -> None:
        """What was said a while ago: a contact may be found only some time after it was made."""
        now = time.monotonic()
        for destination, pause, slot in list(self._echoes):
            if now >= slot * pause / 2:
                echo = self._echoes.pop((destination, pause, slot))
                self._heard.setdefault(destination, Heard()).join(echo)

    async def _do(self, destination: str, heard: Heard) -> None:
        """What was said of one destination, as far as it is time for it."""
        try:
            woken = await asyncio.to_thread(self._pass, destination, heard)
        except ConnectorError as error:  # rows are looked up when they are due, as without it
            log.warning("serve.webhook_failed", destination=destination, reason=str(error))
            return
        except Exception as defect:
            kind = type(defect).__name__
            log.error(
                "serve.webhook_failed", destination=destination, kind=kind, places=places(defect)
            )
            return
        for name, rows in woken.items():
            self._woken.setdefault(name, set()).update(rows)
            self._runs_from.setdefault(name, self._began.get(name, 0.0) + RUN_EVERY)
        if heard.told or heard.rest:
            left = Heard(told=heard.told, rest=heard.rest)
            self._heard.setdefault(destination, Heard()).join(left)

    def _pass(self, destination: str, heard: Heard) -> dict[str, list[int]]:
        """Rows that were woken, by activation. What is left to be done later stays in `heard`."""
        service, waiting = self._service, list(self._who_waits(destination))
        if heard.gone is None or heard.gone:
            service.ledger.forget_found(destination, heard.gone)
        woken = {a.name: self._named(a, heard.traces) for a in waiting}
        if time.monotonic() >= self._blind_from.get(destination, 0.0):
            rate = service.rates().get(destination, 1.0)
            room = most = max(1, round(rate * BLIND_FOR))
            for activation in waiting:
                newest = self._newest(activation, heard, room)
                woken[activation.name] += newest
                room -= len(newest)
            heard.told.clear()
            if room < most:
                pause = max(BLIND_EVERY, (most - room) / (SHARE * rate))
                self._blind_from[destination] = time.monotonic() + pause
        woken = {name: rows for name, rows in woken.items() if rows}
        if not woken:
            return {}
        with service.app.reports() as reports:
            recorded = {name: reports.recorded_as(name) for name in woken}
        for name, rows in woken.items():  # on record, too: a run that may only come later looks
            service.ledger.wake(recorded[name], rows)
        return woken

    def _who_waits(self, destination: str) -> Iterator[Activation]:
        """Activations whose rows wait until `destination` knows their contacts."""
        project = self._service.app.settings.project
        for activation in project.activations.values():
            how = activation.contact
            if project.destination_of(activation) == destination and how.asks_destination:
                yield activation

    def _named(self, activation: Activation, traces: set[str]) -> list[int]:
        """Rows that wait for somebody whom `traces` name."""
        found, after = list[int](), 0
        if traces:
            with self._service.app.reports() as reports:
                while page := reports.sleepers(activation.name, after, PAGE):
                    found += [row for row, contact in page if trace(contact) in traces]
                    after = page[-1][0]
        return found

    def _newest(self, activation: Activation, heard: Heard, room: int) -> list[int]:
        """Rows, `room` at most, where any may be meant. The newest come first: a contact that is
        new now is that of a row that is new, most likely."""
        name, before = activation.name, heard.rest.pop(activation.name, None)
        if heard.is_blind(activation.contact.word):
            before = None
        elif before is None:
            return []
        with self._service.app.reports() as reports:
            ids = reports.newest_sleepers(name, before, room) if room > 0 else []
        if len(ids) >= room:
            heard.rest[name] = ids[-1] if ids else before or EVERY_ID
        return ids

    async def _begin_runs(self) -> None:
        now = time.monotonic()
        for name, begins in list(self._runs_from.items()):
            if now >= begins and name not in self._service.live:
                del self._runs_from[name]
                rows = self._woken.pop(name)
                if await asyncio.to_thread(self._may_run, name):
                    self._began[name] = now
                    self._service.spawn(self._run(name, rows))

    def _may_run(self, name: str) -> bool:
        """Whether nobody keeps rows from being sent. Where that is not known, they are the next
        run's."""
        activation = self._service.app.settings.project.activations.get(name)
        if activation is None or activation.paused:
            return False
        try:
            with self._service.app.reports() as reports:
                return not reports.is_kept(name)
        except ConnectorError:
            return False

    async def _run(self, name: str, rows: set[int]) -> None:
        if not await self._service.wake(name, rows):
            self._woken.setdefault(name, set()).update(rows)
            self._runs_from.setdefault(name, time.monotonic() + AGAIN)
            self._something.set()
