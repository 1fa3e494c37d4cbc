"""The writing side of the ledger: one statement, or one short transaction, a method.

Every write of a run carries the run's fence, and every move of a row names the state and the
attempt that the caller believes in. Whoever believes something else moves nothing.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from copy import copy
from dataclasses import asdict
from datetime import timedelta
from functools import partial
from typing import Any, NamedTuple

from sqlalchemy import Connection, Engine, delete, insert, select, update

from connector.ledger.approvals import Approvals
from connector.ledger.attempts import bury, close_attempts, close_late, open_attempts
from connector.ledger.beating import Beats
from connector.ledger.contacts import keep
from connector.ledger.counts import count_in_run
from connector.ledger.decisions import Decisions
from connector.ledger.doubts import Doubts
from connector.ledger.ends import Ends
from connector.ledger.engine import pack, settle_log
from connector.ledger.forgetting import Persons
from connector.ledger.generation import GenerationFile
from connector.ledger.identity import origin_of, recognise
from connector.ledger.in_line import InLine
from connector.ledger.leases import BY_HAND, WOKEN, end, let_go, lock, prolong, take
from connector.ledger.mirrors import Mirrors
from connector.ledger.parcels import (
    AnyEntry,
    Closed,
    ClosingAll,
    Opened,
    OpeningAll,
    closings_of,
)
from connector.ledger.pauses import Pauses
from connector.ledger.probes import Probes
from connector.ledger.processes import new_run_id
from connector.ledger.pruning import Pruning
from connector.ledger.questions import Questions
from connector.ledger.receipts import Verifications
from connector.ledger.recording import Rows
from connector.ledger.records import (
    COUNTS,
    Closing,
    Footing,
    FoundContact,
    Identity,
    Repeated,
    Run,
    Seen,
    SetAside,
    Tally,
    milliseconds,
    moment,
)
from connector.ledger.replacing import Replacements
from connector.ledger.requests import Requests, close_request, open_request
from connector.ledger.restored import (
    FILE_GONE,
    Beside,
    Itself,
    advance,
    begin_ledger,
    contradiction,
    distrust,
    itself,
    seen_beside,
)
from connector.ledger.services import Schedules, say
from connector.ledger.spans import EMPTY, spanning, widen
from connector.ledger.tables import (
    NOW,
    database_time,
    leases,
    runs,
    services,
    watermarks,
)
from connector.ledger.takeback import Takebacks
from connector.ledger.transaction import after_commit, reading, repeated, transaction
from connector.ledger.trends import keep_tempo
from connector.ledger.trials import Trials
from connector.ledger.waking import Waking
from connector.rules.dbt.gate import Taken
from connector.rules.delivery import Accepted, Refused, State
from connector.rules.errors import (
    ConnectorError,
    LeaseLost,
    LedgerChanged,
    LedgerUnavailable,
    StopRun,
)
from connector.rules.place import Place
from connector.rules.telling import Failing
from connector.rules.turns import WAITS_FOR_TIME

SHORTEST_SERVICE = timedelta(seconds=30)
"""For how long a service is believed to live that says nothing."""
SIZE = ("page_count", "page_size")
FIRST_PAGES = "SELECT count(*) FROM sqlite_schema WHERE rootpage > 0"
"""How many pages there are though nothing is in any table."""
LARGEST_TO_TIDY = 256_000_000
"""Bytes that are written anew within a few seconds, in which others wait for the ledger."""
BODY = 300
"""About how many bytes of a row are gone once it is delivered."""

KNOWN_OR_MANY = Closing, ClosingAll, OpeningAll
Result = bool | Repeated | Opened | Closed | StopRun
"""What became of an entry that was put on record."""


class _Asked(NamedTuple):
    """What somebody takes an activation for. `beginning`: how the id of who takes it begins; `by`:
    who asked for it, as `tag`; `known_as`: the rest of its id; None: a new one."""

    activation: str
    identity: Identity | None
    beginning: str
    by: str | None = None
    tag: str | None = None
    known_as: str | None = None


class Ledger(
    Questions,
    Rows,
    Doubts,
    Requests,
    Decisions,
    Takebacks,
    Persons,
    Waking,
    Mirrors,
    Pauses,
    Approvals,
    InLine,
    Beats,
    Pruning,
    Ends,
):
    """The ledger behind an engine from `writing_engine`. Synchronous; called from one thread a run.

    Every method raises LedgerUnavailable when the database cannot be read or written.
    """

    def __init__(
        self, engine: Engine, lease: timedelta, generation: GenerationFile | None = None
    ) -> None:
        """`generation`: the file that tells when the database was put back from a backup."""
        self._engine = engine
        self._generation = generation
        self._lease = milliseconds(lease)
        self._replacement: int | None = None

    @repeated
    def _home(self, activation: str) -> Any:
        """There is one: a run has let the ledger know its activation."""
        with reading(self._engine) as c:
            return c.execute(select(watermarks).where(watermarks.c.activation == activation)).one()

    @property
    def engine(self) -> Engine:
        """For reports on what was written just now."""
        return self._engine

    @property
    def lease(self) -> timedelta:
        """How long a run may be silent before another may take over."""
        return timedelta(milliseconds=self._lease)

    def close(self) -> None:
        settle_log(self._engine)
        self._engine.dispose()

    # --- runs -----------------------------------------------------------------------------------

    @property
    def replacements(self) -> Replacements:
        """The schemas that are deleted and created anew."""
        return Replacements(self._engine, self._lease)

    def trials(self, place: Place, destination: str) -> Trials:
        """The interactions at `place`, which is called `destination`, that are no rows'."""
        return Trials(self._engine, place, destination)

    def probes(self, place: Place) -> Probes:
        """What was measured at `place`."""
        return Probes(self._engine, place)

    @property
    def verifications(self) -> Verifications:
        """Who verifies what now, and the receipts."""
        return Verifications(self._engine)

    def within(self, replacement: int) -> "Ledger":
        """This ledger for what belongs to the replacement of a schema: it alone may take the
        activations that the replacement keeps."""
        mine = copy(self)
        mine._replacement = replacement
        return mine

    @repeated
    def begin(
        self,
        activation: str,
        identity: Identity,
        woken: bool = False,
        by: str | None = None,
        tag: str | None = None,
        run_id: str | None = None,
    ) -> Run:
        """Take the activation and start a run on it; `woken`: one that reads no model; `by`: who
        asked for it, and finds it again by `tag`; `run_id`: what it is called; None: a new id.

        Rows that an earlier run left in `sending` become in doubt: it died with their attempts
        open. Raises ActivationBusy while another run holds the activation, ConfigurationError when
        `identity` is not the one that the ledger knows.
        """
        return self._taken(_Asked(activation, identity, WOKEN if woken else "", by, tag, run_id))

    @repeated
    def take_lease(self, activation: str, identity: Identity | None = None) -> Run:
        """Take the activation to decide about its rows. What dead runs left becomes in doubt.

        Raises ActivationBusy while a run holds it, ConfigurationError when `identity` is not the
        one that the ledger knows. To be let go of with `let_go`; no record of a run is made.
        """
        return self._taken(_Asked(activation, identity, BY_HAND))

    def _taken(self, asked: _Asked) -> Run:
        beside = self._beside()
        # one beside which there is nothing yet is examined first
        if beside.last or self._generation is None:
            with transaction(self._engine) as c:
                # before anything is counted on, which would hide that the ledger is behind
                if (found := itself(c)) and contradiction(found, beside) is None:
                    return self._take(c, found, asked)
        restored = self._examined()
        with transaction(self._engine) as c:
            return self._take(c, itself(c), asked, restored)

    def _take(
        self, c: Connection, found: Itself | None, asked: _Asked, restored: str | None = None
    ) -> Run:
        """`found`: what the ledger has said of itself in this transaction."""
        if found is None:
            raise LedgerUnavailable("the ledger is empty now; was it changed by hand, or put back?")
        activation, identity, now = asked.activation, asked.identity, found.now
        # its earlier name, too: both are locked before anything is moved
        earlier = identity.renamed_from if identity else None
        both = [activation, *([earlier] if isinstance(earlier, str) else [])]
        lock(c, *both, there=found.writes)
        by_hand = asked.beginning == BY_HAND
        run_id = f"{asked.beginning}{asked.known_as or new_run_id(now)}"
        fence, writes = take(c, activation, now, self._lease, run_id, self._replacement)
        if identity:
            origin = recognise(c, activation, identity, now, self._lease, run_id)
        else:
            origin = origin_of(c, activation)
        bury(c, activation)
        if not by_hand:
            run = {"run_id": run_id, "activation": activation, "status": "running", **EMPTY}
            c.execute(insert(runs).values(**run, by=asked.by, tag=asked.tag, started_at=now))
        generation = advance(c, self._generation)
        timeline = found.here.rpartition("/")[2] if found.here else None
        seen = Seen(generation.ledger, generation.number, writes, timeline)
        footing = Footing(activation, fence, seen, self._generation)
        after_commit(c, partial(footing.counted, generation.number))
        after_commit(c, partial(footing.wrote, writes))
        return Run(run_id, activation, fence, moment(now), footing, restored, origin, asked.by)

    @repeated
    def distrust(self) -> None:
        """Take the ledger for one from a backup: nothing is sent that was not read back first."""
        if self._examined() is None:
            self._distrust()

    def _examined(self) -> str | None:
        """What says that the ledger was put back from a backup, once it is marked so; else None.

        In transactions of its own, since marking takes the leases of all activations.
        """
        reason, newest = self._contradiction()
        if reason == FILE_GONE and self._generation and self._generation.read():
            # somebody has begun the ledger after we had looked for the file
            reason, newest = self._contradiction()
        if reason:
            self._distrust(newest)
        return reason

    def _beside(self) -> Beside:
        return seen_beside(self._generation, self._engine.dialect.name)

    def _contradiction(self) -> tuple[str | None, int]:
        file, beside = self._generation, self._beside()
        with transaction(self._engine) as c:
            if (found := itself(c)) is None:
                begin_ledger(c)
                found = itself(c)
            assert found is not None
            reason, mine = contradiction(found, beside), found.generation
        newest = max(mine.number, beside.last.number if beside.last else 0)
        if file and beside.last is None and newest == 0:
            # before anything is counted: so whoever sees a ledger that has counted finds the file
            file.raise_to(mine.ledger, 0)
        return reason, newest

    def _distrust(self, newest: int = 0) -> None:
        with transaction(self._engine) as c:
            generation = distrust(c, database_time(c), newest)
        if self._generation:
            self._generation.restart(generation.ledger, generation.number)

    @contextmanager
    def _standing(self, run: Run) -> Iterator[Connection]:
        """A transaction of `run`. Where it finds that the ledger was changed beneath the run, the
        ledger is marked at once, for the sake of those who run elsewhere."""
        try:
            with transaction(self._engine) as c, spanning(c, run):
                yield c
        except LedgerChanged as changed:
            self._mark(run, changed)
            raise

    def _mark(self, run: Run, changed: LedgerChanged) -> None:
        if run.footing.marked:
            return
        run.footing.lose(changed.reason)
        with suppress(LedgerUnavailable):  # then the next run does it: the file beside it says so
            self._distrust()
            run.footing.marked = True

    @repeated
    def serve(self, id: str, schedules: Schedules, failing: Sequence[Failing] = ()) -> None:
        """Say that the service `id` follows `schedules`, and which alerts of it are `failing`,
        until it falls silent for a lease."""
        with transaction(self._engine) as c:
            say(c, id, schedules, max(self.lease, SHORTEST_SERVICE), failing)

    @repeated
    def serve_no_more(self, id: str) -> None:
        """Say that the service `id` has ended."""
        with transaction(self._engine) as c:
            c.execute(delete(services).where(services.c.id == id))

    @repeated
    def finish(
        self, run: Run, status: str, tally: Tally, error: ConnectorError | None = None
    ) -> None:
        """Record how the run ended, and let go of the activation if it is still held. Raises
        LedgerChanged when the ledger has forgotten what the run wrote, unless that is known."""
        with self._standing(run) as c:
            with suppress(LeaseLost, *([LedgerChanged] if run.footing.lost else [])):
                end(c, run)
            mark = select(watermarks.c.value).where(watermarks.c.activation == run.activation)
            counts = {name: getattr(tally, name) for name in COUNTS}
            rests = {name: getattr(tally, name) for name in WAITS_FOR_TIME}
            c.execute(
                update(runs)
                .where(runs.c.run_id == run.run_id)
                .values(
                    status=status,
                    finished_at=NOW,
                    watermark=mark.scalar_subquery(),
                    error=None if error is None else str(error),
                    kind=None if error is None else error.kind,
                    retryable=None if error is None else error.retryable,
                    notes=json.dumps(tally.notes) if tally.notes else None,
                    contacts=json.dumps(tally.contacts.document) if tally.contacts else None,
                    done=tally.done,
                    rests=json.dumps(rests) if any(rests.values()) else None,
                    **asdict(tally.judged),
                    **counts,
                )
            )
            if tally.tempo:
                keep_tempo(c, run.run_id, tally.tempo)
            generation = advance(c, self._generation)
            after_commit(c, partial(run.footing.counted, generation.number))

    @repeated
    def note_relation(self, run: Run, taken: Taken) -> None:
        """Put on record which relation the run takes for its model of dbt."""
        with self._leased(run) as (c, _):
            values = {"dbt_model": taken.model, "relation": taken.relation}
            c.execute(update(runs).where(runs.c.run_id == run.run_id).values(**values))

    def tidy(self, delivered: int) -> None:
        """Pack a ledger of moderate size after a run that `delivered` so many of its rows that much
        of it is empty now; not while anybody else works with it. Otherwise empty its log."""
        worth = delivered and self._is_worth_packing(delivered)
        if not (worth and pack(self._engine, patiently=False)):
            settle_log(self._engine)

    @repeated
    def _is_worth_packing(self, delivered: int) -> bool:
        with transaction(self._engine) as c:
            if c.dialect.name != "sqlite":
                return False
            pages, size = (c.exec_driver_sql(f"PRAGMA {word}").scalar_one() for word in SIZE)
            pages -= c.exec_driver_sql(FIRST_PAGES).scalar_one()
            held = select(leases.c.activation).where(leases.c.run_id.is_not(None))
            if c.execute(held.where(leases.c.expires_at > NOW)).first():
                return False
        return bool(pages * size <= min(LARGEST_TO_TIDY, 4 * delivered * BODY))

    @repeated
    def record(self, run: Run, entries: Sequence[AnyEntry]) -> list[Result]:
        """Put `entries` on record in one transaction; False for those that came too late, and
        Repeated for answers that prove nothing; of a request with many rows, Opened and Closed.

        What is already known (closings) is recorded whoever holds the lease now; nothing new is
        begun without it: those entries get a LeaseLost, to be raised where they are waited for. An
        answer to an attempt that the ledger does not know gets a LedgerChanged.
        """
        closings = list(closings_of(entries))
        others = [e for e in entries if not isinstance(e, KNOWN_OR_MANY)]
        parcels = [e for e in entries if isinstance(e, OpeningAll)]
        results: dict[int, Any] = {}
        changed: LedgerChanged | None = None
        with self._standing(run) as c:
            close = close_attempts
            try:
                now = prolong(c, run, self._lease)
            except (LeaseLost, LedgerChanged) as lost:
                changed = lost if isinstance(lost, LedgerChanged) else None
                lock(c, run.activation)
                now, close = database_time(c), close_late
                results.update((id(entry), lost) for entry in [*others, *parcels])
                others, parcels = [], []
            results.update(close(c, run, closings, now))
            for entry in (entry for entry in closings if id(entry) not in results):
                changed = run.footing.lose("it does not know of an attempt that was answered")
                results[id(entry)] = changed
            for parcel in (entry for entry in entries if isinstance(entry, ClosingAll)):
                results[id(parcel)] = _closed(c, parcel, results, now)
            results.update(open_attempts(c, run, others, now))
            results.update((id(entry), open_request(c, run, entry, now)) for entry in parcels)
            count_in_run(c, run.run_id, **_outcomes(entries, results))
            widen(c, run)
            keep(c, list(_found(entries)), now)
        if changed:
            self._mark(run, changed)
        return [results[id(entry)] for entry in entries]

    @repeated
    def let_go(self, lease: Run) -> None:
        """Let go of the activation, if `lease` still holds it."""
        with transaction(self._engine) as c:
            let_go(c, lease)

    def pack(self) -> bool:
        """Let nothing stand in the ledger's file that is not in its tables any more.

        False where a reader stands in the way, or where it is the server's to do.
        """
        return pack(self._engine)


