"""A whole connector in one thread and in a time of its own, in which each step can be the last.

All that is the product's is real: staging, delivering, settling, the ledger on SQLite, the
warehouse, the HTTP client down to its transport, the sandbox's Engage. Four things are not:

* **Time** stands still while anything can be done. Only when all tasks wait for the clock does it
  jump to the next moment that one of them waits for. The clocks of the ledger, the destination and
  the machines tell it, and one or the other of them may be wrong.
* **Threads and the wire** are queues. Each call of the ledger and each way of a request waits for
  its turn, and a schedule says whose turn it is, and how long the world is frozen before; so two
  runs can meet in every order that processes could meet in, and meet in the same order again.
* **A process** can die before or after each call of the ledger and each request. From then on
  nothing that it tries has an effect.
* **Engage** does with each POST what the plan of the process says, within the limits on which the
  promise rests: it stores within `STORED_WITHIN`, and shows within `SHOWN_WITHIN`.
"""

import asyncio
import gc
import selectors
import sqlite3
import uuid
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import Future
from contextlib import ExitStack, closing, suppress
from contextvars import ContextVar, copy_context
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import count
from pathlib import Path
from random import getrandbits
from typing import Any, NamedTuple
from unittest import mock
from urllib.parse import parse_qs, urlsplit
from zoneinfo import ZoneInfo

import orjson
import structlog
from pydantic import SecretStr
from sqlalchemy import URL, Connection, event, make_url, text
from sqlalchemy import Engine as Database

from connector.destinations.answers import Headers, NeverSent, NoAnswer, Request, Response
from connector.destinations.engage import KIND, EngageSettings
from connector.destinations.engage import EngageActivation as Activation
from connector.destinations.hooks import CalledOff, LastLook
from connector.destinations.pacing import Pacer
from connector.destinations.port import AnyDestination, Wiring
from connector.ledger import processes
from connector.ledger.digests import halves
from connector.ledger.engine import settle_log, writing_engine
from connector.ledger.migrations import HEAD
from connector.ledger.ownership import digest_of
from connector.ledger.records import Identity, Run
from connector.ledger.restored import distrust
from connector.ledger.store import Ledger
from connector.ledger.tables import database_time, metadata
from connector.ledger.takeback import DELETED, Released, Sent, TakenBack
from connector.ledger.transaction import transaction
from connector.rules.clocks import Moment
from connector.rules.contacts import ContactCache
from connector.rules.errors import ActivationBusy, DestinationUnusable, LeaseLost
from connector.rules.interaction import Interaction
from connector.sandbox.engage.api import answer_to, parse_request
from connector.sandbox.engage.behaviour import Behaviour
from connector.sandbox.engage.store import Engage
from connector.sandbox.exchange import Answer, Refusal
from connector.sync.beating import Beat
from connector.sync.flow import Flow, Orders
from connector.sync.progress import Progress
from connector.sync.result import Result
from connector.sync.run import sync
from connector.sync.side_by_side import Stop
from connector.sync.thread import LedgerThread
from connector.warehouse import Warehouse

EPOCH = datetime(2026, 11, 1, 12, tzinfo=UTC)
JULIAN_1970 = 2440587.5

TIMEOUT = timedelta(seconds=10)
SETTLE_AFTER = timedelta(seconds=30)
STORED_WITHIN = 15.0
SHOWN_WITHIN = 10.0
LISTED_FOR = 3000.0
"""Seconds that what was deleted is listed still."""
LEASE = timedelta(seconds=15)
"""Seconds; with the five that a run may take to send, all of it is within time-out and wait."""

MOST_TURNS = 4000
MOST_PAUSES = 200_000
"""A scenario of more is one that does not end."""

SCHEMA = {
    "id": "visit",
    "displayName": "Visit",
    "jsonSchema": {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "properties": {
            "visitId": {"type": "string", "displayName": "Visit"},
            "sku": {"type": "string", "displayName": "SKU"},
            "rating": {"type": "integer", "minimum": 1, "maximum": 5, "displayName": "Rating"},
        },
    },
}

# --- time -----------------------------------------------------------------------------------------


