"""The journey of one row: its states, the moves between them, and what one attempt can bring."""

from collections.abc import Mapping
from datetime import timedelta
from enum import StrEnum
from typing import ClassVar

from connector.basis import dataclass

CAME_AGAIN = "another request was answered with its id, too: which of them it belongs to is unknown"
"""What is said of a row that was delivered, once its id came a second time."""


class State(StrEnum):
    """Where a row stands."""

    PENDING = "pending"
    """Recorded, to be sent; certainly not stored at the destination."""
    SENDING = "sending"
    """An attempt is open: the request may be on the wire."""
    DELIVERED = "delivered"
    """The destination gave an id, or the interaction was found there, or a person says so."""
    INVALID = "invalid"
    """Refused by us: the row cannot become an interaction that fits the schema."""
    REJECTED = "rejected"
    """Refused by the destination, in words that mean that nothing was stored."""
    WAITING = "waiting"
    """The contact is not known yet; it is looked up again until the wait ends."""
    IN_DOUBT = "in_doubt"
    """Sent, without an answer that can be trusted. Never sent again until that is settled."""
    SUBMITTED = "submitted"
    """Taken over by the destination, which has yet to say what became of it."""
    DISCARDED = "discarded"
    """Not to be sent: a person decided so, or it stood in the model before `start: now`."""
    UNDONE = "undone"
    """Was delivered and has been taken back."""
    REMOVED = "removed"
    """Of a mirror: the model has it no more, and neither has the destination."""


S = State

TRANSITIONS: dict[tuple[State, State], str] = {
    (S.PENDING, S.SENDING): "an attempt is opened",
    (S.PENDING, S.WAITING): "the contact is unknown",
    (S.PENDING, S.IN_DOUBT): "it may have been sent before the ledger was put back from a backup",
    (S.PENDING, S.REJECTED): "the contact is ambiguous or malformed, or it is too late",
    (S.PENDING, S.DELIVERED): "the answer to its last attempt came after all",
    (S.PENDING, S.SUBMITTED): "the answer to its last attempt came after all",
    (S.PENDING, S.DISCARDED): "a person decides",
    (S.WAITING, S.SENDING): "the contact was found and an attempt is opened",
    (S.WAITING, S.IN_DOUBT): "it may have been sent before the ledger was put back from a backup",
    (S.WAITING, S.REJECTED): "the wait ended, the contact is ambiguous, or it is too late",
    (S.WAITING, S.DISCARDED): "a person decides",
    (S.SENDING, S.DELIVERED): "accepted",
    (S.SENDING, S.SUBMITTED): "taken over, to be processed",
    (S.SENDING, S.REJECTED): "refused",
    (S.SENDING, S.PENDING): "certainly not applied",
    (S.SENDING, S.IN_DOUBT): "no answer that can be trusted, or the process died",
    (S.IN_DOUBT, S.DELIVERED): "found at the destination, answered late, or a person says so",
    (S.IN_DOUBT, S.REJECTED): "a refusal came late, or the destination says that it turned it down",
    (S.IN_DOUBT, S.PENDING): "confirmed absent, or a person says so",
    (S.IN_DOUBT, S.SUBMITTED): "found to be under way at the destination, or answered late",
    (S.IN_DOUBT, S.DISCARDED): "a person decides",
    (S.SUBMITTED, S.DELIVERED): "processed, as the destination says",
    (S.SUBMITTED, S.REJECTED): "the destination says that it was not stored",
    (S.SUBMITTED, S.IN_DOUBT): "what became of it cannot be told",
    (S.SUBMITTED, S.DISCARDED): "a person decides",
    (S.INVALID, S.PENDING): "the row was corrected",
    (S.INVALID, S.DISCARDED): "a person decides",
    (S.REJECTED, S.PENDING): "the row was corrected, or a person retries",
    (S.REJECTED, S.INVALID): "the row was changed and no longer fits the schema",
    (S.REJECTED, S.DISCARDED): "a person decides",
    (S.DELIVERED, S.UNDONE): "taken back",
    (S.UNDONE, S.PENDING): "released again by a person",
    # of mirrors alone
    (S.PENDING, S.REMOVED): "the model has it no more, and it was never stored",
    (S.WAITING, S.REMOVED): "the model has it no more, and it was never stored",
    (S.INVALID, S.REMOVED): "the model has it no more, and it was never stored",
    (S.REJECTED, S.REMOVED): "the model has it no more, and it was never stored",
    (S.PENDING, S.INVALID): "the row was changed and no longer fits the schema",
    (S.WAITING, S.PENDING): "the row was changed",
    (S.WAITING, S.INVALID): "the row was changed and no longer fits the schema",
    (S.DELIVERED, S.REMOVED): "the model has it no more, and it was taken back",
    (S.DELIVERED, S.PENDING): "the row was changed, and what was sent of it was taken back",
    (S.DELIVERED, S.INVALID): "the same, and it no longer fits the schema",
    (S.REMOVED, S.PENDING): "the model has it again",
    (S.REMOVED, S.INVALID): "the model has it again, and it does not fit the schema",
}

