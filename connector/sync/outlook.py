"""What the next run of an activation would do, told before it runs: would it send at all?

One pure answer from what stands in the ledger and what was found in the model, for everything that
tells it: `check`, `preview` and the page.
"""

from collections.abc import Mapping
from dataclasses import field, replace
from enum import StrEnum

from connector.basis import dataclass
from connector.ledger.mirrored import Covers
from connector.ledger.questions import Resting
from connector.ledger.records import instant
from connector.rules.activation import Activation
from connector.rules.deed import Document
from connector.rules.delivery import State
from connector.rules.gauge import Gauge
from connector.rules.hold import Hold
from connector.rules.words import rest_until, rows
from connector.sync.limits import (
    Compared,
    Seen,
    aged,
    as_it_stands,
    compared,
    figures_of,
    not_judged,
    passed_limit,
    reason_without_keys,
)

FROM_BACKUP = (
    "the ledger was put back from a backup: rows that it does not know to be delivered are read"
    " back before they are sent"
)
READ_AGAIN = "it is read again at each run; `connector preview` compares what its model has now"
ALL_REJECTED = "certain that no contact can have the identifiers of the rows that there are"
ALL_LATE = "certain that none of the rows that there are can be sent as it is"
"""The same where some of them may have become too late."""
TOO_EARLY = "too early for the rows that there are: each waits for its turn"
BY_ROWS = (None, ALL_REJECTED, ALL_LATE, TOO_EARLY)
"""Why a run sends nothing, where that is known from the rows of the model alone."""
NOTHING_NEW_IS_READ = "while it is held nothing new is read"
LEFT = "left to the run after the one that is approved, which does just what was shown"

LOOKED_UP = (
    "limits.matched is not judged here: a run looks contacts up for it before it sends, and so does"
    " `connector preview`"
)


class Would(StrEnum):
    """What a run that began now would do."""

    SEND = "send"
    NOTHING = "send_nothing"
    BE_HELD = "be_held"
    BE_PASSED_BY = "be_passed_by"
    """It is paused."""
    BE_STOPPED = "be_stopped"


@dataclass(frozen=True, slots=True)
class Stands:
    """What the configuration and the ledger say of an activation before a run.

    `in_line`: recorded rows that wait for their turn; `hindrance`: what would stop any run;
    `paused`: what ends its pause, if it is paused; `held`: the figures of a run that waits for
    approval; `first`: its model was never read to the end.
    """

    hindrance: str | None = None
    paused: str | None = None
    held: Hold | None = None
    first: bool = True
    suspect: bool = False
    counts: Mapping[str, int] = field(default_factory=dict)
    in_line: int = 0
    closed: str | None = None
    """That the send window is closed, and until when."""
    approved: str | None = None
    """That what is held may go: who has approved it, and until when that holds."""
    mirrors: bool = False
    """Its model is read at each run, also while it is held."""
    resting: Resting = Resting()
    """Recorded rows that rest for longer than a run has patience, or were told to."""
    otherwise: str | None = None
    """That recorded rows are not sent as they stand: they are not among the `counts` of those."""

    @property
    def reads_no_more(self) -> bool:
        """Whether the next run does just what was approved, and does not read the model."""
        held = self.held if self.approved and not self.mirrors else None
        return held is not None and not held.build and not held.emptied

    @property
    def covers(self) -> Covers:
        """What an approval lets go of what a mirror's model says now."""
        if self.approved is None or self.held is None or self.held.build:
            return Covers.NOTHING
        return Covers.ALL if self.held.empty else Covers.SHOWN

    @property
    def rests(self) -> str | None:
        """That recorded rows rest, in words."""
        number, until = self.resting.rows, instant(self.resting.next_at)
        return rest_until(number, until or "no time") if number else None

    def as_held(self, held: Hold) -> Hold:
        """The figures of the run that is held, as they are by now."""
        counts = {State(s): n for s, n in self.counts.items()}
        return as_it_stands(held, counts | {State.PENDING: self.pending})

    @property
    def pending(self) -> int:
        """How many rows are recorded, and to be sent: those that wait for a turn are not yet."""
        return max(0, self.counts.get(State.PENDING, 0) - self.in_line)


@dataclass(frozen=True, slots=True)
class Outlook:
    """What a run would do, why, and what else is to be known. `sends`: the rows that it would try
    to send, as far as they were looked at; `may_send`: recorded rows that it may send besides, by
    what it finds out about them; `left`: new rows that are left to the run after it."""

    would: Would
    because: str | None = None
    sends: int = 0
    notes: tuple[str, ...] = ()
    may_send: int = 0
    left: int = 0

    def stopped(self, because: str) -> "Outlook":
        """The same where the destination stops any run at once. What is paused does not ask it."""
        if self.would in (Would.BE_PASSED_BY, Would.BE_STOPPED):
            return self
        return Outlook(Would.BE_STOPPED, because)

    def document(self) -> Document:
        return {
            "would": self.would,
            "because": self.because,
            "notes": list(self.notes),
            "may_send": self.may_send,
            "left": self.left,
        }


