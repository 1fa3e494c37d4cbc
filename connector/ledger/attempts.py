"""Attempts to send rows, opened before their first byte and closed with what they brought.

Each statement names the state and the attempt that the caller believes in, and does for many rows.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import cache
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Insert,
    Select,
    String,
    Update,
    bindparam,
    case,
    exists,
    func,
    insert,
    literal_column,
    select,
    update,
)

from connector.ledger.counts import passing_of, standing_figures, with_passing
from connector.ledger.digests import halves_of
from connector.ledger.json_rows import in_one, json_rows
from connector.ledger.moving import (
    LATE,
    OPENED,
    REJECTED,
    WAITING,
    Move,
    Row,
    Told,
    gone_from,
    move,
    reason_of,
    storable,
    tell,
)
from connector.ledger.ownership import Owner, alone, digest_of, owner_of
from connector.ledger.parcels import Kept
from connector.ledger.records import (
    Closing,
    Delivery,
    Opening,
    Presumed,
    Repeated,
    Run,
    SetAside,
    milliseconds,
)
from connector.ledger.tables import (
    CLOCKS_OF_DOUBTS,
    NOW,
    OPEN,
    attempts,
    deliveries,
    ledgers,
    pruned_interactions,
    removed_interactions,
    requests,
    runs,
    trials,
    watermarks,
)
from connector.ledger.turns import bury_turns, set_turns, take_turns
from connector.rules.delivery import CAME_AGAIN, Accepted, State, Unknown
from connector.rules.errors import Interrupted
from connector.rules.words import Note

a, d = attempts.c, deliveries.c
DIED = "the process ended before the answer was recorded"
PRESUMED = "the ledger was put back from a backup; the row may have been sent before that"
SENT_BEFORE = "the destination has its reference, and this ledger has not sent it: another one has"
MISSED = (
    "its interaction was not there any more when it was to be taken back; it is looked for whether"
    " another one has taken its place"
)
Moving = list[tuple[Any, Row]]
"""Entries, each with its row that is to move."""


def _taken(entry: Any) -> ColumnElement[bool]:
    """The interaction is a row's already, or was one's before it was deleted; or is no row's."""
    other, removed = deliveries.alias("other").c, removed_interactions.c
    # written out, not as parameters: only so it is the expression of the index
    short = func.substr(other.interaction_id, literal_column("1"), literal_column("8"))
    owned = exists().where(
        short == func.substr(entry.interaction_id, 1, 8),
        other.interaction_id == entry.interaction_id,
    )
    former = exists().where(removed.digest == entry.digest_of_id)
    gone = pruned_interactions.alias("gone").c
    of_pruned = exists().where(gone.high == entry.high, gone.low == entry.low)
    return owned | former | exists().where(trials.c.digest == entry.digest_of_id) | of_pruned


PRESUMING = Move(State.IN_DOUBT, ("contact_id", "reason"), attempt=1, by_run=True)
ASIDE = {
    state: Move(state, ("reason", "due_at"), by_run=True)
    for state in (State.PENDING, State.WAITING, State.REJECTED)
}
KEEPING = {
    State.PENDING: Move(State.PENDING, ("contact_id", "reason"), by_run=True),
    State.WAITING: Move(
        State.WAITING, ("contact_id", "reason"), by_run=True, but=lambda _: {"due_at": d.due_at}
    ),
}
"""What waits for its time is where it was."""
IN_LINE = Move(State.PENDING, ("contact_id", "reason"), by_run=True)
"""What waits for its turn is in one line, whether its contact was looked for before or not."""
ANSWERED = (State.SENDING, State.IN_DOUBT, State.PENDING)
ITS_ID = ("interaction_id", "digest_of_id", "high", "low")
ACCEPTED = Move(State.DELIVERED, ITS_ID, ANSWERED, by_run=True, where=lambda entry: ~_taken(entry))
"""Of interactions that are nobody's yet, wherever."""
ACCEPTED_ANYHOW = Move(State.DELIVERED, ITS_ID, ANSWERED, by_run=True)
"""Of interactions of which that is known otherwise."""
UNACCEPTED = {
    # a row that was taken for orphaned is in doubt by now; an answer still settles it
    State.PENDING: Move(
        State.PENDING, ("reason", "due_at"), (State.SENDING, State.IN_DOUBT), by_run=True
    ),
    State.REJECTED: Move(State.REJECTED, ("reason",), (State.SENDING, State.IN_DOUBT), by_run=True),
    State.IN_DOUBT: Move(State.IN_DOUBT, ("reason",), (State.SENDING,), by_run=True),
    State.SUBMITTED: Move(State.SUBMITTED, (), ANSWERED, by_run=True),
}