MAY_BE_THERE = (S.SENDING, S.IN_DOUBT, S.SUBMITTED)
"""States of rows that may be stored at the destination, and may not."""

TO_BE_SENT = (S.PENDING, S.WAITING)
"""States of rows that a run sends, as soon as it can."""

FIRST_STATES = (S.PENDING, S.INVALID, S.DISCARDED)
"""The states in which a row can be recorded."""

QUARANTINE = (S.INVALID, S.REJECTED, S.IN_DOUBT)
"""Rows that wait for a person, or, in doubt, for the read-back."""
QUARANTINED = tuple(state.value for state in QUARANTINE)


def waiting_for_person(counts: Mapping[str, int]) -> dict[str, int]:
    """Of rows counted by state, those that wait for a person."""
    return {state: number for state in QUARANTINED if (number := counts.get(state))}


CORRECTABLE = (S.INVALID, S.REJECTED)
"""States that a changed row in the warehouse may leave."""

SUSPICIOUS = (S.PENDING, S.WAITING, S.INVALID, S.REJECTED, S.UNDONE, S.REMOVED)
"""States of rows that are, or may yet be, sent: in a ledger from a backup they may have been."""

READ_BACK_BY_RUNS = (S.PENDING, S.WAITING)
"""States from which a run reads a suspect row back. In the other suspicious states it is only
remembered, until a person or a corrected model makes the row pending again; no run can end that."""


# Of each outcome: `word` names it in the ledger and in ``explain``; a row is in `state` after it.


@dataclass(frozen=True, slots=True)
class Accepted:
    """The destination stored it and gave an id; None where it gives none. `distrust`: why nothing
    more may be sent there all the same."""

    word: ClassVar[str] = "accepted"
    state: ClassVar[State] = S.DELIVERED
    interaction_id: str | None
    http_status: int | None = None
    distrust: str = ""


@dataclass(frozen=True, slots=True)
class Submitted:
    """The destination took it over, and processes it later; to be asked for by its request.

    `theirs`: the destination's own id of the request, where it is another than ours.
    """

    word: ClassVar[str] = "submitted"
    state: ClassVar[State] = S.SUBMITTED
    theirs: str | None = None
    http_status: int | None = None


@dataclass(frozen=True, slots=True)
class Refused:
    """The destination will not have this interaction; nothing was stored.

    `whom`: it is about the contact, not about what is said of it; None where that may be.
    """

    word: ClassVar[str] = "refused"
    state: ClassVar[State] = S.REJECTED
    reason: str
    http_status: int | None = None
    whom: bool | None = False


