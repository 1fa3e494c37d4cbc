"""Wire a project together. The one place that builds engines and clients."""

from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import (
    AsyncExitStack,
    ExitStack,
    aclosing,
    asynccontextmanager,
    contextmanager,
    nullcontext,
)
from dataclasses import field
from datetime import UTC, datetime, timedelta
from functools import partial

from connector.basis import dataclass
from connector.destinations.kinds import Kinds
from connector.destinations.port import AnyDestination, AnyKind, Capabilities, Wiring
from connector.ledger.engine import writing_engine
from connector.ledger.records import Identity
from connector.ledger.replacing import goes_on
from connector.ledger.reports import Reports
from connector.ledger.store import Ledger
from connector.ledger.writing import trouble_writing
from connector.project.borrowing import Paces
from connector.project.dbt import connection, gate_of, manifest_file
from connector.project.reporting import Reporting
from connector.project.tracing import Tracing
from connector.rules.activation import Activation
from connector.rules.contacts import ContactCache
from connector.rules.errors import ConfigurationError, Interrupted, TimeOver
from connector.rules.schema import InteractionSchema
from connector.rules.tempo import Tempo
from connector.sync.beating import Beat
from connector.sync.flow import Flow, Recorded
from connector.sync.progress import Progress
from connector.sync.reading import Source
from connector.sync.side_by_side import Stop
from connector.sync.thread import LedgerThread
from connector.warehouse import Warehouse


@dataclass(slots=True)
class Interruption:
    """Ctrl-C or SIGTERM while runs are going on, or that their time is over: no new sends, those
    under way are recorded."""

    asked: bool = False
    time_over: bool = False
    """It is the time that was given, and nobody who does not want to wait any more."""
    running: set[Stop] = field(default_factory=set)

    def ask(self) -> None:
        """Stop what runs now, and start nothing more."""
        self.asked, self.time_over = True, False
        for stop in self.running:
            stop.now(Interrupted("interrupted; what was under way is recorded"))

    def end_in_time(self) -> None:
        """The same, as it was ordered from the start."""
        if not self.asked:
            self.asked = self.time_over = True
            for stop in self.running:
                stop.now(TimeOver("its time is over"))

    @contextmanager
    def stop(self) -> Iterator[Stop]:
        """A stop that Ctrl-C gives, as long as the context lasts."""
        stop = Stop()
        if self.asked:
            stop.now(TimeOver("its time is over") if self.time_over else Interrupted("interrupted"))
        self.running.add(stop)
        try:
            yield stop
        finally:
            self.running.discard(stop)


@dataclass(frozen=True, slots=True)
class Home:
    """The destination that the recorded rows of an activation went to, whatever the configuration
    says of their activation now."""

    destination: str
    schema_id: str
    url: str
    called: str
    requests_per_second: float
    stays: str
    """What deleting an interaction there does not take back."""