class Clock:
    """Seconds since the world began, and what the clocks in it tell of that; stands for the module
    `time` where one is needed."""

    def __init__(self) -> None:
        self.begin("nobody", "nothing")

    def begin(self, steps: str, omits: str) -> None:
        """Begin anew. `steps`: whose clock may step; `omits`: which clocks of a process do not
        count the time in which others have their turns, and the world is frozen."""
        self.now, self._steps, self.omits = 0.0, steps, omits
        self.database_ahead = self.destination_ahead = 0.0
        self.running: Process | None = None
        """Who has its turns alone: all others stand still, for as long as it lives."""

    def step(self, to: float) -> None:
        """The clock that may step is so many seconds ahead from now on."""
        if self._steps == "database":
            self.database_ahead = to
        if self._steps == "destination":
            self.destination_ahead = to

    def advance(self, seconds: float, everywhere: bool = False) -> None:
        """Time passes, for those who do not run without their knowing."""
        self.now += seconds
        alone = self.running if self.running and not self.running.dead else None
        for process in self.processes:
            if everywhere or (alone is not None and process is not alone):
                process.omitted += seconds

    processes: Sequence["Process"] = ()

    def moment(self) -> Moment:
        """What the clocks of the process that asks tell. The ledger's clock is that of its host."""
        missed = PROCESS.get().omitted
        monotonic = self.now - (missed if self.omits != "nothing" else 0)
        boot = self.now - (missed if self.omits == "monotonic and boot time" else 0)
        return Moment(monotonic, 10_000 + boot, self.database_time())

    def boot(self) -> int:
        """Machines are paused one by one: then each process has its own."""
        return PROCESS.get().number if self.omits == "monotonic and boot time" else 0

    def monotonic(self) -> float:
        """What a process measures pauses with."""
        return self.now

    def time(self) -> float:
        """Seconds since 1970."""
        return EPOCH.timestamp() + self.now

    def database_time(self) -> float:
        """The same, as the ledger's host tells it."""
        return self.time() + self.database_ahead

    def julian(self, _: object) -> float:
        """What SQLite's julianday('now') gives; half a millisecond more, for it cuts."""
        return JULIAN_1970 + (self.database_time() + 0.0005) / 86400


class JumpingLoop(asyncio.SelectorEventLoop):
    """An event loop that asks `idle` to do something before it lets time pass, and never waits."""

    def __init__(self, clock: Clock, idle: Callable[[bool], bool]) -> None:
        self._clock = clock
        super().__init__(JumpingSelector(clock, idle))

    def time(self) -> float:
        return self._clock.now


class JumpingSelector(selectors.SelectSelector):
    """Where an event loop waits: here it is told that the wait is over."""

    def __init__(self, clock: Clock, idle: Callable[[bool], bool]) -> None:
        super().__init__()
        self._clock, self._idle, self._pauses = clock, idle, 0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        events = super().select(0)
        if timeout == 0 or events or self._idle(timeout is not None):
            return events
        assert timeout is not None, "everybody waits, and nothing will ever come"
        self._pauses += 1
        assert self._pauses < MOST_PAUSES, "everybody waits, and this does not end"
        self._clock.advance(timeout)
        return []


# --- processes, and whose turn it is --------------------------------------------------------------


class Died(BaseException):
    """The process does nothing any more."""


@dataclass(frozen=True)
class Plan:
    """What befalls one run. `posts`, `gets` and `deletes`: what happens to each of its requests,
    in order, the rest goes well. `dies_at`: the call or request at which its process dies."""

    posts: Sequence[str] = ()
    gets: Sequence[str] = ()
    deletes: Sequence[str] = ()
    dies_at: int | None = None
    dies_after: bool = False
    limit: int | None = None
    approve: bool = False
    wait: bool = False


@dataclass
class Process:
    """One run in a process of its own."""

    number: int
    plan: Plan
    steps: int = 0
    dead: bool = False
    omitted: float = 0.0
    """Seconds that passed while it stood still."""
    posts: Iterator[str] = field(init=False)
    gets: Iterator[str] = field(init=False)
    deletes: Iterator[str] = field(init=False)

    def __post_init__(self) -> None:
        self.posts, self.gets = iter(self.plan.posts), iter(self.plan.gets)
        self.deletes = iter(self.plan.deletes)

    @property
    def alive(self) -> bool:
        """Raises Died where it is not."""
        if self.dead:
            raise Died
        return True

    def step(self, effect: Callable[[], Any]) -> Any:
        """Do `effect`, unless the process dies before; or die with it done."""
        assert self.alive
        self.steps += 1
        last = self.steps == self.plan.dies_at
        if last and not self.plan.dies_after:
            self.dead = True
            raise Died
        result = effect()
        if last:
            self.dead = True
            raise Died
        return result


PROCESS: ContextVar[Process] = ContextVar("process")


@dataclass(frozen=True)
class Span:
    """A part of a schedule: the world stands still for `frozen` seconds, and a clock is `ahead` by
    so many (None: as it was); then the process `whose` alone has its turns, until it has done what
    is called `until` (a method of the ledger, or "POST", or "GET /interactions"), or has had
    `turns` of them. `which` of the things that it wants to do comes first. Numbers are meant modulo
    those that there are."""

    frozen: float = 0.0
    whose: int = 0
    turns: int = 1
    until: str = ""
    which: int = 0
    ahead: float | None = None


Schedule = Sequence[Span]


class Wish(NamedTuple):
    """What a process wants to do next."""

    process: Process
    name: str
    go: Callable[[], object]