@dataclass(frozen=True, slots=True)
class Ahead:
    """What a run would find: `new` rows to be sent, what it would see of the model, what that is
    compared with, and the rows to be sent, gauged. `whole`: there are no others; `again`: recorded
    rows that it would reject as they were before."""

    new: int = 0
    seen: Seen = field(default_factory=Seen)
    compared: Compared = field(default_factory=Compared)
    gauge: Gauge | None = None
    whole: bool = True
    again: int = 0


def what_next_run_would_do(activation: Activation, stands: Stands, ahead: Ahead) -> Outlook:
    """Whether the next run would send, and what else is to be known of it."""
    limits = activation.limits
    notes, left, rejected, in_its_course = (FROM_BACKUP,) if stands.suspect else (), 0, 0, 0
    notes = (*notes, stands.otherwise) if stands.otherwise else notes
    if stands.hindrance:
        return Outlook(Would.BE_STOPPED, stands.hindrance, notes=notes)
    if stands.paused:
        return Outlook(Would.BE_PASSED_BY, f"it is paused; {stands.paused}", notes=notes)
    if stands.approved:
        notes = (*notes, stands.approved)
    if stands.held and stands.held.live:  # a mirror, of which `preview` compares what is there now
        if stands.approved:
            return Outlook(Would.SEND, None, stands.held.due, notes)
        why = reason_without_keys(activation, stands.held).removeprefix("held: ")
        return Outlook(Would.BE_HELD, why, notes=(*notes, READ_AGAIN))
    if stands.held and not stands.held.emptied:
        figures = stands.as_held(stands.held)
        is_read = stands.mirrors and not stands.held.build
        if stands.approved and not stands.mirrors:
            left = 0 if stands.held.build else ahead.new
            least = "" if ahead.whole else "at least "
            new = f"{rows(left)} that {'is new is' if left == 1 else 'are new are'}"
            notes = (*notes, f"{least}{new} {LEFT}") if left else notes
        else:
            notes = (*notes, READ_AGAIN if is_read else NOTHING_NEW_IS_READ)
            left = 0 if is_read or stands.held.build else ahead.new
    else:
        rejected = ahead.seen.rejected
        # those that are rejected in its course; where that may hold the run, before it is judged
        in_its_course = rejected if limits.refused is None else 0
        due = stands.pending + ahead.new + in_its_course
        figures = figures_of(due, stands.first, ahead.seen)
        figures = compared(figures, limits, ahead.compared)
        notes = (*notes, *not_judged(limits, figures))
        looks = limits.matched is not None and figures.usual_match is not None and figures.due
        if looks and ahead.compared.sample is None:
            notes = (*notes, LOOKED_UP)
    in_its_course += ahead.again
    if ahead.gauge:
        figures = aged(figures, ahead.gauge)
    # a model that was empty when that was shown, and is no more, is judged anew
    was_emptied = bool(stands.held and stands.held.emptied)
    granted = stands.approved and (figures.emptied or not was_emptied)
    if (reason := passed_limit(activation, figures)) and not granted:
        return Outlook(Would.BE_HELD, reason.removeprefix("held: "), notes=notes)
    if stands.closed and figures.due:
        return Outlook(Would.NOTHING, stands.closed, notes=notes)
    if (rejected or ahead.again) and figures.due <= in_its_course:
        ever_late = type(activation).too_late is not Activation.too_late
        why = ALL_LATE if ever_late else ALL_REJECTED
        return Outlook(Would.NOTHING, why, notes=notes, left=left)
    sends = max(0, figures.due - stands.resting.all)  # the limits count those that rest
    if not sends:
        early = stands.rests or (TOO_EARLY if stands.in_line else None)
        return Outlook(Would.NOTHING, early, notes=notes, left=left)
    notes = (*notes, stands.rests) if stands.rests else notes
    return Outlook(Would.SEND, None, sends, notes, left=left)


def and_what_may_be(outlook: Outlook, stands: Stands) -> Outlook:
    """`outlook` with the rows that a run may send once it has asked about them: those that the
    destination takes by now, those in doubt that are not there, and those that wait for a contact
    that is found."""
    if stands.closed or outlook.would not in (Would.SEND, Would.NOTHING):
        return outlook
    doubts = stands.counts.get(State.IN_DOUBT, 0) + stands.counts.get(State.SENDING, 0)
    waiting, again = stands.counts.get(State.WAITING, 0), stands.resting.told
    rest, why = "rests" if again == 1 else "rest", stands.resting.why
    notes = (
        (again, f"{rows(again)} that {rest} may be sent, since each run tries: {why}"),
        (doubts, f"{rows(doubts)} in doubt may be sent: what is certainly not there is sent again"),
        (waiting, f"{rows(waiting)} without a contact yet may be sent, where one is found by now"),
    )
    told = (*outlook.notes, *(note for number, note in notes if number))
    return replace(outlook, notes=told, may_send=again + doubts + waiting)


def still_held(activation: Activation, held: Hold, stands: Stands, otherwise: Outlook) -> Outlook:
    """What becomes of a mirror that is `held` since too many of its rows were rejected."""
    if reason := passed_limit(activation, stands.as_held(held)):
        return replace(otherwise, would=Would.BE_HELD, because=reason.removeprefix("held: "))
    return otherwise