@dataclass(slots=True)
class App(Reporting):
    """A project with everything that its commands need, built when it is asked for."""

    interruption: Interruption = field(default_factory=Interruption)
    paces: Paces = field(default_factory=Paces)
    """By API key: whatever uses the same key goes by the same pace."""
    observer: Callable[[str, str, str, float], None] | None = None
    """Told every request: the name of its destination, and what an Observer is told."""
    tracing: Tracing = field(default_factory=Tracing.from_environment)
    at_once: int = 1
    """How many runs go on at once, at the most."""

    def only_look(self) -> None:
        """Nothing is done from now on but to see what would stand in the way."""
        self.paces.only_look()
        self._reader.only_look()

    def paused(
        self, activations: Sequence[Activation], reports: Reports | None = None
    ) -> list[tuple[Activation, str]]:
        """Those of `activations` that are paused, each with what ends it. `reports`: those of the
        ledger that is open already."""
        with nullcontext(reports) if reports else self.reports() as known:
            pauses = known.pauses([activation.name for activation in activations])
        found = []
        for activation in activations:
            paused = pauses.get(activation.name)
            if activation.paused:
                found.append((activation, "take out `paused: true` to let it run"))
            elif paused and paused.schema_id:
                found.append((activation, goes_on(paused.schema_id)))
            elif paused:
                remedy = f"{paused.by} has paused it; `connector resume {activation.name}`"
                found.append((activation, remedy))
        return found

    def sound(self) -> "App":
        """This app, whose warehouse and ledger have addresses that can be ones. Raises
        ConfigurationError, with the place."""
        warehouse = self.settings.project.warehouse.url
        try:
            if warehouse:
                self.database_url("warehouse", warehouse.get_secret_value())
            _ = self.ledger_url
        except ConfigurationError as error:
            raise ConfigurationError(error.told(self.settings.located)) from None
        return self

    def warehouse(self) -> Warehouse:
        """The warehouse; opened when it is read."""
        settings, profiled = self.settings.project.warehouse, connection(self.settings)
        url = settings.url.get_secret_value() if settings.url else ""
        return Warehouse(
            profiled[0] if profiled else self.database_url("warehouse", url),
            self.settings.base,
            manifest_file(self.settings),
            settings.lock_timeout,
            {**(profiled[1] if profiled else {}), **settings.connect_args},
            settings.session,
        )

    @contextmanager
    def source(
        self, activation: Activation, schema: InteractionSchema | None
    ) -> Iterator[Source[Reports]]:
        """The model of `activation`, open to be read, with what the reports remember of it."""
        zone, now = self.settings.project.warehouse.timezone, datetime.now(UTC)
        with self.reports() as reports, self.warehouse().open() as reader:
            yield Source(activation, schema, reader, reports, zone, now)

    @contextmanager
    def ledger(self) -> Iterator[Ledger]:
        """The ledger, made or brought up to date where needed."""
        url, lease = self.ledger_url, self.settings.project.ledger.lease
        ledger = Ledger(writing_engine(url, self.at_once), lease, self.generation_file(url))
        self.paces.written()
        try:
            yield ledger
        finally:
            ledger.close()

    def client(self, destination: str, heeding: bool = True) -> AnyDestination:
        """A client of `destination`; belongs to the running event loop. `heeding`: it begins
        nothing any more that may be repeated once somebody has asked to stop."""
        settings = self.settings.project.destinations[destination]
        pacer = self.paces.of(settings, lambda: self.ledger_url)
        client = self.kind(destination).make(settings, Wiring(pacer, self.settings.base))
        client.observe = partial(self._observe, destination)
        return client.heeding(lambda: self.interruption.asked) if heeding else client

    def _observe(self, destination: str, method: str, answer: str, seconds: float) -> None:
        self.tracing.request(method, answer, seconds)
        if self.observer:
            self.observer(destination, method, answer, seconds)

    def can(self, destination: str) -> Capabilities:
        """What `destination` can do."""
        return self.kind(destination).can(self.settings.project.destinations[destination])

    def refuse_without(self, able: bool, destination: str, what: str) -> None:
        """Raises ConfigurationError where `destination` is not `able` to do what was asked for."""
        if not able:
            title = self.kind(destination).title
            of = f'the destination "{destination}" is of the type {title}'
            raise ConfigurationError(f"{of}, and {what}")

    def kind(self, destination: str) -> AnyKind:
        """What kind of destination that is."""
        return Kinds()[self.settings.project.destinations[destination].type]

    @asynccontextmanager
    async def destination(self, name: str) -> AsyncIterator[AnyDestination]:
        """A client of the destination `name`, closed when the context ends."""
        async with aclosing(self.client(name)) as client:
            yield client

    def home(self, activation: str, identity: Identity) -> Home:
        """Where recorded rows went. Raises ConfigurationError when it is configured no more."""
        name = self.settings.destination_at(activation, identity.destination, identity.place)
        settings = self.settings.project.destinations[name]
        rate, stays = settings.requests_per_second, self.kind(name).stays
        return Home(name, identity.schema_id, settings.url, self.called(name), rate, stays)

    def called(self, destination: str) -> str:
        """What a destination of its kind is called in a sentence."""
        kind = self.kind(destination)
        return kind.called or kind.title

    @asynccontextmanager
    async def workshop(self, ledger: Ledger | None = None) -> AsyncIterator["Workshop"]:
        """What runs share, open until the context ends. `ledger`: the one that is open already."""
        with nullcontext(ledger) if ledger else self.ledger() as ours:
            async with AsyncExitStack() as stack:
                yield Workshop(self, ours, Beat(ours), stack)

    def settle_after(self, destination: str) -> timedelta:
        """How old an attempt must be before "not there" is believed of it."""
        settings = self.settings.project.destinations[destination]
        return settings.timeout + settings.settle_after

    def contact_cache(self, activation: Activation) -> ContactCache:
        """How contacts at the destination of `activation` are kept for later runs."""
        name = self.settings.project.destination_of(activation)
        settings = self.settings.project.destinations[name]
        return ContactCache.of(name, settings.url, settings.secret, settings.cache_span)

    def trouble_writing(self) -> str | None:
        """Why the ledger could not be written; None when it could. Leaves nothing in it."""
        return trouble_writing(self.ledger_url, self.generation_file(self.ledger_url).path)


