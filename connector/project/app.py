"""Wire a project together. The one place that builds engines and clients."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from hashlib import blake2b
from pathlib import Path
from typing import Any

from sqlalchemy import URL

from connector.decisions import forget as forgetting
from connector.decisions.quarantine import (
    Arrived,
    Decided,
    NeverArrived,
    Retry,
    Selection,
    discard,
    discardable,
    retry,
    settle,
)
from connector.decisions.release import Release, ReleasedRows, release
from connector.decisions.undo import MOST_LOOKED_AT, Undo, Undone, look, undo
from connector.decisions.undo import Plan as UndoPlan
from connector.destinations.engage import Engage, EngageOptions
from connector.destinations.http import Observer
from connector.destinations.pacing import Pacer
from connector.ledger.decisions import Case, Person
from connector.ledger.engine import writing_engine
from connector.ledger.generation import GenerationFile
from connector.ledger.records import Identity
from connector.ledger.replacing import goes_on
from connector.ledger.reports import Document, Reports
from connector.ledger.store import Ledger
from connector.ledger.takeback import Sent, Standing
from connector.ledger.writing import trouble_writing
from connector.project.exposure import exposed, files_of
from connector.project.reporting import Reporting
from connector.project.runlog import run_finished
from connector.project.tracing import Tracing, both, describe
from connector.rules.activation import Activation
from connector.rules.contacts import ContactCache
from connector.rules.delivery import State
from connector.rules.errors import (
    ConfigurationError,
    ConnectorError,
    FailOn,
    Interrupted,
    did_you_mean,
)
from connector.rules.matching import key_properties
from connector.rules.schema import InteractionSchema
from connector.schemas import files
from connector.sync.check import (
    EXIT_CODES,
    Checked,
    Finding,
    Level,
    check_model,
    check_wait,
    findings_of,
)
from connector.sync.deliver import Stop
from connector.sync.lookup import Contacts, at_engage, in_warehouse
from connector.sync.outlook import Stands, what_next_run_would_do
from connector.sync.preview import Preview, Sample, preview, samples
from connector.sync.progress import Progress
from connector.sync.run import Job, Result, preflight, refuse_misfits, sync
from connector.sync.verify import Verification, Verifying
from connector.warehouse import ContactMap, Warehouse


@dataclass(frozen=True, slots=True)
class Ended:
    """How the run of one activation ended; without a `result` it did not come to a run."""

    activation: str
    result: Result | None
    error: ConnectorError | None

    @property
    def status(self) -> str:
        """succeeded, attention, held or stopped."""
        return self.result.status if self.result else "stopped"

    @property
    def left(self) -> int:
        """How much it has left for a person; what earlier runs left is not counted."""
        return self.result.left if self.result else 0

    def exit_code(self, fail_on: FailOn = FailOn.WAITING) -> int:
        """The code of this one alone."""
        if self.error is not None:
            return self.error.exit_code
        match fail_on:
            case FailOn.NEVER:
                return 0
            case FailOn.NEW if self.status != "held":
                return int(self.left > 0)
            case _:
                return int(self.status != "succeeded")


@dataclass(slots=True)
class Interruption:
    """Ctrl-C or SIGTERM while runs are going on: no new sends, those under way are recorded."""

    asked: bool = False
    running: set[Stop] = field(default_factory=set)

    def ask(self) -> None:
        """Stop what runs now, and start nothing more."""
        self.asked = True
        for stop in self.running:
            stop.now(Interrupted("interrupted; what was under way is recorded"))


@dataclass(slots=True)
class App(Reporting):
    """A project with everything that its commands need, built when it is asked for."""

    interruption: Interruption = field(default_factory=Interruption)
    pacers: dict[str, Pacer] = field(default_factory=dict)
    """By API key: whatever uses the same key goes by the same pace."""
    observer: Observer | None = None
    """Told every request to a destination."""
    tracing: Tracing = field(default_factory=Tracing.from_environment)

    # --- parts ----------------------------------------------------------------------------------

    def paused(self, activations: Sequence[Activation]) -> list[tuple[Activation, str]]:
        """Those of `activations` that are paused, each with what ends it."""
        found = []
        with self.reports() as reports:
            for activation in activations:
                if activation.paused:
                    found.append((activation, "take out `paused: true` to let it run"))
                elif schema_id := reports.schema_being_replaced(activation.name):
                    found.append((activation, goes_on(schema_id)))
                elif by := reports.paused_by(activation.name):
                    remedy = f"{by} has paused it; `connector resume {activation.name}`"
                    found.append((activation, remedy))
        return found

    def warehouse(self) -> Warehouse:
        """The warehouse; opened when it is read."""
        settings = self.settings.project.warehouse
        return Warehouse(
            self.database_url("warehouse", settings.url.get_secret_value()),
            self.settings.base,
            self.settings.base / settings.dbt_manifest,
            settings.lock_timeout,
        )

    @contextmanager
    def ledger(self) -> Iterator[Ledger]:
        """The ledger, made or brought up to date where needed."""
        settings = self.settings.project.ledger
        url = self.database_url("ledger", settings.url.get_secret_value())
        ledger = Ledger(writing_engine(url), settings.lease, self._generation_file(url))
        try:
            yield ledger
        finally:
            ledger.close()

    def _generation_file(self, url: URL) -> GenerationFile:
        """Beside a ledger in a file; for a ledger on a server, in the project."""
        if url.get_backend_name() == "sqlite":
            return GenerationFile(Path(f"{url.database}.generation"))
        name = url.set(query={}).render_as_string(hide_password=True)
        short = blake2b(name.encode(), digest_size=6).hexdigest()
        return GenerationFile(self.settings.base / ".connector" / f"ledger-{short}.generation")

    def engage(self, destination: str) -> Engage:
        """A client of `destination`; belongs to the running event loop."""
        settings = self.settings.project.destinations[destination]
        api_key, rate = settings.api_key.get_secret_value(), settings.requests_per_second
        pacer = self.pacers.setdefault(api_key, Pacer(rate))
        pacer.limit(rate)
        engage = Engage(
            EngageOptions(
                url=settings.url,
                api_key=api_key,
                api_version=settings.api_version,
                user_agent=settings.user_agent,
                requests_per_second=settings.requests_per_second,
                concurrency=settings.concurrency,
                timeout=settings.timeout,
            ),
            pacer,
        )
        observers = [self.tracing.request, *([self.observer] if self.observer else [])]
        engage.observed_by(both(*observers))
        return engage.heeding(lambda: self.interruption.asked)

    # --- sync -----------------------------------------------------------------------------------

    async def sync(
        self,
        activations: Sequence[Activation],
        limit: int | None,
        approve: bool,
        wait: bool,
        full: bool,
        progress: Progress,
    ) -> list[Ended]:
        """One run of each of `activations`, one after the other; one that fails stops no other."""
        ended: list[Ended] = []
        async with self.workshop() as workshop:
            for activation in activations:
                job = workshop.job(activation)
                job.limit, job.approve, job.wait, job.full = limit, approve, wait, full
                job.progress = progress
                ended.append(await self.run(job))
        return ended

    @asynccontextmanager
    async def workshop(self) -> AsyncIterator["Workshop"]:
        """What runs share, open until the context ends."""
        with self.ledger() as ledger:
            async with AsyncExitStack() as stack:
                yield Workshop(self, ledger, stack)

    def identity(self, activation: Activation) -> Identity:
        """What must not change under the activation's name."""
        return Identity(
            self.settings.project.destination_of(activation),
            activation.schema_id,
            activation.row_key,
            activation.renamed_from,
            activation.previous_schema_id,
            frozenset(self.settings.project.activations) - {activation.name},
            self.settings.project.place_of(activation),
        )

    def settle_after(self, activation: Activation) -> timedelta:
        """How old an attempt must be before "not there" is believed of it."""
        destination = self.settings.project.destination_of(activation)
        settings = self.settings.project.destinations[destination]
        return settings.timeout + settings.settle_after

    def contact_cache(self, destination: str) -> ContactCache:
        """How contacts of `destination` are kept for later runs."""
        settings = self.settings.project.destinations[destination]
        key = settings.api_key.get_secret_value()
        return ContactCache.of(destination, settings.url, key, settings.contact_cache)

    async def run(self, job: Job) -> Ended:
        """One run. What stops it stands in the result, and in the log."""
        began = time.monotonic()
        ended = await self._run(job)
        run_finished(ended.activation, ended.result, ended.error, time.monotonic() - began)
        return ended

    async def _run(self, job: Job) -> Ended:
        name = job.activation.name
        if self.interruption.asked:
            return Ended(name, None, Interrupted("interrupted before it began"))
        self.interruption.running.add(job.stop)
        with self.tracing.run(name) as span:
            try:
                result = await sync(job)
                ended = Ended(name, result, result.error)
            except ConnectorError as error:
                ended = Ended(name, None, error)
            finally:
                self.interruption.running.discard(job.stop)
            describe(span, ended.result.run.run_id if ended.result else None, ended.status)
        return ended

    # --- decisions of persons -------------------------------------------------------------------

    async def retry(
        self, activation: Activation, selection: Selection, person: Person, progress: Progress
    ) -> Decided:
        """Try rows in quarantine again, as the model and the schema are now."""
        stop = self._new_stop()
        engage = self.engage(self.settings.project.destination_of(activation))
        with self.ledger() as ledger:
            job = Retry(
                activation=activation,
                identity=self.identity(activation),
                warehouse=self.warehouse(),
                ledger=ledger,
                engage=engage,
                zone=self.settings.project.warehouse.timezone,
                selection=selection,
                person=person,
                stop=stop,
                progress=progress,
            )
            try:
                return await retry(job)
            finally:
                self.interruption.running.discard(stop)
                await engage.aclose()

    def settle_delivered(
        self, activation: Activation, key: str, interaction_id: str | None, person: Person
    ) -> Decided:
        """End a doubt: the row's interaction is at the destination."""
        with self.ledger() as ledger:
            return settle(ledger, activation.name, key, Arrived(interaction_id), person)

    def settle_not_delivered(self, activation: Activation, key: str, person: Person) -> Decided:
        """End a doubt: the row's interaction is not at the destination."""
        verdict = NeverArrived(self.settle_after(activation))
        with self.ledger() as ledger:
            return settle(ledger, activation.name, key, verdict, person)

    def discardable(self, activation: Activation, selection: Selection) -> list[Case]:
        """The rows that `discard` would give up."""
        with self.ledger() as ledger:
            return discardable(ledger, activation.name, selection)

    def discard(
        self,
        activation: Activation,
        selection: Selection,
        person: Person,
        shown: Sequence[Case] | None,
    ) -> Decided:
        """Give rows up; `shown` is what the person was asked about."""
        with self.ledger() as ledger:
            return discard(ledger, activation.name, selection, person, shown)

    # --- taking back ----------------------------------------------------------------------------

    async def plan_undo(
        self, run_id: str, look_at_each: bool | None, progress: Progress
    ) -> UndoPlan:
        """What undoing a run would delete. None: each interaction is looked at if they are few."""
        with self.reports() as reports:
            run = self._known_run(reports, run_id)
            activation = run["activation"]
            destination = self._destination_of(activation, reports.homes()[activation])
            standing = reports.standing(run_id)
            rows = standing.delivered
            engage, seen = self.engage(destination), None
            try:
                if rows and (look_at_each or (look_at_each is None and rows <= MOST_LOOKED_AT)):
                    seen = await look(
                        engage,
                        [row for row in reports.deletable(run_id) if row.state is State.DELIVERED],
                        self._new_stop(),
                        lambda n: progress.counting(activation, "looking at", n, rows),
                    )
            finally:
                await engage.aclose()
        settings = self.settings.project.destinations[destination]
        return UndoPlan(
            run_id=run_id,
            activation=activation,
            destination=destination,
            url=settings.url,
            running=run["status"] == "running",
            standing=standing,
            look=seen,
            seconds=round(
                (standing.delivered + standing.not_found) / settings.requests_per_second, 1
            ),
        )

    async def undo(self, plan: UndoPlan, by: str, shown: int | None, progress: Progress) -> Undone:
        """Delete what a run sent; at most `shown` rows, if somebody agreed to so many."""
        settings = self.settings.project.destinations[plan.destination]
        engage = self.engage(plan.destination)
        try:
            with self.ledger() as ledger:
                return await undo(
                    Undo(
                        run_id=plan.run_id,
                        activation=plan.activation,
                        ledger=ledger,
                        engage=engage,
                        by=by,
                        settle_after=settings.timeout + settings.settle_after,
                        shown=shown,
                        stop=self._new_stop(),
                        progress=progress,
                    )
                )
        finally:
            await engage.aclose()

    def plan_release(self, run_id: str) -> tuple[str, Standing, list[Sent]]:
        """Of which activation a run was, how its rows stand, and which of them can be released."""
        with self.reports() as reports:
            activation = self._known_run(reports, run_id)["activation"]
            self._destination_of(activation, reports.homes()[activation])
            return activation, reports.standing(run_id), reports.releasable(run_id)

    async def release(
        self, run_id: str, activation: Activation, keys: Sequence[str], by: str, progress: Progress
    ) -> ReleasedRows:
        """Let rows that were taken back be sent again."""
        destination = self.settings.project.destination_of(activation)
        engage = self.engage(destination)
        try:
            with self.ledger() as ledger:
                return await release(
                    Release(
                        run_id=run_id,
                        activation=activation,
                        identity=self.identity(activation),
                        warehouse=self.warehouse(),
                        ledger=ledger,
                        engage=engage,
                        zone=self.settings.project.warehouse.timezone,
                        by=by,
                        keys=tuple(keys),
                        stop=self._new_stop(),
                        progress=progress,
                    )
                )
        finally:
            await engage.aclose()

    async def plan_forget(
        self, names: Sequence[str], only: Sequence[str], interactions: bool
    ) -> forgetting.Plan:
        """What forgetting the person with these names would remove, in `only` or everywhere."""
        with self.reports() as reports:
            homes = self._homes(reports, only)
            plan = forgetting.plan(reports, names, list(homes))
            if interactions:
                configured, places = self.settings.project.activations, self._places(homes)
                async with self._engages(places) as engages:
                    await forgetting.find_interactions(plan, reports, places, configured, engages)
        return plan

    async def forget(self, plan: forgetting.Plan, by: str) -> forgetting.Forgotten:
        """Remove what the plan shows."""
        theirs = {their.row.activation for their in plan.interactions or ()}
        with self.ledger() as ledger, self.reports() as reports:
            homes = {name: home for name, home in reports.homes().items() if name in theirs}
            async with self._engages(self._places(homes)) as engages:
                job = forgetting.Forget(plan, ledger, engages, by, self._new_stop())
                done = await forgetting.forget(job)
            ids = [row.contact_id for row in plan.rows if row.contact_id]
            ledger.forget_contacts([*ids, *plan.names], self._digests(plan.names))
            return done

    def _digests(self, names: Sequence[str]) -> set[str]:
        """Under what contacts with these identifiers may be cached."""
        return {
            self.contact_cache(self.settings.project.destination_of(a)).digest(name, a.contact)
            for a in self.settings.project.activations.values()
            for name in names
        }

    def _homes(self, reports: Reports, only: Sequence[str]) -> dict[str, Identity]:
        homes = reports.homes()
        for name in only:
            if name not in homes:
                self.settings.activation(name)  # one that never ran holds nothing
        return {name: home for name, home in homes.items() if not only or name in only}

    def _destination_of(self, activation: str, home: Identity) -> str:
        """The destination that recorded rows went to, whatever the configuration says of their
        activation now. Raises ConfigurationError."""
        return self.settings.destination_at(activation, home.destination, home.place)

    def _places(self, homes: Mapping[str, Identity]) -> dict[str, tuple[str, str]]:
        """By activation, the destination that its rows went to, and their schema. Raises
        ConfigurationError."""
        return {
            name: (self._destination_of(name, home), home.schema_id) for name, home in homes.items()
        }

    @asynccontextmanager
    async def _engages(
        self, places: Mapping[str, tuple[str, str]]
    ) -> AsyncIterator[dict[str, Engage]]:
        """Clients of every destination of `places`."""
        async with AsyncExitStack() as stack:
            engages: dict[str, Engage] = {}
            for destination, _ in places.values():
                if destination not in engages:
                    engages[destination] = self.engage(destination)
                    stack.push_async_callback(engages[destination].aclose)
            yield engages

    def _known_run(self, reports: Reports, run_id: str) -> Document:
        run = reports.run(run_id)
        if run is None:
            newest = [each["run_id"] for each in reports.runs(None, 5)]
            near = did_you_mean(run_id, newest)
            if not newest:
                hint = "; there was no run yet"
            else:
                names = ", ".join(newest[:3])
                hint = near if "?" in near else f"; the newest are {names} (connector runs)"
            raise ConfigurationError(f'there is no run "{run_id}" in the ledger{hint}')
        return run

    def _new_stop(self) -> Stop:
        """A stop that Ctrl-C gives."""
        stop = Stop()
        if self.interruption.asked:
            stop.now(Interrupted("interrupted"))
        self.interruption.running.add(stop)
        return stop

    # --- preview and check ----------------------------------------------------------------------

    async def preview(
        self, activation: Activation, show: int, offline: bool
    ) -> tuple[Preview, list[Sample], float]:
        """What a sync would do, the first `show` requests, and the seconds that it would take."""
        name = self.settings.project.destination_of(activation)
        await asyncio.to_thread(self._refuse_another, activation)
        engage = None if offline else self.engage(name)
        try:
            if engage is None:
                schema = self.local_schema(activation.schema_id)
                if schema:
                    refuse_misfits(activation, schema)
            else:
                schema = await preflight(activation, engage)
            result = await asyncio.to_thread(self._preview, activation, schema, show)
            schema_id = schema.id if schema else activation.schema_id
            contacts = self._contacts_of_preview(activation, engage)
            requests = await samples(result, activation, schema_id, contacts)
        finally:
            if engage:
                await engage.aclose()
        rate = self.settings.project.destinations[name].requests_per_second
        looked_up = activation.contact.lookup is None
        return result, requests, result.estimated_seconds(rate, looked_up)

    def _contacts_of_preview(
        self, activation: Activation, engage: Engage | None
    ) -> Contacts | None:
        """Where a preview looks contacts up; None: nowhere. What it learns is not kept."""
        how = activation.contact
        if how.lookup:
            return in_warehouse(how, ContactMap(self.warehouse(), activation, how.lookup))
        if engage is None:
            return None

        def read(*arguments: Any) -> dict[str, str]:
            with self.reports() as reports:
                return reports.contacts(*arguments)

        cache = self.contact_cache(self.settings.project.destination_of(activation))
        return at_engage(how, engage, cache, partial(asyncio.to_thread, read))

    def _preview(
        self, activation: Activation, schema: InteractionSchema | None, show: int
    ) -> Preview:
        zone = self.settings.project.warehouse.timezone
        cache = self.contact_cache(self.settings.project.destination_of(activation))
        now = datetime.now(UTC)
        with self.reports() as reports, self.warehouse().open() as reader:
            found = preview(activation, schema, reader, reports, zone, now, show, cache)
            found.outlook = what_next_run_would_do(
                activation.limits,
                self.stands(activation, reports),
                found.new,
                found.staged,
                found.invalid,
                found.turnover,
            )
            return found

    def _refuse_another(self, activation: Activation) -> None:
        """Raises ConfigurationError when the activation has become another one under its name."""
        with self.reports() as reports:
            if problems := reports.identity_problems(activation.name, self.identity(activation)):
                raise ConfigurationError(*problems)

    def stands(self, activation: Activation, reports: Reports) -> Stands:
        """How an activation stands before a run."""
        name, hindrance = activation.name, self.trouble_writing()
        if busy := reports.holder(name):
            hindrance = hindrance or f"{busy} holds it now; a run would be refused until that ends"
        paused = {each.name: remedy for each, remedy in self.paused([activation])}
        return Stands(
            hindrance=hindrance,
            paused=paused.get(name),
            held=reports.hold(name),
            first=not reports.watermark(name)[1],
            suspect=reports.is_suspect(name),
            counts=reports.counts(name),
        )

    def trouble_writing(self) -> str | None:
        """Why the ledger could not be written; None when it could. Leaves nothing in it."""
        settings = self.settings.project.ledger
        url = self.database_url("ledger", settings.url.get_secret_value())
        return trouble_writing(url, self._generation_file(url).path)

    def interactions_url(self, activation: Activation) -> str:
        """Where the interactions of `activation` are posted."""
        settings = self.settings.project.destinations[
            self.settings.project.destination_of(activation)
        ]
        return f"{settings.url.rstrip('/')}/api/{settings.api_version}/interactions"

    def local_schema(self, schema_id: str) -> InteractionSchema | None:
        """The schema as the project itself has it under `schemas/`, if it does."""
        return files.local_schema(self.settings.base, schema_id)

    async def check(self, activations: Sequence[Activation], named: bool) -> dict[str, Checked]:
        """What stands in the way of each of `activations`; `named`: somebody wants just these."""
        found: dict[str, Checked] = {}
        ledger = await asyncio.to_thread(self._check_ledger)
        for activation in activations:
            schema, findings = await self._check_destination(activation)
            checked = await asyncio.to_thread(self._check_model, activation, schema, named)
            findings = [*findings, *checked.findings]
            if not found:  # of the project, not of one activation: told once
                findings += self._exposed()
            if ledger not in findings:
                findings.append(ledger)
            found[activation.name] = replace(checked, findings=findings)
        return found

    def _exposed(self) -> list[Finding]:
        """Files that others should not read."""
        url = self.database_url("ledger", self.settings.project.ledger.url.get_secret_value())
        file = Path(url.database) if url.get_backend_name() == "sqlite" and url.database else None
        files = files_of(self.settings.base, file, self._generation_file(url).path)
        return [
            Finding(
                Level.ADVICE,
                f"others on this machine can read {path}, which holds keys, or what is to be sent"
                f" of contacts: chmod 600 {path}",
            )
            for path in exposed(files)
        ]

    def _check_ledger(self) -> Finding:
        trouble = self.trouble_writing()
        return Finding(*(Level.OUTSIDE, trouble) if trouble else (Level.OK, LEDGER_IS_FINE))

    async def _check_destination(
        self, activation: Activation
    ) -> tuple[InteractionSchema | None, list[Finding]]:
        name = self.settings.project.destination_of(activation)
        settings, engage = self.settings.project.destinations[name], self.engage(name)
        wait = list(check_wait(name, settings.timeout, settings.settle_after))
        try:
            schema = await preflight(activation, engage)
        except ConnectorError as error:
            return None, findings_of(error) + wait
        finally:
            await engage.aclose()
        message = (
            f'the destination accepts the key and has the schema "{schema.id}"; the mapping fits'
        )
        return schema, [Finding(Level.OK, message), *wait]

    def _check_model(
        self, activation: Activation, schema: InteractionSchema | None, named: bool
    ) -> Checked:
        zone = self.settings.project.warehouse.timezone
        now = datetime.now(UTC)
        try:
            self._refuse_another(activation)
            with self.reports() as reports, self.warehouse().open() as reader:
                stands = self.stands(activation, reports)
                return check_model(activation, schema, reader, reports, zone, now, stands, named)
        except ConnectorError as error:
            return Checked(findings_of(error))

    # --- verify ---------------------------------------------------------------------------------

    async def verify(
        self, run_id: str, share: float, progress: Callable[[int, int], None]
    ) -> tuple[Document, Verification]:
        """A run, and what the destination has of the rows that it delivered."""
        with self.reports() as reports:
            run = self._known_run(reports, run_id)
            identity = reports.identity(run["activation"])
            assert identity is not None  # written before the run was
            destination = self._destination_of(run["activation"], identity)
            engage = self.engage(destination)
            try:
                verifying = Verifying(
                    run_id=run_id,
                    activation=run["activation"],
                    schema_id=identity.schema_id,
                    carrying_key=self._carrying_key(run["activation"], identity),
                    reports=reports,
                    engage=engage,
                    lag=self.settings.project.destinations[destination].settle_after,
                    share=share,
                    progress=progress,
                )
                return run, await verifying.verify()
            finally:
                await engage.aclose()

    def _carrying_key(self, name: str, identity: Identity) -> Sequence[str]:
        """The payload properties that carry the row key, as far as the configuration tells."""
        activation = self.settings.project.activations.get(name)
        if activation is None or activation.row_key != identity.row_key:
            return ()
        return key_properties(activation)