class Turns:
    """Everybody who wants to do something waits here; one at a time goes on.

    When the schedule has ended, who came first is first.
    """

    def __init__(self, clock: Clock, schedule: Schedule) -> None:
        self._clock, self._schedule = clock, iter(schedule)
        self._span, self._left = Span(), 0
        self._wishes: list[Wish] = []
        self._taken = 0
        self.processes: list[Process] = []

    def idle(self, time_may_pass: bool) -> bool:
        """Nobody can go on without a turn: give one. False where nobody is to have one now."""
        if ended := [wish for wish in self._wishes if wish.process.dead]:
            self._wishes = [wish for wish in self._wishes if not wish.process.dead]
            for wish in ended:
                wish.go()
            return True
        mine = self._of_the_span()
        if not mine and time_may_pass and self._is_reserved():
            return False
        wishes = mine or self._wishes
        if not wishes:
            return False
        self._grant(wishes[self._span.which % len(wishes)])
        return True

    def _of_the_span(self) -> list[Wish]:
        """What those want to do whose turn it is."""
        if self._left <= 0:
            span = next(self._schedule, None)
            self._span, self._clock.running = span or Span(), None
            if span is None:
                return self._wishes
            self._left = span.turns
            self._clock.advance(span.frozen, everywhere=True)
            if span.ahead is not None:
                self._clock.step(span.ahead)
            self._clock.running = self._favoured()
        return [wish for wish in self._wishes if wish.process is self._favoured()]

    def _favoured(self) -> Process:
        return self.processes[self._span.whose % len(self.processes)]

    def _is_reserved(self) -> bool:
        return self._left > 0 and not self._favoured().dead

    def _grant(self, wish: Wish) -> None:
        self._taken += 1
        assert self._taken < MOST_TURNS, "this does not end"
        self._left = 0 if wish.name == self._span.until else self._left - 1
        self._wishes.remove(wish)
        wish.go()

    def submit(self, method: Callable[..., Any], *arguments: Any) -> "Future[Any]":
        """Call `method` when it is its turn, as an executor does in its thread; who waits for it
        is told at another turn."""
        process, context = PROCESS.get(), copy_context()
        future: Future[Any] = Future()

        def call() -> None:
            if future.set_running_or_notify_cancel():
                try:
                    result = process.alive and context.run(method, *arguments)
                except BaseException as error:
                    then = partial(tell, future.set_exception, error)
                else:
                    then = partial(tell, future.set_result, result)
                self._wishes.append(Wish(process, "told", then))

        def tell(end: Callable[[Any], None], result: Any) -> None:
            if process.dead:
                future.set_exception(Died())
            else:
                end(result)

        self._wishes.append(Wish(process, getattr(method, "func", method).__name__, call))
        return future

    async def turn(self, name: str) -> None:
        """Wait for the turn. Raises Died when the process has died meanwhile."""
        process = PROCESS.get()
        future = asyncio.get_running_loop().create_future()
        go = partial(_told, future)
        self._wishes.append(Wish(process, name, go))
        await future
        assert process.alive


def _told(future: "asyncio.Future[None]") -> None:
    if not future.done():
        future.set_result(None)


class Executor:
    """Stands for ThreadPoolExecutor: its thread is the queue of turns."""

    def __init__(self, turns: Turns) -> None:
        self.submit = turns.submit

    def __enter__(self) -> "Executor":
        return self

    def __exit__(self, *_: object) -> None:
        """There is no thread to end."""


class MortalLedger:
    """A ledger each of whose methods may be the last thing that the process does."""

    def __init__(self, ledger: Ledger, process: Process) -> None:
        self._ledger, self._process = ledger, process
        self.lease = ledger.lease

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self._ledger, name)

        def call(*a: Any, **kw: Any) -> Any:
            return self._process.step(lambda: method(*a, **kw))

        call.__name__ = name
        return call


# --- the wire -------------------------------------------------------------------------------------

POSTS = {
    # what becomes of the interaction, and how the request ends
    "accepted": ("stored", "answer"),
    "accepted slowly": ("stored", "slow answer"),
    "no connection": ("not stored", "no connection"),
    "429": ("not stored", "429"),
    "429 with Retry-After": ("not stored", "429 with Retry-After"),
    "400": ("not stored", "400"),
    "401": ("not stored", "401"),
    "500 before": ("not stored", "500"),
    "reset before": ("not stored", "reset"),
    "time-out before": ("not stored", "time-out"),
    "500 after": ("stored", "500"),
    "reset after": ("stored", "reset"),
    "time-out after": ("stored", "time-out"),
    "cut": ("stored", "cut"),
    "no id": ("stored", "no id"),
    "a page": ("stored", "a page"),
    "late, 504": ("stored late", "504"),
    "late, reset": ("stored late", "reset"),
    "late, time-out": ("stored late", "time-out"),
    "another's id": ("not stored", "another's id"),
    "another's id, stored": ("stored", "another's id"),
    "merged before": ("merged, stored", "answer"),
    "merged after": ("stored, merged", "reset"),
}
"""Another's id: that of an answer before, as a cache gives it. Merged: the contact has become
another one, before the request came or after."""
DELETES = {
    "done": ("done", "answer"),
    "500 before": ("not done", "500"),
    "reset before": ("not done", "reset"),
    "time-out before": ("not done", "time-out"),
    "429": ("not done", "429"),
    "a page": ("not done", "a page"),
    "500 after": ("done", "500"),
    "reset after": ("done", "reset"),
    "time-out after": ("done", "time-out"),
    "late, reset": ("done late", "reset"),
    "late, time-out": ("done late", "time-out"),
}
"""What becomes of what is to be deleted, and how the request ends."""
GETS = ("ok", "500", "reset", "time-out", "429", "a page", "cut", "merged before")
MOST_MERGES = 2
"""Of one contact in one story, so that a row is not refused for ever."""
LATE = STORED_WITHIN - 1


