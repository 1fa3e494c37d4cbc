"""Try rows again, as the model and the schema are today: rows in quarantine, and rows that an undo
took back.

The model is read once more, since the ledger keeps no body of such a row, and mapped anew. Nothing
is sent from here: a row that becomes pending is sent by the next run.
"""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import asdict, field
from typing import ClassVar, TypeVar

from connector.basis import dataclass
from connector.decisions.deciding import (
    TOGETHER,
    Allowed,
    Decided,
    Outcome,
    Selection,
    record,
    select,
    taken_over,
    with_reasons,
)
from connector.ledger.decisions import Case, Person, Retried
from connector.ledger.records import Run
from connector.ledger.store import Ledger
from connector.ledger.takeback import Released, Sent, Standing
from connector.project.app import App
from connector.project.reporting import known_run
from connector.rules.activation import Activation
from connector.rules.deed import Agree, Document, Intention, error_document, status_word
from connector.rules.delivery import CORRECTABLE
from connector.rules.errors import ConfigurationError, ConnectorError, Interrupted
from connector.rules.interaction import Interaction, Invalid
from connector.rules.schema import InteractionSchema
from connector.rules.words import rows, were
from connector.sync.flow import Flow
from connector.sync.preflight import preflight
from connector.sync.progress import Progress
from connector.sync.read_again import read_again
from connector.sync.sorting import in_time

MOST_NAMED = 5
RETRIABLE = Allowed(CORRECTABLE, "only invalid and rejected rows can be retried")


R = TypeVar("R", Case, Sent)
"""A recorded row."""
Content = Interaction | Invalid


# --- rows in quarantine -------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Retry:
    """A deed: try rows in quarantine again. They become pending, or invalid with today's reason;
    those that the model has no more stay as they are."""

    app: App
    activation: Activation
    selection: Selection
    person: Person
    progress: Progress = field(default_factory=Progress)

    async def plan(self) -> Intention:
        """Which rows; how many, only as far as that was said."""
        number = self.selection.count or len(self.selection.keys)
        return Intention(Agree(f"Try {rows(number)} again?"))

    async def do(self, plan: Intention, agreed: bool) -> Decided:
        """Try them. Raises ConfigurationError, ActivationBusy, LeaseLost, or what stands in the way
        of reading; when whole transactions were done by then, that stands in the result."""
        name = self.activation.name
        result = Decided(name, self.person)

        def find(ledger: Ledger) -> list[Case]:
            taken_over(self.app, ledger, name)
            return select(ledger, name, self.selection, RETRIABLE)

        def keep(ledger: Ledger, lease: Run, found: Sequence[tuple[Case, Content]]) -> None:
            record(ledger, lease, result, [Retried(case, content) for case, content in found])

        try:
            activation, progress = self.activation, self.progress
            result.missing, _ = await try_again(self.app, activation, progress, find, keep)
        except ConnectorError as error:
            if not result.rows:
                raise
            result.error = error
        return result


# --- rows that were taken back ------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class RunPlan:
    """The undone rows of a run that are about to be tried again."""

    run_id: str
    activation: Activation
    rows: Sequence[Sent]
    standing: Standing
    by: str
    exit_code: ClassVar[int] = 0

    @property
    def question(self) -> Agree:
        return Agree(f"Let {rows(len(self.rows))} be sent again?")

    @property
    def empty(self) -> bool:
        return not self.rows

    @property
    def notes(self) -> list[str]:
        notes = []
        if self.standing.not_found:
            notes.append(
                f"{were(self.standing.not_found)} not found when they were taken back, moments"
                " after they were sent; they can be released once `connector undo` has asked for"
                " them again."
            )
        if self.standing.forgotten:
            notes.append(f"{were(self.standing.forgotten)} forgotten for good and not released.")
        return notes

    def document(self) -> Document:
        return RunRetried(self).document() | {"status": "planned"}


@dataclass(slots=True)
class RunRetried(Outcome):
    """What came of it. The rows of `missing` and `invalid` stay undone."""

    plan: RunPlan
    released: int = 0
    standing: Standing | None = None
    """How the run's rows stand at its end; None: as they stood."""
    missing: list[str] = field(default_factory=list)
    """Row keys that the model has no more."""
    invalid: list[tuple[str, str]] = field(default_factory=list)
    """Row keys of what no longer becomes an interaction, and why."""

    @property
    def is_left(self) -> bool:
        return bool(self.missing or self.invalid)

    @property
    def notes(self) -> list[str]:
        return [*self.plan.notes, *self.restored_notes]

    def document(self) -> Document:
        return {
            "run_id": self.plan.run_id,
            "activation": self.plan.activation.name,
            "status": status_word(self),
            "rows": len(self.plan.rows),
            "released": self.released,
            "missing": self.missing,
            "invalid": with_reasons(self.invalid),
            "standing": asdict(self.standing or self.plan.standing),
            "by": self.plan.by,
            "notes": self.notes,
            **error_document(self.error),
        }


