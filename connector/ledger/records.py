"""What goes into the ledger and what comes out, as values.

A run remembers, too, what it has seen of the ledger that it stands on; each of its transactions is
compared with it. A ledger may go back while a run sends: a failover to a replica that is behind, a
copy put over the file. The lease counts every transaction of a run, and the run remembers which of
them were committed. So a ledger that has forgotten one of them is seen by the very next, whatever
the clocks and however young the copy is; and since each attempt is put on record in such a
transaction, before its first byte, nothing is sent from a ledger that has forgotten one of these.
"""

import json
from collections.abc import Sequence
from dataclasses import field, replace
from datetime import UTC, datetime, timedelta
from threading import Lock
from typing import Any, NamedTuple, Protocol

from connector.basis import dataclass
from connector.rules.contacts import Matches
from connector.rules.deed import Document
from connector.rules.delivery import Outcome, State
from connector.rules.errors import LeaseLost, LedgerChanged
from connector.rules.interaction import Interaction, Invalid, instant_text
from connector.rules.keys import Kinds
from connector.rules.place import Place
from connector.rules.tempo import Tempo
from connector.rules.turnover import Rereads, Turnover
from connector.rules.turns import Turn
from connector.rules.values import Kind as KeyKind
from connector.rules.watermark import Kind, Watermark, from_text

COUNTS = (
    *("read", "staged", "delivered", "submitted", "invalid", "rejected", "waiting", "in_doubt"),
    *("pending", "resent", "assumed", "removed", "replaced"),
)

Edition = dict[str, str]
"""By part of an activation (model, payload …) a hash of how it is written."""


@dataclass(frozen=True, slots=True)
class Identity:
    """What must not change under an activation's name, since it decides what a row is.
    `neighbours`: the names of the other activations that are configured."""

    destination: str
    schema_id: str
    row_key: tuple[str, ...]
    renamed_from: str | bool | None = None  # False: a new one, whatever else the ledger knows
    previous_schema_id: str | None = None  # under which its rows were sent before
    neighbours: frozenset[str] = frozenset()
    place: Place | None = None  # of its destination; None: not known, by an older connector
    target_key: str = "schema_id"
    """The key that says what its rows go to; `target_word`: what people call that."""
    target_word: str = "schema"
    prefix: str = ""  # of its rows' references, among those of others that use the account
    begin_anew: str = ""  # how one with other row keys is written beside it
    known_by: tuple[str, ...] = ()  # see Contact


@dataclass(frozen=True, slots=True)
class Remembered:
    """What is remembered of the rows of an activation, to know them at the next reading."""

    key_kinds: Kinds | None = None  # what the columns of the row key hold
    rereads: Rereads | None = None  # what the next run reads again


class Beside(Protocol):
    """The files beside the ledger, in which a run writes what it has seen: see generation.py."""

    def raise_to(self, ledger: str, number: int) -> None:
        """Write the generation's number, if it is a higher one."""

    def accuse(self, ledger: str, reason: str) -> None:
        """Let whoever begins next take the ledger for one from a backup."""

    def written(self, ledger: str, activation: str, fence: int, number: int) -> bool:
        """Keep how often it was written; False when another holder has come after this one."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What one transaction saw: which ledger, its generation, the writes that the lease counts with
    this one, and PostgreSQL's timeline."""

    ledger: str
    number: int
    writes: int
    timeline: str | None = None