class Wire:
    """The way of the requests of one process to Engage and back."""

    def __init__(self, world: "World", turns: Turns) -> None:
        self._world, self._turns, self._process = world, turns, PROCESS.get()

    async def exchange(self, request: Request, last_look: LastLook) -> Response:
        if request.method == "POST":
            return await self._post(request, last_look)
        if request.method == "DELETE":
            return await self._delete(request)
        return await self._get(request)

    async def _post(self, request: Request, last_look: LastLook) -> Response:
        work, end = POSTS[next(self._process.posts, "accepted")]
        await self._turns.turn("connected")
        left = self._world.clock.now
        if why_not := last_look():
            raise CalledOff(why_not)
        await self._turns.turn("POST")
        if self._world.clock.now - left > STORED_WITHIN:
            work, end = "not stored", "reset"  # it was on the way for too long
        elif work == "stored late" and self._world.clock.now - left + LATE > STORED_WITHIN:
            work = "stored"
        answer = self._process.step(lambda: self._world.received(request, work, end))
        await self._turns.turn("answer")
        return await self._ended(request, answer, end)

    async def _delete(self, request: Request) -> Response:
        work, end = DELETES[next(self._process.deletes, "done")]
        left = self._world.clock.now
        await self._turns.turn("DELETE")
        if self._world.clock.now - left > STORED_WITHIN:
            work, end = "not done", "reset"  # it was on the way for too long
        elif work == "done late" and self._world.clock.now - left + LATE > STORED_WITHIN:
            work = "done"
        answer = self._process.step(lambda: self._world.deleting(request, work, end))
        await self._turns.turn("answer")
        return await self._ended(request, answer, end)

    async def _get(self, request: Request) -> Response:
        end = next(self._process.gets, "ok")
        url = urlsplit(request.path)
        if end == "merged before" and url.path.endswith("/interactions"):
            self._world.merge(parse_qs(url.query)["contactId"][0])
        await self._turns.turn(f"GET {url.path}")
        answer = self._process.step(lambda: self._world.asked(request))
        await self._turns.turn("answer")
        return await self._ended(request, answer, end)

    async def _ended(self, request: Request, answer: Answer, end: str) -> Response:
        match end:
            case "no connection":
                raise NeverSent("refused")
            case "reset":
                raise NoAnswer("reset")
            case "cut":
                raise NoAnswer("cut")
            case "time-out":
                await asyncio.sleep(TIMEOUT.total_seconds())
                raise NoAnswer("nothing came")
            case "slow answer":
                await asyncio.sleep(TIMEOUT.total_seconds() - 1)
            case "429 with Retry-After":
                return Response(429, Headers.of({"Retry-After": "2"}), request=request)
            case "400":
                return _said(request, 400, {"errorCode": "ValidationError"})
            case "another's id":
                return _said(request, 200, self._world.given_before())
            case "429" | "401" | "500" | "504":
                return Response(int(end), request=request)
            case "no id":
                return _said(request, 200, {})
            case "a page":
                return Response(200, content=b"<p>Service</p>", request=request)
        date = self._world.engage.date()
        headers = Headers.of({"Date": date} if date else {})
        return Response(answer.status, headers, answer.body, request)

    async def aclose(self) -> None:
        pass


def _said(request: Request, status: int, content: object) -> Response:
    return Response(status, content=orjson.dumps(content), request=request)


DELIVERIES = text("select * from deliveries")
DECISIONS = text("select * from decisions")

# --- the world ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Setting:
    """What is the same all through one story. `key_in_payload`: whether the payload tells rows
    apart that are otherwise equal. `seen_to_be_dead`: whether a dead process is known as such, or
    its lease has to end."""

    key_in_payload: bool = True
    seen_to_be_dead: bool = True
    concurrency: int = 3
    wait_for_contacts: timedelta = timedelta(0)
    overlap: timedelta = timedelta(hours=1)
    limit_rows: int | None = None
    newest_first: bool = True
    steps: str = "nobody"
    omits: str = "nothing"
    dated: bool = True
    """Whether the destination says what time it is."""
    prunes: bool = False
    """Whether a run prunes all that is delivered at its end, however young it is."""


