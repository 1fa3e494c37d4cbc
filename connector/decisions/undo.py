"""Take back what a run sent: delete its interactions, by the ids that the ledger keeps.

Deleting by id is safe to repeat, so nothing goes on record before a deletion: a process that dies
in between leaves a delivered row whose interaction is gone, and whoever undoes the run again finds
that out. Afterwards the row is undone: no run sends it again, until a person releases it. What
automations have done because of an interaction stays done.
"""

import time
from collections.abc import Sequence
from dataclasses import asdict, field
from datetime import datetime, timedelta
from functools import partial

from connector.basis import dataclass
from connector.basis.log import Log
from connector.decisions.deciding import Outcome, with_reasons
from connector.ledger.decisions import Person
from connector.ledger.records import Run
from connector.ledger.takeback import (
    ALREADY_GONE,
    DELETED,
    NOT_FOUND,
    Sent,
    Standing,
    TakenBack,
)
from connector.project.app import App, Home
from connector.project.reporting import known_run
from connector.rules.deed import Agree, Document, error_document, status_word
from connector.rules.delivery import Refused, Removal, Removed, State, Unknown
from connector.rules.errors import ConnectorError, DestinationUnusable, StaleMove
from connector.rules.read_back import Absent, Shown, Unread
from connector.rules.words import are, counted, were
from connector.sync.flow import Recorded
from connector.sync.progress import Progress
from connector.sync.side_by_side import until_stopped
from connector.sync.silence import PAUSES, SECOND_LOOK, Silence
from connector.sync.thread import Journal

log = Log(__name__)

PAGE = 500
MOST_LOOKED_AT = 1000
"""Rows up to which a plan asks for each interaction: at 50 a second that is 20 seconds."""
STILL_RUNNING = "The run is not recorded as ended; while it goes on, nothing can be deleted."
NONE_SEEN = (
    "None of the interactions is to be seen at {0.url}. If they were sent to another {0.called}, do"
    " not go on: they would count as undone and stay where they are."
)
PRUNED = (
    "{} delivered by this run and pruned from the ledger since (ledger.keep): these cannot be"
    " taken back from here."
)
NONE_THERE = (
    "None of the interactions was there to be deleted. If they were sent to another {0.called} than"
    " {0.url}, they are still there."
)


@dataclass(slots=True)
class Look:
    """What the destination shows of the interactions that are to be deleted."""

    asked: int = 0
    gone: int = 0
    unanswered: int = 0
    contacts: set[str] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class Plan:
    """What undoing a run would do. `look` is None where the destination was not asked."""

    run_id: str
    activation: str
    running: bool
    """The run is still going on, or died without a word."""
    home: Home
    standing: Standing
    look: Look | None
    by: str
    removed: int = 0
    """Interactions that the run, a mirror's, took back itself: undoing brings none of them back."""
    replaced: int = 0
    pruned: int = 0
    """Rows that it delivered, and of which it is not known any more where they are."""

    @property
    def rows(self) -> int:
        """How many interactions are to be deleted."""
        return self.standing.delivered

    @property
    def requests(self) -> int:
        """How many deletions that takes; what was not found before is asked for once more."""
        return self.standing.delivered + self.standing.not_found

    @property
    def seconds(self) -> float:
        """How long the deletions take at the rate limit."""
        return round(self.requests / self.home.requests_per_second, 1)

    @property
    def empty(self) -> bool:
        return not self.requests

    @property
    def exit_code(self) -> int:
        """1 when nothing can be taken back of what it delivered."""
        return int(bool(self.pruned))

    @property
    def question(self) -> Agree:
        if self.rows:
            return Agree(f"Delete {counted(self.rows, 'interaction')} at {self.home.url}?")
        what = counted(self.requests, "interaction")
        return Agree(f"Ask for {what} once more, and delete what is there?")

    @property
    def notes(self) -> list[str]:
        notes = [self.home.stays] if self.rows else []
        notes += [PRUNED.format(are(self.pruned))] if self.pruned else []
        if self.running:
            notes.append(STILL_RUNNING)
        if self.look and self.look.gone == self.look.asked > 0:
            notes.append(NONE_SEEN.format(self.home))
        return [*notes, *self.not_brought_back, *_notes_on(self.standing, self.run_id)]

    @property
    def not_brought_back(self) -> list[str]:
        """What a person should know of the interactions that the run took back."""
        notes = []
        if self.removed:
            what = counted(self.removed, "interaction")
            notes.append(
                f"The run took {what} back whose rows the model had no more; undoing it brings none"
                " of them back. A sync sends each of these rows that the model has again."
            )
        if self.replaced:
            what = counted(self.replaced, "interaction")
            notes.append(
                f"The run took {what} back to send their rows anew; undoing it brings none of them"
                " back, and takes away what it sent in their place, so that nothing of these rows"
                f" is left there. `connector release {self.run_id}` lets a sync send what the model"
                " says then; to bring back what was there, correct the model first."
            )
        return notes

    def document(self) -> Document:
        undone = Undone(self, standing=self.standing).document()
        return undone | {"status": "planned", "notes": self.notes}


