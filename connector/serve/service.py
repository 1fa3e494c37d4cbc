"""`connector serve`: runs by schedule and on request, in one process, until it is told to stop."""

import asyncio
import time
from collections.abc import Collection, Coroutine, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

from starlette.requests import Request

from connector.basis.log import Log, bound
from connector.ledger.deeds import SCHEDULE
from connector.ledger.store import Ledger
from connector.project.app import App
from connector.project.borrowing import Paces
from connector.project.run import log_run, run
from connector.project.schedule import Clockwork
from connector.project.settings import Settings, load
from connector.project.tracing import Tracing
from connector.rules.activation import Activation
from connector.rules.deed import Document
from connector.rules.due import Since
from connector.rules.errors import (
    ActivationBusy,
    ActivationPaused,
    ConnectorError,
    Interrupted,
    LedgerUnavailable,
    places,
)
from connector.rules.interaction import instant_text
from connector.rules.selection import select_one
from connector.serve.alerts import TAKEN_OVER, Alerts, not_taken_over
from connector.serve.following import Following
from connector.serve.lateness import Lateness
from connector.serve.metrics import Metrics
from connector.serve.places import Places, Sharing
from connector.serve.recorded import DBT, TAKEN, Recorded
from connector.serve.retrying import Again, Retries
from connector.serve.running import Breaker, Era, Live, Watching, asked_by_whom
from connector.serve.sending import send
from connector.serve.stamp import stamp
from connector.serve.verifying import Verifier
from connector.serve.windows import Openings
from connector.sync.flow import Orders
from connector.sync.result import Result

log = Log(__name__)

AT_A_TIME = 2
"""How many ask the ledger at a time whether a run is needed: each opens a connection for it."""
SAY_EVERY = 10.0
"""Seconds after which it says in the ledger that it lives."""
LOOK_EVERY = 1.0
"""Seconds between two looks at the configuration."""
READERS_HAVE = 10.0
"""Seconds that what only reads is waited for at the end."""

SCHEDULED = Orders(by=SCHEDULE)
WEBHOOK = "a webhook"
"""Who asked for a run that a destination's news began."""
STILL = "its last run goes on"
STOPPING = "this process is ending"
GONE = "it is configured no more"

T = TypeVar("T")