@dataclass(slots=True)
class Footing:
    """The ledger as one run has seen it. Shared by the threads of the run."""

    activation: str
    fence: int
    known: Seen
    """The most that is known to be committed; to be taken before a transaction looks."""
    file: Beside | None = None
    lost: LedgerChanged | None = None
    """What was seen first that must not be: nothing is begun any more."""
    marked: bool = False  # the ledger has been, since
    span: tuple[int, int] | None = None  # of ids that are known to be in the run's: see spans.py
    came_again: set[str | int] = field(default_factory=set)  # ids that several were answered with
    _lock: Lock = field(default_factory=Lock)

    def compare(self, before: Seen, now: Seen) -> None:
        """Raises LedgerChanged when what a transaction sees `now` contradicts what was known."""
        if self.lost:
            raise self.lost
        if reason := _difference(before, now):
            raise self.lose(reason)

    def lose(self, reason: str) -> LedgerChanged:
        """What is raised now and ever after; the next run knows it without the ledger."""
        if self.lost is None:
            self.lost = LedgerChanged(reason)
            if self.file:
                self.file.accuse(self.known.ledger, reason)
        return self.lost

    def wrote(self, writes: int) -> None:
        """So many are committed. Raises LeaseLost when somebody else has written since: a ledger
        that went back may call a lease valid that another run had taken over."""
        with self._lock:
            self.known = replace(self.known, writes=max(self.known.writes, writes))
            alone = self.file is None or self.file.written(
                self.known.ledger, self.activation, self.fence, self.known.writes
            )
        if not alone:
            raise LeaseLost(
                f'another run took over "{self.activation}" while this one was silent; it stops'
            )

    def saw(self, writes: int, number: int) -> None:
        """So many writes are committed, in such a generation; it is kept elsewhere."""
        with self._lock:
            writes, number = max(self.known.writes, writes), max(self.known.number, number)
            self.known = replace(self.known, writes=writes, number=number)

    def counted(self, number: int) -> None:
        self.saw(0, number)
        if self.file:
            self.file.raise_to(self.known.ledger, number)


@dataclass(frozen=True, slots=True)
class Run:
    """One execution, and the fence that proves that it still holds its activation.

    A command in which a person decides about rows is one too, but stands in no record of runs.
    """

    run_id: str
    activation: str
    fence: int
    started_at: datetime
    footing: Footing = field(compare=False, repr=False)
    """What it knows of the ledger under it."""
    restored: str | None = None
    """What says that the ledger was put back from a backup, if this run was the first to see it."""
    origin: str | None = None
    """The name under which the activation was recorded first; None: it is not recorded."""
    by: str | None = None
    """Who asked for it; None: nobody was named."""


@dataclass(frozen=True, slots=True)
class Learnt:
    """What a reading says beside its rows. `edition`: in which the model has been read to its end;
    `edited`: which parts of it are written in another way than before; `read`: how many of its rows
    were read; `remembered`: what the next reading should know of them, if that is another now."""

    edition: Edition | None = None
    read: int = 0
    remembered: Remembered | None = None
    edited: Sequence[str] = ()


class Known(NamedTuple):  # as Staged: there is one of each row, and a tuple is made in no time
    """What the ledger already has under a row key. `contact` and `payload`: None once they are
    gone."""

    id: int
    state: State
    digest: str | None
    reason: str | None
    run_id: str
    contact: str | None = None
    payload: str | None = None
    attempt: int = 0


class Staged(NamedTuple):
    """A row of the model on its way into the ledger."""

    row_key: str
    content: Interaction | Invalid
    history: bool = False
    """It stood in the model before `start: now`: recorded, so that it is never sent."""
    suspect: bool = False
    """It was sent before, by a ledger that is gone: it is read back before its first send."""
    about: str | None = None
    """In a mirror: see the columns of the same names."""
    source: str | None = None


@dataclass(frozen=True, slots=True)
class Delivery:
    """A row that is to be sent."""

    id: int
    row_key: str
    state: State
    attempt: int
    contact: str
    contact_id: str | None
    created_date: str
    payload: str
    suspect: bool
    """It may have been sent by a ledger that is lost, and is read back before it is sent."""
    waited: int | None
    """Milliseconds since its contact was first not found."""
    in_vain: int = 0
    """Attempts since it became what is to be sent now that were certainly not applied."""


@dataclass(frozen=True, slots=True)
class FoundContact:
    """What a look-up found, to be kept for later runs. `refused`: the destination has refused the
    contactId since, so it spares no look-up any more."""

    destination: str
    digest: str
    identifier: str
    contact_id: str
    refused: bool = False