@dataclass(slots=True)
class Undone(Outcome):
    """What an undoing did. `standing` is how the run's rows stand at its end."""

    plan: Plan
    deleted: int = 0
    already_gone: int = 0
    not_found: int = 0
    """Not found either, but so young that they may yet appear; undone all the same."""
    rechecked: int = 0
    """Not found by an earlier undoing, and asked for once more."""
    reappeared: int = 0
    """Of those: they were there, and are deleted now."""
    refused: list[tuple[str, str]] = field(default_factory=list)
    """Row keys of what the destination would not delete, and its words."""
    unanswered: int = 0
    standing: Standing = field(default_factory=Standing)

    @property
    def rows(self) -> int:
        return self.deleted + self.already_gone + self.not_found

    def count(self, word: str) -> None:
        """One more row whose interaction is not there; `word` says how that is known."""
        self.deleted += word == DELETED
        self.already_gone += word == ALREADY_GONE
        self.not_found += word == NOT_FOUND

    @property
    def is_left(self) -> bool:
        return bool(self.refused)

    @property
    def asked_again(self) -> str | None:
        """What came of those that an earlier undoing had not found; None where there were none."""
        if not self.rechecked:
            return None
        what = counted(self.rechecked, "interaction")
        return f"{what} asked for once more: {self.reappeared:,} there after all, and deleted now."

    @property
    def warnings(self) -> list[str]:
        """What a person should know that was not known before."""
        notes = self.restored_notes
        if self.rows and not self.deleted and not self.plan.standing.undone:
            notes.append(NONE_THERE.format(self.plan.home))
        return notes

    def document(self) -> Document:
        plan, look = self.plan, self.plan.look
        stays = [plan.home.stays] if plan.rows else []
        return {
            "run_id": plan.run_id,
            "activation": plan.activation,
            "destination": plan.home.destination,
            "status": status_word(self),
            "rows": plan.rows,
            "contacts": len(look.contacts) if look else None,
            "already_gone": look.gone if look else None,
            "looked_at": look.asked - look.unanswered if look else 0,
            "undone": self.rows,
            "deleted": self.deleted,
            "were_gone": self.already_gone,
            "not_found": self.not_found,
            "rechecked": self.rechecked,
            "reappeared": self.reappeared,
            "refused": with_reasons(self.refused),
            "standing": asdict(self.standing),
            "not_brought_back": {"removed": plan.removed, "replaced": plan.replaced},
            "by": plan.by,
            "notes": [
                *stays,
                *self.warnings,
                *plan.not_brought_back,
                *_notes_on(self.standing, plan.run_id),
            ],
            **error_document(self.error),
        }


def _notes_on(standing: Standing, run_id: str) -> list[str]:
    """What a person should know of the rows that are not simply taken back."""
    notes = []
    if standing.without_id:
        notes.append(
            f"{are(standing.without_id)} delivered as a person says, without an interaction's id,"
            " and cannot be taken back from here."
        )
    if standing.in_doubt:
        notes.append(
            f"{are(standing.in_doubt)} in doubt and may have arrived. A sync finds out; undo the"
            " run again afterwards."
        )
    if standing.unsent:
        notes.append(
            f"{are(standing.unsent)} recorded for this run and not sent; a sync may send them yet."
        )
    if standing.sent_again:
        notes.append(
            f"{were(standing.sent_again)} taken back since, and sent again or to be sent again:"
            " what stands there of them is a later run's."
        )
    if standing.not_found:
        notes.append(may_appear(standing, run_id))
    return notes