def open_attempts(
    c: Connection, run: Run, entries: Sequence[Opening | Presumed | SetAside | Kept], now: int
) -> dict[int, bool]:
    """By the id() of each entry, whether it was done.

    Move rows out of pending or waiting, if they are still where the caller saw them."""
    by_way: dict[Move, Moving] = defaultdict(list)
    restored = None
    if any(isinstance(entry, Presumed) for entry in entries):
        restored = c.execute(select(ledgers.c.restored_at)).scalar()
    for entry in entries:
        how, row = _way(run, entry, now, restored)
        by_way[how].append((entry, row))
    results = _moved(c, run, OPENED, by_way[OPENED], now)
    opened = [entry for entry, _ in by_way[OPENED] if results[id(entry)]]
    if opened:
        _begin(c, run, opened, now)
        take_turns(c, run.activation, opened)
    results |= _moved(c, run, PRESUMING, by_way[PRESUMING], now)
    presumed = [entry for entry, _ in by_way[PRESUMING] if results[id(entry)]]
    _presume(c, run, presumed, now, restored)
    take_turns(c, run.activation, presumed)
    for how in (*ASIDE.values(), *KEEPING.values(), IN_LINE):
        results |= _moved(c, run, how, by_way[how], now)
    take_turns(c, run.activation, [entry for entry, _ in by_way[IN_LINE] if results[id(entry)]])
    return results


def _way(
    run: Run, entry: Opening | Presumed | SetAside | Kept, now: int, restored: int | None
) -> tuple[Move, Row]:
    """How the row of an entry moves; `restored`: when the ledger was."""
    seen, told = entry.delivery, None
    facts: dict[str, Any]
    match entry:
        case Opening():
            how, facts = OPENED, {"contact_id": entry.contact_id}
        case Presumed():
            why = _presumed(seen, restored)
            how, facts = PRESUMING, {"contact_id": entry.contact_id, "reason": why}
        case Kept(_, contact_id, reason, turn=turn):
            how = IN_LINE if turn else KEEPING[seen.state]
            facts = {"contact_id": contact_id, "reason": reason}
        case SetAside(_, became, reason, rest):
            reason, waits = storable(reason), became is State.WAITING
            due = now + milliseconds(rest) if waits else None
            how, facts = ASIDE[became], {"reason": reason, "due_at": due}
            if became is not seen.state:
                word = WAITING if waits else REJECTED
                told = Told(f"run {run.run_id}", word, seen.state, became, None, reason)
    return how, Row(seen.id, seen.state, seen.attempt, facts, told)


def _begin(c: Connection, run: Run, openings: Iterable[Opening], now: int) -> None:
    begun = [
        {
            "id": e.delivery.id,
            "attempt": e.number,
            "boot": e.boot,
            "boot_at": e.boot_at,
            "destination_at": e.destination_at,
        }
        for e in openings
    ]
    c.execute(_beginning(c.dialect.name), in_one(begun, run=run.run_id, now=now))


def _presume(
    c: Connection, run: Run, entries: Iterable[Presumed], now: int, restored: int | None
) -> None:
    """Record attempts that were made, if at all, before the ledger was `restored`, or by another
    one."""
    attempt = {
        "run_id": run.run_id,
        "opened_at": now if restored is None else restored,
        "closed_at": now,
        "outcome": Unknown.word,
    }
    for delivery in (entry.delivery for entry in entries):
        of = {"delivery_id": delivery.id, "number": delivery.attempt + 1}
        c.execute(insert(attempts).values(reason=_presumed(delivery, restored), **of, **attempt))


def _presumed(delivery: Delivery, restored: int | None) -> str:
    """Why a row may have been sent without that this ledger knows of it."""
    if restored is not None:
        return PRESUMED
    return MISSED if delivery.attempt else SENT_BEFORE  # only a mirror sends anew what it has sent


def _moved(c: Connection, run: Run, how: Move, left: Moving, now: int) -> dict[int, bool]:
    """By the id() of each entry, whether its row moved. What stands twice is tried one after the
    other."""
    results: dict[int, bool] = {}
    while left:
        once = {row.id: (entry, row) for entry, row in reversed(left)}
        some = list(reversed(once.values()))
        moved = move(c, how, [row for _, row in some], now, run.run_id)
        results |= {id(entry): row.id in moved for entry, row in some}
        left = [(entry, row) for entry, row in left if once[row.id][1] is not row]
    return results