class Service:
    """The runs of a project over time. Belongs to the running event loop."""

    def __init__(self, config: Path, settings: Settings) -> None:
        """`settings`: what `config` holds now. Nothing is opened before `start`."""
        self.config = config
        self.live: dict[str, Live] = {}
        self.breakers: dict[str, Breaker] = {}
        self.metrics = Metrics(
            lambda: self.app.settings.project.activations, lambda: self.app.reports(), self.rates
        )
        self.config_error: str | None = None
        self.started_at = datetime.now(UTC)
        self.ready = False
        self._first = settings
        self.tracing = Tracing.from_environment()
        self._paces = Paces()
        self._recorded = Recorded(lambda: self.app)
        self._asking = asyncio.Semaphore(AT_A_TIME)
        self._places = Places(
            lambda: self.app.settings.project.serve.runs,
            lambda: self.app.settings.project.serve.slice,
        )
        self._sharing = Sharing(lambda: self.app, self._places, self._asking)
        self._clockwork = Clockwork(self._fire, place=lambda name: self.app.place(name))
        self._era: Era | None = None
        self._tasks: set[asyncio.Task[Any]] = set()
        told = partial(send, base=config.parent)
        self._alerts = Alerts(lambda: self.app.settings, told, self.metrics.alert)
        self.following = Following()
        self.verifier = Verifier(lambda: self.app, self.spawn, self._alerts.say)
        self._loops: list[asyncio.Task[None]] = []
        self._retries = Retries(
            lambda: self.app.settings.project.serve.retry, self._clockwork.next, self._try_again
        )
        self._openings = Openings(lambda: self.app, self.live.keys, self._due_at_opening)
        self.id = uuid4().hex
        self._seen = stamp(config, settings)
        self._stopping = False

    @classmethod
    def of(cls, request: Request) -> "Service":
        """The one whose page or address is asked for."""
        service: Service = request.app.state.service
        return service

    @property
    def app(self) -> App:
        """The project as it is configured now."""
        return self._era.app if self._era else App(self._first, tracing=self.tracing)

    def rates(self) -> dict[str, float]:
        """Requests a second that each destination is sent at most, now."""
        found = {}
        for name, settings in self.app.settings.project.destinations.items():
            pacer = self._paces.pacers.get(settings.pace)
            found[name] = pacer.rate if pacer else settings.requests_per_second
        return found

    # --- life -----------------------------------------------------------------------------------

    async def start(self) -> None:
        """Open the ledger and follow the schedules. Raises LedgerUnavailable."""
        self._era = await self._open(self._first)
        self._clockwork.start()
        self.verifier.start()
        await asyncio.to_thread(self._alerts.remember, self.app.reports)
        await self._follow()
        for left in await asyncio.to_thread(self._recorded.left_behind):
            self._retries.left(left, Orders(by=left["by"]))
        await asyncio.to_thread(self._say)
        told = (
            self._alerts.keep_telling(),
            Lateness(lambda: self.app, self._alerts).keep_looking(),
        )
        more = (self._openings.keep_looking(), self._sharing.keep_looking(), *told)
        self._loops = [
            asyncio.create_task(loop) for loop in (self._watch(), self._keep_saying(), *more)
        ]
        self.ready = True
        log.info("serve.started", activations=len(self._first.project.activations))

    async def stop(self) -> bool:
        """Begin nothing new; wait for what is on the wire, and see it recorded.

        False: a warehouse still keeps runs waiting that have nothing on the wire.
        """
        self._stopping, self.ready = True, False
        self._clockwork.stop()
        self._retries.stop()
        self.verifier.stop()
        self._places.close()
        self.app.interruption.ask()
        for task in self._loops:
            task.cancel()
        ended = await self._ended_in_order()
        await self._alerts.last_words()
        if self._era and ended:
            await asyncio.to_thread(self._say_no_more)
            await self._era.stack.aclose()
        log.info("serve.stopped", in_order=ended)
        return ended

    async def _ended_in_order(self) -> bool:
        """Wait for everything that goes on; but for what only reads not for long, since a warehouse
        may take minutes to answer, and a run that has recorded nothing more loses nothing."""
        begun = time.monotonic()
        while self._tasks:
            await asyncio.wait(self._tasks, timeout=LOOK_EVERY)
            if not self._tasks or time.monotonic() - begun <= READERS_HAVE:
                continue
            if not await asyncio.to_thread(self._recorded.is_sending, list(self.live)):
                return False
        return True

    # --- runs -----------------------------------------------------------------------------------

    async def ask(self, name: str, orders: Orders) -> bool:
        """Begin a run of `name`, as soon as there is a place for it; False when one is going on,
        which an approval then waits for.

        Raises ConfigurationError, and ActivationPaused while it is paused.
        """
        activation = self.chosen(name)
        name = activation.name
        for _, remedy in await asyncio.to_thread(self.app.paused, [activation]):
            raise ActivationPaused(f'activation "{name}" is paused; {remedy}')
        if live := self.live.get(name):
            if orders.approve:
                live.approved = live.approved or orders
            may_still = live.wanted is None and live.waits
            if live.woken is not None or may_still:
                live.wanted = orders
            return live.woken is not None or may_still
        if self._stopping:
            return False
        self.live[name] = Live(name, time.monotonic(), wanted=orders)
        self.spawn(self._run(activation, orders, asked_by_whom(orders)))
        return True

    def chosen(self, selector: str) -> Activation:
        """The one activation that `selector` chooses. Raises ConfigurationError."""
        settings = self.app.settings
        known = settings.project.activations
        return settings.activation(select_one(selector, known, str(settings.file)))

    async def ask_after(self, name: str, orders: Orders) -> bool:
        """Begin a run of `name` now; False: it begins as soon as the one that goes on has ended,
        which may have read too early.

        Raises ConfigurationError, and ActivationPaused while it is paused.
        """
        begun = await self.ask(name, orders)
        live = self.live.get(name)
        if not begun and live and not live.waits:
            live.wanted = orders
        return begun

    async def wake(self, name: str, rows: Collection[int]) -> bool:
        """Send those of `rows` that wait for a contact and whose contact is there now, without
        reading the model, and wait for that; False: not now, since a run of `name` goes on. Raises
        ConfigurationError."""
        activation = self.app.settings.activation(name)
        if name in self.live or self._stopping:
            return False
        live = self.live[name] = Live(name, time.monotonic(), woken=frozenset(rows))
        await self._run(activation, Orders(by=WEBHOOK), "a webhook")
        return not isinstance(live.error, ActivationBusy)

    def pause(self, name: str, by: str) -> None:
        """Let nothing run `name` until it is resumed; a run that goes on ends as usual."""
        self._now.workshop.ledger.pause(name, by)

    def resume(self, name: str, by: str) -> None:
        """End a pause."""
        earlier = self.app.settings.activation(name).renamed_from or None
        self._now.workshop.ledger.resume(name, by, earlier)

    @property
    def _now(self) -> Era:
        assert self._era is not None, "not started"
        return self._era

    def status(self, names: Sequence[str] = ()) -> list[Document]:
        """Where the activations `names` stand, or all of them, as `connector status` has it, and
        what runs now."""
        documents = self.app.status(names)
        for document in documents:
            due, live = self._clockwork.next(document["name"]), self.live.get(document["name"])
            document["next_run"] = instant_text(due) if due and not document["paused"] else None
            document["running"] = live and live.run_id
            document["waits_for_place"] = live is not None and live.waits
            document["in_flight"] = live and live.in_flight
            if document["verification"]:
                due = None if document["paused"] else self.verifier.next(document["name"])
                document["verification"]["next"] = due and instant_text(due)
        return documents

    def _fire(self, name: str, since: datetime) -> None:
        self.spawn(self._due(name, since))

    async def _due_at_opening(self, name: str, since: datetime) -> None:
        """Its window has opened at `since`, and rows have waited for that."""
        self.spawn(self._due(name, since))

    def _try_again(self, again: Again) -> None:
        self.spawn(self._due_again(again))

    async def _due_again(self, again: Again) -> None:
        left = again.left
        ended = left is not None and await asyncio.to_thread(self._recorded.ended_well, left)
        if not ended:
            await self._due(again.name, again.since, again.orders, "a retry")

    async def _due(
        self, name: str, since: Since, orders: Orders = SCHEDULED, asked_by: str = "the schedule"
    ) -> None:
        """The schedule's turn, or a retry's. Another process on the same ledger may have taken
        it."""
        if name in self.live or self._stopping:
            if (live := self.live.get(name)) and live.woken is not None:
                live.wanted = orders
                return
            log.info("serve.skipped", activation=name, reason=STOPPING if self._stopping else STILL)
            return
        try:
            activation = self.app.settings.activation(name)
        except ConnectorError as error:  # it is configured no more
            log.warning("serve.skipped", activation=name, reason=str(error))
            return
        self.live[name] = Live(name, time.monotonic())
        await self._run(activation, orders, asked_by, since)

    async def _run(
        self, activation: Activation, orders: Orders, asked_by: str, since: Since | None = None
    ) -> None:
        """A run as soon as there is a place for it; `since`: when its turn by the schedule came."""
        live, name = self.live[activation.name], activation.name
        live.orders, goes_on, ended, settings = orders, True, None, self.app.settings.project
        there = settings.destinations[settings.destination_of(activation)]
        live.turn = (there.pace, activation.priority, there.requests_per_second)
        try:
            while goes_on:
                ended = await self._placed(live, activation, asked_by, since)
                if goes_on := ended is not None and live.goes_on_after(ended):
                    since = live.began_at  # whoever has begun since does the rest
            if ended and self._is_tried_again(activation, live.orders):
                self._retries.saw(name, ended, replace(live.orders, approve=False, run_id=None))
        finally:
            live.over()
            del self.live[name]

    async def _placed(
        self, live: Live, activation: Activation, asked_by: str, since: Since | None
    ) -> Result | None:
        """One run in a place, as soon as there is one; None: there was nothing to be run."""
        async with self._places.one(*live.turn) as place:
            reason = await self._needless(live, since) if place else STOPPING
            if reason or place is None:
                log.info("serve.skipped", activation=live.activation, reason=reason)
                return None
            if live.wanted and live.woken is None:
                live.orders, live.wanted = live.wanted, None
                asked_by = asked_by_whom(live.orders)
            known = self.app.settings.activation(live.activation)
            live.has(place)
            self._retries.begun(known.name)
            with bound(asked_by=asked_by):
                return await self._runs(self._now, known, live)

    async def _needless(self, live: Live, since: Since | None) -> str | None:
        """Why nothing is to be run in the place that it has got; it may have waited for long."""
        activation = self.app.settings.project.activations.get(live.activation)
        if activation is None:
            return GONE
        async with self._asking:
            reason = await asyncio.to_thread(self._recorded.needless, activation, since)
        if self._stopping or live.activation not in self.app.settings.project.activations:
            return STOPPING if self._stopping else GONE
        return None if reason == TAKEN and live.wanted else reason

    def _is_tried_again(self, activation: Activation, orders: Orders) -> bool:
        """What is run by hand stays so; and rows that were woken are due by themselves."""
        by_itself = activation.schedule is not None or orders.by == DBT
        return by_itself and orders.by != WEBHOOK and not self._stopping

    async def _runs(self, era: Era, activation: Activation, live: Live) -> Result:
        orders, once = live.orders, partial(self._once, era, activation, live)
        async with era.running(activation.name):
            breaker, ended = self._breaker(era, activation), Result(activation.name, None)
            if breaker.is_open:
                ended = await once(replace(orders, limit=1))
            if not breaker.is_open:
                ended = await once(orders)
                while live.wanted and not self._stopping and not live.gave_way:
                    wanted, live.wanted, live.woken = live.wanted, None, None
                    ended = await once(live.approved or wanted)
                if ended.status == "held" and live.approved and not self._stopping:
                    # while it is held nothing new is read: these are the rows that were shown
                    ended = await once(live.approved)
            return ended

    async def _once(self, era: Era, activation: Activation, live: Live, orders: Orders) -> Result:
        known_as = orders.run_id if live.run_id is None else None
        orders, began = replace(orders, woken=live.woken, run_id=known_as), time.monotonic()
        watching = Watching(live, self._sharing.begun)
        try:
            with self.app.interruption.stop() as stop:
                live.ends_by(stop)
                ended = await run(era.workshop, activation, orders, watching, stop)
        except Exception as defect:  # a mistake of ours in one run must not end the others
            kind, name = type(defect).__name__, activation.name
            log.error("serve.unexpected", activation=name, kind=kind, places=places(defect))
            ended = Result(name, ConnectorError(f"unexpected {kind}"))
            log_run(ended, time.monotonic() - began)
        live.error = None if ended.run else ended.error
        self._sharing.ended(live.run_id or "")
        if not isinstance(ended.error, ActivationBusy | Interrupted):
            self._breaker(era, activation).saw(ended)
            self.metrics.run_ended(ended, time.monotonic() - began)
            # what was woken has not seen what others ran into
            if live.woken is None or ended.status != "succeeded":
                self._alerts.run_ended(ended)
        return ended

    def _breaker(self, era: Era, activation: Activation) -> Breaker:
        destination = era.app.settings.project.destination_of(activation)
        return self.breakers.setdefault(destination, Breaker())

    # --- configuration --------------------------------------------------------------------------

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(LOOK_EVERY)
            if (now := self._stamp()) != self._seen:
                await self._reload()
                self._seen = self._stamp() if self.config_error is None else now

    async def _keep_saying(self) -> None:
        """Say again and again in the ledger that this process lives, so that `connector status`
        knows; a ledger that cannot be written is told by the runs that it stops."""
        while True:
            await self._alerts.changed_within(SAY_EVERY)
            await asyncio.to_thread(self._say)

    def _say(self) -> None:
        project = self.app.settings.project.activations
        schedules = {name: self._clockwork.next(name) for name, a in project.items() if a.schedule}
        with suppress(LedgerUnavailable):
            self._now.workshop.ledger.serve(self.id, schedules, self._alerts.failing)

    def _say_no_more(self) -> None:
        with suppress(LedgerUnavailable):
            self._now.workshop.ledger.serve_no_more(self.id)

    def look_anew(self) -> None:
        """Read the configuration again, and fetch its secrets, though no file has changed."""
        self._seen = ()

    def _stamp(self) -> tuple[object, ...]:
        return stamp(self.config, self.app.settings)

    async def _reload(self) -> None:
        """Take the changed configuration over if it is valid; runs that go on keep theirs."""
        try:
            settings = await asyncio.to_thread(load, self.config)
            await asyncio.to_thread(self.app.refuse_another_ledger, settings)
            era = await self._open(settings)
        except ConnectorError as error:
            self.config_error = str(error)
            log.error("serve.configuration_refused", error=str(error))
            self._alerts.say(not_taken_over(error))
            return
        before, self._era = self._era, era
        if self.config_error:
            self._alerts.say(TAKEN_OVER)
        self.config_error = None
        await self._follow()
        self._places.look()
        log.info("serve.configuration_taken_over")
        if before:
            self.spawn(self._retire(before))

    async def _retire(self, era: Era) -> None:
        await era.quiet.wait()
        await era.stack.aclose()

    async def _open(self, settings: Settings) -> Era:
        interruption = self.app.interruption
        told, runs = self.metrics.request, settings.project.serve.runs
        app = App(settings, interruption, self._paces, told, self.tracing, runs).sound()
        stack = AsyncExitStack()
        era = Era(app, await stack.enter_async_context(app.workshop()), stack)
        era.quiet.set()
        return era

    async def _follow(self) -> None:
        activations = self.app.settings.project.activations
        schedules = {n: a.schedule for n, a in activations.items() if a.schedule and not a.paused}
        last = await asyncio.to_thread(self._recorded.last_began, list(schedules))
        self._clockwork.follow(schedules, last.get)
        await self.verifier.follow()

    def keep(self, loop: Coroutine[Any, Any, None]) -> None:
        """Begin a `loop` that goes on until the service stops, which does not wait for it."""
        self._loops.append(asyncio.create_task(loop))

    @property
    def ledger(self) -> Ledger:
        """The ledger, to be written."""
        return self._now.workshop.ledger

    def spawn(self, work: Coroutine[Any, Any, T]) -> "asyncio.Task[T]":
        """Begin `work`, which the service waits for when it stops."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._forget)
        return task

    def _forget(self, task: "asyncio.Task[Any]") -> None:
        """What stopped it is told to whoever waits for it; a mistake of ours is logged, too."""
        self._tasks.discard(task)
        defect = None if task.cancelled() else task.exception()
        if defect and not isinstance(defect, ConnectorError):
            log.error("serve.unexpected", kind=type(defect).__name__, places=places(defect))