@dataclass(frozen=True, slots=True)
class RetryRun:
    """A deed: let what an undo took back of a run be sent again. `activation`: the one that the run
    should be of, where that was said; `keys`: only these rows."""

    app: App
    run_id: str
    activation: str | None
    keys: Sequence[str]
    person: Person
    progress: Progress = field(default_factory=Progress)

    async def plan(self) -> RunPlan:
        """Which rows, as they stand. Raises ConfigurationError."""
        with self.app.reports() as reports:
            name = known_run(reports, self.run_id)["activation"]
            if self.activation not in (None, name):
                raise ConfigurationError(f'run {self.run_id} is one of "{name}"')
            self.app.home(name, reports.homes()[name])
            standing, undone = reports.standing(self.run_id), reports.releasable(self.run_id)
        (activation,) = self.app.activations([name])
        by = self.person.text
        return RunPlan(self.run_id, activation, self._chosen(undone), standing, by)

    def _chosen(self, undone: Sequence[Sent]) -> list[Sent]:
        """Those with one of the keys. Raises ConfigurationError for a key that none has."""
        if not self.keys:
            return list(undone)
        by_key = {row.row_key: row for row in undone}
        keys = list(dict.fromkeys(self.keys))
        if unknown := [key for key in keys if key not in by_key]:
            names = ", ".join(unknown[:MOST_NAMED])
            raise ConfigurationError(
                f"not among the rows of run {self.run_id} that were taken back and can be"
                f" released: {names}"
            )
        return [by_key[key] for key in keys]

    async def do(self, plan: RunPlan, agreed: bool) -> RunRetried:
        """Make them pending. Raises ConfigurationError, ActivationBusy, or what stands in the way
        of reading; when whole transactions were done by then, that stands in the result."""
        result = RunRetried(plan)

        def find(ledger: Ledger) -> list[Sent]:
            return self._chosen(ledger.releasable(self.run_id))

        def keep(ledger: Ledger, lease: Run, found: Sequence[tuple[Sent, Content]]) -> None:
            result.invalid += [(r.row_key, c.reason) for r, c in found if isinstance(c, Invalid)]
            ready = [Released(r, c) for r, c in found if isinstance(c, Interaction)]
            note = self.person.note
            result.released += sum(ledger.release(lease, plan.by, ready, note, self.run_id))
            result.standing = ledger.standing(self.run_id)
            result.restored = lease.restored

        try:
            app, activation, progress = self.app, plan.activation, self.progress
            # what was sent once is no history, wherever the activation starts now
            again = await try_again(app, activation, progress, find, keep, history=True)
        except ConnectorError as error:
            if not result.released:
                raise
            result.error = error
        else:
            missing, result.restored = again
            result.missing = [row.row_key for row in missing]
        return result


# --- both of them -------------------------------------------------------------------------------


async def try_again(
    app: App,
    activation: Activation,
    progress: Progress,
    find: Callable[[Ledger], list[R]],
    keep: Callable[[Ledger, Run, Sequence[tuple[R, Content]]], None],
    history: bool = False,
) -> tuple[list[R], str | None]:
    """Read the model, and map the rows as it and the schema are today; those that it has no more,
    and what says that the ledger was put back from a backup. `find`: the rows, once the lease is
    there; `keep`: keeps what the model has of some; `history`: also what lies before the start of
    the activation."""

    def read(flow: Flow, lease: Run, schema: InteractionSchema, rows: Sequence[R]) -> list[R]:
        left = {row.row_key: row for row in rows}
        found: list[tuple[R, Content]] = []
        with closing(read_again(flow, schema, lease.started_at, left, history)) as contents:
            for key, content in contents:
                found.append((left.pop(key), in_time(content, activation, lease.started_at)))
                if len(found) >= TOGETHER:
                    keep(flow.ledger, lease, found)
                    found = []
        if found:
            keep(flow.ledger, lease, found)
        return list(left.values())

    async with app.workshop() as workshop:
        with workshop.flow(activation, progress) as flow:
            async with flow.leased() as lease:
                rows = await flow.call(find, flow.ledger)
                if rows:
                    schema = await preflight(activation, flow.destination)
                    try:
                        rows = await asyncio.to_thread(read, flow, lease, schema, rows)
                    finally:  # a thread that still reads is to end
                        flow.stop.now(Interrupted("interrupted"))
                return rows, lease.restored