@dataclass(frozen=True)
class Visit:
    """A row of the warehouse. Times are seconds since the world began."""

    key: str | None
    updated: int | None
    seen: int
    email: str | None
    sku: str
    rating: int


@dataclass(frozen=True)
class Pruned:
    """A row that is pruned: all that is known of it."""

    row_key: str
    state: str = "delivered"
    reason: None = None
    interaction_id: None = None


class Place:
    """A folder with a warehouse and a ledger, for one story after the other: making a ledger, and
    compiling its statements anew, takes longer than a story."""

    def __init__(self, folder: Path) -> None:
        self.warehouse, self.clock = folder / "shop.db", Clock()
        with closing(sqlite3.connect(self.warehouse)) as shop:
            shop.execute("create table visits (id text, updated_at text, seen_at text, email text,"
                         " sku text, rating integer)")  # fmt: skip
        self._ledger = folder / "ledger.db"
        self.database = self._ledger_database()

    def clear(self, setting: "Setting") -> Clock:
        """Begin anew, with everything empty; the time of the new beginning."""
        self.clock.begin(setting.steps, setting.omits)
        self._empty_ledger()
        try:
            self.shop("delete from visits", ())
        except sqlite3.OperationalError:  # what died was reading, and is not collected yet
            gc.collect()
            self.shop("delete from visits", ())
        return self.clock

    def shop(self, sql: str, *rows: tuple[Any, ...]) -> None:
        """Write into the warehouse."""
        with closing(sqlite3.connect(self.warehouse)) as shop, shop:
            shop.execute("pragma synchronous = off")
            shop.executemany(sql, rows)

    def backed_up(self) -> bytes:
        """The ledger as it is now; nobody works on it."""
        copy = self._ledger.with_name("backup.db")
        copy.unlink(missing_ok=True)
        with (
            closing(sqlite3.connect(self._ledger)) as here,
            closing(sqlite3.connect(copy)) as there,
        ):
            here.backup(there)
        return copy.read_bytes()

    def put_back(self, copy: bytes) -> None:
        """The ledger is that of a backup again, and that was noticed."""
        self._begin_with(copy)
        with transaction(self.database) as c:
            distrust(c, database_time(c))

    def close(self) -> None:
        """Give the connections back."""
        self.database.dispose()

    def _ledger_database(self) -> Database:
        database = writing_engine(make_url(f"sqlite:///{self._ledger}"))
        settle_log(database)
        database.dispose()  # so that every connection is one whose clock is ours
        self._empty = self._ledger.read_bytes()
        event.listen(database, "connect", self._set_clock)
        return database

    def _empty_ledger(self) -> None:
        self._begin_with(self._empty)

    def _begin_with(self, content: bytes) -> None:
        self.database.dispose()
        for log in ("-wal", "-shm"):
            self._ledger.with_name(self._ledger.name + log).unlink(missing_ok=True)
        self._ledger.write_bytes(content)

    def _set_clock(self, connection: sqlite3.Connection, _: object) -> None:
        connection.create_function("julianday", 1, self.clock.julian)
        connection.execute("pragma synchronous = off")  # no power cut is played here


class PlaceOnPostgreSQL(Place):
    """The same, with its ledger in the database at `url`, which is there for nothing else."""

    def __init__(self, folder: Path, url: URL) -> None:
        self._url = url
        super().__init__(folder)

    def _ledger_database(self) -> Database:
        database = writing_engine(self._url)
        with database.begin() as c:
            for statement in OWN_CLOCK:
                c.exec_driver_sql(statement.format(self._url.database))
        database.dispose()  # so that every connection finds that clock first
        event.listen(database, "begin", self._set_time)
        return database

    def _empty_ledger(self) -> None:
        with self.database.begin() as c:
            # the audit list is only added to
            tables = [name for name in metadata.tables if name != "audit"]
            c.exec_driver_sql(f"truncate {', '.join(tables)} restart identity")

    def _set_time(self, connection: Connection) -> None:
        connection.exec_driver_sql(f"set local played.now = '{self.clock.database_time()}'")


OWN_CLOCK = (
    "create schema played",
    "create function played.clock_timestamp() returns timestamptz language sql as"
    " $$ select to_timestamp(current_setting('played.now')::double precision) $$",
    'alter database "{}" set search_path = played, pg_catalog, public',
)
"""Puts a function of the same name before PostgreSQL's own."""