@dataclass(frozen=True, slots=True)
class Opening:
    """An attempt to be put on record before its first byte. `found`: what was learnt for it;
    `boot_at`: when that was, by the boot-time clock of the machine's `boot`; `destination_at`: when
    at the latest, by the destination's clock."""

    delivery: Delivery
    contact_id: str
    found: FoundContact | None = None
    boot: int | None = None
    boot_at: int | None = None
    destination_at: int | None = None
    turn: Turn | None = None
    """Where it counts how often the contact is sent to."""

    @property
    def number(self) -> int:
        """The attempt's number, from 1."""
        return self.delivery.attempt + 1

    @property
    def in_a_row(self) -> int:
        """The attempt's number, from 1, among those for what the row says now."""
        return self.delivery.in_vain + 1


@dataclass(frozen=True, slots=True)
class Presumed:
    """A suspect row: recorded as if an attempt that this ledger has forgotten had been made.
    `found`: what was learnt for it."""

    delivery: Delivery
    contact_id: str
    found: FoundContact | None = None
    turn: Turn | None = None


@dataclass(frozen=True, slots=True)
class Closing:
    """What an attempt brought. `rest`: how long the row is left alone before the next one;
    `found`: what it says about a contact; `at`: when, where turns are counted."""

    delivery_id: int
    number: int
    outcome: Outcome
    rest: timedelta = timedelta(0)
    found: FoundContact | None = None
    at: int | None = None


@dataclass(frozen=True, slots=True)
class SetAside:
    """A row that no attempt is opened for: its contact is unknown (`rest`: how long it is left
    alone), or could not be looked up, or it is refused."""

    delivery: Delivery
    state: State
    reason: str
    rest: timedelta = timedelta(0)


@dataclass(frozen=True, slots=True)
class Doubt:
    """A row in doubt about its last attempt. `contact`: the identifier that was looked up for it;
    `age`: how long ago, by the database's clock, that attempt was opened; taken before the
    destination is asked. `boot_at`: when it was opened, or its doubt first seen, by the clock of
    `boot`; `destination_at`: when at the latest it was opened, by the destination's. `reason`: why
    it is in doubt; `http_status` and `answered`: what the attempt brought; `place`: where it stood
    in its request."""

    delivery_id: int
    row_key: str
    attempt: int
    contact_id: str
    created_date: str
    payload: str
    age: timedelta
    contact: str
    digest: str | None = None
    boot: int | None = None
    boot_at: int | None = None
    destination_at: int | None = None
    reason: str | None = None
    submitted: bool = False
    """The destination has taken it over; the doubt is what becomes of it."""
    place: int = 0
    before_restore: bool = False
    """It may have been sent by a run that this ledger has forgotten."""
    http_status: int | None = None
    answered: str | None = None


@dataclass(frozen=True, slots=True)
class Delivered:
    """A row that an interaction belongs to. `interaction_id` None: a person said that it was
    delivered, or the destination gives none. `changed_at` in milliseconds since 1970."""

    id: int
    row_key: str
    state: State
    run_id: str
    changed_at: int
    interaction_id: str | None
    digest: str | None
    activation: str = ""


@dataclass(frozen=True, slots=True)
class Settlement:
    """How a doubt ends (or, with the state in_doubt, why it does not)."""

    doubt: Doubt
    state: State
    word: str
    interaction_id: str | None = None
    reason: str | None = None
    of_unknown_content: bool = False


Entry = Opening | Presumed | Closing | SetAside


@dataclass(frozen=True, slots=True)
class Repeated:
    """What became of an answer with the id of an interaction that is another row's, or deleted:
    it proves nothing. `distrust`: what it says of the destination; None where it may be right."""

    reason: str
    distrust: str | None


@dataclass(slots=True)
class Judged:
    """What later runs are compared with: `due`, the rows that the run had to send; `matched`, the
    share of their identifiers that was found, where some were looked up before the first send;
    `empty`: the model had no row at all. `comparable`: it is a run like any other."""

    due: int | None = None
    matched: float | None = None
    empty: bool | None = None
    comparable: bool = False


