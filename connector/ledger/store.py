"""The writing side of the ledger: one statement, or one short transaction, a method.

Every write of a run carries the run's fence, and every move of a row names the state and the
attempt that the caller believes in. Whoever believes something else moves nothing.
"""

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from copy import copy
from dataclasses import asdict
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from sqlalchemy import Connection, Engine, delete, func, insert, or_, select, update

from connector.ledger import forgetting, takeback
from connector.ledger.attempts import bury, close_attempts, close_late, open_attempts
from connector.ledger.contacts import cached, keep, remove_expired
from connector.ledger.counts import count_in_run, open_counts
from connector.ledger.decisions import Case, Decision, Person, cases, cases_in, decide
from connector.ledger.doubts import doubts, doubts_of, saw, settle
from connector.ledger.engine import pack, settle_log
from connector.ledger.finding import known_rows, similar_keys, some_keys
from connector.ledger.generation import GenerationFile
from connector.ledger.holder import new_run_id
from connector.ledger.identity import claim_name
from connector.ledger.leases import BY_HAND, Taken, hold, lock, release, take
from connector.ledger.ownership import owned, owners
from connector.ledger.recording import record_again, record_first
from connector.ledger.records import (
    COUNTS,
    Closing,
    Delivered,
    Delivery,
    Doubt,
    Edition,
    Entry,
    Footing,
    Hold,
    Identity,
    Known,
    Remembered,
    Repeated,
    Run,
    SetAside,
    Settlement,
    Staged,
    Tally,
    moment,
    remembering,
    stored_remembered,
    stored_watermark,
)
from connector.ledger.replacing import Replacements
from connector.ledger.restored import advance, contradiction, distrust, server_of
from connector.ledger.services import Schedules, leave, say
from connector.ledger.tables import (
    NOW,
    OPEN,
    database_time,
    deliveries,
    leases,
    pauses,
    runs,
    upsert,
    watermarks,
)
from connector.ledger.transaction import after_commit, repeated, transaction
from connector.rules.delivery import Accepted, Refused, State
from connector.rules.errors import (
    ConfigurationError,
    ConnectorError,
    LeaseLost,
    LedgerChanged,
    LedgerUnavailable,
    StopRun,
)
from connector.rules.interaction import Invalid
from connector.rules.watermark import Watermark, to_text

DELIVERY_COLUMNS = (
    "id",
    "row_key",
    "state",
    "attempt",
    "contact",
    "contact_id",
    "created_date",
    "payload",
    "suspect",
)


SHORTEST_SERVICE = timedelta(seconds=30)
"""For how long a service is believed to live that says nothing."""
MOST_REMOVED = 10_000
SIZE = ("page_count", "page_size")
LARGEST_TO_TIDY = 256_000_000
"""Bytes that are written anew within a few seconds, in which others wait for the ledger."""
BODY = 300
"""About how many bytes of a row are gone once it is delivered."""


def _names(activation: str, identity: Identity | None) -> list[str]:
    """The activation, and its earlier name: both are locked before anything is moved."""
    earlier = identity.renamed_from if identity else None
    return [activation, earlier] if isinstance(earlier, str) else [activation]