@dataclass(slots=True)
class Workshop:
    """The ledger, and one client a destination: whatever runs at the same time shares its rate."""

    app: App
    ledger: Ledger
    _stack: AsyncExitStack
    _engages: dict[str, Engage] = field(default_factory=dict)

    def job(self, activation: Activation) -> Job:
        """A run of `activation`, to be adjusted and run."""
        project = self.app.settings.project
        return Job(
            activation=activation,
            identity=self.app.identity(activation),
            warehouse=self.app.warehouse(),
            ledger=self.ledger,
            engage=self.engage(project.destination_of(activation)),
            zone=project.warehouse.timezone,
            settle_after=self.app.settle_after(activation),
            contact_cache=self.app.contact_cache(project.destination_of(activation)),
        )

    def engage(self, destination: str) -> Engage:
        """The client of `destination` that the runs share."""
        if destination not in self._engages:
            engage = self.app.engage(destination)
            self._stack.push_async_callback(engage.aclose)
            self._engages[destination] = engage
        return self._engages[destination]


LEDGER_IS_FINE = "the ledger can be written"


def exit_code(codes: Sequence[int]) -> int:
    """One code for several: interrupted, then what must be changed, then what may pass."""
    return next((code for code in (130, 2, 3, 1) if code in codes), 0)


def check_exit_code(found: Mapping[str, Checked]) -> int:
    """The code of a check."""
    levels = [finding.level for each in found.values() for finding in each.findings]
    return exit_code([EXIT_CODES.get(level, 0) for level in levels])