def _closed(
    c: Connection, entry: ClosingAll, results: Mapping[int, Any], now: int
) -> Closed | StopRun:
    """What became of a request whose rows' attempts are closed."""
    of_rows = [results[id(closing)] for closing in entry.closings]
    unknown = [result for result in of_rows if isinstance(result, StopRun)]
    if unknown:
        return unknown[0]
    close_request(c, entry, any(result is True for result in of_rows), now)
    return Closed(of_rows)


def _found(entries: Sequence[AnyEntry]) -> Iterator[FoundContact]:
    """What is learnt about contacts."""
    for entry in entries:
        if isinstance(entry, OpeningAll):
            yield from (each.found for each in entry.openings if each.found)
        elif isinstance(entry, ClosingAll):
            yield from (each.found for each in entry.closings if each.found)
        elif not isinstance(entry, SetAside) and entry.found:
            yield entry.found


def _outcomes(entries: Sequence[AnyEntry], results: Mapping[int, object]) -> dict[str, int]:
    """What putting `entries` on record adds to the figures of a run."""
    outcomes = [e.outcome for e in closings_of(entries) if results[id(e)] is True]
    aside = [e.state for e in entries if isinstance(e, SetAside) and results[id(e)] is True]
    return {
        "delivered": sum(isinstance(outcome, Accepted) for outcome in outcomes),
        "rejected": sum(isinstance(outcome, Refused) for outcome in outcomes)
        + aside.count(State.REJECTED),
    }