class Ledger:
    """The ledger behind an engine from `writing_engine`. Synchronous; called from one thread a run.

    Every method raises LedgerUnavailable when the database cannot be read or written.
    """

    def __init__(
        self, engine: Engine, lease: timedelta, generation: GenerationFile | None = None
    ) -> None:
        """`generation`: the file that tells when the database was put back from a backup."""
        self._engine = engine
        self._generation = generation
        self._lease = round(lease.total_seconds() * 1000)
        self._replacement: int | None = None

    @property
    def lease(self) -> timedelta:
        """How long a run may be silent before another may take over."""
        return timedelta(milliseconds=self._lease)

    def close(self) -> None:
        """Give the connections back."""
        settle_log(self._engine)
        self._engine.dispose()

    # --- runs -----------------------------------------------------------------------------------

    @property
    def replacements(self) -> Replacements:
        """The schemas that are deleted and created anew."""
        return Replacements(self._engine, self._lease)

    def within(self, replacement: int) -> "Ledger":
        """This ledger for what belongs to the replacement of a schema: it alone may take the
        activations that the replacement keeps."""
        mine = copy(self)
        mine._replacement = replacement
        return mine

    @repeated
    def begin(self, activation: str, identity: Identity) -> Run:
        """Take the activation and start a run on it.

        Rows that an earlier run left in `sending` become in doubt: it died with their attempts
        open. Raises ActivationBusy while another run holds the activation, ConfigurationError when
        `identity` is not the one that the ledger knows.
        """
        restored = self._examined()
        with transaction(self._engine) as c:
            now = database_time(c)
            lock(c, *_names(activation, identity))
            claim_name(c, activation, identity, now, self._lease)
            taken = take(c, activation, now, self._lease, self._replacement)
            run_id = new_run_id(now)
            c.execute(update(leases).where(leases.c.activation == activation).values(run_id=run_id))
            bury(c, activation)
            c.execute(
                insert(runs).values(
                    run_id=run_id, activation=activation, status="running", started_at=now
                )
            )
            footing = self._footing(c, activation, taken)
        return Run(run_id, activation, taken.fence, moment(now), restored, footing)

    @repeated
    def distrust(self) -> None:
        """Take the ledger for one from a backup: nothing is sent that was not read back first."""
        if self._examined() is None:
            self._distrust()

    def _examined(self) -> str | None:
        """What says that the ledger was put back from a backup, once it is marked so; else None.

        In transactions of its own, since marking takes the leases of all activations.
        """
        file = self._generation
        last = file.read() if file else None
        # what the files say is read first: others go on writing meanwhile
        writes = file.read_writes(last.ledger) if file and last else {}
        with transaction(self._engine) as c:
            reason, newest = contradiction(c, last, writes, beside=file is not None)
        if reason:
            self._distrust(newest)
        return reason

    def _distrust(self, newest: int = 0) -> None:
        with transaction(self._engine) as c:
            generation = distrust(c, database_time(c), newest)
        if self._generation:
            self._generation.restart(generation.ledger, generation.number)

    def _footing(self, c: Connection, activation: str, taken: Taken) -> Footing:
        """What a run stands on that has just taken its activation; counts a generation on."""
        generation, server = advance(c, self._generation), server_of(c)
        timeline = server.rpartition("/")[2] if server else None
        footing = Footing(
            activation, taken.fence, generation.ledger, generation.number, taken.writes, timeline,
            self._generation,
        )  # fmt: skip
        after_commit(c, partial(footing.counted, generation.number))
        after_commit(c, partial(footing.wrote, taken.writes))
        return footing

    @contextmanager
    def _standing(self, run: Run) -> Iterator[Connection]:
        """A transaction of `run`. Where it finds that the ledger was changed beneath the run, the
        ledger is marked at once, for the sake of those who run elsewhere."""
        try:
            with transaction(self._engine) as c:
                yield c
        except LedgerChanged as changed:
            self._mark(run, changed)
            raise

    def _mark(self, run: Run, changed: LedgerChanged) -> None:
        footing = run.footing
        if footing is None or footing.marked:
            return
        footing.lose(changed.reason)
        with suppress(LedgerUnavailable):  # then the next run does it: the file beside it says so
            self._distrust()
            footing.marked = True

    def _lost(self, run: Run, reason: str) -> LedgerChanged:
        return run.footing.lose(reason) if run.footing else LedgerChanged(reason)

    def _count(self, c: Connection, run: Run) -> None:
        """Count a generation on, at the end of a transaction of `run`."""
        generation = advance(c, self._generation)
        if run.footing:
            after_commit(c, partial(run.footing.counted, generation.number))

    def held(self, activation: str) -> Hold | None:
        """What the activation is held for; None when it is not."""
        query = select(watermarks.c.held).where(watermarks.c.activation == activation)
        with transaction(self._engine) as c:
            text = c.execute(query).scalar()
        return Hold(**json.loads(text)) if text else None

    @repeated
    def hold_back(self, run: Run, figures: Hold | None) -> None:
        """Hold the activation until it is approved; with None let it go."""
        with self._standing(run) as c:
            hold(c, run, self._lease)
            c.execute(
                update(watermarks)
                .where(watermarks.c.activation == run.activation)
                .values(held=json.dumps(asdict(figures)) if figures else None)
            )

    @repeated
    def serve(self, id: str, schedules: Schedules) -> None:
        """Say that the service `id` follows `schedules`, until it falls silent for a lease."""
        with transaction(self._engine) as c:
            say(c, id, schedules, max(self.lease, SHORTEST_SERVICE))

    @repeated
    def serve_no_more(self, id: str) -> None:
        """Say that the service `id` has ended."""
        with transaction(self._engine) as c:
            leave(c, id)

    @repeated
    def pause(self, activation: str, by: str) -> str | None:
        """Let no schedule and no `sync` run the activation until it is resumed. Gives back who has
        paused it already, which stays so."""
        with transaction(self._engine) as c:
            before = c.execute(
                select(pauses.c.by).where(pauses.c.activation == activation)
            ).scalar()
            c.execute(
                upsert(c, pauses)
                .values(activation=activation, at=NOW, by=by)
                .on_conflict_do_nothing()
            )
            return before

    @repeated
    def resume(self, activation: str) -> bool:
        """End a pause; False when there was none. Raises ConfigurationError while the replacement
        of its schema keeps the activation."""
        with transaction(self._engine) as c:
            ended = c.execute(
                delete(pauses).where(
                    pauses.c.activation == activation, pauses.c.migration.is_(None)
                )
            )
            if by := c.execute(
                select(pauses.c.by).where(pauses.c.activation == activation)
            ).first():
                raise ConfigurationError(
                    f'"{activation}" stays paused ({by[0]}): a replacement of its schema is not'
                    " done, and `connector schema replace` goes on with it"
                )
            return bool(ended.rowcount)

    @repeated
    def heartbeat(self, run: Run) -> None:
        """Say that the run lives. Raises LeaseLost when another run has taken over, LedgerChanged
        when the ledger has forgotten what the run wrote."""
        with self._standing(run) as c:
            hold(c, run, self._lease)
            self._count(c, run)

    @repeated
    def finish(
        self, run: Run, status: str, tally: Tally, error: ConnectorError | None = None
    ) -> None:
        """Record how the run ended, and let go of the activation if it is still held. Raises
        LedgerChanged when the ledger has forgotten what the run wrote, unless that is known."""
        known = run.footing is not None and run.footing.lost is not None
        with self._standing(run) as c:
            with suppress(LeaseLost, *([LedgerChanged] if known else [])):
                hold(c, run, self._lease)
            release(c, run)
            mark = c.execute(
                select(watermarks.c.value).where(watermarks.c.activation == run.activation)
            ).scalar()
            counts = {name: getattr(tally, name) for name in COUNTS}
            c.execute(
                update(runs)
                .where(runs.c.run_id == run.run_id)
                .values(
                    status=status,
                    finished_at=NOW,
                    watermark=mark,
                    error=None if error is None else str(error),
                    kind=None if error is None else error.kind,
                    retryable=None if error is None else error.retryable,
                    notes=json.dumps(tally.notes) if tally.notes else None,
                    contacts=json.dumps(tally.contacts.document) if tally.contacts else None,
                    **counts,
                )
            )
            self._count(c, run)

    def tidy(self, delivered: int) -> None:
        """Pack a ledger of moderate size after a run that `delivered` so many of its rows that much
        of it is empty now; not while anybody else works with it. Otherwise empty its log."""
        if not (self._is_worth_packing(delivered) and pack(self._engine, patiently=False)):
            settle_log(self._engine)

    def _is_worth_packing(self, delivered: int) -> bool:
        with transaction(self._engine) as c:
            if c.dialect.name != "sqlite":
                return False
            pages, size = (c.exec_driver_sql(f"PRAGMA {word}").scalar_one() for word in SIZE)
            held = select(leases.c.activation).where(leases.c.run_id.is_not(None))
            if c.execute(held.where(leases.c.expires_at > NOW)).first():
                return False
        return bool(pages * size <= min(LARGEST_TO_TIDY, 4 * delivered * BODY))

    # --- staging --------------------------------------------------------------------------------

    def watermark(self, activation: str) -> tuple[Watermark, bool]:
        """The stored position, and whether some run has already read the whole model."""
        with transaction(self._engine) as c:
            row = c.execute(select(watermarks).where(watermarks.c.activation == activation)).one()
        return stored_watermark(row), row.begun_at is not None

    def edition(self, activation: str) -> Edition:
        """How the activation was written when its model was last read to the end."""
        query = select(watermarks.c.edition).where(watermarks.c.activation == activation)
        with transaction(self._engine) as c:
            written = c.execute(query).scalar()
        return json.loads(written) if written else {}

    def remembered(self, activation: str) -> Remembered:
        """What is remembered of the rows of an activation."""
        with transaction(self._engine) as c:
            query = select(watermarks).where(watermarks.c.activation == activation)
            return stored_remembered(c.execute(query).one())

    def some_keys(self, activation: str, after: int, limit: int) -> list[tuple[int, str]]:
        """The next row keys, after the delivery with the id `after`."""
        with transaction(self._engine) as c:
            return some_keys(c, activation, after, limit)

    def known(self, activation: str, keys: Collection[str]) -> dict[str, Known]:
        """What is recorded under each of `keys`."""
        with transaction(self._engine) as c:
            return known_rows(c, activation, keys)

    @repeated
    def stage(
        self,
        run: Run,
        new: Sequence[Staged],
        corrected: Sequence[tuple[Known, Staged]],
        mark: Watermark,
        begun: bool,
        edition: Edition | None = None,
        read: int = 0,
        remembered: Remembered | None = None,
    ) -> None:
        """Record rows and move the watermark, in one transaction: both or neither.

        `begun` says that the model has now been read to its end once, in this `edition`; `read`,
        how many of its rows were read for this; `remembered`, what the next reading should
        know of these rows, if that is another now.
        """
        with self._standing(run) as c:
            now = hold(c, run, self._lease)
            suspect = c.execute(
                select(watermarks.c.suspect).where(watermarks.c.activation == run.activation)
            ).scalar_one()
            c.execute(
                update(watermarks)
                .where(watermarks.c.activation == run.activation)
                .values(
                    cursor=mark.column,
                    kind=mark.kind,
                    value=mark.text,
                    floor=None if mark.floor is None else to_text(mark.floor),
                    begun_at=func.coalesce(watermarks.c.begun_at, NOW if begun else None),
                    read_at=NOW if begun else watermarks.c.read_at,
                    suspect=None if begun else watermarks.c.suspect,
                    left_behind=mark.left,
                    edition=json.dumps(edition) if edition else watermarks.c.edition,
                    changed_at=NOW,
                    **remembering(remembered),
                )
            )
            if new:
                record_first(c, run, new, now, suspect)
            record_again(c, run, corrected, now)
            count_in_run(c, run.run_id, read=read, **_figures(new, corrected))

    # --- delivering -----------------------------------------------------------------------------

    def counts(self, activation: str) -> dict[State, int]:
        """How many rows stand in each state that rows pass through."""
        with transaction(self._engine) as c:
            return {State(state): n for state, n in open_counts(c, activation).items()}

    def due(
        self, activation: str, state: State, after: int, limit: int, before: datetime | None = None
    ) -> list[Delivery]:
        """The next rows in `state` that may be tried, in the order in which they were staged.

        `after` is the id of the last row seen; rows due later than `before` (default: now) wait.
        """
        d = deliveries.c
        until = NOW if before is None else round(before.timestamp() * 1000)
        with transaction(self._engine) as c:
            rows: Any = c.execute(
                select(*(d[name] for name in DELIVERY_COLUMNS), NOW - d.waiting_since)
                .where(d.activation == activation, d.state == state, OPEN, d.id > after)
                .where(or_(d.due_at.is_(None), d.due_at <= until))
                .order_by(d.id)
                .limit(limit)
            )
            return [Delivery(r[0], r[1], State(r[2]), *r[3:]) for r in rows]

    def next_due(self, activation: str) -> timedelta | None:
        """How long until the first resting row may be tried again; None when none rests."""
        d = deliveries.c
        with transaction(self._engine) as c:
            due = c.execute(
                select(func.min(d.due_at) - NOW).where(
                    d.activation == activation, d.state == State.PENDING, OPEN
                )
            ).scalar()
        return None if due is None else timedelta(milliseconds=max(0, due))

    # --- contacts -------------------------------------------------------------------------------

    def contacts(
        self, destination: str, digests: Collection[str], span: timedelta
    ) -> dict[str, str]:
        """By digest, the contactIds that were looked up within `span` by the database's clock."""
        with transaction(self._engine) as c:
            return cached(c, destination, digests, span)

    @repeated
    def remove_expired_contacts(self, destination: str, span: timedelta) -> None:
        """Remove what was looked up longer ago than `span`, in transactions of bounded length."""
        removed = MOST_REMOVED
        while removed == MOST_REMOVED:
            with transaction(self._engine) as c:
                removed = remove_expired(c, destination, span, MOST_REMOVED)

    # --- settling -------------------------------------------------------------------------------

    def doubts(self, activation: str, after: int, limit: int) -> list[Doubt]:
        """The next rows in doubt, after the delivery with the id `after`."""
        with transaction(self._engine) as c:
            return doubts(c, activation, after, limit)

    def doubts_of(self, activation: str, contacts: Collection[str]) -> list[Doubt]:
        """Every row in doubt of these contacts."""
        with transaction(self._engine) as c:
            return doubts_of(c, activation, contacts)

    def doubts_left(self, run: Run) -> int:
        """How many rows are in doubt about a request of this run."""
        d = deliveries.c
        query = select(func.count()).where(
            d.activation == run.activation,
            d.state.in_((State.IN_DOUBT, State.SENDING)),
            d.run_id == run.run_id,
            OPEN,
        )
        with transaction(self._engine) as c:
            return int(c.execute(query).scalar_one())

    def owned(self, activation: str, ids: Collection[str]) -> set[str]:
        """Which interactions of `ids` belong to rows already."""
        with transaction(self._engine) as c:
            return owned(c, activation, ids)

    @repeated
    def saw(self, run: Run, doubts: Sequence[Doubt], boot: int, boot_at: int) -> None:
        """Record when doubts were seen that were opened under another boot. Raises LeaseLost."""
        with self._standing(run) as c:
            hold(c, run, self._lease)
            saw(c, doubts, boot, boot_at)

    def owners(self, activation: str, ids: Collection[str]) -> dict[str, Delivered]:
        """The rows that own interactions of `ids` by now."""
        with transaction(self._engine) as c:
            return owners(c, activation, ids)

    @repeated
    def settle(self, run: Run, settlements: Sequence[Settlement]) -> list[bool]:
        """End doubts that were counted against each other: all, or none when one of them has moved
        since, for then the count was another. Says of each whether it moved. Raises LeaseLost."""
        with self._standing(run) as c:
            hold(c, run, self._lease)
            savepoint = c.begin_nested()
            done = settle(c, run, settlements, database_time(c))
            if all(done):
                found = sum(s.state is State.DELIVERED for s in settlements)
                count_in_run(c, run.run_id, delivered=found)
                savepoint.commit()
                return done
            savepoint.rollback()
            return [False] * len(done)

    @repeated
    def record(self, run: Run, entries: Sequence[Entry]) -> list[bool | Repeated | StopRun]:
        """Put `entries` on record in one transaction; False for those that came too late, and
        Repeated for answers that prove nothing.

        What is already known (closings) is recorded whoever holds the lease now; nothing new is
        begun without it: those entries get a LeaseLost, to be raised where they are waited for. An
        answer to an attempt that the ledger does not know gets a LedgerChanged.
        """
        closings = [e for e in entries if isinstance(e, Closing)]
        others = [e for e in entries if not isinstance(e, Closing)]
        results: dict[int, bool | Repeated | StopRun] = {}
        changed: LedgerChanged | None = None
        with self._standing(run) as c:
            close = close_attempts
            try:
                now = hold(c, run, self._lease)
            except (LeaseLost, LedgerChanged) as lost:
                changed = lost if isinstance(lost, LedgerChanged) else None
                lock(c, run.activation)
                now, close = database_time(c), close_late
                results.update((id(entry), lost) for entry in others)
                others = []
            results.update(close(c, run, closings, now))
            for entry in (entry for entry in closings if id(entry) not in results):
                changed = self._lost(run, "it does not know of an attempt that was answered")
                results[id(entry)] = changed
            results.update(open_attempts(c, run, others, now))
            count_in_run(c, run.run_id, **_outcomes(entries, results))
            keep(c, [e.found for e in entries if not isinstance(e, SetAside) and e.found], now)
        if changed:
            self._mark(run, changed)
        return [results[id(entry)] for entry in entries]

    # --- decisions of persons -------------------------------------------------------------------

    @repeated
    def claim(self, activation: str, identity: Identity | None = None) -> Run:
        """Take the activation to decide about its rows. What dead runs left becomes in doubt.

        Raises ActivationBusy while a run holds it, ConfigurationError when `identity` is not the
        one that the ledger knows. To be let go of with `let_go`; no record of a run is made.
        """
        # before anything is counted on: a heartbeat would hide that the ledger is behind
        restored = self._examined()
        with transaction(self._engine) as c:
            now = database_time(c)
            lock(c, *_names(activation, identity))
            known = select(watermarks.c.activation).where(watermarks.c.activation == activation)
            if identity is not None and c.execute(known).first():
                claim_name(c, activation, identity, now, self._lease)
            taken = take(c, activation, now, self._lease, self._replacement)
            run_id = BY_HAND + new_run_id(now)
            c.execute(update(leases).where(leases.c.activation == activation).values(run_id=run_id))
            bury(c, activation)
            footing = self._footing(c, activation, taken)
        return Run(run_id, activation, taken.fence, moment(now), restored, footing)

    @repeated
    def let_go(self, claim: Run) -> None:
        """Let go of the activation, if `claim` still holds it."""
        with transaction(self._engine) as c:
            release(c, claim)

    def cases(self, activation: str, keys: Collection[str]) -> dict[str, Case]:
        """The rows that are recorded under `keys`, to be decided about."""
        with transaction(self._engine) as c:
            return cases(c, activation, keys)

    def cases_in(
        self, activation: str, states: Collection[State], reason: str | None = None
    ) -> list[Case]:
        """The rows in `states` (none of them delivered) whose reason holds `reason`."""
        return cases_in(self._engine, activation, states, reason)

    @repeated
    def decide(self, claim: Run, person: Person, entries: Sequence[Decision]) -> None:
        """Carry out what `person` decides and put it on record: all of it or nothing.

        Raises LeaseLost, StaleMove when a row is no longer as it was seen, ConfigurationError for
        an interaction that belongs to a row already.
        """
        with self._standing(claim) as c:
            hold(c, claim, self._lease)
            decide(c, claim.activation, person, entries, database_time(c))

    def similar_keys(self, activation: str, row_key: str, limit: int = 5) -> list[str]:
        """Recorded row keys that hold `row_key`, whatever the capitals."""
        return similar_keys(self._engine, activation, row_key, limit)

    def standing(self, run_id: str) -> takeback.Standing:
        """Where the rows stand that the run sent."""
        return takeback.standing(self._engine, run_id)

    def deletable(self, run_id: str, after: int, limit: int) -> list[takeback.Sent]:
        """The next rows that the run sent and that can be taken back, after the id `after`."""
        return takeback.deletable(self._engine, run_id, after, limit)

    def youngest_seen(self, run_id: str) -> timedelta | None:
        """The smallest age at which one of the run's interactions was there to be deleted."""
        return takeback.youngest_seen(self._engine, run_id)

    def releasable(self, run_id: str) -> list[takeback.Sent]:
        """The rows of the run that were taken back and may be sent again."""
        return takeback.releasable(self._engine, run_id)

    @repeated
    def take_back(self, claim: Run, by: str, entries: Sequence[takeback.TakenBack]) -> list[bool]:
        """Put on record what is gone from the destination; False for rows that were moved.

        A fact, so it is recorded whoever holds the activation now.
        """
        with transaction(self._engine) as c:
            lock(c, claim.activation)
            return takeback.take_back(c, by, entries, database_time(c))

    @repeated
    def release(self, claim: Run, by: str, entries: Sequence[takeback.Released]) -> list[bool]:
        """Let rows be sent again; False for rows that were moved. Raises LeaseLost."""
        with self._standing(claim) as c:
            hold(c, claim, self._lease)
            return takeback.release(c, by, entries, database_time(c))

    # --- forgetting -----------------------------------------------------------------------------

    def held_of(
        self, names: Collection[str], activations: Collection[str]
    ) -> list[forgetting.Held]:
        """What is held of the person with one of `names`."""
        return forgetting.held_of(self._engine, names, activations)

    @repeated
    def forget(self, claim: Run, by: str, rows: Sequence[forgetting.Held]) -> None:
        """Remove what is held of a person in `rows` of the claimed activation, all or nothing.

        Raises StaleMove when a row has moved since it was seen, LeaseLost.
        """
        with self._standing(claim) as c:
            hold(c, claim, self._lease)
            forgetting.forget(c, by, rows, database_time(c))

    @repeated
    def forget_contacts(self, contact_ids: Collection[str], digests: Collection[str]) -> None:
        """Remove what is cached of contacts, by their ids or by digests of their identifiers."""
        with transaction(self._engine) as c:
            forgetting.forget_contacts(c, contact_ids, digests)

    def pack(self) -> bool:
        """Let nothing stand in the ledger's file that is not in its tables any more.

        False where a reader stands in the way, or where it is the server's to do.
        """
        return pack(self._engine)


def _figures(new: Sequence[Staged], corrected: Sequence[tuple[Known, Staged]]) -> dict[str, int]:
    """What recording these rows adds to the figures of a run."""
    recorded = [row for row in new if not row.history]
    changed = [staged for _, staged in corrected]
    invalid = sum(isinstance(row.content, Invalid) for row in [*recorded, *changed])
    return {"staged": len(recorded), "invalid": invalid}


def _outcomes(entries: Sequence[Entry], results: Mapping[int, object]) -> dict[str, int]:
    """What putting `entries` on record adds to the figures of a run."""
    moved = [entry for entry in entries if results[id(entry)] is True]
    outcomes = [entry.outcome for entry in moved if isinstance(entry, Closing)]
    aside = [entry.state for entry in moved if isinstance(entry, SetAside)]
    return {
        "delivered": sum(isinstance(outcome, Accepted) for outcome in outcomes),
        "rejected": sum(isinstance(outcome, Refused) for outcome in outcomes)
        + aside.count(State.REJECTED),
    }