class World:
    """A warehouse, a ledger and an Engage at `place`, and processes that come and go."""

    def __init__(self, place: Place, setting: Setting) -> None:
        self._place, self.setting, self.clock = place, setting, place.clear(setting)
        self.happened: Counter[str] = Counter()
        self.refused: list[dict[str, Any]] = []
        self._given: list[str] = []
        """The ids that were given."""
        self._origins: dict[str, str] = {}
        self._late: list[tuple[float, Request]] = []
        """Deletions that are carried out later, and when."""
        self._keys: set[str] = set()
        """Of all rows that were ever written."""
        self._processes: list[Process] = []
        self._run_ids = count(1)
        self.engage = Engage(clock=self.clock.time)
        self.engage.add_schema(SCHEMA)
        self.hide(0)
        self.activation = _activation(setting)
        self.broken: Callable[[], None] = lambda: None
        """Raises when what the destination holds breaks the promise; asked after each POST."""

    # the warehouse and the destination

    def write(self, visits: Sequence[Visit]) -> None:
        """Add rows to the warehouse."""
        self._keys |= {visit.key for visit in visits if visit.key is not None}
        rows = [
            (v.key, _written(v.updated), _written(v.seen), v.email, v.sku, v.rating) for v in visits
        ]
        self._place.shop("insert into visits values (?, ?, ?, ?, ?, ?)", *rows)

    def rewrite(self, visit: Visit) -> None:
        """Change the row that has the key of `visit`."""
        self._place.shop("delete from visits where id = ?", (visit.key,))
        self.write([visit])

    def add_contact(self, email: str) -> None:
        """From now on Engage knows whose `email` is."""
        self.engage.add_contact({"contactId": contact_id(email), "email": email})

    def hide(self, seconds: float) -> None:
        """What is stored is shown only so much later."""
        self._hidden_for = seconds
        self._behave()

    def step(self, ahead: float) -> None:
        """The clock that may be wrong is so many seconds ahead from now on."""
        self.clock.step(ahead)
        self._behave()

    def _behave(self) -> None:
        self.engage.behaviour = Behaviour(
            hard_rate=None,
            read_back_delay=self._hidden_for,
            page_size=2,
            page_order="newest" if self.setting.newest_first else "oldest",
            date="now" if self.setting.dated else "none",
            clock_ahead=self.clock.destination_ahead,
            listed_after_delete=LISTED_FOR,
        )

    def received(self, request: Request, work: str, end: str) -> Answer:
        """A POST has come to Engage."""
        self.happened[f"{work}, {end}"] += 1
        if end == "400":
            self.refused.append(self.original(orjson.loads(request.content)))
        if work == "not stored":
            return Answer(0)
        contact = orjson.loads(request.content)["contactId"]
        if work == "merged, stored":
            self.merge(contact)
        answer = self.asked(request, LATE if work == "stored late" else 0)
        if end == "answer" and answer.status < 300:
            self._given.append(orjson.loads(answer.body)["id"])
        self.broken()
        if work == "stored, merged":
            self.merge(contact)
        return answer

    def deleting(self, request: Request, work: str, end: str) -> Answer:
        """A DELETE has come to Engage."""
        self.happened[f"{work}, {end}"] += 1
        if work == "done late":
            self._late.append((self.clock.now + LATE, request))
        return self.asked(request) if work == "done" else Answer(0)

    def catch_up(self) -> None:
        """Delete what is to be deleted by now."""
        due = [request for at, request in self._late if at <= self.clock.now]
        self._late = [(at, request) for at, request in self._late if at > self.clock.now]
        for request in due:
            self.asked(request)

    def merge(self, contact: str) -> None:
        """The contact becomes another one, unless it has become too many others already."""
        origin = self._origins.get(contact, contact)
        into = str(uuid.uuid5(uuid.NAMESPACE_URL, contact))
        known = {each.id for each in self.engage.contacts()}
        if contact in known and list(self._origins.values()).count(origin) < MOST_MERGES:
            self.engage.add_contact({"contactId": into})
            self.engage.merge_contacts(contact, into)
            self._origins[into] = origin
            self.happened["merged"] += 1

    def given_before(self) -> dict[str, str]:
        """An answer with an id that was given before and is on record. Of one that is not, nobody
        can know that it is wrong."""
        with self._place.database.begin() as c:
            known = set(c.execute(text("select interaction_id from deliveries")).scalars())
            known |= set(c.execute(text("select digest from removed_interactions")).scalars())
        recorded = [i for i in self._given if i in known or digest_of(i) in known]
        return {"id": recorded[-1]} if recorded else {}

    def original(self, body: dict[str, Any]) -> dict[str, Any]:
        """A body as if no contact had ever become another one."""
        return body | {"contactId": self._origins.get(body["contactId"], body["contactId"])}

    def take_back(self, contents: Callable[[str], Interaction | None]) -> int:
        """Delete what is delivered and has still `contents`, and let it be sent again; it is
        listed for a long time. How many that were."""
        with self._place.database.begin() as c:
            runs = c.execute(text("select distinct run_id from attempts")).scalars().all()
        ledger, released = Ledger(self._place.database, LEASE), list[Released]()
        with self._replaced(Turns(self.clock, ())):
            try:
                lease = ledger.take_lease("visits")
            except ActivationBusy:
                return 0
        for run_id in runs:
            rows = [row for row in ledger.deletable(run_id, 0, 100) if contents(row.row_key)]
            self._take_back(ledger, lease, rows)
            released += [
                Released(row, content)
                for row in ledger.releasable(run_id)
                if (content := contents(row.row_key)) is not None
            ]
        ledger.release(lease, "person", released)
        ledger.let_go(lease)
        self.happened["taken back"] += len(released)
        return len(released)

    def undo(self, row_keys: Collection[str]) -> set[str]:
        """Take back for good what is delivered of these rows, as a person does; which were."""
        with self._place.database.begin() as c:
            runs = c.execute(text("select distinct run_id from attempts")).scalars().all()
        ledger, undone = Ledger(self._place.database, LEASE), set[str]()
        with self._replaced(Turns(self.clock, ())):
            try:
                lease = ledger.take_lease("visits")
            except ActivationBusy:
                return undone
        for run_id in runs:
            rows = [row for row in ledger.deletable(run_id, 0, 100) if row.row_key in row_keys]
            undone |= {row.row_key for row in self._take_back(ledger, lease, rows)}
        ledger.let_go(lease)
        self.happened["undone"] += len(undone)
        return undone

    def _take_back(self, ledger: Ledger, lease: Run, rows: Sequence[Sent]) -> list[Sent]:
        """Delete their interactions, and put it on record; those that Engage lets go already."""
        gone = list[Sent]()
        for row in rows:
            with suppress(Refusal):
                self.engage.remove_interaction(str(row.interaction_id))
                gone.append(row)
        ledger.take_back(lease, "person", [TakenBack(row, DELETED) for row in gone])
        return gone

    def asked(self, request: Request, late_by: float = 0) -> Answer:
        """Engage does what is asked, and answers."""
        if self._late:
            self.catch_up()
        url = urlsplit(request.path)
        parsed = parse_request(request.method, f"/api/v3{url.path}", url.query.encode(), [])
        assert parsed is not None
        parsed.body, parsed.late_by = request.content, late_by
        return answer_to(self.engage, parsed)

    # the ledger, seen from outside

    def deliveries(self) -> dict[str, Any]:
        """The rows of the ledger by key."""
        with self._place.database.begin() as c:
            rows = {row.row_key: row for row in c.execute(DELIVERIES)}
            gone = {
                (row[0], row[1]) for row in c.execute(text("select high, low from pruned_keys"))
            }
        pruned = [key for key in self._keys if halves(key) in gone]
        assert not rows.keys() & set(pruned), "a row is there that is pruned"
        return rows | {key: Pruned(key) for key in pruned}

    def decisions(self) -> Counter[str]:
        """How doubts ended."""
        with self._place.database.begin() as c:
            pruned = c.execute(text("select count(*) from pruned_keys")).scalar_one()
            return Counter(row.decision for row in c.execute(DECISIONS)) + Counter(pruned=pruned)

    # runs

    def run(self, *plans: Plan, schedule: Schedule = ()) -> list[Result | None]:
        """Run the connector once for each of `plans`, all at once; None for those that died."""
        turns = Turns(self.clock, schedule)
        with self._place.database.begin() as c:
            c.execute(text("update pruned set day = 0"))  # as if it were another day
        self.clock.processes = turns.processes
        loop = JumpingLoop(self.clock, turns.idle)
        with self._replaced(turns):
            try:
                return loop.run_until_complete(self._all(plans, turns))
            finally:
                _ended(loop)

    async def _all(self, plans: Sequence[Plan], turns: Turns) -> list[Result | None]:
        return list(await asyncio.gather(*(self._process(plan, turns) for plan in plans)))

    async def _process(self, plan: Plan, turns: Turns) -> Result | None:
        process = Process(len(self._processes), plan)
        self._processes.append(process)
        turns.processes.append(process)
        PROCESS.set(process)
        await turns.turn("start")
        client = self._client()
        try:
            orders = Orders(plan.limit, plan.approve, plan.wait)
            result = await sync(self._flow(process, client), orders)
        except Died:
            self.happened["died"] += 1
            return None
        except ActivationBusy:
            process.dead = True
            self.happened["busy"] += 1
            return None
        finally:
            await client.aclose()
        process.dead = True
        self.happened[result.status] += 1
        if result.error is not None:
            self.happened[type(result.error).__name__] += 1
            assert isinstance(result.error, DestinationUnusable | LeaseLost), result.error
        return result

    def _client(self) -> AnyDestination:
        settings = EngageSettings(
            type="engage",
            url="http://127.0.0.1",
            api_key=SecretStr("key"),
            concurrency=self.setting.concurrency,
            timeout=TIMEOUT,
        )
        return KIND.make(settings, Wiring(Pacer(1000)))

    def _flow(self, process: Process, client: AnyDestination) -> Flow:
        ledger: Any = MortalLedger(Ledger(self._place.database, LEASE), process)
        stop = Stop()
        return Flow(
            name=self.activation.name,
            ledger=ledger,
            beat=Beat(ledger),
            thread=LedgerThread(),
            destination=client.heeding(lambda: stop.asked),
            settle_after=TIMEOUT + SETTLE_AFTER,
            stop=stop,
            progress=Progress(),
            activation=self.activation,
            identity=Identity("engage", self.activation.schema_id, self.activation.row_key),
            warehouse=Warehouse(
                make_url(f"sqlite:///{self._place.warehouse}"), self._place.warehouse.parent
            ),
            zone=ZoneInfo("UTC"),
            contact_cache=ContactCache.of("engage", "http://engage", "key", timedelta(days=1)),
            keep=timedelta(days=-2) if self.setting.prunes else None,
        )

    def _replaced(self, turns: Turns) -> ExitStack:
        """Put the four things in the place of the real ones."""
        stack = ExitStack()
        for target, substitute in {
            "connector.sync.thread.ThreadPoolExecutor": lambda *_: Executor(turns),
            "connector.sync.beating.ThreadPoolExecutor": lambda *_: Executor(turns),
            "connector.rules.clocks.now": self.clock.moment,
            "connector.rules.clocks.boot": self.clock.boot,
            "connector.destinations.pacing.time": self.clock,
            "connector.sync.taking_back.time": self.clock,
            "connector.destinations.http.Connections": lambda *_: Wire(self, turns),
            "connector.ledger.leases.this_process": self._holder,
            "connector.ledger.processes.Process.is_dead": lambda holder: self._is_dead(holder),
            # what is drawn by chance is drawn by Hypothesis's, so that a story can be told again
            "connector.ledger.store.new_run_id": lambda _: f"run{next(self._run_ids):04}",
            "connector.sandbox.engage.store.uuid4": lambda: uuid.UUID(
                int=getrandbits(128), version=4
            ),
            # small, so that a few rows are several batches and pages
            "connector.sync.reading.BATCH": 3,
            "connector.sync.deliver.PAGE": 2,
            "connector.sync.settle.PAGE": 2,
        }.items():
            stack.enter_context(mock.patch(target, substitute))
        configured = structlog.get_config()
        stack.callback(lambda: structlog.configure(**configured))
        structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
        return stack

    @staticmethod
    def _holder() -> processes.Process:
        process = PROCESS.get(None)
        return processes.Process("", process.number if process else -1, "", tables=HEAD)

    def _is_dead(self, holder: processes.Process) -> bool:
        return self.setting.seen_to_be_dead and self._processes[holder.pid].dead


