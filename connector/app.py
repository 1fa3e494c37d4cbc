"""Wire a project together. The one place that builds engines and clients."""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from connector.activation import Activation
from connector.check import EXIT_CODES, Finding, Level, check_model, findings_of
from connector.deliver import Stop
from connector.destinations.engage import Engage, EngageOptions
from connector.errors import ConfigurationError, ConnectorError, Interrupted, Problem
from connector.ledger.engine import reading_engine, writing_engine
from connector.ledger.records import Identity
from connector.ledger.reports import Document, Reports
from connector.ledger.store import Ledger
from connector.preview import Preview, Sample, preview, samples
from connector.schema import InteractionSchema
from connector.settings import Settings
from connector.sync import Job, Progress, Result, preflight, sync
from connector.warehouse import Warehouse


@dataclass(frozen=True, slots=True)
class Ended:
    """How the run of one activation ended; without a `result` it did not come to a run."""

    activation: str
    result: Result | None
    error: ConnectorError | None

    @property
    def exit_code(self) -> int:
        """The code of this one alone."""
        if self.error is not None:
            return self.error.exit_code
        assert self.result is not None
        return 0 if self.result.status == "succeeded" else 1


@dataclass(slots=True)
class Interruption:
    """Ctrl-C or SIGTERM while runs are going on: no new sends, those under way are recorded."""

    asked: bool = False
    running: Stop | None = None

    def ask(self) -> None:
        """Stop what runs now, and start nothing more."""
        self.asked = True
        if self.running:
            self.running.now(Interrupted("interrupted; what was under way is recorded"))