@dataclass(slots=True)
class Workshop:
    """The ledger with its beat, and one client a destination: whatever runs at the same time shares
    them, and its rate."""

    app: App
    ledger: Ledger
    beat: Beat
    _stack: AsyncExitStack
    _clients: dict[str, AnyDestination] = field(default_factory=dict)

    @contextmanager
    def flow(
        self, activation: Activation, progress: Progress, stop: Stop | None = None
    ) -> Iterator[Flow]:
        """`activation` with all that is needed to work on it. `stop`: what Ctrl-C gives, if it is
        not the flow's own."""
        project = self.app.settings.project
        destination = project.destination_of(activation)
        with self.recorded(activation.name, destination, progress, stop) as recorded:
            yield Flow(
                name=recorded.name,
                ledger=recorded.ledger,
                beat=recorded.beat,
                thread=recorded.thread,
                destination=recorded.destination,
                settle_after=recorded.settle_after,
                stop=recorded.stop,
                progress=progress,
                called=recorded.called,
                activation=activation,
                identity=self.app.identity(activation),
                warehouse=self.app.warehouse(),
                zone=project.warehouse.timezone,
                tempo=recorded.tempo,
                contact_cache=self.app.contact_cache(activation),
                gate=gate_of(self.app.settings, activation),
                keep=project.ledger.keep,
            )

    @contextmanager
    def recorded(
        self, name: str, destination: str, progress: Progress, stop: Stop | None = None
    ) -> Iterator[Recorded]:
        """What is recorded under `name`, and went to `destination`."""
        with ExitStack() as stack:
            stop = stop or stack.enter_context(self.app.interruption.stop())
            thread, tempo = stack.enter_context(LedgerThread()), Tempo()
            client = self.client(destination).heeding(lambda: stop.asked)
            client.observe, client.in_flight = tempo.beside(client.observe), tempo.count
            yield Recorded(
                name=name,
                ledger=self.ledger,
                beat=self.beat,
                thread=thread,
                destination=client,
                tempo=tempo,
                settle_after=self.app.settle_after(destination),
                stop=stop,
                progress=progress,
                called=self.app.called(destination),
            )

    def client(self, destination: str) -> AnyDestination:
        """The client of `destination` that the runs share."""
        if destination not in self._clients:
            client = self._clients[destination] = self.app.client(destination)
            self._stack.push_async_callback(client.aclose)
        return self._clients[destination]