def contact_id(email: str) -> str:
    """The contact to whom `email` belongs."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, email))


def body_of(visit: Visit, key_in_payload: bool) -> dict[str, Any]:
    """What Engage is to be sent about `visit`."""
    assert visit.email is not None
    payload = {"visitId": visit.key} if key_in_payload else {}
    return {
        "contactId": contact_id(visit.email),
        "schemaId": "visit",
        "createdDate": f"{moment(visit.seen):%Y-%m-%dT%H:%M:%S}.000Z",
        "payload": payload | {"sku": visit.sku, "rating": visit.rating},
    }


def sent_bodies(world: World) -> list[dict[str, Any]]:
    """The body of each interaction that Engage holds: the truth."""
    return [world.original(orjson.loads(each.blob)) for each in world.engage.interactions()]


def moment(seconds: int) -> datetime:
    """A time of the world on the calendar."""
    return EPOCH + timedelta(seconds=seconds)


def _written(seconds: int | None) -> str | None:
    return None if seconds is None else f"{moment(seconds):%Y-%m-%d %H:%M:%S}"


def _activation(setting: Setting) -> Activation:
    payload = {"sku": "sku", "rating": "rating"}
    content = {
        "model": {"table": "visits"},
        "schema_id": "visit",
        "row_key": "id",
        "cursor": {"column": "updated_at", "overlap": setting.overlap},
        "start": "all",
        "contact": {
            "column": "email",
            "identifier": "email",
            "wait": setting.wait_for_contacts,
        },
        "created_date": "seen_at",
        "payload": payload | ({"visitId": "id"} if setting.key_in_payload else {}),
        "limits": {} if setting.limit_rows is None else {"rows": setting.limit_rows},
    }
    return Activation.model_validate(content).named("visits")


def _ended(loop: asyncio.AbstractEventLoop) -> None:
    """Let go of every task that is left over."""

    async def cancelled(tasks: set[asyncio.Task[Any]]) -> None:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    loop.run_until_complete(cancelled(asyncio.all_tasks(loop)))
    loop.close()
