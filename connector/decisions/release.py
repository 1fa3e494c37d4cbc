"""Let rows that were taken back be sent again, as the model has them today.

Their bodies were dropped when they were delivered, so the model is read once more and mapped anew.
Nothing is sent from here: a released row is pending, and the next run sends it.
"""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial

from connector.ledger.takeback import Released, Sent
from connector.rules.errors import ConfigurationError, ConnectorError
from connector.rules.interaction import Invalid
from connector.rules.schema import InteractionSchema
from connector.sync.flow import Flow
from connector.sync.preflight import preflight
from connector.sync.read_again import read_again

TOGETHER = 5000
"""Rows that are released in one transaction, and whose bodies are in memory at most."""
MOST_NAMED = 5


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


async def release(flow: Flow, run_id: str, keys: Sequence[str], by: str) -> ReleasedRows:
    """Make the run's undone rows pending again; only those with `keys`, if there are any.

    Raises ConfigurationError, ActivationBusy, or what stands in the way of reading. What stops it
    half-way stands in the result: whole transactions have been done then.
    """
    async with flow.leased() as lease:
        undone = await flow.call(flow.ledger.releasable, run_id)
        rows = chosen(undone, keys, run_id)
        result = ReleasedRows(restored=lease.restored)
        if rows:
            schema = await preflight(flow.activation, flow.destination)
            write = partial(flow.ledger.release, lease, by)
            try:
                await asyncio.to_thread(
                    _release, flow, schema, lease.started_at, rows, write, result
                )
            except ConnectorError as error:
                if not result.released:
                    raise
                result.error = error
        return result


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
    flow: Flow,
    schema: InteractionSchema,
    now: datetime,
    rows: Sequence[Sent],
    write: Callable[[Sequence[Released]], Sequence[bool]],
    result: ReleasedRows,
) -> None:
    wanted, ready = {row.row_key: row for row in rows}, list[Released]()
    with closing(read_again(flow, schema, now, wanted, history=True)) as found:
        for key, content in found:
            row = wanted.pop(key)
            if isinstance(content, Invalid):
                result.invalid.append((key, content.reason))
                continue
            ready.append(Released(row, content))
            if len(ready) >= TOGETHER:
                result.released += sum(write(ready))
                ready = []
    result.released += sum(write(ready))
    result.missing = list(wanted)