def may_appear(standing: Standing, run_id: str) -> str:
    """That some rows were not found, and may be there later."""
    return (
        f"{were(standing.not_found)} not found when they were to be deleted, and so soon after they"
        " were sent that they may yet appear. They count as undone; `connector undo"
        f" {run_id}` once more, in some minutes, makes sure."
    )


# --- undoing ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Undo:
    """A deed: take back what a run sent. `look`: ask for each interaction first; None: where they
    are few."""

    app: App
    run_id: str
    person: Person
    look: bool | None = None
    progress: Progress = field(default_factory=Progress)

    async def plan(self) -> Plan:
        """What would be deleted. Raises ConfigurationError, or DestinationUnusable when it gives
        no useful answers."""
        with self.app.reports() as reports:
            run = known_run(reports, self.run_id)
            activation = run["activation"]
            home = self.app.home(activation, reports.homes()[activation])
            can = self.app.can(home.destination)
            what = "what was sent there cannot be taken back"
            self.app.refuse_without(can.takes_back, home.destination, what)
            standing = reports.standing(self.run_id)
            gone, began = reports.already_pruned(activation), run["started_at"]
            pruned = 0
            if gone.before and datetime.fromisoformat(began) < gone.before:
                here = standing.delivered + standing.without_id
                taken = run["undone"] + run["removed"] + run["replaced"]
                pruned = max(0, run["delivered"] - taken - here)
            seen = None
            few = standing.delivered <= MOST_LOOKED_AT
            wanted = few if self.look is None else self.look
            if standing.delivered and can.shows and wanted:
                rows = [r for r in reports.deletable(self.run_id) if r.state is State.DELIVERED]
                seen = await self._look(activation, home, rows)
        return Plan(
            run_id=self.run_id,
            activation=activation,
            running=run["status"] == "running",
            home=home,
            standing=standing,
            look=seen,
            by=self.person.text,
            removed=run["removed"],
            replaced=run["replaced"],
            pruned=pruned,
        )

    async def _look(self, activation: str, home: Home, rows: Sequence[Sent]) -> Look:
        """Ask for each interaction: whose it is, and which are gone. Deletes nothing."""
        result, silence = Look(), Silence()
        with self.app.interruption.stop() as stop:
            async with self.app.destination(home.destination) as client:
                there = client.heeding(lambda: stop.asked)

                async def one(row: Sent) -> None:
                    seen = await there.interaction(row.interaction_id or "")
                    result.asked += 1
                    match seen:
                        case Shown(contact_id):
                            result.contacts.add(contact_id.lower())
                        case Absent():
                            result.gone += 1
                        case Unread():
                            result.unanswered += 1
                    self.progress.counting(activation, "looking at", result.asked, len(rows))
                    silence.heard(seen)

                await until_stopped(stop, there.concurrency, one, rows)
            stop.raise_error()
        return result

    async def do(self, plan: Plan, agreed: bool) -> Undone:
        """Delete it and record it. What stops it stands in the result.

        Raises ActivationBusy while a run has the lease, StaleMove when there is more to delete than
        was agreed to.
        """
        async with self.app.workshop() as workshop:
            destination, progress = plan.home.destination, self.progress
            with workshop.recorded(plan.activation, destination, progress) as sent:
                async with sent.leased() as lease:
                    return await Undoing(sent, plan, lease).undo(plan.rows if agreed else None)


