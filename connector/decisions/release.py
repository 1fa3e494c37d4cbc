"""Let rows that were taken back be sent again, as the model has them today.

Their bodies were dropped when they were delivered, so the model is read once more and mapped anew.
Nothing is sent from here: a released row is pending, and the next run sends it.
"""

import asyncio
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from zoneinfo import ZoneInfo

from connector.destinations.port import AnyDestination
from connector.ledger.records import Identity, Run
from connector.ledger.store import Ledger
from connector.ledger.takeback import Released, Sent
from connector.rules.activation import Activation
from connector.rules.errors import ConfigurationError, ConnectorError
from connector.rules.interaction import Interaction, Invalid
from connector.rules.schema import InteractionSchema
from connector.sync.deliver import Stop
from connector.sync.progress import Progress
from connector.sync.reading import Plan, plan
from connector.sync.run import heartbeat, preflight
from connector.warehouse import Reader, Warehouse

TOGETHER = 5000
"""Rows that are released in one transaction, and whose bodies are in memory at most."""
MOST_NAMED = 5


@dataclass(slots=True)
class Release:
    """Everything that one release needs. `keys`: only these rows; all of the run without any."""

    run_id: str
    activation: Activation
    identity: Identity
    warehouse: Warehouse
    ledger: Ledger
    engage: AnyDestination
    zone: ZoneInfo | None
    by: str
    keys: tuple[str, ...] = ()
    stop: Stop = field(default_factory=Stop)
    progress: Progress = field(default_factory=Progress)


@dataclass(slots=True)
class ReleasedRows:
    """What a release did. The rows of `missing` and `invalid` stay undone."""

    released: int = 0
    missing: list[str] = field(default_factory=list)
    """Row keys that the model has no more."""
    invalid: list[tuple[str, str]] = field(default_factory=list)
    """Row keys of what no longer becomes an interaction, and why."""
    restored: str | None = None
    """What says that the ledger was put back from a backup, if that was seen only now."""
    error: ConnectorError | None = None

    @property
    def exit_code(self) -> int:
        """0, or 1 when rows stay undone, or that of what stopped it."""
        return self.error.exit_code if self.error else int(bool(self.missing or self.invalid))


async def release(job: Release) -> ReleasedRows:
    """Make the run's undone rows pending again.

    Raises ConfigurationError, ActivationBusy, or what stands in the way of reading. What stops it
    half-way stands in the result: whole transactions have been done then.
    """
    claim = await asyncio.to_thread(job.ledger.claim, job.activation.name, job.identity)
    try:
        async with heartbeat(job.ledger, claim, job.stop):
            undone = await asyncio.to_thread(job.ledger.releasable, job.run_id)
            rows = chosen(undone, job.keys, job.run_id)
            if not rows:
                return ReleasedRows(restored=claim.restored)
            schema = await preflight(job.activation, job.engage)
            return await asyncio.to_thread(_release, job, claim, schema, rows)
    finally:
        await asyncio.to_thread(job.ledger.let_go, claim)


def chosen(rows: Sequence[Sent], keys: Sequence[str], run_id: str) -> list[Sent]:
    """Those of `rows` that have one of `keys`, or all. Raises ConfigurationError for a key that
    none has."""
    if not keys:
        return list(rows)
    by_key = {row.row_key: row for row in rows}
    unknown = [key for key in dict.fromkeys(keys) if key not in by_key]
    if unknown:
        names = ", ".join(unknown[:MOST_NAMED])
        raise ConfigurationError(
            f"not among the rows of run {run_id} that were taken back and can be released: {names}"
        )
    return [by_key[key] for key in dict.fromkeys(keys)]


def _release(
    job: Release, claim: Run, schema: InteractionSchema, rows: Sequence[Sent]
) -> ReleasedRows:
    result, ready = ReleasedRows(restored=claim.restored), list[Released]()
    wanted = {row.row_key: row for row in rows}

    def after_batch(read: int) -> None:
        job.progress.reading(job.activation.name, read)
        if job.stop.error:
            raise job.stop.error

    try:
        with job.warehouse.open() as reader:
            reading = plan(job.activation, schema, reader, job.ledger, job.zone, claim.started_at)
            for key, content in again(reading, reader, list(wanted), after_batch):
                row = wanted.pop(key)
                if isinstance(content, Invalid):
                    result.invalid.append((key, content.reason))
                    continue
                ready.append(Released(row, content))
                if len(ready) >= TOGETHER:
                    result.released += sum(job.ledger.release(claim, job.by, ready))
                    ready.clear()
        result.released += sum(job.ledger.release(claim, job.by, ready))
        result.missing = list(wanted)
    except ConnectorError as error:
        if not result.released:
            raise
        result.error = error
    return result


def again(
    reading: Plan, reader: Reader, keys: Collection[str], after_batch: Callable[[int], None]
) -> Iterator[tuple[str, Interaction | Invalid]]:
    """The rows with these keys, read from the model's beginning and mapped as of today.

    The first row of a key counts, as it does when rows are recorded. `after_batch` is told how
    many rows were read so far.
    """
    left, read = set(keys), 0
    for rows in replace(reading, lower=None).rows(reader):
        for row in rows:
            key = reading.mapper.key(row)
            if key in left:
                left.discard(key)
                yield key, reading.mapper(row)
        read += len(rows)
        after_batch(read)
        if not left:
            return