@dataclass(frozen=True, slots=True)
class NotApplied:
    """Certainly not stored: it never left, or the destination documents the answer as such.

    `retry_after` is what the destination asked for; `busy` means that it asked to slow down;
    `again`: by our own doing, such as a token that had expired, so it goes again at once; `alone`:
    only this row is meant, which says nothing against the destination, and goes again in the next
    run.
    """

    word: ClassVar[str] = "not_applied"
    state: ClassVar[State] = S.PENDING
    reason: str
    http_status: int | None = None
    retry_after: timedelta | None = None
    busy: bool = False
    again: bool = False
    alone: bool = False


@dataclass(frozen=True, slots=True)
class Withheld(NotApplied):
    """It never left, by our own decision; that says nothing about the destination."""


@dataclass(frozen=True, slots=True)
class Unknown:
    """Nobody can know from here whether it was stored. `distrust`: as in Accepted; `unasked`: of a
    deletion, that it was to stop before any request went out."""

    word: ClassVar[str] = "unknown"
    state: ClassVar[State] = S.IN_DOUBT
    reason: str
    http_status: int | None = None
    distrust: str = ""
    unasked: bool = False


Outcome = Accepted | Submitted | Refused | NotApplied | Unknown


@dataclass(frozen=True, slots=True)
class Found:
    """The look-up gave the one contact that the identifier belongs to.

    `cached`: it was looked up by an earlier run, and may have changed since.
    """

    contact_id: str
    cached: bool = False


@dataclass(frozen=True, slots=True)
class Missing:
    """No contact has the identifier yet."""

    reason: str


@dataclass(frozen=True, slots=True)
class Ambiguous(Refused):
    """Several contacts have the identifier; none of them is guessed."""


@dataclass(frozen=True, slots=True)
class Malformed(Refused):
    """No contact can have such an identifier."""


LookUp = Found | Missing | Ambiguous | Malformed | NotApplied
"""What a look-up brings: NotApplied when the look-up itself failed."""


@dataclass(frozen=True, slots=True)
class Removed:
    """The interaction is not at the destination. `found`: it was, until this request."""

    found: bool


Removal = Removed | Refused | Unknown
"""What one deletion brings. Repeating it is safe, so Unknown means: ask again."""


BUSY_PAUSES = (10, 30, 60, 300)
"""Seconds between tries when the destination says 429 without saying how long (Voyado's advice)."""
WITHHELD_PAUSES = (1, 4, 16, 64, 256)
"""The same when a row was too late for its own record: where that happens once, it may go on."""
TRIES_AGAIN = "each run tries again until"
"""In the reason of a row that the destination would not have yet, which says nothing of others."""
PATIENCE = timedelta(seconds=90)
"""How long a run waits for rows that are to be sent later; beyond that they are the next run's."""


def pause_after(outcome: NotApplied, attempts: int, jitter: float) -> timedelta:
    """How long a row rests after `outcome` of attempt number `attempts`, counted since it became
    what is to be sent now: what was sent of it before says nothing; `jitter` in 0..1."""
    if outcome.again or outcome.alone:
        return timedelta(0)
    if outcome.retry_after is not None:
        return outcome.retry_after
    if not (outcome.busy or isinstance(outcome, Withheld)):
        return timedelta(seconds=1)
    pauses = BUSY_PAUSES if outcome.busy else WITHHELD_PAUSES
    rung = pauses[min(attempts, len(pauses)) - 1]
    return timedelta(seconds=rung * (1 + jitter / 4))


FIRST_MOMENTS = timedelta(seconds=30)


def next_look_up(waited: timedelta) -> timedelta:
    """How long after now an unknown contact is looked up again, having waited for `waited`.

    Pauses grow with the time already waited, so a contact that appears soon is found soon and one
    that never does costs few look-ups. In the first moments there is none: somebody may just be
    adding the contact.
    """
    return min(max(timedelta(0), waited - FIRST_MOMENTS) / 2, timedelta(hours=6))