class Undoing:
    """The deletions of one undoing, side by side, their records in few commits."""

    def __init__(self, sent: Recorded, plan: Plan, lease: Run) -> None:
        self.sent, self.run_id, self.stop = sent, plan.run_id, sent.stop
        self.result = Undone(plan, restored=lease.restored)
        record = partial(sent.ledger.take_back, lease, plan.by, of=plan.run_id)
        self._journal: Journal[TakenBack] = Journal(record, sent.thread)
        self._silence = Silence()
        self._visible_from = sent.settle_after
        self._young: set[int] = set()  # not found, and asked for once more in the next pass
        self._done_with: set[int] = set()  # rows that an answer leaves among those to be deleted
        self._total = 0

    async def undo(self, shown: int | None) -> Undone:
        """Pass by pass, until every deletion had its answer, or `stop` was given. At most `shown`
        rows, where a person has agreed to so many."""
        sent, run_id = self.sent, self.run_id
        before = await sent.call(sent.ledger.standing, run_id)
        if shown is not None and before.delivered > shown:
            raise StaleMove(
                f"{before.delivered} rows could be taken back now, and {shown} were shown, so"
                " nothing was deleted; look again"
            )
        self._total = before.delivered + before.not_found
        if seen := await sent.call(sent.ledger.youngest_seen, run_id):
            self._saw(seen)
        await self._pass()
        if self._young:
            await self.stop.wait(SECOND_LOOK)
            await self._pass()
        for pause in PAUSES:
            if self.result.unanswered:
                await self.stop.wait(pause)
                await self._pass()
        self.result.error = self._error()
        self.result.standing = await sent.call(sent.ledger.standing, run_id)
        return self.result

    async def _pass(self) -> None:
        after, self.result.unanswered = 0, 0
        while not self.stop.asked and (
            page := await self.sent.call(self.sent.ledger.deletable, self.run_id, after, PAGE)
        ):
            after, read_at = page[-1].delivery_id, time.monotonic()
            rows = [row for row in page if row.delivery_id not in self._done_with]
            lanes = self.sent.destination.concurrency
            await until_stopped(self.stop, lanes, partial(self._one, read_at), rows)

    async def _one(self, read_at: float, row: Sent) -> None:
        asked_at = row.age + timedelta(seconds=time.monotonic() - read_at)
        removal = await self.sent.destination.delete(row.interaction_id or "")
        if isinstance(removal, Removed) and removal.found:
            self._saw(row.age + timedelta(seconds=time.monotonic() - read_at))
        await self._note(row, removal, asked_at)
        done = self.result.rows + self.result.rechecked
        self.sent.progress.counting(self.sent.name, "taking back", done, self._total)
        self._silence.heard(removal)

    async def _note(self, row: Sent, removal: Removal, age: timedelta) -> None:
        """`age`: that of the interaction when it was asked for."""
        match removal:
            case Removed(found=True):
                await self._gone(row, DELETED)
            case Removed() if age >= self._visible_from:
                await self._gone(row, ALREADY_GONE)
            case Removed() if row.delivery_id not in self._young:
                self._young.add(row.delivery_id)
            case Removed():
                self._done_with.add(row.delivery_id)
                await self._gone(row, NOT_FOUND)
            case Refused(reason):
                self._done_with.add(row.delivery_id)
                self.result.refused.append((row.row_key, reason))
                log.warning("undo.refused", row_key=row.row_key, reason=reason)
            case Unknown(reason):
                self.result.unanswered += 1
                log.warning("undo.unanswered", row_key=row.row_key, reason=reason)

    def _saw(self, age: timedelta) -> None:
        """The destination showed an interaction of this age: what is older would be shown, too."""
        self._visible_from = min(self._visible_from, age)

    async def _gone(self, row: Sent, word: str) -> None:
        if row.state is State.UNDONE:
            self.result.rechecked += 1
            self.result.reappeared += word == DELETED
            if word != NOT_FOUND:  # which is on record already
                await self._journal.write(TakenBack(row, word))
        elif await self._journal.write(TakenBack(row, word)):
            self.result.count(word)  # else somebody moved the row meanwhile

    def _error(self) -> ConnectorError | None:
        if isinstance(self.stop.error, ConnectorError):
            return self.stop.error
        if self.result.unanswered:
            return DestinationUnusable(
                f"{self.result.unanswered} deletions got no answer that can be used; their rows"
                " still count as delivered, and running it again is safe"
            )
        return None