@dataclass(slots=True)
class App:
    """A project with everything that its commands need, built when it is asked for."""

    settings: Settings
    interruption: Interruption = field(default_factory=Interruption)

    # --- parts ----------------------------------------------------------------------------------

    def activations(self, names: Sequence[str]) -> list[Activation]:
        """The activations `names`, or all of them. Raises ConfigurationError."""
        chosen = names or list(self.settings.project.activations)
        return [self.settings.activation(name) for name in chosen]

    def warehouse(self) -> Warehouse:
        """The warehouse; opened when it is read."""
        settings = self.settings.project.warehouse
        return Warehouse(
            self._url("warehouse", settings.url.get_secret_value()),
            self.settings.base,
            self.settings.base / settings.dbt_manifest,
            settings.lock_timeout,
        )

    @contextmanager
    def ledger(self) -> Iterator[Ledger]:
        """The ledger, made or brought up to date where needed."""
        settings = self.settings.project.ledger
        url = self._url("ledger", settings.url.get_secret_value())
        ledger = Ledger(writing_engine(url), settings.lease)
        try:
            yield ledger
        finally:
            ledger.close()

    @contextmanager
    def reports(self) -> Iterator[Reports]:
        """Answers from the ledger, which is not made by asking."""
        engine = reading_engine(
            self._url("ledger", self.settings.project.ledger.url.get_secret_value())
        )
        try:
            yield Reports(engine)
        finally:
            if engine:
                engine.dispose()

    def engage(self, destination: str) -> Engage:
        """A client of `destination`; belongs to the running event loop."""
        settings = self.settings.project.destinations[destination]
        return Engage(
            EngageOptions(
                url=settings.url,
                api_key=settings.api_key.get_secret_value(),
                api_version=settings.api_version,
                user_agent=settings.user_agent,
                requests_per_second=settings.requests_per_second,
                concurrency=settings.concurrency,
                timeout=settings.timeout,
            )
        )

    def _url(self, part: str, text: str) -> URL:
        """A database URL; a relative file is relative to the configuration."""
        try:
            url = make_url(text)
        except ArgumentError:
            raise ConfigurationError(
                Problem((part, "url"), f"{part}.url is not a SQLAlchemy URL")
            ) from None
        files = ("sqlite", "duckdb")
        database = url.database or ""
        if (
            url.get_backend_name() not in files
            or not database
            or database.startswith((":memory:", "file:", "md:"))
        ):
            return url
        return url.set(database=str((self.settings.base / database).resolve()))

    # --- sync -----------------------------------------------------------------------------------

    async def sync(
        self,
        activations: Sequence[Activation],
        limit: int | None,
        approve: bool,
        wait: bool,
        progress: Progress,
    ) -> list[Ended]:
        """One run of each of `activations`, one after the other; one that fails stops no other."""
        ended: list[Ended] = []
        with self.ledger() as ledger:
            async with AsyncExitStack() as stack:
                engages: dict[str, Engage] = {}
                for activation in activations:
                    name = self.settings.project.destination_of(activation)
                    if name not in engages:
                        engages[name] = self.engage(name)
                        stack.push_async_callback(engages[name].aclose)
                    job = self._job(activation, ledger, engages[name])
                    job.limit, job.approve, job.wait = limit, approve, wait
                    job.progress = progress
                    ended.append(await self._run(job))
        return ended

    def _job(self, activation: Activation, ledger: Ledger, engage: Engage) -> Job:
        destination = self.settings.project.destination_of(activation)
        settings = self.settings.project.destinations[destination]
        return Job(
            activation=activation,
            identity=Identity(destination, activation.schema_id, activation.row_key),
            warehouse=self.warehouse(),
            ledger=ledger,
            engage=engage,
            zone=self.settings.project.warehouse.timezone,
            settle_after=settings.timeout + settings.settle_after,
        )

    async def _run(self, job: Job) -> Ended:
        name = job.activation.name
        if self.interruption.asked:
            return Ended(name, None, Interrupted("interrupted before it began"))
        self.interruption.running = job.stop
        try:
            result = await sync(job)
        except ConnectorError as error:
            return Ended(name, None, error)
        return Ended(name, result, result.error)

    # --- preview and check ----------------------------------------------------------------------

    async def preview(
        self, activation: Activation, show: int, offline: bool
    ) -> tuple[Preview, list[Sample], float]:
        """What a sync would do, the first `show` requests, and the seconds that it would take."""
        name = self.settings.project.destination_of(activation)
        engage = None if offline else self.engage(name)
        try:
            if engage is None:
                schema = self.local_schema(activation.schema_id)
            else:
                schema = await preflight(activation, engage)
            result = await asyncio.to_thread(self._preview, activation, schema, show)
            schema_id = schema.id if schema else activation.schema_id
            requests = await samples(result, activation, schema_id, engage)
        finally:
            if engage:
                await engage.aclose()
        rate = self.settings.project.destinations[name].requests_per_second
        looked_up = activation.contact.identifier != "contactId"
        return result, requests, result.estimated_seconds(rate, looked_up)

    def _preview(
        self, activation: Activation, schema: InteractionSchema | None, show: int
    ) -> Preview:
        zone = self.settings.project.warehouse.timezone
        with self.reports() as reports, self.warehouse().open() as reader:
            return preview(activation, schema, reader, reports, zone, datetime.now(UTC), show)

    def interactions_url(self, activation: Activation) -> str:
        """Where the interactions of `activation` are posted."""
        settings = self.settings.project.destinations[
            self.settings.project.destination_of(activation)
        ]
        return f"{settings.url.rstrip('/')}/api/{settings.api_version}/interactions"

    def local_schema(self, schema_id: str) -> InteractionSchema | None:
        """The schema as the project itself has it under `schemas/`, if it does."""
        file = self.settings.base / "schemas" / f"{schema_id}.json"
        if not file.is_file():
            return None
        return read_schema(file)

    async def check(self, activations: Sequence[Activation]) -> dict[str, list[Finding]]:
        """What stands in the way of each of `activations`."""
        found = {}
        for activation in activations:
            schema, findings = await self._check_destination(activation)
            findings += await asyncio.to_thread(self._check_model, activation, schema)
            found[activation.name] = findings
        return found

    async def _check_destination(
        self, activation: Activation
    ) -> tuple[InteractionSchema | None, list[Finding]]:
        engage = self.engage(self.settings.project.destination_of(activation))
        try:
            schema = await preflight(activation, engage)
        except ConnectorError as error:
            return None, findings_of(error)
        finally:
            await engage.aclose()
        message = (
            f'the destination accepts the key and has the schema "{schema.id}"; the mapping fits'
        )
        return schema, [Finding(Level.OK, message)]

    def _check_model(
        self, activation: Activation, schema: InteractionSchema | None
    ) -> list[Finding]:
        zone = self.settings.project.warehouse.timezone
        now = datetime.now(UTC)
        try:
            with self.reports() as reports, self.warehouse().open() as reader:
                return list(check_model(activation, schema, reader, reports, zone, now))
        except ConnectorError as error:
            return findings_of(error)

    # --- reports --------------------------------------------------------------------------------

    def status(self) -> list[Document]:
        """Where every activation stands."""
        from connector.scheduler import next_run

        now = datetime.now(UTC)
        found = []
        with self.reports() as reports:
            for name, activation in self.settings.project.activations.items():
                last = reports.runs(name, 1)
                due = next_run(activation.schedule, activation.paused, now)
                found.append(
                    {
                        "name": name,
                        "paused": activation.paused,
                        "schedule": _schedule_text(activation),
                        "next_run": due.isoformat().replace("+00:00", "Z") if due else None,
                        "last_run": last[0] if last else None,
                        "watermark": reports.watermark(name)[0].text,
                        "counts": reports.counts(name),
                    }
                )
        return found


def exit_code(codes: Sequence[int]) -> int:
    """One code for several: interrupted, then what must be changed, then what may pass."""
    return next((code for code in (130, 2, 3, 1) if code in codes), 0)


def check_exit_code(found: dict[str, list[Finding]]) -> int:
    """The code of a check."""
    levels = [finding.level for findings in found.values() for finding in findings]
    return exit_code([EXIT_CODES.get(level, 0) for level in levels])


def read_schema(file: Path) -> InteractionSchema:
    """A schema from a file in the form that Engage takes. Raises ConfigurationError."""
    try:
        content: Any = orjson.loads(file.read_bytes())
        return InteractionSchema(content["id"], content["jsonSchema"], content["displayName"])
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise ConfigurationError(
            f"{file} is not a schema ({{id, displayName, jsonSchema}}): {error}"
        ) from None


def _schedule_text(activation: Activation) -> str | None:
    schedule = activation.schedule
    if schedule is None:
        return None
    if schedule.cron:
        return schedule.cron
    assert schedule.every is not None
    return f"every {schedule.every.total_seconds():g}s"