@dataclass(slots=True)
class Tally:
    """What a run did, row by row."""

    read: int = 0
    staged: int = 0
    delivered: int = 0
    invalid: int = 0
    rejected: int = 0
    given_up: int = 0
    """Those rejected that an earlier run had left: waiting for their contact, or in doubt."""
    waiting: int = 0
    in_doubt: int = 0
    submitted: int = 0
    """Those that the destination has taken over and is not known to be done with."""
    own_doubts: int = 0
    """Those of the rows in doubt that this run itself has sent."""
    pending: int = 0
    resent: int = 0
    assumed: int = 0
    """Whose answer was lost, and nobody can be asked about: let go again, taken for delivered."""
    removed: int = 0
    replaced: int = 0
    """Interactions that a mirror took back since their row has changed; `removed`: is gone."""
    notes: list[str] = field(default_factory=list)
    turnover: Turnover | None = None
    """What became of the rows that it should have read again, where as many others appeared."""
    contacts: Matches | None = None
    """How many identifiers matched; None where none is looked up."""
    judged: Judged = field(default_factory=Judged)
    next_window: str | None = None
    for_window: int = 0
    """Rows that wait for the send window alone; when it opens, where it was closed at the end."""
    for_turn: int = 0
    """Rows that wait for `per_contact`; the first of them may go at `next_turn`."""
    next_turn: str | None = None
    resting: int = 0
    """Rows that rest; the first of them may be tried again at `next_try`; why one of them does."""
    next_try: str | None = None
    rests_for: str | None = None
    too_young: int = 0
    next_settling: str | None = None
    """When a run can settle the first of those in doubt that are `too_young` for that yet."""
    unread: bool = False
    """Not all was looked at: the time was over, or as many rows were read as the limit allows."""
    done: bool | None = None
    """Nothing is left that another run could send at once; None: that is not known."""
    tempo: Tempo | None = None


def stored_watermark(row: Any) -> Watermark:
    if row.kind is None:
        return Watermark(row.cursor, left=row.left_behind)
    kind = Kind(row.kind)
    value, floor = (None if t is None else from_text(kind, t) for t in (row.value, row.floor))
    return Watermark(row.cursor, kind, value, floor, row.left_behind)


def stored_identity(row: Any) -> Identity:
    """What the rows of an activation were when they were recorded, from a row of the table."""
    place = None if row.address is None else Place(row.type, row.address)
    return Identity(row.destination, row.schema_id, tuple(json.loads(row.row_key)), place=place)


def stored_remembered(row: Any) -> Remembered:
    kinds = tuple(kind and KeyKind(kind) for kind in json.loads(row.key_kinds or "[]"))
    return Remembered(kinds or None, Rereads.of(row.rereads))


def remembering(what: Remembered | None) -> dict[str, Any]:
    """The columns that hold what is remembered; what is None stays as it is."""
    if what is None:
        return {}
    kinds = {"key_kinds": json.dumps(what.key_kinds)} if what.key_kinds else {}
    return kinds | ({"rereads": what.rereads.text} if what.rereads is not None else {})


def moment(milliseconds: int) -> datetime:
    """A time of the ledger as an aware datetime."""
    return datetime.fromtimestamp(milliseconds / 1000, UTC)


def milliseconds(span: timedelta) -> int:
    """A span as the ledger counts it."""
    return round(span.total_seconds() * 1000)


def _difference(before: Seen, now: Seen) -> str | None:
    if now.ledger != before.ledger:
        return "it is another ledger now"
    if before.timeline and now.timeline and before.timeline != now.timeline:
        return f"PostgreSQL is on timeline {now.timeline} and was on {before.timeline}"
    if now.writes <= before.writes:
        lost = before.writes - now.writes + 1
        return f"it has forgotten the last {lost} of {before.writes} times that this run wrote"
    if now.number < before.number:
        return f"it is at generation {now.number} and was at {before.number} before"
    return None


def instant(milliseconds: int | None) -> str | None:
    """A time of the ledger in RFC 3339."""
    return None if milliseconds is None else instant_text(moment(milliseconds))


def document(row: Any, *names: str) -> Document:
    """The columns `names` of a row, for programs."""
    values = {name: row._mapping[name] for name in names}
    return {name: instant(at) if name in TIMES else at for name, at in values.items()}


TIMES = (
    *("at", "since", "due_at", "waiting_since", "opened_at", "closed_at", "started_at"),
    *("finished_at", "seen_at", "asked_at", "next_at", "ended_at"),
)