def close_attempts(
    c: Connection, run: Run, entries: Sequence[Closing], now: int
) -> dict[int, bool | Repeated]:
    """Record what attempts brought; by the id() of each entry, whether its row moved. An entry
    about an attempt of `run` that the ledger does not have is left out."""
    if not entries:
        return {}
    entries = _known(c, run, entries)
    answered = [e for e in entries if isinstance(e.outcome, Accepted)]
    times, again = Counter(map(_sole, answered)), run.footing.came_again
    if answered:
        alone(c, run.activation)
    # of several that come with one id nobody can say whose it is
    again.update(name for name, number in times.items() if number > 1)
    single = [e for e in answered if _sole(e) not in again]
    moved = _accepted(c, run, single, now, ACCEPTED)
    results: dict[int, bool | Repeated] = {id(e): True for e in single if e.delivery_id in moved}
    left = {id(e): e for e in answered if id(e) not in results}
    final = [e for e in entries if id(e) not in left]
    for entry in left.values():
        alone_with_it = _sole(entry) not in again
        closing, results[id(entry)] = _accept_late_or_not(c, run, entry, now, alone_with_it)
        final.append(closing)
    others = [e for e in entries if not isinstance(e.outcome, Accepted)]
    results.update(_close_unaccepted(c, run, others, now))
    _close(c, final, now)
    set_turns(c, final)
    return results


def close_late(
    c: Connection, run: Run, entries: Sequence[Closing], now: int
) -> dict[int, bool | Repeated]:
    """The same for a run that no longer holds its activation: others may have moved the rows since
    and had a reason, which goes into the story where the answer ends it."""
    query = select(d.id, d.state, d.reason).where(d.id.in_([e.delivery_id for e in entries]))
    before = {row.id: row for row in c.execute(query)}
    results = close_attempts(c, run, entries, now)
    told = []
    for entry in entries:
        row = before.get(entry.delivery_id)
        if row and results.get(id(entry)) is True and row.state != State.SENDING:
            became = entry.outcome.state
            late = Told(f"run {run.run_id}", LATE, State(row.state), became, row.reason)
            told.append((entry.delivery_id, late))
    tell(c, told, now)
    return results


def _known(c: Connection, run: Run, entries: Sequence[Closing]) -> list[Closing]:
    """Those whose attempts are the run's. In a ledger that went back there may be none, or one of
    the same number that another run has opened."""
    rows = [{"id": e.delivery_id, "attempt": e.number} for e in entries]
    found: Any = c.execute(_attempts_of_run(c.dialect.name), in_one(rows, run=run.run_id)).all()
    known = {(row[0], row[1]) for row in found}
    return [e for e in entries if (e.delivery_id, e.number) in known]


def _close(c: Connection, entries: Sequence[Closing], now: int) -> None:
    rows = [
        {
            "id": e.delivery_id,
            "attempt": e.number,
            "outcome": e.outcome.word,
            "status": e.outcome.http_status,
            "reason": reason_of(e.outcome),
        }
        for e in entries
    ]
    c.execute(_closing(c.dialect.name), in_one(rows, now=now))


def _sole(entry: Closing) -> str | int:
    """What only one answer can bring: the id, or where there are none, the row."""
    name = _id_in(entry)
    return entry.delivery_id if name is None else name


def _id_in(entry: Closing) -> str | None:
    assert isinstance(entry.outcome, Accepted)
    return entry.outcome.interaction_id


def _accepted(c: Connection, run: Run, entries: Sequence[Closing], now: int, how: Move) -> set[int]:
    """The rows that this delivered."""
    rows = []
    for entry in entries:
        name = _id_in(entry)
        digest = name and digest_of(name)
        high, low = halves_of(digest) if digest else (None, None)
        facts = {"interaction_id": name, "digest_of_id": digest, "high": high, "low": low}
        rows.append(Row(entry.delivery_id, State.SENDING, entry.number, facts))
    return move(c, how, rows, now, run.run_id)


def _accept_late_or_not(
    c: Connection, run: Run, entry: Closing, now: int, alone_with_it: bool
) -> tuple[Closing, bool | Repeated]:
    """An answer whose id is known or came several times, or whose row has moved: what is to be
    recorded of the attempt, and what became of the row."""
    name = _id_in(entry)
    owner = None if name is None else owner_of(c, run.activation, name)
    if name is None or (owner is None and alone_with_it):
        # its id may be known elsewhere, where it is another one
        moved = _accepted(c, run, [entry], now, ACCEPTED_ANYHOW)
        return entry, bool(moved)
    if owner and owner.delivery_id == entry.delivery_id and not owner.deleted:
        return entry, False  # a read-back was quicker
    reason = f"HTTP {entry.outcome.http_status} with the id of an interaction that {_whose(owner)}"
    doubt = replace(entry, outcome=Unknown(reason, entry.outcome.http_status))
    was_open = _close_unaccepted(c, run, [doubt], now)[id(doubt)]
    # a row that looks the same may have been given the interaction by a read-back, while the answer
    # was on its way: then the destination has said nothing wrong
    known = owner is None or (
        owner.answered and (was_open or owner.delivery_id != entry.delivery_id)
    )
    if known and owner and owner.answered and owner.delivery_id:
        mine = a.delivery_id == owner.delivery_id, a.outcome == Accepted.word
        c.execute(update(attempts).where(*mine).values(reason=CAME_AGAIN))
    said = (DISTRUST.format(whose=_whose(owner, named)) for named in (True, False))
    distrust = Note(*said) if known else None
    return doubt, Repeated(reason, distrust) if was_open or distrust else False


def _whose(owner: Owner | None, named: bool = True) -> str:
    if owner is None:
        return "another request was answered with, too"
    if owner.trial:
        return "was made by a test or a probe"
    if owner.pruned:
        return "is that of a row that was pruned"
    whose = f'that of the row "{owner.row_key}"' if named else "that of another row"
    return f"was {whose} and is deleted" if owner.deleted else f"is {whose}"


DISTRUST = (
    "the destination answered a request with the id of an interaction that {whose}, so its answers"
    " prove nothing; is there a proxy or a cache in between that answers for it? Nothing more was"
    " sent. The row is in doubt, and the next run asks what became of it"
)


def _close_unaccepted(
    c: Connection, run: Run, entries: Sequence[Closing], now: int
) -> dict[int, bool]:
    by_state: dict[State, Moving] = defaultdict(list)
    for entry in entries:
        assert not isinstance(entry.outcome, Accepted)
        due = now + milliseconds(entry.rest)
        facts = {"reason": reason_of(entry.outcome), "due_at": due}
        row = Row(entry.delivery_id, State.SENDING, entry.number, facts)
        by_state[entry.outcome.state].append((entry, row))
    results: dict[int, bool] = {}
    for state, some in by_state.items():
        results |= _moved(c, run, UNACCEPTED[state], some, now)
    return results


@cache
def _beginning(dialect: str) -> Insert:
    clocks = ("boot", "boot_at", "destination_at")
    entry = json_rows(dialect, "id", "attempt", *clocks)
    run, now = bindparam("run", type_=String), bindparam("now", type_=BigInteger)
    return insert(attempts).from_select(
        ["delivery_id", "number", "run_id", "opened_at", *clocks],
        select(entry.c.id, entry.c.attempt, run, now, *(entry.c[name] for name in clocks)),
    )


@cache
def _attempts_of_run(dialect: str) -> Select[Any]:
    entry = json_rows(dialect, "id", "attempt").c
    return select(a.delivery_id, a.number).where(
        a.delivery_id == entry.id, a.number == entry.attempt, a.run_id == bindparam("run")
    )


@cache
def _closing(dialect: str) -> Update:
    entry = json_rows(dialect, "id", "attempt", "outcome", "status", "reason")
    return (
        update(attempts)
        .where(a.delivery_id == entry.c.id, a.number == entry.c.attempt)
        .values(
            closed_at=bindparam("now"),
            outcome=entry.c.outcome,
            http_status=entry.c.status,
            reason=entry.c.reason,
            # only of a doubt it is ever asked how old it is
            **{c.name: case((entry.c.outcome == "unknown", c)) for c in CLOCKS_OF_DOUBTS},
        )
    )


def bury(c: Connection, activation: str) -> None:
    """Settle what runs that died left behind."""
    r = requests.c
    unanswered = (r.activation == activation, r.ended_at.is_(None), r.closed_at.is_(None))
    running = (runs.c.activation == activation, runs.c.status == "running")
    stands = with_passing(
        activation,
        exists().where(*unanswered).label("unanswered"),
        exists().where(*running).label("running"),
    )
    left = c.execute(stands).all()
    counts = passing_of(left)
    left_open = State.SENDING in counts
    sending = (d.activation == activation, d.state == State.SENDING, OPEN)
    died = {"closed_at": NOW, "outcome": Unknown.word, "reason": DIED}
    if left_open:
        orphans = select(d.id).where(*sending)
        theirs = update(attempts).where(a.delivery_id.in_(orphans), a.closed_at.is_(None))
        c.execute(theirs.values(died))
        bury_turns(c, orphans)
    if left[0].unanswered:
        c.execute(update(requests).where(*unanswered).values(died))
    if left_open:
        doubt = {"state": State.IN_DOUBT, "reason": DIED, "changed_at": NOW}
        c.execute(update(deliveries).where(*sending).values(gone_from(State.IN_DOUBT) | doubt))
    if not left[0].running:
        return
    mark = select(watermarks.c.value).where(watermarks.c.activation == activation)
    c.execute(
        update(runs)
        .where(*running)
        .values(
            status="stopped",
            finished_at=NOW,
            error="the process ended before the run did",
            kind=Interrupted.kind,
            retryable=True,
            watermark=mark.scalar_subquery(),
            **standing_figures(counts, ended=True),
        )
    )
